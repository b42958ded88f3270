//! Those who wait for room in a link's queue, and the room that they are given.
//!
//! A link that is full takes no more from clients. Clients keep what they have read (protocol allows it: nobody
//! was told that it was taken), new sessions are not opened yet, and of BOUND only the newest is kept. When
//! there is room they are told, one after another, as many as it is enough for. One that was told and finds
//! that another was quicker keeps its place.

use std::sync::Arc;
use std::task::Context as TaskContext;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{Attach, AwaitRoom, AwaitTurn, Lease, Link, LinkEvent, TellBound};
use crate::codec::buffers::SCRATCH_BYTES;
use crate::codec::link::{Bind, Kind, open_epoch};
use crate::session::link::{Phase, Waiter};
use crate::supervision::{CountedRecipient, Receive};

/// Places in the queue beyond which new sessions are sent away.
const MAX_WAITING: usize = 65_536;

/// Who waits beside clients and BOUNDs.
pub(super) enum Newcomer {
    /// A session that is not open yet.
    Attach(Box<Attach>),
    /// One that is, and has gathered frames meanwhile.
    Turn(oneshot::Sender<()>),
}

impl Link {
    /// Adds a session, and sends its OPEN.
    pub(super) fn attach(&mut self, msg: Attach, ctx: &mut Context<Self>) {
        let arrives = msg.arrives();
        // Sent before GOAWAY was heard of: the backend may end as soon as its PING behind that is answered.
        let comes_late = self.lifecycle.phase() == Phase::Leaving && (!msg.resumes || arrives);
        if msg.wanted.is_given_up() || self.lifecycle.is_ending() || comes_late {
            // The session is over, or will be told by the dropped answer: no OPEN was sent.
            self.gauge.session_removed();
            self.idle.retell();
            return;
        }
        let session_id = msg.session_id;
        self.waiting.forget_bound(session_id);
        self.supersede(session_id, &msg.client);
        let now_us = self.now_us();
        let sessions = &mut self.sessions;
        let attached = sessions.attach(session_id, msg.realm_id, msg.client, msg.resumes);
        if !msg.resumes {
            attached.mark = now_us;
        }
        if arrives {
            attached.arrives(open_epoch(&msg.open));
        }
        if !msg.resumes {
            self.gauge.occupancy().session_opened();
        }
        self.enqueue(Kind::Open, session_id, &msg.open);
        let lease = Lease::new(self.anchor(ctx), session_id);
        // A client that died meanwhile drops the lease, and that sends the final CLOSE.
        drop(msg.answer.send(lease));
    }

    /// A session of this id is attached still: its lease is on its way back, and says nothing of the one that comes now.
    fn supersede(&mut self, session_id: u64, client: &CountedRecipient<LinkEvent>) {
        let Some(before) = self.sessions.supersede(session_id) else {
            return;
        };
        self.detached();
        // Its own client knows; another one goes on without.
        if before.client != *client {
            before.client.do_send(LinkEvent::Lost {
                service: Arc::clone(&self.service),
                link_id: self.id,
            });
        }
    }

    /// Keeps a new session until there is room.
    pub(super) fn attach_later(&mut self, msg: Attach) {
        if self.waiting.len() >= MAX_WAITING {
            self.gauge.session_removed();
            return self.idle.retell();
        }
        self.gauge.waiter_added();
        let newcomer = Newcomer::Attach(Box::new(msg));
        self.waiting.other(newcomer, false);
    }

    fn tell_bound(&mut self, session_id: u64, bound: Bind) {
        if self.sessions.takes_bound(session_id) {
            self.enqueue(Kind::Bound, session_id, &bound.encode());
        }
    }

    /// Tells those whose turn it is, as many as there is room for.
    pub(super) fn give_room(&mut self, ctx: &mut Context<Self>, cx: &TaskContext<'_>) {
        let mut promised = 0;
        while self.gauge.admits(promised) {
            let before = self.waiting.len();
            let next = self.waiting.take_next();
            self.gauge.waiters_removed(before - self.waiting.len());
            match next {
                None => break,
                Some(Waiter::Client(session_id)) => {
                    if let Some(attached) = self.sessions.get(session_id) {
                        promised += SCRATCH_BYTES;
                        attached.client.do_send(LinkEvent::Room);
                    }
                }
                Some(Waiter::Bound(session_id, bound)) => self.tell_bound(session_id, bound),
                Some(Waiter::Other(Newcomer::Attach(msg))) => self.attach(*msg, ctx),
                Some(Waiter::Other(Newcomer::Turn(answer))) => {
                    if answer.send(()).is_ok() {
                        promised += SCRATCH_BYTES;
                    }
                }
            }
            // To write what this has queued; and those who were told may have nothing to send after all, so that
            // nothing else would bring the next ones their turn.
            cx.waker().wake_by_ref();
        }
    }
}

impl Receive<AwaitRoom> for Link {
    type Result = ();

    fn receive(&mut self, msg: AwaitRoom, _: &mut Context<Self>) {
        self.waiting.client(msg.session_id, msg.in_turn);
    }
}

impl Receive<AwaitTurn> for Link {
    type Result = ();

    fn receive(&mut self, msg: AwaitTurn, _: &mut Context<Self>) {
        self.waiting.other(Newcomer::Turn(msg.answer), msg.in_turn);
    }
}

impl Receive<TellBound> for Link {
    type Result = ();

    fn receive(&mut self, msg: TellBound, _: &mut Context<Self>) {
        if self.gauge.has_room(false) {
            self.tell_bound(msg.session_id, msg.bound);
        } else if self.waiting.bound(msg.session_id, msg.bound) {
            self.gauge.waiter_added();
        }
    }
}
