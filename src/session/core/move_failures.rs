//! What goes wrong while a service is moved: a backend refuses, hangs, is lost, or the session ends (protocol 2.5).

use std::sync::Arc;

use super::telling::open_payload;
use super::{BackendClose, Core, Hold, Millis, Note, Step};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::session::closing::Closing;
use crate::session::moving::{Move, Stage};
use crate::session::state::Session;

impl<L: Hold> Core<L> {
    /// A backend's CLOSE. Returns it where it is the matter of no move.
    pub(super) fn closed_in_move(
        &mut self,
        service: &str,
        link_id: u64,
        close: BackendClose,
        step: &mut Step<'_>,
    ) -> Option<BackendClose> {
        let moving = self
            .session_mut()
            .and_then(|session| session.moving(service));
        let Some(moving) = moving else {
            return Some(close);
        };
        match moving.stage {
            // It has a newer OPEN of another gateway, and no state to give. That one must not be overtaken by giving the
            // other moves of this session back.
            Stage::Parting if close.code == Code::GONE => {
                moving.from_lost = true;
                self.close(Closing::TakenElsewhere, step);
            }
            // The old one has ended the session before it has read that it is to be moved.
            Stage::Parting => {
                moving.from_lost = true;
                return Some(close);
            }
            Stage::Arriving { .. } => {
                if let Some(to) = &mut moving.to {
                    to.silence();
                }
                // MOVED 0 would say that it has moved.
                let why = match close.code.0 {
                    ..400 => Code::BAD_GATEWAY,
                    _ => close.code,
                };
                self.give_back(service, why, step);
            }
            // The new one's refusal came as its time was over: the session is the old one's already.
            Stage::Returning { .. } if link_id != moving.from.link_id() => {}
            Stage::Returning { .. } => {
                moving.from.silence();
                match close.code {
                    Code::NO_ROUTE => self.lost_both(service, step),
                    Code::GONE => {
                        moving.from_lost = true;
                        self.close(Closing::TakenElsewhere, step);
                    }
                    _ => {
                        moving.from_lost = true;
                        return Some(close);
                    }
                }
            }
        }
        None
    }

    /// A link is lost. Returns whether it was a move's.
    pub(super) fn lost_in_move(
        &mut self,
        service: &str,
        link_id: u64,
        step: &mut Step<'_>,
    ) -> bool {
        let moving = self
            .session_mut()
            .and_then(|session| session.moving(service));
        let Some(moving) = moving else { return false };
        if moving.from.link_id() == link_id {
            moving.from_lost = true;
            match moving.stage {
                Stage::Arriving { .. } => {}
                Stage::Parting | Stage::Returning { .. } => self.lost_both(service, step),
            }
        } else if moving.to.as_ref().is_some_and(|to| to.link_id() == link_id) {
            self.give_back(service, Code::BAD_GATEWAY, step);
        } else if moving.reaching {
            moving.waiting.lost = Some(link_id);
        }
        true
    }

    /// Goes on with moves whose backend has not answered in time. Returns whether there was one.
    pub(super) fn moves_overdue(&mut self, step: &mut Step<'_>) -> bool {
        let moves = self.session().into_iter().flat_map(Session::moves);
        let mut overdue = moves.filter(|(_, moving)| moving.until <= step.now);
        let next = overdue
            .next()
            .map(|(service, m)| (Arc::clone(service), m.stage));
        drop(overdue);
        let Some((service, stage)) = next else {
            return false;
        };
        match stage {
            Stage::Parting | Stage::Arriving { .. } => {
                self.give_back(&service, Code::BAD_GATEWAY, step);
            }
            // Only the link to the new one is waited for, which has its own limit.
            Stage::Returning { accepted: true, .. } => {
                let until = step.now + step.limits().connect_timeout;
                if let Some(session) = self.session_mut()
                    && let Some(moving) = session.moving(&service)
                {
                    moving.until = until;
                }
            }
            Stage::Returning { .. } => self.lost_both(&service, step),
        }
        true
    }
}

/// The session ends in the middle of moves. The old backend gets it back and then its final CLOSE, so that it knows,
/// unless the session has gone on elsewhere.
pub(super) fn end_moves<L: Hold>(session: &mut Session<L>, code: Code, step: &mut Step<'_>) {
    let moves: Vec<Box<Move<L>>> = session.take_moves().collect();
    for moving in moves {
        let Move {
            mut from,
            to,
            stage,
            since,
            from_lost,
            endpoint,
            ..
        } = *moving;
        let took: Millis = step.now.saturating_sub(since);
        step.note(Note::MoveEnded {
            code: Code::NO_ROUTE,
            took,
            from: from.endpoint(),
            to: endpoint,
        });
        if let Some(mut to) = to {
            to.set_final_code(code);
        }
        if code == Code::LEAVES_LINK {
            // One that has it again leaves its link; the others have left it.
            from.set_final_code(code);
            continue;
        }
        match stage {
            // Its final CLOSE is all that it is owed.
            _ if from_lost => {}
            Stage::Parting | Stage::Arriving { .. } => {
                let epoch = session.epoch().saturating_add(1);
                session.set_epoch(epoch);
                let gateway = step.host.gateway_id();
                from.reopen(open_payload(
                    session,
                    epoch,
                    OPEN_RESUMED,
                    gateway,
                    &[],
                    step,
                ));
                from.tell_moved(Code::NO_ROUTE);
            }
            Stage::Returning { .. } => {}
        }
        from.comes_back();
        from.set_final_code(code);
    }
}
