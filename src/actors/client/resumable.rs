//! What a session that can be resumed does beyond others: it outlives its connection, keeps what the
//! player may lack, and goes on over another connection (protocol 3.2, case 1).
//!
//! The client stays the session's actor all the while: on its worker, with its links. It is the
//! connection that comes to it, from whatever worker accepted it.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::closing::part;
use super::{Changed, Client, Closing, Hold, Stage};
use crate::actors::comeback::Comeback;
use crate::actors::link::BackendClose;
use crate::actors::scope::Suspension;
use crate::codec::client::Kind;
use crate::codec::code::Code;
use crate::codec::link::{OPEN_RESUMED, Open};
use crate::net::buffers;
use crate::net::outbox::Outbox;
use crate::session::replay::Replay;
use crate::session::resume::{Judgement, Resumption};

/// What a client has only where its session can be resumed.
pub(super) struct Resumable {
    pub(super) resumption: Resumption,
    pub(super) replay: Replay,
    /// It is being taken up by what its token says: a backend must know it.
    pub(super) by_token: bool,
    /// What the session's end is to say if its player does not come back.
    final_code: Code,
    /// Counts it, while it is suspended.
    suspension: Option<Suspension>,
    /// When the newest token was made, in the worker's milliseconds.
    pub(super) token_ms: u64,
}

impl Resumable {
    pub(super) fn new(resumption: Resumption) -> Resumable {
        Resumable {
            resumption,
            replay: Replay::default(),
            by_token: false,
            final_code: Code::NORMAL,
            suspension: None,
            token_ms: 0,
        }
    }
}

impl Client {
    /// Whether frames can be sent to the player now.
    #[inline]
    pub(super) fn is_connected(&self) -> bool {
        let resumable = self.resumable.as_ref();
        resumable.is_none_or(|r| r.resumption.is_connected())
    }

    /// The session's epoch.
    pub(super) fn epoch(&self) -> u32 {
        self.resumable.as_ref().map_or(1, |r| r.resumption.epoch())
    }

    /// Keeps frames for the replay; `frames` of them are DATA, or it is an ERROR. Returns whether
    /// they are to be sent as well.
    #[inline]
    pub(super) fn keep(&mut self, head: &[u8], tail: &[u8], frames: u32) -> bool {
        let Some(resumable) = &mut self.resumable else {
            return true;
        };
        let config = &self.shared.scope.config.session;
        let resumption = &resumable.resumption;
        let connected = resumption.is_connected();
        let limit = if connected || resumption.is_suspended() {
            config.replay_bytes
        } else {
            config.outbound_queue
        };
        let before = resumable.replay.len();
        resumable.replay.push(head, tail, frames, limit);
        self.shared.replay_grows(before, resumable.replay.len());
        connected
    }

    /// Whether this end is one of the connection only.
    pub(super) fn only_suspends(&self, closing: &Closing) -> bool {
        self.resumable.is_some() && matches!(self.stage, Stage::Talking) && closing.only_suspends()
    }

    /// The connection is lost, and the session waits for its player.
    pub(super) fn suspend(&mut self, closing: &Closing) {
        let window = self.shared.scope.config.session.resume_window;
        self.leave_connection(closing);
        self.permit = None;
        let (gate, now_ms) = (&self.shared.scope.gate, self.shared.now_ms());
        if let Some(resumable) = &mut self.resumable {
            resumable.resumption.suspend();
            resumable.final_code = closing.verdict().backends;
            resumable.suspension.get_or_insert_with(|| gate.suspend());
        }
        if let Some(session) = &self.session {
            let window_ms = window.as_millis() as u32;
            session
                .open()
                .for_each(|(_, lease)| lease.suspend(window_ms));
        }
        self.shared.scope.metrics.sessions_suspended.one();
        self.card.suspended.set(true);
        self.hold = Hold::None;
        self.stage = Stage::Suspended;
        self.alive_ms = now_ms;
        self.arm(window);
        self.shared.suspended(self.slot, self.card.owner);
    }

    /// Lets go of the connection in use, with a CLOSE where its reason has one.
    fn leave_connection(&mut self, closing: &Closing) {
        self.count(closing.verdict().label);
        let (mut socket, mut outbox) = (self.socket.take(), std::mem::take(&mut self.outbox));
        self.inbox = bytes::BytesMut::new();
        self.card.queued.set(0);
        if let Some(frame) = self.close_frame(closing) {
            self.shared.scope.metrics.client_frames_out.one();
            outbox.push(frame);
        }
        if !closing.is_abrupt() {
            socket.set_close_code(closing.websocket_code());
            actix::spawn(part(socket, outbox, self.permit.take()));
        }
    }

    /// Nobody has come back in time.
    pub(super) fn give_up(&mut self, ctx: &mut Context<Self>) {
        let code = self.resumable.as_ref().map(|r| r.final_code);
        self.end_suspended(code.unwrap_or(Code::NORMAL), ctx);
    }

    /// Ends a session that has no connection.
    pub(super) fn end_suspended(&mut self, code: Code, ctx: &mut Context<Self>) {
        self.final_code = code;
        if let Some(session) = &mut self.session {
            session
                .leases()
                .for_each(|lease| lease.set_final_code(code));
        }
        self.leave_registry();
        ctx.stop();
    }

    /// The player is there again, on another connection.
    pub(super) fn come_back(&mut self, comeback: Comeback, ctx: &mut Context<Self>) {
        let leaving = self.shared.scope.gate.is_draining();
        let Some(resumable) = &self.resumable else {
            return self.refuse(comeback, &Closing::NotResumable);
        };
        if matches!(self.stage, Stage::Ending(_)) {
            return self.refuse(comeback, &Closing::NotResumable);
        }
        match resumable.resumption.judge(comeback.token_epoch, leaving) {
            Judgement::Used => self.refuse(comeback, &Closing::NotResumable),
            Judgement::ElsewherePlease => self.refuse(comeback, &Closing::ResumeElsewhere),
            Judgement::Take => self.take_connection(comeback, ctx),
        }
    }

    /// Tells a connection that it does not get the session. It still counts while it is told.
    fn refuse(&self, comeback: Comeback, closing: &Closing) {
        self.shared
            .scope
            .metrics
            .closings
            .add(closing.verdict().label, 1);
        let Comeback {
            mut socket, permit, ..
        } = comeback;
        let mut outbox = Outbox::default();
        if let Some(frame) = self.close_frame(closing) {
            self.shared.scope.metrics.client_frames_out.one();
            outbox.push(frame);
        }
        socket.set_close_code(closing.websocket_code());
        actix::spawn(part(socket, outbox, permit));
    }

    fn take_connection(&mut self, comeback: Comeback, ctx: &mut Context<Self>) {
        let mut socket = comeback.socket;
        if socket.move_here().is_err() {
            return; // It is gone; the player tries again.
        }
        if matches!(self.stage, Stage::Talking) {
            self.leave_connection(&Closing::Replaced);
        }
        (self.socket, self.inbox, self.permit) = (socket, comeback.inbox, comeback.permit);
        self.card.peer.set(comeback.peer);
        self.card.transport.set(comeback.transport);
        self.card.suspended.set(false);
        (self.stage, self.hold, self.talked) = (Stage::Talking, Hold::None, true);
        self.alive_ms = self.shared.now_ms();
        self.arm(self.shared.scope.config.session.idle_timeout);
        let (Some(resumable), Some(session)) = (&mut self.resumable, &mut self.session) else {
            return;
        };
        session.on_another_connection();
        resumable.suspension = None;
        let services = session.open().map(|(service, _)| Arc::clone(service));
        let begun = resumable
            .resumption
            .begin(comeback.token_epoch, comeback.count, services);
        if let Some(epoch) = begun {
            if let Some(session) = &self.session {
                session
                    .open()
                    .for_each(|(_, lease)| lease.reopen(self.open_payload(OPEN_RESUMED)));
            }
            self.wait_for_backends(epoch, ctx);
        }
        self.finish_resume(ctx);
        ctx.notify(Changed);
    }

    /// Backends have so long to take their OPENs.
    pub(super) fn wait_for_backends(&self, epoch: u32, ctx: &mut Context<Self>) {
        let patience = self.shared.scope.config.backend.connect_timeout;
        ctx.run_later(patience, move |client, ctx| client.stop_waiting(epoch, ctx));
    }

    /// The payload of an OPEN, as the session is now.
    pub(super) fn open_payload(&self, flags: u8) -> Vec<u8> {
        self.open_payload_from(flags, &self.shared.scope.config.gateway.id)
    }

    /// The same, where `previous` is the gateway that had the session.
    pub(super) fn open_payload_from(&self, flags: u8, previous: &str) -> Vec<u8> {
        let mut payload = Vec::with_capacity(64);
        let Some(session) = &self.session else {
            return payload;
        };
        let resumed = flags & OPEN_RESUMED != 0;
        Open {
            realm_id: session.realm_id(),
            user_id: session.user_id(),
            transport: self.card.transport.get() as u8,
            flags,
            epoch: self.epoch(),
            client: &self.card.peer().to_string(),
            previous_gateway: if resumed { previous } else { "" },
        }
        .encode(&mut payload);
        payload
    }

    /// A backend has taken the OPEN of a resume.
    pub(super) fn accepted(&mut self, service: &str, epoch: u32, ctx: &mut Context<Self>) {
        if epoch > self.epoch() || self.resumable.is_none() {
            let dropped = &self.shared.scope.metrics.dropped;
            return dropped.add("unexpected_accept", 1);
        }
        // One of an attempt before says nothing.
        if let Some(resumable) = &mut self.resumable
            && resumable.resumption.accepted(service, epoch)
        {
            self.finish_resume(ctx);
        }
    }

    /// A backend has ended the session, or not taken the OPEN of a resume.
    pub(super) fn closed_on_link(
        &mut self,
        service: &str,
        close: BackendClose,
        ctx: &mut Context<Self>,
    ) {
        let awaited = self.resumable.as_ref();
        let awaited = awaited.is_some_and(|r| r.resumption.awaits(service));
        match close.code {
            Code::GONE if awaited => self.close(Closing::TakenElsewhere, ctx),
            Code::NO_ROUTE if awaited => {
                self.unbind(service, None, ctx);
                self.finish_resume(ctx);
            }
            _ => self.closed_by_backend(close, ctx),
        }
    }

    /// The backends that have not answered are given up.
    fn stop_waiting(&mut self, epoch: u32, ctx: &mut Context<Self>) {
        let Some(resumable) = &self.resumable else {
            return;
        };
        if resumable.resumption.epoch() != epoch {
            return;
        }
        // It may take the OPEN yet, and where it came from nobody here knows.
        let code = if resumable.by_token {
            Code::LEAVES_LINK
        } else {
            Code::BAD_GATEWAY
        };
        let silent: Vec<Arc<str>> = resumable.resumption.awaited().cloned().collect();
        for service in silent {
            self.unbind(&service, Some(code), ctx);
        }
        self.finish_resume(ctx);
    }

    /// A backend does not go on with the session: it hears `code`, the player 502.
    pub(super) fn unbind(&mut self, service: &str, code: Option<Code>, ctx: &mut Context<Self>) {
        self.card.service_closed(service);
        if let Some(session) = &mut self.session
            && let Some(place) = session.find(service)
        {
            // Where it is still being opened, nothing waits for it.
            session.failed(place);
        }
        if let Some(mut lease) = self.session.as_mut().and_then(|s| s.unbind(service)) {
            match code {
                Some(code) => lease.set_final_code(code),
                None => lease.silence(),
            }
        }
        let text = "the backend does not have the session any more; answers may be missing";
        self.tell_error(Code::BAD_GATEWAY, 0, text, service, ctx);
        if let Some(resumable) = &mut self.resumable {
            resumable.resumption.answered(service);
        }
    }

    /// When every backend has answered: OPENED, what the player lacks, and on.
    pub(super) fn finish_resume(&mut self, ctx: &mut Context<Self>) {
        let (Some(resumable), Some(session)) = (&mut self.resumable, &self.session) else {
            return;
        };
        if resumable.by_token && session.is_opening() {
            return; // An ACCEPT may overtake the lease on the link that it came on.
        }
        let Some(answer) = resumable.resumption.finish() else {
            return;
        };
        let nothing_open = session.open().next().is_none();
        if std::mem::take(&mut resumable.by_token) && nothing_open {
            return self.close(Closing::NotResumable, ctx);
        }
        let before = resumable.replay.len();
        let lacking = resumable.replay.resume(answer.count);
        let gap = lacking || answer.gap;
        self.shared.replay_grows(before, resumable.replay.len());
        let mut replay = buffers::take();
        resumable
            .replay
            .bytes()
            .for_each(|part| replay.extend_from_slice(part));
        let frames = resumable.replay.held();
        if lacking {
            resumable.resumption.told_gap();
            if let Some(session) = &mut self.session {
                session.count_anew();
            }
        }
        let how = if gap { "gap" } else { "exact" };
        self.shared.scope.metrics.sessions_resumed.add(how, 1);
        let received = self.received();
        self.tell_opened(received, gap, ctx);
        if !replay.is_empty() {
            self.send(replay, None, frames as u32, ctx);
        }
        if let Some(resumable) = &mut self.resumable {
            // It could grow while the resume was under way.
            let limit = self.shared.scope.config.session.replay_bytes;
            let before = resumable.replay.len();
            resumable.replay.shrink(limit);
            self.shared.replay_grows(before, resumable.replay.len());
        }
        self.alive_ms = self.shared.now_ms();
        self.ask_away(ctx);
    }

    /// Asks the player to go elsewhere, where a drain is under way.
    pub(super) fn ask_away(&mut self, ctx: &mut Context<Self>) {
        let Some(left) = self.shared.scope.gate.drain_left() else {
            return;
        };
        if self.resumable.is_some() && self.is_connected() && matches!(self.stage, Stage::Talking) {
            let left_ms = left.as_millis() as u32;
            self.tell(Kind::Goaway, &left_ms.to_be_bytes(), ctx);
            self.shared.scope.metrics.goaways.one();
        }
    }

    /// How long a suspended session still waits.
    pub(super) fn window_left(&self) -> Duration {
        let window = self.shared.scope.config.session.resume_window;
        let waited = self.shared.now_ms().saturating_sub(self.alive_ms);
        window.saturating_sub(Duration::from_millis(waited))
    }
}
