//! How a session starts and how it gets its services: `OpenSession` to the registry, `Resolve` to
//! the router, `Bind` to a pool, and back with a lease on a link.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;

use super::resumable::timing;
use super::{Changed, Client, Closing, Hold, Resumable, Stage};
use crate::actors::backend_pool::{Bind, BindFailed};
use crate::actors::link::{Lease, LinkEvent};
use crate::actors::router::{Resolve, Router, Unresolved};
use crate::actors::session_registry::{IdInUse, OpenSession, SessionEnded};
use crate::codec::client::{FLAG_RESUMABLE, Frame};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::session::resume::Holder;
use crate::session::state::{Opening, Session};
use crate::supervision::{CountedRecipient, Seat};

/// Endpoints that one session tries for one service before it is refused.
const MAX_ENDPOINTS_TRIED: usize = 8;
/// Session ids that are drawn before the gateway gives up; the first is free for all practical sizes.
const MAX_DRAWS: u32 = 4;

impl Client {
    /// The frame that would start a session. It is held back while the registry is asked, and is
    /// shown again when there is a session; `Ok(true)` where it starts none.
    pub(super) fn start_session(
        &mut self,
        frame: &Frame<'_>,
        ctx: &mut Context<Self>,
    ) -> Result<bool, Closing> {
        self.talked = true;
        if self.shared.scope.gate.refuses_sessions() {
            return Err(Closing::Draining);
        }
        if frame.service.is_empty() {
            self.tell_error(Code::MALFORMED, 0, "no service was named yet", "", ctx);
            return Ok(true);
        }
        let trusted = self.shared.scope.config.session.trust_client_ids;
        let chosen = trusted && frame.header.session_id != 0;
        let resumable = frame.header.flags & FLAG_RESUMABLE != 0;
        let id = if chosen {
            frame.header.session_id
        } else {
            self.draw()
        };
        self.register(id, chosen, resumable, MAX_DRAWS, ctx);
        Ok(false)
    }

    fn draw(&self) -> u64 {
        self.shared.shards.homes().draw(self.shared.scope.worker)
    }

    fn register(
        &mut self,
        id: u64,
        chosen: bool,
        resumable: bool,
        draws: u32,
        ctx: &mut Context<Self>,
    ) {
        self.hold = Hold::Registering(id);
        let (owner, address) = (self.stats.owner, self.registration.address(ctx));
        let home = self.shared.shards.home(id).clone();
        let answer = async move {
            let open = || OpenSession {
                session_id: id,
                owner,
                client: address.weak_recipient(),
            };
            home.ask(open).await
        };
        let answer = answer.into_actor(self);
        ctx.spawn(answer.map(move |result, client, ctx| {
            match result {
                Ok(Ok(())) => client.session_opened(id, resumable, ctx),
                Ok(Err(IdInUse)) => {
                    // It is another client's; there is nothing to take back.
                    client.hold = Hold::None;
                    if chosen {
                        client.close(Closing::IdInUse, ctx);
                    } else if draws > 1 {
                        client.register(client.draw(), false, resumable, draws - 1, ctx);
                    } else {
                        client.close(Closing::Internal, ctx);
                    }
                }
                Err(_) => client.close(Closing::Internal, ctx),
            }
            ctx.notify(Changed);
        }));
    }

    fn session_opened(&mut self, id: u64, resumable: bool, ctx: &mut Context<Self>) {
        let config = &self.shared.scope.config;
        let max_services = usize::from(config.session.max_services);
        tracing::debug!(session = %format_args!("{}:{id}", config.gateway.id), peer = %self.stats.peer(), "session starts");
        let transport = self.stats.transport.get();
        let started = &self.shared.scope.metrics.sessions_started;
        started.add(transport, 1);
        self.session = Some(Session::new(id, resumable, max_services));
        let resumes = resumable && !config.session.resume_window.is_zero();
        let holder = || Holder::new(timing(config));
        self.resumable =
            resumes.then(|| Box::new(Resumable::new(Some(holder()), config.session.replay_bytes)));
        self.stats.session_id.set(id);
        self.stats.resumable.set(resumable);
        self.stats.started_ms.set(self.shared.now_ms());
        self.resume_reading(Hold::Registering(id));
        if resumable {
            // The frame that starts it is held back, and is the first.
            self.tell_opened(1, false, ctx);
        }
    }

    /// The registry forgets the session, or the one that it is being asked about.
    pub(super) fn leave_registry(&mut self) {
        let registering = match self.hold {
            Hold::Registering(id) => Some(id),
            Hold::None | Hold::Returning | Hold::Leaving | Hold::Opening | Hold::LinkFull => None,
        };
        let session = self.session.take();
        if session.is_some() {
            self.shared.scope.metrics.sessions_ended.one();
            self.stats.session_ended();
        }
        if let Some(session_id) = session.map(|s| s.id()).or(registering) {
            self.hold = Hold::None;
            // A registry that is just being rebuilt looks for clients that are gone.
            self.shared.shards.home(session_id).do_send(SessionEnded {
                session_id,
                owner: self.stats.owner,
            });
        }
    }

    /// Routes a service that the session uses for the first time, or again after a loss.
    pub(super) fn open_service(&mut self, place: usize, ctx: &mut Context<Self>) {
        let Some(session) = &self.session else { return };
        let service = Arc::clone(session.name(place));
        let resolve = Resolve {
            service: Arc::clone(&service),
            realm_id: session.realm_id(),
            user_id: session.user_id(),
            session_id: session.id(),
            is_bound: session.is_bound(),
            tried: Vec::new(),
        };
        let (open, epoch) = (self.open_payload(0), self.epoch());
        let router = self.shared.router.clone();
        let client = self.registration.address(ctx).recipient();
        let opening = find_link(router, resolve, open, client);
        ctx.spawn(opening.into_actor(self).map(move |result, client, ctx| {
            match result {
                Ok(lease) => client.service_opened(&service, epoch, lease, ctx),
                Err(unresolved) => client.service_failed(&service, unresolved, ctx),
            }
            ctx.notify(Changed);
        }));
    }

    /// A link is there; `epoch` is the session's when it was asked for.
    pub(super) fn service_opened(
        &mut self,
        service: &str,
        epoch: u32,
        mut lease: Lease,
        ctx: &mut Context<Self>,
    ) {
        if self.session.is_some() && epoch != self.epoch() {
            // Resumed meanwhile; its ACCEPT is not waited for.
            lease.reopen(self.open_payload(OPEN_RESUMED));
        }
        if matches!(self.stage, Stage::Suspended) {
            lease.suspend(self.window_left().as_millis() as u32);
        }
        let Some(session) = &mut self.session else {
            // It ended while the link was being opened; this backend has seen OPEN all the same.
            return lease.release(self.final_code);
        };
        let Some(place) = session.find(service) else {
            return;
        };
        let lost = session.opening(place).and_then(|opening| opening.lost);
        if lost == Some(lease.link_id()) {
            lease.set_final_code(Code::BAD_GATEWAY);
            let lost = Unresolved {
                code: Code::BAD_GATEWAY,
                text: "the backend's link was lost",
                retry_after_ms: 0,
            };
            return self.service_failed(service, lost, ctx);
        }
        self.stats
            .service_opened(session.name(place), lease.endpoint());
        // Whatever the session has learned of its realm since it asked.
        lease.retag(session.realm_id());
        if let Some(mut before) = session.take_lost(place)
            && before.same_backend(&lease)
        {
            before.silence();
        }
        let Some(opening) = session.opened(place, lease) else {
            return;
        };
        let Opening { queue, frames, .. } = *opening;
        if let Some(lease) = session.lease(place)
            && frames > 0
        {
            lease.forward(queue, frames);
        }
        self.resume_reading(Hold::Opening);
        self.renew_token(ctx);
        self.confirm_opened(service, ctx);
    }

    /// Every frame that waited is refused with an ERROR of its own.
    fn service_failed(&mut self, service: &str, why: Unresolved, ctx: &mut Context<Self>) {
        let place = self.session.as_ref().and_then(|s| s.find(service));
        let failed = place.and_then(|place| self.session.as_mut()?.failed(place));
        self.resume_reading(Hold::Opening);
        self.shared.scope.metrics.bind_failures.one();
        for _ in 0..failed.map_or(0, |opening| opening.frames) {
            self.tell_error(why.code, why.retry_after_ms, why.text, service, ctx);
        }
        self.confirmed(service, ctx);
    }

    /// A link is gone: the client is told once, and its next DATA is routed anew.
    pub(super) fn link_lost(&mut self, service: &str, link_id: u64, ctx: &mut Context<Self>) {
        let its = |lease: &Lease| lease.link_id() == link_id;
        let open = |s: &Session<Lease>| s.open().any(|(name, l)| **name == *service && its(l));
        if self.session.as_ref().is_some_and(open) && self.lost_again(service, ctx) {
            return;
        }
        let Some(session) = &mut self.session else {
            return;
        };
        if session.lost(service, link_id, its).is_some() {
            self.stats.service_closed(service);
            let lost = |lease: &&mut Lease| lease.link_id() == link_id;
            let code = Code::BAD_GATEWAY;
            session
                .leases()
                .filter(lost)
                .for_each(|lease| lease.set_final_code(code));
            let text = "the backend's link was lost; answers may be missing";
            self.tell_error(Code::BAD_GATEWAY, 0, text, service, ctx);
            // It will not say that it has room any more.
            self.resume_reading(Hold::LinkFull);
        }
        let now = self.shared.elapsed_ms();
        if let Some(place) = self.claimed_place(service) {
            self.at_holder(None, |holder| holder.link_lost(now, place), ctx);
        }
        self.confirmed(service, ctx);
    }
}

/// Asks the router and pools in turn until one has a link: first where the session belongs, then
/// where else its strategy allows.
async fn find_link(
    router: Seat<Router>,
    resolve: Resolve,
    open: Vec<u8>,
    client: CountedRecipient<LinkEvent>,
) -> Result<Lease, Unresolved> {
    let unreachable = |retry_after_ms| Unresolved {
        code: Code::BAD_GATEWAY,
        text: "the backend cannot be reached",
        retry_after_ms,
    };
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut why = unreachable(0);
    while tried.len() < MAX_ENDPOINTS_TRIED {
        let ask = || Resolve {
            service: Arc::clone(&resolve.service),
            tried: tried.clone(),
            ..resolve.clone()
        };
        let resolved = match router.ask(ask).await {
            Ok(Ok(resolved)) => resolved,
            // Nothing is left to try: what the last one said is more to the point.
            Ok(Err(_)) if !tried.is_empty() => return Err(why),
            Ok(Err(unresolved)) => return Err(unresolved),
            Err(_) => return Err(why),
        };
        let bind = || Bind {
            session_id: resolve.session_id,
            realm_id: resolve.realm_id,
            open: open.clone(),
            client: client.clone(),
            resumes: false,
        };
        why = match resolved.pool.ask(bind).await {
            Ok(Ok(lease)) => return Ok(lease),
            Ok(Err(BindFailed::Unreachable { retry_after_ms })) => unreachable(retry_after_ms),
            Ok(Err(BindFailed::Leaving)) => Unresolved {
                text: "the backend takes no new sessions",
                ..unreachable(0)
            },
            Ok(Err(BindFailed::NoLinkLeft | BindFailed::Crowded)) => Unresolved {
                code: Code::UNAVAILABLE,
                text: "the service is over capacity",
                retry_after_ms: 1000,
            },
            Err(_) => unreachable(0),
        };
        tried.push(resolved.endpoint);
    }
    Err(why)
}
