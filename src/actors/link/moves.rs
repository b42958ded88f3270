//! Sessions that leave the link (protocol 2.4, 2.5): the answer to CLOSE 307, FEATURES, ASSIGN, TRANSFER, and MOVED.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::inbound::{MESSAGE_BYTES, deliver};
use super::strays::Strays;
use super::{Evacuate, Link, LinkEvent};
use crate::actors::session_registry::{MoveWish, Stray, StrayFrame, Strayed};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Assign, Features, FrameError, Kind, MAX_STATE_BYTES, Transfer};
use crate::memory::{Held, Part};
use crate::metrics::DropReason;
use crate::session::link::LeaveAnswered;
use crate::supervision::Receive;

/// Sessions of a backend that leaves which are asked at a time to go, those under way included.
const MOVES_AT_ONCE: usize = 256;
/// Time until the next ones are.
const PAUSE: Duration = Duration::from_millis(50);

/// The sessions of a backend that leaves, on their way to others.
#[derive(Debug, Default)]
pub(super) struct Leavers {
    /// Those that are still to be asked.
    waiting: VecDeque<u64>,
    /// All were, since the last ping interval.
    pub(super) tried: bool,
    /// The next ones are asked by a timer.
    timed: bool,
}

impl Link {
    /// Has the sessions moved to other backends, some at a time, where this one or an operator has asked for that. One that can go
    /// nowhere stays, and is asked again a ping interval later: the rules may have changed.
    pub(super) fn evacuate(&mut self, ctx: &mut Context<Self>) {
        let occupancy = self.gauge.occupancy();
        if !occupancy.evacuation.is_on() || !occupancy.transfers() {
            return;
        }
        if self.leavers.timed || self.leavers.tried {
            return;
        }
        if self.leavers.waiting.is_empty() {
            self.leavers.waiting = self.sessions.ids().collect();
        }
        let room = MOVES_AT_ONCE.saturating_sub(occupancy.moves());
        let next = room.min(self.leavers.waiting.len());
        for session_id in self.leavers.waiting.drain(..next) {
            if let Some(attached) = self.sessions.get(session_id) {
                attached.client.do_send(LinkEvent::MoveAway {
                    service: Arc::clone(&self.service),
                    endpoint: self.endpoint,
                });
            }
        }
        self.leavers.tried = self.leavers.waiting.is_empty();
        if !self.leavers.tried {
            self.leavers.timed = true;
            ctx.run_later(PAUSE, |link, ctx| {
                link.leavers.timed = false;
                link.evacuate(ctx);
            });
        }
    }

    /// Takes the answer to CLOSE 307; where that began a move it brings the session's state.
    pub(super) fn take_leave(&mut self, id: u64, payload: &[u8]) {
        let (service, link_id) = (Arc::clone(&self.service), self.id);
        let meter = Arc::clone(&self.scope.meter);
        let left = |state: Box<[u8]>| LinkEvent::Left {
            service,
            link_id,
            // With the OPEN that is made of it.
            held: Held::in_meter(&meter, Part::ClientQueues, MESSAGE_BYTES + 2 * state.len()),
            state,
        };
        match self.sessions.leave_answered(id) {
            LeaveAnswered::Detached(attached) => self.tell_last(attached, left(Box::default())),
            LeaveAnswered::Parted(attached) => {
                // One byte more than may be shows that it is too large.
                let state = payload.get(Notice::TEXT_AT..).unwrap_or_default();
                let state = &state[..state.len().min(MAX_STATE_BYTES + 1)];
                deliver(attached, None, &self.scope);
                attached.client.do_send(left(state.into()));
            }
            LeaveAnswered::Forgotten => {}
            LeaveAnswered::Unexpected => self.drop_frame(DropReason::UnexpectedClose307),
        }
    }

    /// Takes FEATURES, ASSIGN or TRANSFER. Framing stands where their payload is malformed, so the link does.
    pub(super) fn take_move(&mut self, kind: Kind, id: u64, payload: &[u8], strays: &mut Strays) {
        let taken = match kind {
            Kind::Features => self.take_features(payload),
            _ => self.take_wish(kind, id, payload, strays),
        };
        if taken.is_err() {
            self.scope.metrics.dropped.add(DropReason::MalformedMove, 1);
            if kind != Kind::Features {
                self.answer_moved(id, Code::MALFORMED);
            }
        }
    }

    fn take_features(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let features = Features::decode(payload)?;
        self.gauge.occupancy().set_transfers(features.transfer);
        Ok(())
    }

    /// Passes the wish on to the session's client: before all that the backend says behind it, where the session is on
    /// this link, and else by way of the registry.
    fn take_wish(
        &mut self,
        kind: Kind,
        id: u64,
        payload: &[u8],
        strays: &mut Strays,
    ) -> Result<(), FrameError> {
        let (service, endpoint) = match kind {
            Kind::Assign => {
                let assign = Assign::decode(payload)?;
                (Some(assign.service.into()), assign.endpoint)
            }
            _ => (None, Transfer::decode(payload)?.endpoint),
        };
        let wish = MoveWish {
            service,
            endpoint: endpoint.into(),
        };
        self.pass_wish(id, wish, strays);
        Ok(())
    }

    fn pass_wish(&mut self, id: u64, wish: MoveWish, strays: &mut Strays) {
        let bytes = wish.bytes();
        let wish = Box::new(wish);
        let origin = self.anchor.as_ref().map(|anchor| &anchor.link);
        match (self.sessions.get(id), origin) {
            (Some(attached), Some(origin)) => {
                deliver(attached, None, &self.scope);
                attached.client.do_send(LinkEvent::Wish(Box::new(Strayed {
                    service: Arc::clone(&self.service),
                    from: self.endpoint,
                    stray: Stray {
                        session_id: id,
                        frame: StrayFrame::Move(wish),
                    },
                    origin: origin.clone().recipient(),
                    held: Held::new(Part::ClientQueues, 2 * MESSAGE_BYTES + bytes),
                })));
            }
            (None, _) | (_, None) => {
                strays.push(self.shards.homes(), id, StrayFrame::Move(wish));
            }
        }
    }

    /// Answers ASSIGN or TRANSFER with MOVED; the backend is not read on while it does not read such answers.
    pub(super) fn answer_moved(&mut self, session_id: u64, code: Code) {
        self.answers += link::HEADER_LEN + size_of::<u16>();
        self.tell_moved(session_id, code);
    }

    pub(super) fn tell_moved(&mut self, session_id: u64, code: Code) {
        self.sessions.moved(session_id, code);
        self.scope.metrics.moved_told.add(code, 1);
        self.enqueue(Kind::Moved, session_id, &code.0.to_be_bytes());
    }
}

impl Receive<Evacuate> for Link {
    type Result = ();

    fn receive(&mut self, _: Evacuate, ctx: &mut Context<Self>) {
        self.leavers.tried = false;
        self.evacuate(ctx);
    }
}
