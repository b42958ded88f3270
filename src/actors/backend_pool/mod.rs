//! The links of one worker to one endpoint of one service: how many, which one a session gets, and
//! when to try again after a failure.
//!
//! [`health`] has the diagram of its states.

mod commands;
mod health;
mod health_book;
mod health_entry;
mod link_limits;
mod messages;
mod occupancies;
mod operator_book;
mod owed_closes;
mod probing;
mod snapshot;
mod takeover;
mod withdrawing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::link::{
    Attach, EndpointTimes, Gauge, Lease, Link, LinkParams, Occupancy, Quit, SessionClaim,
};
use crate::labels::Label;
use crate::routing::ServiceRoute;
use crate::routing::health::STABLE;
use crate::scope::Scope;
use crate::session::link::LinkEnd;
use crate::supervision::{CountedAddr, Registration, Rescued, Seat};

use health::{FIRST_BACKOFF, Health};
pub use health_book::{EndpointCounts, ejectable};
pub use link_limits::{Claim, LeavingMark, LinkLimits, LinkPermit};
pub use messages::{Announce, Bind, BindFailed, Close, EndpointHealth, Probe, Retire};
pub use operator_book::{Given, OperatorBook, OrderRefused};
pub use snapshot::{BackendHealth, Breaker, PoolSnapshot};
pub use takeover::{Shared, start};

/// Sessions that may wait for one endpoint's first link.
const MAX_WAITING: usize = 65_536;
/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 4096;

/// The actor.
pub struct BackendPool {
    registration: Registration,
    /// Where others reach it.
    seat: Seat<BackendPool>,
    scope: Arc<Scope>,
    shared: Shared,
    service: Arc<ServiceRoute>,
    endpoint: SocketAddr,
    /// Sessions of the endpoint, and final CLOSEs that it is owed, those of other workers included.
    occupancy: Arc<Occupancy>,
    state: Rescued<State>,
    /// Ends sessions now and then, while the endpoint is in maintenance.
    ending: Option<SpawnHandle>,
}

/// State of a pool that outlives its panic: its links live on meanwhile.
#[derive(Default)]
struct State {
    links: Vec<Slot>,
    waiting: Vec<Waiter>,
    health: Health,
    /// Error of the newest link that has failed or ended by itself; empty once one is ready.
    last_error: Option<Box<str>>,
    retired: bool,
    /// Retired from the beginning, and the session that it was started for is still to come.
    is_fresh: bool,
    /// When it was last asked to keep a link without sessions, so as to know how the endpoint is.
    probed_at: Option<Instant>,
    /// A session has asked for a link.
    is_wanted: bool,
    /// The newest link that has ended was closed by a backend that had said so.
    has_left: bool,
    /// How often in a row a link was lost soon after it was ready.
    flaps: u32,
    /// When the loss of one link of several was last said.
    said_loss_at: Option<Instant>,
    /// What its links have taken lately.
    times: Arc<EndpointTimes>,
}

/// A session that waits for a link.
struct Waiter {
    bind: Bind,
    claim: SessionClaim,
    answer: oneshot::Sender<Lease>,
    /// An attempt was under way already when it came: if that is refused, the backend may be there by now.
    is_late: bool,
}

struct Slot {
    id: u64,
    link: CountedAddr<Link>,
    gauge: Arc<Gauge>,
    state: SlotState,
    ready_at: Option<Instant>,
    /// It has been idle for too long, and is kept nevertheless.
    is_kept: bool,
    /// Held only where the service limits its links.
    permit: Option<LinkPermit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    Connecting,
    Ready,
    /// Ready, but a PONG is overdue and nothing comes.
    Suspect,
    Leaving,
}

impl SlotState {
    fn takes_sessions(self) -> bool {
        match self {
            SlotState::Ready | SlotState::Suspect => true,
            SlotState::Connecting | SlotState::Leaving => false,
        }
    }
}

impl BackendPool {
    /// Returns the ready link with the fewest sessions; a suspect or a full one only where no other is left.
    fn best(&self) -> Option<&Slot> {
        let ready = self.state.links.iter();
        let ready = ready.filter(|s| s.state.takes_sessions());
        ready.min_by_key(|s| {
            let is_suspect = s.state == SlotState::Suspect;
            (is_suspect, !s.gauge.has_room(false), s.gauge.sessions())
        })
    }

    fn connecting(&self) -> bool {
        self.state
            .links
            .iter()
            .any(|s| s.state == SlotState::Connecting)
    }

    /// Opens a link, if the service may have one more.
    fn open_link(&mut self) -> Result<(), Claim> {
        let permit = match self.service.max_connections {
            None => None,
            Some(max) => {
                let (limits, name) = (&self.shared.limits, &self.service.name);
                match limits.claim(name, max, self.endpoint, self.seat.clone()) {
                    Claim::Granted(permit) => Some(permit),
                    refused @ (Claim::Elsewhere(_) | Claim::Exhausted) => return Err(refused),
                }
            }
        };
        let link = Link::start_new(LinkParams {
            scope: Arc::clone(&self.scope),
            shards: self.shared.shards.clone(),
            service: Arc::clone(&self.service.name),
            endpoint: self.endpoint,
            occupancy: Arc::clone(&self.occupancy),
            times: Arc::clone(&self.state.times),
            reports: self.seat.recipient(),
            owed: self.seat.recipient(),
            parent: self.registration.id(),
        });
        self.state.links.push(Slot {
            id: link.id,
            gauge: link.gauge,
            link: link.address,
            state: SlotState::Connecting,
            ready_at: None,
            is_kept: false,
            permit,
        });
        Ok(())
    }

    fn attach(&self, slot: &Slot, waiter: Waiter) {
        let Waiter {
            bind,
            claim,
            answer,
            is_late: _,
        } = waiter;
        slot.gauge.session_added(claim);
        slot.link.do_send(Attach {
            session_id: bind.session_id,
            realm_id: bind.realm_id,
            open: bind.open,
            resumes: bind.resumes,
            client: bind.client,
            wanted: bind.wanted,
            answer,
        });
    }

    /// Finds a link for a session, the one `behind` where that is given. The lease comes through the channel that is
    /// returned; a channel that ends without one means that the link is gone.
    fn place(
        &mut self,
        bind: Bind,
        behind: Option<u64>,
        ctx: &mut Context<Self>,
    ) -> Result<Placed, BindFailed> {
        let (answer, lease) = oneshot::channel();
        self.state.is_wanted = true;
        if self.is_closed_to(&bind) {
            return Err(BindFailed::Leaving);
        }
        // One that goes on is there already.
        let most = bind.max_sessions.filter(|_| !bind.goes_on());
        let claim = self.occupancy.claim(most).or_else(|| {
            // Places of sessions that were over before there was a link.
            self.state.waiting.retain(|w| !w.bind.wanted.is_given_up());
            self.occupancy.claim(most)
        });
        let claim = claim.ok_or(BindFailed::Full)?;
        let leaving = |s: &&Slot| s.state == SlotState::Leaving && bind.goes_on();
        let slot = behind
            .and_then(|link_id| self.carrier(link_id, &bind))
            .or_else(|| self.best())
            .or_else(|| self.state.links.iter().find(leaving));
        if let Some(slot) = slot {
            let waiter = Waiter {
                bind,
                claim,
                answer,
                is_late: false,
            };
            self.attach(slot, waiter);
            if self.state.links.len() < self.scope.config.backend.links_per_endpoint {
                // For the sessions to come; this one does not wait for it, nor need it succeed.
                let _ = self.open_link();
            }
            return Ok(Placed::Here(lease));
        }
        let is_late = self.connecting();
        if !is_late {
            match self.state.health {
                Health::Down { tried_at, .. } if tried_at.elapsed() < FIRST_BACKOFF => {
                    self.retry_at(tried_at + FIRST_BACKOFF, ctx);
                }
                Health::Unknown
                | Health::Up
                | Health::Suspect
                | Health::Leaving(_)
                | Health::Down { .. } => match self.open_link() {
                    Ok(()) => {}
                    Err(Claim::Elsewhere(pool)) => return Ok(Placed::With(pool, bind)),
                    Err(Claim::Exhausted | Claim::Granted(_)) => {
                        return Err(BindFailed::NoLinkLeft);
                    }
                },
            }
        }
        if self.state.waiting.len() >= MAX_WAITING {
            return Err(BindFailed::Crowded);
        }
        self.state.waiting.push(Waiter {
            bind,
            claim,
            answer,
            is_late,
        });
        Ok(Placed::Here(lease))
    }

    fn ready(&mut self, link_id: u64) {
        if let Some(slot) = self.state.links.iter_mut().find(|s| s.id == link_id) {
            slot.state = SlotState::Ready;
            slot.ready_at = Some(Instant::now());
        }
        self.state.last_error = None;
        let limits = &self.shared.limits;
        limits.has_come_back(&self.service.name, self.endpoint);
        self.set_health(Health::Up);
        // Before the sessions that wait: one of them may be a session that starts again.
        self.say_owed();
        for waiter in std::mem::take(&mut self.state.waiting) {
            if let Some(slot) = self.best() {
                self.attach(slot, waiter);
            }
        }
    }

    /// A link's PONG is overdue and nothing comes, or something has come after all.
    fn suspect(&mut self, link_id: u64, state: SlotState) {
        let its = |s: &&mut Slot| s.id == link_id && s.state.takes_sessions();
        if let Some(slot) = self.state.links.iter_mut().find(its) {
            slot.state = state;
        }
        let best = self.best().map(|slot| slot.state);
        match (&self.state.health, best) {
            (Health::Up, Some(SlotState::Suspect)) => self.set_health(Health::Suspect),
            (Health::Suspect, Some(SlotState::Ready)) => self.set_health(Health::Up),
            _ => {}
        }
    }

    /// GOAWAY on one link speaks for the backend, and so for all that are ready.
    fn leaving(&mut self, link_id: u64, ctx: &mut Context<Self>) {
        let ready = |s: &&mut Slot| s.state.takes_sessions() || s.id == link_id;
        for slot in self.state.links.iter_mut().filter(ready) {
            slot.state = SlotState::Leaving;
        }
        self.set_leaving();
        self.quit_unused(ctx);
    }

    /// Ends a retired pool's links when they carry nothing. A leaving one stays until its backend
    /// ends it or it is idle: its end tells that the backend may be back. But where links are
    /// limited it must make room for one to a backend that stays.
    fn quit_unused(&mut self, ctx: &mut Context<Self>) {
        let retired = self.state.retired;
        self.state.links.retain(|slot| {
            let wanted = slot.state == SlotState::Connecting
                || !(retired || (slot.state == SlotState::Leaving && slot.permit.is_some()))
                || slot.gauge.sessions() > 0;
            if !wanted {
                slot.link.do_send(Quit {
                    reason: LinkEnd::Idle,
                });
            }
            wanted
        });
        if retired && self.state.links.is_empty() && self.state.waiting.is_empty() {
            if !std::mem::take(&mut self.state.is_fresh) {
                ctx.stop();
            }
        } else if self.state.links.is_empty() && matches!(self.state.health, Health::Leaving(_)) {
            self.set_down(1, self.scope.config.backend.max_backoff, ctx);
        }
    }

    fn ended(
        &mut self,
        link_id: u64,
        reason: LinkEnd,
        error: Option<Box<str>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(place) = self.state.links.iter().position(|s| s.id == link_id) else {
            return; // It was told to quit.
        };
        let slot = self.state.links.swap_remove(place);
        self.state.last_error = Some(error.unwrap_or_else(|| reason.label().into()));
        self.state.has_left =
            slot.state == SlotState::Leaving && matches!(reason, LinkEnd::PeerClosed);
        self.tell_end(&slot, reason);
        if self.best().is_some() || self.connecting() {
            return self.suspect(link_id, SlotState::Ready);
        }
        let failures = match self.state.health {
            // A link that worked is tried again at once; the wait grows from there, and where it works for a
            // moment only.
            _ if slot.state.takes_sessions() => {
                let stayed = slot.ready_at.is_some_and(|at| at.elapsed() >= STABLE);
                self.state.flaps = if stayed { 0 } else { self.state.flaps + 1 };
                self.state.flaps.saturating_sub(1)
            }
            _ if slot.state == SlotState::Leaving => 1,
            Health::Down { failures, .. } => {
                self.state.flaps = 0;
                failures.saturating_add(1)
            }
            Health::Unknown | Health::Up | Health::Suspect | Health::Leaving(_) => 1,
        };
        let wait = self.backoff(failures);
        self.set_down(failures, wait, ctx);
        // Dropping the answers tells those who wait that this endpoint cannot be reached.
        let was_refused = reason == LinkEnd::ConnectFailed;
        self.state
            .waiting
            .retain_mut(|waiter| was_refused && std::mem::take(&mut waiter.is_late));
        if !self.state.waiting.is_empty() {
            self.retry_at(Instant::now() + FIRST_BACKOFF, ctx);
        }
    }
}

enum Placed {
    Here(oneshot::Receiver<Lease>),
    With(Seat<BackendPool>, Bind),
}
