//! How a link does what it is told.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    Attach, Attached, AwaitRoom, Confirm, Forward, Lease, Leave, Link, LinkChange, LinkEvent,
    OwedClose, Quit, Release, Reopen, Report, Retag, Suspend,
};
use crate::actors::session_registry::StraysRefused;
use crate::codec::code::Code;
use crate::codec::link::{self, Kind};
use crate::session::link::LinkEnd;
use crate::supervision::Receive;

/// How long a link that is told to end may take to write what it still holds.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Sessions that may have left a link whose backend has not answered; what it says of more is
/// answered as if they were unknown.
const MAX_LEFT: usize = 65_536;

impl Receive<Attach> for Link {
    type Result = ();

    fn receive(&mut self, msg: Attach, ctx: &mut Context<Self>) {
        if msg.answer.is_closed() || self.quitting {
            // The client is gone, or will be told by the dropped answer: no OPEN was sent.
            self.gauge.session_removed();
            self.idle_reported = false;
            return;
        }
        let session_id = msg.session_id;
        let place = self.sessions.insert(Attached {
            realm_id: msg.realm_id,
            client: msg.client,
            head: Vec::new(),
            frames: 0,
            leaving: false,
            unanswered: msg.resumes,
            known: false,
        });
        self.places.insert(session_id, place as u32);
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
        let Some(attached) = self.detach(msg.session_id) else {
            return;
        };
        if let Some(code) = msg.code {
            self.enqueue_close(msg.session_id, code);
        }
        let unanswered = attached.leaving || msg.code == Some(Code::LEAVES_LINK);
        if unanswered && self.left.len() < MAX_LEFT {
            self.left.insert(msg.session_id);
        }
    }
}

impl Receive<Reopen> for Link {
    type Result = ();

    fn receive(&mut self, msg: Reopen, _: &mut Context<Self>) {
        // One that it has lost meanwhile is told by the end of the session that is on its way.
        if self.places.contains_key(&msg.session_id) {
            self.enqueue(Kind::Open, msg.session_id, &msg.open);
        }
    }
}

impl Receive<Confirm> for Link {
    type Result = ();

    fn receive(&mut self, msg: Confirm, _: &mut Context<Self>) {
        let Some(place) = self.places.get(&msg.session_id) else {
            return; // The client is told of the loss, or of the end.
        };
        if self.sessions[*place as usize].known {
            self.confirmed(msg.session_id);
        } else {
            self.enqueue(Kind::Ping, 0, &msg.session_id.to_be_bytes());
        }
    }
}

impl Receive<Suspend> for Link {
    type Result = ();

    fn receive(&mut self, msg: Suspend, _: &mut Context<Self>) {
        if self.places.contains_key(&msg.session_id) {
            let payload = msg.window_ms.to_be_bytes();
            self.enqueue(Kind::Suspend, msg.session_id, &payload);
        }
    }
}

impl Receive<Leave> for Link {
    type Result = ();

    fn receive(&mut self, msg: Leave, _: &mut Context<Self>) {
        let place = self.places.get(&msg.session_id);
        if let Some(attached) = place.and_then(|place| self.sessions.get_mut(*place as usize)) {
            attached.leaving = true;
            self.enqueue_close(msg.session_id, Code::LEAVES_LINK);
        }
    }
}

/// From the pool: a session that this link does not carry, but its backend may still have.
impl Receive<OwedClose> for Link {
    type Result = ();

    fn receive(&mut self, msg: OwedClose, _: &mut Context<Self>) {
        self.enqueue_close(msg.session_id, msg.code);
    }
}

impl Receive<Retag> for Link {
    type Result = ();

    fn receive(&mut self, msg: Retag, _: &mut Context<Self>) {
        if let Some(place) = self.places.get(&msg.session_id) {
            self.sessions[*place as usize].realm_id = msg.realm_id;
        }
    }
}

impl Receive<AwaitRoom> for Link {
    type Result = ();

    fn receive(&mut self, msg: AwaitRoom, _: &mut Context<Self>) {
        if self.gauge.has_room() {
            self.tell(msg.session_id, LinkEvent::Room);
        } else {
            self.waiting.push(msg.session_id);
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
        for session_id in msg.session_ids {
            self.answers += link::HEADER_LEN;
            self.enqueue_close(session_id, Code::GONE);
        }
    }
}

impl Receive<Report> for Link {
    type Result = ();

    fn receive(&mut self, _: Report, _: &mut Context<Self>) {
        if self.leaving {
            self.report(LinkChange::Goaway);
        } else if self.liveness.ready() {
            self.report(LinkChange::Ready);
        }
        // It will be said again if it still is so.
        self.idle_reported = false;
    }
}

impl Receive<Quit> for Link {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, msg: Quit, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        let (answer, gone) = oneshot::channel();
        self.quit_answers.push(answer);
        self.quitting = true;
        self.end.get_or_insert(msg.reason);
        if self.socket.is_none() {
            ctx.stop();
        }
        ctx.run_later(FLUSH_TIMEOUT, |link, ctx| link.end(LinkEnd::ShutDown, ctx));
        Box::pin(async move {
            // Resolves when the link, and with it the sender, is dropped.
            let _ = gone.await;
        })
    }
}
