//! A connection whose first frame is RESUME: it is brought to the client that has the session. Where
//! nobody here has it, this client takes it up by what the token says (protocol 3.2, case 3).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;

use super::{Changed, Client, Closing, Hold, Resumable};
use crate::actors::backend_pool::Bind;
use crate::actors::comeback::Comeback;
use crate::actors::life::Seat;
use crate::actors::link::Lease;
use crate::actors::router::{PoolAt, Router};
use crate::actors::session_registry::{Errand, FindClient, OpenSession};
use crate::codec::client::Frame;
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::session::resume::Resumption;
use crate::session::state::Session;
use crate::session::token::TokenBody;

impl Client {
    /// RESUME as the first frame. Nothing more is read until it is answered.
    pub(super) fn resume(
        &mut self,
        frame: &Frame<'_>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Closing> {
        let Some((count, token)) = frame.payload.split_first_chunk() else {
            return Err(Closing::NotResumable);
        };
        let count = u64::from_be_bytes(*count);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let opened = self.shared.scope.tokens.load().open(token, now);
        let token = match opened {
            Ok(token) if token.session_id == frame.header.session_id => token,
            Ok(_) => return Err(Closing::NotResumable),
            Err(error) => {
                tracing::debug!(session_id = frame.header.session_id, %error, "RESUME with a bad token");
                return Err(Closing::NotResumable);
            }
        };
        self.hold = Hold::Returning;
        let home = self.shared.scope.home(token.session_id).clone();
        let session_id = token.session_id;
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Some(holder)) => {
                    let comeback = client.comeback(&token, count);
                    holder.do_send(Errand::Comeback(Box::new(comeback)));
                    ctx.stop();
                }
                Ok(None) => client.take_up(token, ctx),
                Err(_) => client.close(Closing::ResumeElsewhere, ctx),
            }
            ctx.notify(Changed);
        }));
        Ok(())
    }

    /// Takes the connection out of this client, which is nothing without it.
    fn comeback(&mut self, token: &TokenBody, count: u64) -> Comeback {
        Comeback {
            token_epoch: token.epoch,
            count,
            socket: self.socket.take(),
            inbox: std::mem::take(&mut self.inbox),
            permit: self.permit.take(),
            peer: self.card.peer(),
            transport: self.card.transport.get(),
        }
    }

    /// Nobody here has the session: its backends may still know it.
    fn take_up(&mut self, token: TokenBody, ctx: &mut Context<Self>) {
        if self.shared.scope.gate.refuses_sessions() {
            return self.close(Closing::ResumeElsewhere, ctx);
        }
        // Without a binding a token is good on its holder only.
        if token.bindings.is_empty() || !matches!(self.hold, Hold::Returning) {
            return self.close(Closing::NotResumable, ctx);
        }
        let (id, owner, address) = (token.session_id, self.card.owner, self.vitals.address(ctx));
        self.hold = Hold::Registering(id);
        let home = self.shared.scope.home(id).clone();
        let answer = async move {
            let open = || OpenSession {
                session_id: id,
                owner,
                client: address.weak_port(),
            };
            home.ask(open).await
        };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Ok(())) => client.taken_up(&token, ctx),
                // Somebody else came with the token at the same time, or the registry is gone.
                Ok(Err(_)) | Err(_) => {
                    client.hold = Hold::None;
                    client.close(Closing::ResumeElsewhere, ctx);
                }
            }
            ctx.notify(Changed);
        }));
    }

    fn taken_up(&mut self, token: &TokenBody, ctx: &mut Context<Self>) {
        let config = Arc::clone(&self.shared.scope.config);
        let names = || token.bindings.iter().map(|b| Arc::from(b.service.as_str()));
        let Some(resumption) = Resumption::by_token(token.epoch, names()) else {
            return self.close(Closing::NotResumable, ctx);
        };
        let (id, transport) = (token.session_id, self.card.transport.get());
        tracing::debug!(session = %format_args!("{}:{id}", config.gateway.id), peer = %self.card.peer(), from = %token.holder, "session is taken up");
        let started = &self.shared.scope.metrics.sessions_started;
        started.add(transport.name(), 1);
        let who = (token.bound, token.newest);
        let max_services = usize::from(config.session.max_services);
        self.session = Some(Session::taken_up(id, max_services, who, names()));
        let mut resumable = Resumable::new(resumption);
        resumable.by_token = true;
        self.resumable = Some(Box::new(resumable));
        self.talked = true;
        self.card.session_id.set(id);
        self.card.resumable.set(true);
        self.card.started_ms.set(self.shared.now_ms());
        self.resume_reading(Hold::Registering(id));
        self.wait_for_backends(self.epoch(), ctx);
        let open = self.open_payload_from(OPEN_RESUMED, &token.holder);
        for binding in &token.bindings {
            let service: Arc<str> = binding.service.as_str().into();
            let at = PoolAt {
                service: Arc::clone(&service),
                endpoint: binding.endpoint,
            };
            let bind = Bind {
                session_id: id,
                realm_id: self.session.as_ref().map_or(0, Session::realm_id),
                open: open.clone(),
                client: self.vitals.address(ctx).port(),
                resumes: true,
            };
            let opening = link_at(self.shared.scope.router.clone(), at, bind);
            ctx.spawn(opening.into_actor(self).map(move |lease, client, ctx| {
                client.opened_again(&service, lease, ctx);
                ctx.notify(Changed);
            }));
        }
    }

    /// A backend of a session that is being taken up has got its OPEN, or cannot be reached.
    fn opened_again(&mut self, service: &str, lease: Option<Lease>, ctx: &mut Context<Self>) {
        let awaited = self.session.as_mut().is_some_and(|s| {
            s.find(service)
                .is_some_and(|place| s.opening(place).is_some())
        });
        match lease {
            Some(lease) if awaited => {
                let epoch = self.epoch();
                self.service_opened(service, epoch, lease, ctx);
            }
            // Given up meanwhile, or the session itself is.
            Some(lease) => lease.release(Code::LEAVES_LINK),
            None => {}
        }
        let open = |s: &Session<Lease>| s.open().any(|(name, _)| **name == *service);
        if awaited && !self.session.as_ref().is_some_and(open) {
            self.unbind(service, None, ctx);
        }
        self.finish_resume(ctx);
    }
}

/// A link to the endpoint that a session is bound to; `None` where it cannot be reached.
async fn link_at(router: Seat<Router>, at: PoolAt, bind: Bind) -> Option<Lease> {
    let pool = router.ask(|| at.clone()).await.ok()??;
    pool.ask(|| bind.clone()).await.ok()?.ok()
}
