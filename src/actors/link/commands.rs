//! Handlers of a link's commands; [`queueing`](super::queueing) has those that wait for room,
//! [`ending`](super::ending) has [`Quit`](super::Quit).

use actix::prelude::*;

use super::{
    Attach, CLOSES_MARK, CloseOwed, Confirm, Forward, Leave, Link, LinkChange, Move, Release,
    Reopen, Report, Retag, Suspend, TellMoved,
};
use crate::actors::session_registry::StraysRefused;
use crate::codec::code::{Code, Notice};
use crate::codec::link::{Kind, MOVE, open_epoch};
use crate::metrics::DropReason;
use crate::session::link::{OpenState, Owed, Phase};
use crate::supervision::Receive;

impl Receive<Attach> for Link {
    type Result = ();

    fn receive(&mut self, msg: Attach, ctx: &mut Context<Self>) {
        // A session that goes on holds nothing back that could fill the queue, but the state that it brings can.
        let needs_room = !msg.resumes || msg.arrives();
        if !needs_room || self.gauge.has_room(false) {
            self.attach(msg, ctx);
        } else {
            self.attach_later(msg);
        }
    }
}

impl Receive<Forward> for Link {
    type Result = ();

    #[inline]
    fn receive(&mut self, msg: Forward, _: &mut Context<Self>) {
        let frames = u64::from(msg.frames);
        self.counts.frames_out.add(frames);
        if self.awaited.is_due {
            self.await_answer(&msg.bytes);
        }
        self.gauge.carried.frames_out.add(frames);
        self.outbox.push(msg.bytes);
        self.held_queue.absorb(msg.held);
    }
}

impl Receive<Release> for Link {
    type Result = ();

    fn receive(&mut self, msg: Release, _: &mut Context<Self>) {
        if self.sessions.release(msg.session_id, msg.code) {
            self.detached();
            if let Some(code) = msg.code {
                self.enqueue_close(msg.session_id, code);
            }
        }
    }
}

impl Receive<Reopen> for Link {
    type Result = ();

    fn receive(&mut self, msg: Reopen, _: &mut Context<Self>) {
        // One that it has lost meanwhile is told by the end of the session that is on its way.
        if self.sessions.reopen(msg.session_id, open_epoch(&msg.open)) {
            self.waiting.forget_bound(msg.session_id);
            self.enqueue(Kind::Open, msg.session_id, &msg.open);
        }
    }
}

impl Receive<Confirm> for Link {
    type Result = ();

    fn receive(&mut self, msg: Confirm, _: &mut Context<Self>) {
        match self.sessions.confirm(msg.session_id) {
            Some(OpenState::Taken) => self.confirmed(msg.session_id),
            Some(OpenState::Unknown) => {
                self.ping_in_order(&msg.session_id.to_be_bytes());
            }
            None => {} // The client is told of the loss, or of the end.
        }
    }
}

impl Receive<Suspend> for Link {
    type Result = ();

    fn receive(&mut self, msg: Suspend, _: &mut Context<Self>) {
        if self.sessions.get(msg.session_id).is_some() {
            let payload = msg.window_ms.to_be_bytes();
            self.enqueue(Kind::Suspend, msg.session_id, &payload);
        }
    }
}

impl Receive<Leave> for Link {
    type Result = ();

    fn receive(&mut self, msg: Leave, _: &mut Context<Self>) {
        if self.sessions.leave(msg.session_id) {
            self.enqueue_close(msg.session_id, Code::LEAVES_LINK);
        }
    }
}

impl Receive<Move> for Link {
    type Result = ();

    fn receive(&mut self, msg: Move, _: &mut Context<Self>) {
        if self.sessions.part(msg.session_id) {
            let notice = Notice {
                code: Code::LEAVES_LINK,
                retry_after_ms: 0,
                text: MOVE,
            };
            let mut payload = Vec::with_capacity(notice.encoded_len());
            notice.encode(&mut payload);
            self.enqueue(Kind::Close, msg.session_id, &payload);
        }
    }
}

impl Receive<TellMoved> for Link {
    type Result = ();

    fn receive(&mut self, msg: TellMoved, _: &mut Context<Self>) {
        self.tell_moved(msg.session_id, msg.code);
    }
}

impl Receive<CloseOwed> for Link {
    type Result = ();

    fn receive(&mut self, _: CloseOwed, ctx: &mut Context<Self>) {
        if !self.lifecycle.was_ready() || self.lifecycle.is_ending() {
            return;
        }
        // Taken only here: what lies in a mailbox would be lost with the link.
        let Owed { closes, left, lost } = self.sessions.say_owed();
        self.relay_left(left, ctx);
        self.scope.metrics.dropped.add(DropReason::LinkGone, lost);
        for (session_id, code, _) in closes {
            self.enqueue_close(session_id, code);
        }
        // One of them may come back on another link, and waits until this one is read.
        if self.sessions.lacks_ping() {
            self.ping_in_order(&CLOSES_MARK);
        }
    }
}

impl Receive<Retag> for Link {
    type Result = ();

    fn receive(&mut self, msg: Retag, _: &mut Context<Self>) {
        if let Some(attached) = self.sessions.get(msg.session_id) {
            attached.realm_id = msg.realm_id;
        }
    }
}

impl Receive<StraysRefused> for Link {
    type Result = ();

    fn receive(&mut self, msg: StraysRefused, _: &mut Context<Self>) {
        if let Some(code) = msg.moved {
            for session_id in msg.session_ids {
                self.answer_moved(session_id, code);
            }
            return;
        }
        self.scope
            .metrics
            .refused_on_link
            .add(msg.session_ids.len() as u64);
        self.refused.extend(msg.session_ids);
        self.answer_refused();
    }
}

impl Receive<Report> for Link {
    type Result = ();

    fn receive(&mut self, _: Report, _: &mut Context<Self>) {
        match self.lifecycle.phase() {
            Phase::Ready if self.lifecycle.is_suspect() => {
                self.report(LinkChange::Ready);
                self.report(LinkChange::Suspect);
            }
            Phase::Ready => self.report(LinkChange::Ready),
            Phase::Leaving => self.report(LinkChange::Goaway),
            Phase::Connecting | Phase::Quitting => {}
        }
        self.idle.retell();
    }
}
