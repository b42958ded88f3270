//! A session's hold on a link. While it lives the link delivers to the session; when it is dropped,
//! by whatever path, the backend gets its one final CLOSE.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Link;
use super::evacuation::Stayed;
use super::gauge::Gauge;
use super::messages::{
    AwaitRoom, AwaitTurn, CloseOwed, Confirm, Forward, Leave, Move, Release, Reopen, Retag,
    Suspend, TellBound, TellMoved, TimeFrame,
};
use super::wanted::Wanted;
use crate::codec::code::Code;
use crate::codec::link::Bind;
use crate::memory::{Held, Part};
use crate::session::core::Hold;
use crate::session::moving::Stays;
use crate::supervision::{CountedAddr, SeatRecipient};

/// Data that all leases of one link share, so that a lease itself is small.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) link: CountedAddr<Link>,
    pub(super) pool: SeatRecipient<CloseOwed>,
    pub(super) link_id: u64,
    pub(super) endpoint: SocketAddr,
    pub(super) gauge: Arc<Gauge>,
}

/// A session's hold on a link.
#[derive(Debug)]
pub struct Lease {
    anchor: Arc<Anchor>,
    session_id: u64,
    final_code: Code,
    /// No final CLOSE is owed.
    silent: bool,
    /// It counts among the moves of its endpoint.
    moving: bool,
    /// It was to be moved, and is counted among those that stay.
    stayed: Option<Stayed>,
}

impl Lease {
    pub(super) fn new(anchor: Arc<Anchor>, session_id: u64) -> Lease {
        Lease {
            anchor,
            session_id,
            // Stays where nobody sets another: the client's actor panicked.
            final_code: Code::INTERNAL,
            silent: false,
            moving: false,
            stayed: None,
        }
    }
}

impl Lease {
    /// Waits until the link takes what has gathered while it was opened, or is lost, or the lease is not `wanted` any
    /// more. When this returns there is room else, until the caller lets other actors of its thread run.
    pub async fn room(&self, wanted: &Wanted) {
        let mut in_turn = false;
        while !self.anchor.gauge.has_room(in_turn) {
            let (answer, mut room) = oneshot::channel();
            self.anchor.gauge.waiter_added();
            self.anchor.link.do_send(AwaitTurn { answer, in_turn });
            let turn = poll_fn(|cx| match wanted.is_given_up() {
                true => Poll::Ready(false),
                false => Pin::new(&mut room).poll(cx).map(|told| told.is_ok()),
            });
            if !turn.await {
                return;
            }
            in_turn = true;
        }
    }
}

impl Lease {
    /// Has the frame timed that was forwarded last; it came at `read_at`.
    pub fn sample(&self, read_at: Instant) {
        self.anchor.link.do_send(TimeFrame { read_at });
    }
}

impl Hold for Lease {
    fn link_id(&self) -> u64 {
        self.anchor.link_id
    }

    fn endpoint(&self) -> SocketAddr {
        self.anchor.endpoint
    }

    #[inline]
    fn forward(&self, mut bytes: Vec<u8>, frames: u32) {
        let (len, gauge) = (bytes.len(), &self.anchor.gauge);
        if gauge.is_scarce() {
            // It has doubled, and nobody was asked for that.
            bytes.shrink_to_fit();
        }
        gauge.add(len);
        // A buffer may come from the pool, which is not counted.
        let held = Held::new(Part::LinkQueues, bytes.capacity().min(2 * len));
        let forward = Forward {
            bytes,
            frames,
            held,
        };
        self.anchor.link.do_send(forward);
    }

    #[inline]
    fn has_room(&self, in_turn: bool) -> bool {
        self.anchor.gauge.has_room(in_turn)
    }

    fn await_room(&self, in_turn: bool) {
        let session_id = self.session_id;
        self.anchor.gauge.waiter_added();
        self.anchor.link.do_send(AwaitRoom {
            session_id,
            in_turn,
        });
    }

    fn tell_bound(&self, bound: Bind) {
        let session_id = self.session_id;
        self.anchor.link.do_send(TellBound { session_id, bound });
    }

    fn retag(&self, realm_id: u32) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Retag {
            session_id,
            realm_id,
        });
    }

    fn reopen(&self, open: Vec<u8>) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Reopen { session_id, open });
    }

    fn suspend(&self, window_ms: u32) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Suspend {
            session_id,
            window_ms,
        });
    }

    fn confirm(&self) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Confirm { session_id });
    }

    fn leave(&mut self) {
        self.silent = true;
        let session_id = self.session_id;
        self.anchor.link.do_send(Leave { session_id });
    }

    fn silence(&mut self) {
        self.silent = true;
    }

    fn set_final_code(&mut self, code: Code) {
        self.final_code = code;
    }

    fn transfers(&self) -> bool {
        self.anchor.gauge.occupancy().transfers()
    }

    fn part(&mut self) -> bool {
        self.moving = self.anchor.gauge.occupancy().begin_move();
        if self.moving {
            self.goes();
            self.silent = true;
            let session_id = self.session_id;
            self.anchor.link.do_send(Move { session_id });
        }
        self.moving
    }

    fn comes_back(&mut self) {
        self.silent = false;
        self.end_move();
    }

    fn tell_moved(&self, code: Code) {
        if self.moving && code == Code::NORMAL {
            self.anchor.gauge.occupancy().evacuation.moved();
        }
        let session_id = self.session_id;
        self.anchor.link.do_send(TellMoved { session_id, code });
    }

    fn stays(&mut self, why: Stays) {
        let evacuation = &self.anchor.gauge.occupancy().evacuation;
        self.stayed = evacuation.stays(self.stayed.take(), why);
    }

    fn may_be_ended(&self) -> bool {
        let occupancy = self.anchor.gauge.occupancy();
        let evacuation = &occupancy.evacuation;
        !evacuation.is_ordered() || !occupancy.transfers() || evacuation.must_stay(self.stayed)
    }
}

impl Lease {
    fn goes(&mut self) {
        if let Some(stayed) = self.stayed.take() {
            self.anchor.gauge.occupancy().evacuation.goes(Some(stayed));
        }
    }

    fn end_move(&mut self) {
        if std::mem::take(&mut self.moving) {
            self.anchor.gauge.occupancy().end_move();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end_move();
        self.goes();
        let session_id = self.session_id;
        let code = (!self.silent).then_some(self.final_code);
        if self.anchor.link.connected() {
            self.anchor.link.do_send(Release { session_id, code });
        } else if let Some(code) = code {
            let owed = &self.anchor.gauge.occupancy().owed_closes;
            owed.push(session_id, code);
            // Where the pool is gone, that of another worker looks.
            self.anchor.pool.do_send(CloseOwed);
        }
    }
}
