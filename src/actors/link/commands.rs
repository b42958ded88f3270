//! Handlers of a link's commands; see [`ending`](super::ending) for [`Quit`](super::Quit).

use actix::prelude::*;

use super::{
    Attach, AwaitRoom, Confirm, Forward, Lease, Leave, Link, LinkChange, LinkEvent, OwedClose,
    Release, Reopen, Report, Retag, Suspend,
};
use crate::actors::session_registry::StraysRefused;
use crate::codec::code::Code;
use crate::codec::link::Kind;
use crate::session::link::{OpenState, Phase};
use crate::supervision::Receive;

impl Receive<Attach> for Link {
    type Result = ();

    fn receive(&mut self, msg: Attach, ctx: &mut Context<Self>) {
        if msg.answer.is_closed() || self.lifecycle.is_ending() {
            // The client is gone, or will be told by the dropped answer: no OPEN was sent.
            self.gauge.session_removed();
            self.idle.retell();
            return;
        }
        let session_id = msg.session_id;
        self.sessions
            .attach(session_id, msg.realm_id, msg.client, msg.resumes);
        self.enqueue(Kind::Open, session_id, &msg.open);
        let lease = Lease::new(self.anchor(ctx), session_id);
        // A client that died meanwhile drops the lease, and that sends the final CLOSE.
        drop(msg.answer.send(lease));
    }
}

impl Receive<Forward> for Link {
    type Result = ();

    #[inline]
    fn receive(&mut self, msg: Forward, _: &mut Context<Self>) {
        self.scope
            .metrics
            .link_frames_out
            .add(u64::from(msg.frames));
        let carried = &self.gauge.carried;
        carried.frames_out.add(u64::from(msg.frames));
        self.outbox.push(msg.bytes);
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
        if self.sessions.reopen(msg.session_id) {
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
                self.ping(&msg.session_id.to_be_bytes());
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

impl Receive<OwedClose> for Link {
    type Result = ();

    fn receive(&mut self, msg: OwedClose, _: &mut Context<Self>) {
        if self.sessions.owed(msg.session_id, msg.code) {
            self.enqueue_close(msg.session_id, msg.code);
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

impl Receive<AwaitRoom> for Link {
    type Result = ();

    fn receive(&mut self, msg: AwaitRoom, _: &mut Context<Self>) {
        if self.gauge.has_room() {
            if let Some(attached) = self.sessions.get(msg.session_id) {
                attached.client.do_send(LinkEvent::Room);
            }
        } else {
            self.sessions.await_room(msg.session_id);
        }
    }
}

impl Receive<StraysRefused> for Link {
    type Result = ();

    fn receive(&mut self, msg: StraysRefused, _: &mut Context<Self>) {
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
            Phase::Ready => self.report(LinkChange::Ready),
            Phase::Leaving => self.report(LinkChange::Goaway),
            Phase::Connecting | Phase::Quitting => {}
        }
        self.idle.retell();
    }
}
