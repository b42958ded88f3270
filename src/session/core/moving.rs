//! A service goes on at another backend, while its session stays here (protocol 2.5).
//!
//! The old backend's last DATA comes before its CLOSE 307 and so before the new one's OPEN is sent; what the client
//! says meanwhile waits, and follows behind the ACCEPT of whoever has the session then. That is one of the two at
//! any time, for each OPEN has an epoch of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use super::telling::open_payload;
use super::{Core, Effect, Hold, Note, Pause, Reach, Step};
use crate::codec::code::Code;
use crate::codec::link::{MAX_STATE_BYTES, OPEN_RESUMED, OPEN_TRANSFERRED};
use crate::session::moving::{Move, Rest, Settled, Stage, Stays};
use crate::session::state::Session;

impl<L: Hold> Core<L> {
    /// Tells whether this service is being moved to another backend.
    pub fn is_moving(&self, service: &str) -> bool {
        let mut moves = self.session().into_iter().flat_map(Session::moves);
        moves.any(|(name, _)| **name == *service)
    }

    /// Step 1: the session leaves the old backend in order.
    pub(super) fn begin_move(
        &mut self,
        service: &str,
        to: SocketAddr,
        asked_by: Option<(Arc<str>, SocketAddr)>,
        step: &mut Step<'_>,
    ) -> Result<(), Code> {
        // Its state may be large.
        if step.host.short_of_memory() {
            return Err(Code::UNAVAILABLE);
        }
        let until = step.now + step.limits().connect_timeout;
        let Some(session) = self.session_mut() else {
            return Err(Code::NO_ROUTE);
        };
        let place = session.find(service).ok_or(Code::NO_ROUTE)?;
        let lease = session.lease(place).ok_or(Code::NO_ROUTE)?;
        if !lease.part() {
            return Err(Code::CONFLICT);
        }
        session.begin_move(place, to, asked_by, step.now, until);
        step.note(Note::MoveBegan);
        // Its link will not say any more that it has room.
        self.unpause(Pause::LinkFull, step);
        Ok(())
    }

    /// The old backend has answered CLOSE 307. Returns whether that was a move's.
    pub(super) fn parted(
        &mut self,
        service: &str,
        link_id: u64,
        state: &[u8],
        step: &mut Step<'_>,
    ) -> bool {
        let Some(session) = self.session_mut() else {
            return false;
        };
        let Some(moving) = session.moving(service) else {
            return false;
        };
        if moving.from.link_id() != link_id || moving.stage != Stage::Parting {
            return false;
        }
        if state.len() > MAX_STATE_BYTES {
            self.give_back(service, Code::TOO_LARGE, step);
        } else if !state.is_empty() && step.host.short_of_memory() {
            if let Some(moving) = self
                .session_mut()
                .and_then(|session| session.moving(service))
            {
                moving.no_room = true;
            }
            self.give_back(service, Code::UNAVAILABLE, step);
        } else {
            self.arrive(service, state, step);
        }
        true
    }

    /// Step 3: the new backend gets the session and its state.
    fn arrive(&mut self, service: &str, state: &[u8], step: &mut Step<'_>) {
        let until = step.now + step.limits().connect_timeout;
        let Some((epoch, open)) = self.open_in_move(OPEN_TRANSFERRED, state, step) else {
            return;
        };
        let Some(session) = self.session_mut() else {
            return;
        };
        let (session_id, realm_id, told) = (session.id(), session.realm_id(), session.bound());
        if let Some(moving) = session.moving(service) {
            moving.stage = Stage::Arriving {
                epoch,
                accepted: false,
            };
            moving.until = until;
            moving.reaching = true;
            moving.waiting.told = told;
            let reach = Reach {
                service: service.into(),
                endpoint: moving.endpoint,
                session_id,
                realm_id,
                open,
                vouched: true,
                arrives: true,
            };
            step.push(Effect::Reach(reach));
        }
    }

    /// Raises the epoch and makes an OPEN of it.
    fn open_in_move(&mut self, flags: u8, state: &[u8], step: &Step<'_>) -> Option<(u32, Vec<u8>)> {
        if let Some((_, resume)) = self.owned() {
            resume.moves += 1;
        }
        let session = self.session_mut()?;
        let epoch = session.epoch().saturating_add(1);
        session.set_epoch(epoch);
        let open = open_payload(session, epoch, flags, step.host.gateway_id(), state, step);
        Some((epoch, open))
    }

    /// A link to the new backend is there, or cannot be had. Returns a lease that is none of a move's.
    pub(super) fn reached_in_move(
        &mut self,
        service: &str,
        lease: Option<L>,
        step: &mut Step<'_>,
    ) -> Option<Option<L>> {
        let session = self.session_mut();
        let realm_id = session.as_ref().map_or(0, |session| session.realm_id());
        let moving = session.and_then(|session| session.moving(service));
        let Some(moving) = moving.filter(|moving| moving.reaching) else {
            return Some(lease);
        };
        moving.reaching = false;
        let lost = moving.waiting.lost;
        // It has what is still owed to its backend, where the loss was told before.
        let lease = match lease {
            Some(mut lease) if lost == Some(lease.link_id()) => {
                lease.set_final_code(Code::BAD_GATEWAY);
                None
            }
            lease => lease,
        };
        match (moving.stage, lease) {
            (Stage::Arriving { accepted, .. }, Some(lease)) => {
                lease.retag(realm_id);
                moving.to = Some(lease);
                if accepted {
                    self.arrived(service, step);
                }
            }
            (Stage::Arriving { .. }, None) => self.give_back(service, Code::BAD_GATEWAY, step),
            (Stage::Returning { accepted, why, .. }, late) => {
                // "Refused, or not answered": it may have opened the session all the same.
                if let Some(mut late) = late {
                    late.set_final_code(Code::BAD_GATEWAY);
                }
                if accepted {
                    self.returned(service, why, step);
                }
            }
            (Stage::Parting, _) => {}
        }
        None
    }

    /// A backend has taken an OPEN. Returns whether that was a move's.
    pub(super) fn accepted_in_move(
        &mut self,
        service: &str,
        in_epoch: u32,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(moving) = self
            .session_mut()
            .and_then(|session| session.moving(service))
        else {
            return false;
        };
        match &mut moving.stage {
            Stage::Arriving { epoch, accepted } if *epoch == in_epoch => {
                *accepted = true;
                if moving.to.is_some() {
                    self.arrived(service, step);
                }
            }
            Stage::Returning {
                epoch,
                accepted,
                why,
            } if *epoch == in_epoch => {
                *accepted = true;
                let why = *why;
                if !moving.reaching {
                    self.returned(service, why, step);
                }
            }
            Stage::Parting | Stage::Arriving { .. } | Stage::Returning { .. } => {}
        }
        true
    }

    /// Step 4: the session lives at the new backend.
    fn arrived(&mut self, service: &str, step: &mut Step<'_>) {
        let end = |mut moving: Move<L>| {
            match moving.from_lost {
                // It may keep what it has handed over, and have other links, which bring it a final CLOSE.
                true => {
                    moving.from.comes_back();
                    moving.from.set_final_code(Code::NORMAL);
                }
                false => {
                    moving.from.tell_moved(Code::NORMAL);
                    moving.tell_owed();
                }
            }
            Rest {
                open: moving.to,
                lost: None,
                waiting: moving.waiting,
            }
        };
        self.settle(service, Code::NORMAL, end, step);
    }

    /// The old backend has the session again.
    fn returned(&mut self, service: &str, why: Code, step: &mut Step<'_>) {
        let end = |mut moving: Move<L>| {
            moving.from.stays(match why {
                Code::TOO_LARGE => Stays::TooLarge,
                _ if moving.no_room => Stays::Busy,
                _ => Stays::Refused,
            });
            Rest {
                open: Some(moving.from),
                lost: None,
                waiting: moving.waiting,
            }
        };
        self.settle(service, why, end, step);
    }

    /// Neither backend has it: "as after a lost link".
    pub(super) fn lost_both(&mut self, service: &str, step: &mut Step<'_>) {
        let text = "the backend's link was lost; answers may be missing";
        self.tell_error(Code::BAD_GATEWAY, 0, text, service, step);
        let end = |mut moving: Move<L>| {
            if let Some(to) = &mut moving.to {
                to.set_final_code(Code::BAD_GATEWAY);
            }
            // The old one may have the session all the same, and is owed its final CLOSE.
            if !matches!(moving.stage, Stage::Returning { .. }) {
                moving.from.comes_back();
            }
            moving.from.set_final_code(Code::BAD_GATEWAY);
            Rest {
                open: None,
                lost: moving.from_lost.then_some(moving.from),
                waiting: moving.waiting,
            }
        };
        self.settle(service, Code::BAD_GATEWAY, end, step);
    }

    /// Ends a move: what has waited goes where the service is now.
    fn settle(
        &mut self,
        service: &str,
        code: Code,
        end: impl FnOnce(Move<L>) -> Rest<L>,
        step: &mut Step<'_>,
    ) {
        let Some(session) = self.session_mut() else {
            return;
        };
        let Some(moving) = session.moving(service) else {
            return;
        };
        let (asked_by, since) = (moving.asked_by.take(), moving.since);
        let (from, to) = (moving.from.endpoint(), moving.endpoint);
        let bound = session.bound();
        match session.end_move(service, end) {
            Some(Settled::Open(place, waiting)) => {
                if let Some(lease) = session.lease(place) {
                    if waiting.told != bound {
                        lease.tell_bound(bound);
                    }
                    if waiting.frames > 0 {
                        lease.forward(waiting.queue, waiting.frames);
                    }
                }
            }
            Some(Settled::Reopens(place)) => self.route_service(place, step),
            Some(Settled::Unbound) | None => {}
        }
        if let (Some(by), Some(session)) = (asked_by, self.session_mut()) {
            session.answer(&by, code);
        }
        let took = step.now.saturating_sub(since);
        step.note(Note::MoveEnded {
            code,
            took,
            from,
            to,
        });
        step.note(Note::ServicesChanged);
        self.suspend_opened(service, step);
        self.unpause(Pause::Opening, step);
        self.renew_token(step);
        self.hear_waiting(step);
    }

    /// Step 5: the new backend does not take it, and the old one gets it back.
    pub(super) fn give_back(&mut self, service: &str, why: Code, step: &mut Step<'_>) {
        let until = step.now + step.limits().connect_timeout;
        let moving = self
            .session_mut()
            .and_then(|session| session.moving(service));
        let Some(moving) = moving else { return };
        if let Some(mut to) = moving.to.take() {
            to.set_final_code(Code::BAD_GATEWAY);
        }
        if moving.from_lost {
            return self.lost_both(service, step);
        }
        let Some((epoch, open)) = self.open_in_move(OPEN_RESUMED, &[], step) else {
            return;
        };
        let told = self.session().map(Session::bound).unwrap_or_default();
        if let Some(moving) = self
            .session_mut()
            .and_then(|session| session.moving(service))
        {
            // From here on it is owed a final CLOSE, whatever happens.
            moving.from.comes_back();
            moving.from.reopen(open);
            moving.from.tell_moved(why);
            moving.tell_owed();
            moving.stage = Stage::Returning {
                epoch,
                accepted: false,
                why,
            };
            moving.until = until;
            moving.waiting.told = told;
        }
    }
}
