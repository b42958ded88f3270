//! A player who comes back, towards the backends of the session.

use std::sync::Arc;

use actix::prelude::*;

use super::Client;
use crate::actors::backend_pool::Bind as BindTo;
use crate::actors::client::resumable::{Claimant, Whereabouts};
use crate::actors::client::{Changed, Closing, Hold};
use crate::actors::link::Lease;
use crate::actors::router::{PoolAt, Router};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::metrics::DropReason;
use crate::session::core::BackendClose;
use crate::session::resume::{HolderAction, Place, Standing};
use crate::session::state::Session;
use crate::supervision::Seat;

impl Client {
    /// OPEN, on the link that the session has or on one to the backend that it is bound to.
    pub(super) fn open_place(&mut self, place: usize, ctx: &mut Context<Self>) {
        if self.is_holder() {
            let open = self.open_payload(OPEN_RESUMED);
            if let Some(service) = self.service_at(place)
                && let Some(session) = &mut self.session
                && let Some(place) = session.find(&service)
                && let Some(lease) = session.lease(place)
            {
                lease.reopen(open);
            }
            return;
        }
        self.form_session();
        let Some(arriving) = self.arriving() else {
            return;
        };
        let (Some(binding), previous) = (arriving.bindings.get(place), &arriving.previous) else {
            return;
        };
        let (service, endpoint): (Arc<str>, _) =
            (binding.service.as_str().into(), binding.endpoint);
        let previous = previous.clone();
        let open = self.open_payload_from(OPEN_RESUMED, &previous);
        let Some(session) = &mut self.session else {
            return;
        };
        session.opens(Arc::clone(&service));
        let at = PoolAt {
            service: Arc::clone(&service),
            endpoint,
        };
        let bind = BindTo {
            session_id: session.id(),
            realm_id: session.realm_id(),
            open,
            client: self.registration.address(ctx).recipient(),
            resumes: true,
        };
        let opening = link_at(self.shared.router.clone(), at, bind);
        ctx.spawn(opening.into_actor(self).map(move |lease, client, ctx| {
            client.opened_again(&service, lease, ctx);
            ctx.notify(Changed);
        }));
    }

    /// What is known of the session by now makes one, so that its backends can be spoken to.
    pub(super) fn form_session(&mut self) {
        let max_services = usize::from(self.shared.scope.config.session.max_services);
        let Some(arriving) = self.arriving() else {
            return;
        };
        let (id, bound, newest) = {
            let token = &arriving.token;
            (token.session_id, token.bound, token.newest)
        };
        if self.session.is_none() {
            tracing::debug!(session = %format_args!("{}:{id}", self.shared.scope.config.gateway.id), peer = %self.stats.peer(), "session is taken up");
            let started = &self.shared.scope.metrics.sessions_started;
            started.add(self.stats.transport.get(), 1);
            self.session = Some(Session::taken_up(id, max_services));
            self.stats.session_id.set(id);
            self.stats.resumable.set(true);
            self.stats.started_ms.set(self.shared.now_ms());
            self.hold = Hold::Returning;
        }
        if let Some(session) = &mut self.session {
            session.identify(bound, newest);
        }
    }

    /// A backend has got its OPEN, or cannot be reached.
    pub(super) fn opened_again(
        &mut self,
        service: &str,
        lease: Option<Lease>,
        ctx: &mut Context<Self>,
    ) {
        let now = self.shared.elapsed_ms();
        let place = self.arriving().and_then(|a| a.standing(service));
        let Some((place, Place::Waiting)) = place else {
            // Given up meanwhile, or the session itself is.
            if let Some(lease) = lease {
                lease.release(self.late_code());
            }
            return;
        };
        if let Some(lease) = lease {
            let epoch = self.epoch();
            self.service_opened(service, epoch, lease, ctx);
        }
        let open = |s: &Session<Lease>| s.open().any(|(name, _)| **name == *service);
        if !self.session.as_ref().is_some_and(open) {
            return self.at_newcomer(|n| n.link_lost(now, place), ctx);
        }
        let early = self.arriving().is_some_and(|a| {
            let at = a.early.iter().position(|name| **name == *service);
            at.map(|at| a.early.remove(at)).is_some()
        });
        if early {
            self.at_newcomer(|n| n.accepted(now, place), ctx);
        }
    }

    /// What a backend hears that was opened for nothing.
    pub(super) fn late_code(&self) -> Code {
        match self.session {
            Some(_) => Code::BAD_GATEWAY,
            None => self.final_code,
        }
    }

    /// A backend has taken the OPEN of a resume.
    pub(in crate::actors::client) fn accepted(
        &mut self,
        service: &str,
        epoch: u32,
        ctx: &mut Context<Self>,
    ) {
        if epoch > self.epoch() || self.resumable.is_none() {
            let dropped = &self.shared.scope.metrics.dropped;
            return dropped.add(DropReason::UnexpectedAccept, 1);
        }
        // One of an attempt before says nothing.
        if epoch < self.epoch() {
            return;
        }
        let now = self.shared.elapsed_ms();
        let opening = self.session.as_mut().is_some_and(|s| {
            let place = s.find(service);
            place.is_some_and(|place| s.opening(place).is_some())
        });
        let Some(arriving) = self.arriving() else {
            return;
        };
        if opening {
            arriving.early.push(service.into());
        } else if let Some(place) = arriving.place(service) {
            self.at_newcomer(|n| n.accepted(now, place), ctx);
        }
    }

    /// A backend has ended the session, or not taken the OPEN of a resume.
    pub(in crate::actors::client) fn closed_on_link(
        &mut self,
        service: &str,
        close: BackendClose,
        ctx: &mut Context<Self>,
    ) {
        let (now, here) = (self.shared.elapsed_ms(), self.is_holder());
        let standing = self.arriving().and_then(|a| a.standing(service));
        match (standing, close.code) {
            (Some((_, Place::Waiting)), Code::GONE) if here => {
                self.close(Closing::TakenElsewhere, ctx);
            }
            (Some((place, Place::Waiting)), Code::NO_ROUTE) => {
                self.at_newcomer(|n| n.closed(now, place, close.code), ctx);
            }
            (Some((place, _)), code) if !here => {
                self.at_newcomer(|n| n.closed(now, place, code), ctx);
            }
            _ => self.closed_by_backend(close, ctx),
        }
        self.confirmed(service, ctx);
    }

    /// The link of a service that is being opened again, or is open again, is lost. Returns whether
    /// that was the resume's matter.
    pub(in crate::actors::client) fn lost_again(
        &mut self,
        service: &str,
        ctx: &mut Context<Self>,
    ) -> bool {
        let now = self.shared.elapsed_ms();
        let standing = self.arriving().and_then(|a| a.standing(service));
        let Some((place, _)) = standing else {
            return false;
        };
        self.at_newcomer(|n| n.link_lost(now, place), ctx);
        true
    }

    /// The session is here: its links stay, and nothing has to be waited for.
    pub(super) fn claim_here(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        let (Some(session), Some(resumable)) = (&self.session, &mut self.resumable) else {
            return;
        };
        let (Some(holder), Some(arriving)) = (&mut resumable.holder, &mut resumable.arriving)
        else {
            return;
        };
        let standings = vec![Standing::Here; session.open().count()];
        let claimed = holder.claimed(now, &Claimant::Here, arriving.count, &standings);
        let handed = claimed.into_iter().find_map(|action| match action {
            HolderAction::HandOver { gap, has, .. } => Some((gap, has)),
            _ => None,
        });
        let here = Whereabouts::Here;
        let Some((gap, has)) = handed else {
            return self.at_newcomer(|n| n.claim_refused(&here), ctx);
        };
        arriving.has = has;
        let gap = gap || resumable.replay.since(has).gap;
        self.at_newcomer(|n| n.handed_over(&here, gap), ctx);
    }
}

/// A link to the endpoint that a session is bound to; `None` where it cannot be reached.
async fn link_at(router: Seat<Router>, at: PoolAt, bind: BindTo) -> Option<Lease> {
    let pool = router.ask(|| at.clone()).await.ok()??;
    pool.ask(|| bind.clone()).await.ok()?.ok()
}
