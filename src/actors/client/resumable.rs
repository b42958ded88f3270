//! What a session that can be resumed does beyond others: it outlives its connection and keeps what
//! the player may lack (protocol 3.2).
//!
//! Whether a session is here, and who may take it, two machines without I/O decide: this client drives
//! the [`Holder`] of its session ([`holding`](super::holding)), and the [`Newcomer`] of a player who
//! comes back ([`arriving`](super::arriving)).
//!
//! [`Newcomer`]: crate::session::resume::Newcomer

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use smallvec::SmallVec;

use super::arriving::Arriving;
use super::closing::part;
use super::{Client, Closing, Hold, Stage};
use crate::actors::session_registry::PeerRequest;
use crate::admission::Suspension;
use crate::codec::client::Kind;
use crate::codec::code::Code;
use crate::codec::link::{OPEN_RESUMED, Open};
use crate::codec::peer::{Caller, PeerGateway};
use crate::config::Config;
use crate::session::replay::Replay;
use crate::session::resume::{Holder, HolderAction, Millis, Timing};

/// Who wants a session that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimant {
    /// Its player, back on this gateway.
    Here,
    /// Another gateway, which its player has come back to.
    Peer(Caller),
}

/// Where the session is that a player has come back for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// On this gateway.
    Here,
    /// On another one.
    Peer(PeerGateway),
}

/// What a client has only where its session can be resumed.
pub(super) struct Resumable {
    /// None where the session is not here yet.
    pub(super) holder: Option<Holder<Claimant>>,
    /// A resume under way.
    pub(super) arriving: Option<Box<Arriving>>,
    pub(super) replay: Replay,
    /// Whether frames go to a connection, and come from one.
    pub(super) in_use: bool,
    /// Other gateways whose word waits until every backend is known to have taken its OPEN.
    pub(super) waiting: Vec<PeerRequest>,
    /// Services whose backends are not known to have done so.
    pub(super) unconfirmed: SmallVec<[Arc<str>; 1]>,
    /// The services by their places, as they were when another gateway claimed the session.
    pub(super) claimed: SmallVec<[Arc<str>; 1]>,
    /// Those of them whose links were left for it.
    pub(super) left: SmallVec<[Arc<str>; 1]>,
    /// What the session's end is to say if its player does not come back.
    pub(super) final_code: Code,
    /// Counts it, while it is suspended.
    pub(super) suspension: Option<Suspension>,
    /// When the newest token was made, in the worker's milliseconds.
    pub(super) token_ms: u64,
    /// When the machines are told the time next.
    pub(super) watched: Option<Millis>,
}

impl Resumable {
    /// For a session that is here, or is none yet.
    pub(super) fn new(holder: Option<Holder<Claimant>>, replay_bytes: usize) -> Resumable {
        Resumable {
            in_use: holder.is_some(),
            holder,
            arriving: None,
            replay: Replay::new(replay_bytes),
            waiting: Vec::new(),
            unconfirmed: SmallVec::new(),
            claimed: SmallVec::new(),
            left: SmallVec::new(),
            final_code: Code::NORMAL,
            suspension: None,
            token_ms: 0,
            watched: None,
        }
    }
}

impl Resumable {
    /// The connection in use has sent a frame.
    #[inline]
    pub(super) fn heard(&mut self) {
        if let Some(holder) = &mut self.holder {
            holder.client_frame();
        }
    }
}

/// The durations that the machines keep.
pub(super) fn timing(config: &Config) -> Timing {
    Timing {
        backend: config.backend.connect_timeout.as_millis() as Millis,
        window: config.session.resume_window.as_millis() as Millis,
    }
}

impl Client {
    /// Whether frames can be sent to the player now.
    #[inline]
    pub(super) fn is_connected(&self) -> bool {
        self.resumable.as_ref().is_none_or(|r| r.in_use)
    }

    /// The session's epoch.
    pub(super) fn epoch(&self) -> u32 {
        let Some(resumable) = &self.resumable else {
            return 1;
        };
        match (&resumable.arriving, &resumable.holder) {
            (Some(arriving), _) => arriving.epoch(),
            (None, Some(holder)) => holder.epoch(),
            (None, None) => 1,
        }
    }

    /// Keeps frames for the replay; `frames` of them are DATA, or it is an ERROR. Returns whether
    /// they are to be sent as well.
    #[inline]
    pub(super) fn keep(&mut self, head: &[u8], tail: &[u8], frames: u32) -> bool {
        let Some(resumable) = &mut self.resumable else {
            return true;
        };
        let before = resumable.replay.len();
        if frames == 0 {
            resumable.replay.push_notice(head);
        } else {
            resumable.replay.push(head, tail, frames);
        }
        self.shared.replay_grows(before, resumable.replay.len());
        resumable.in_use
    }

    /// While a resume is under way more is kept for its player (protocol 3.2).
    pub(super) fn keep_up_to(&mut self, limit: usize) {
        if let Some(resumable) = &mut self.resumable {
            let before = resumable.replay.len();
            resumable.replay.set_limit(limit);
            self.shared.replay_grows(before, resumable.replay.len());
        }
    }

    /// Whether this end is one of the connection only.
    pub(super) fn only_suspends(&self, closing: &Closing) -> bool {
        self.resumable.is_some()
            && matches!(self.stage, Stage::Talking)
            && closing.outcome().only_suspends
    }

    /// The connection is lost, and the session waits for its player. One that is being resumed is
    /// lost when the resume is done.
    pub(super) fn suspend(&mut self, closing: &Closing) {
        let now = self.shared.elapsed_ms();
        let code = closing.outcome().backends;
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let Some(holder) = resumable.holder.as_mut() else {
            return self.leave_connection(closing);
        };
        if resumable.arriving.is_some() {
            return self.leave_connection(closing);
        }
        let suspends = |action: &HolderAction<Claimant>| matches!(action, HolderAction::Suspend(_));
        let tell_backends = holder.connection_lost(now, code).iter().any(suspends);
        self.wait_for_player(closing, tell_backends);
    }

    /// There is no connection from now on.
    pub(super) fn wait_for_player(&mut self, closing: &Closing, tell_backends: bool) {
        let window = self.shared.scope.config.session.resume_window;
        let connected = matches!(self.stage, Stage::Talking);
        if connected {
            self.leave_connection(closing);
            self.permit = None;
            self.shared.scope.metrics.sessions_suspended.one();
        }
        let gate = &self.shared.scope.gate;
        if let Some(resumable) = &mut self.resumable {
            resumable.in_use = false;
            resumable.final_code = closing.outcome().backends;
            resumable.suspension.get_or_insert_with(|| gate.suspend());
        }
        if let (Some(session), true) = (&self.session, tell_backends) {
            let window_ms = window.as_millis() as u32;
            session
                .open()
                .for_each(|(_, lease)| lease.suspend(window_ms));
        }
        self.stats.suspended.set(true);
        self.hold = Hold::None;
        self.stage = Stage::Suspended;
        self.alive_ms = self.shared.now_ms();
        self.arm(window);
        if connected {
            self.shared.suspended(self.slot, self.stats.owner);
        }
    }

    /// Lets go of the connection in use, with a CLOSE where its reason has one.
    pub(super) fn leave_connection(&mut self, closing: &Closing) {
        self.count(closing.outcome().label);
        let (mut socket, mut outbox) = (self.socket.take(), std::mem::take(&mut self.outbox));
        self.inbox = bytes::BytesMut::new();
        self.stats.queued.set(0);
        if let Some(frame) = self.close_frame(closing) {
            self.shared.scope.metrics.client_frames_out.one();
            outbox.push(frame);
        }
        let outcome = closing.outcome();
        if !outcome.is_abrupt {
            socket.set_close_code(outcome.websocket);
            actix::spawn(part(socket, outbox, self.permit.take()));
        }
    }

    /// Ends a session that waits for its player, for there are too many.
    pub(super) fn give_up(&mut self, ctx: &mut Context<Self>) {
        let code = self.resumable.as_ref().map(|r| r.final_code);
        let code = code.unwrap_or(Code::NORMAL);
        self.tell_claimant(code);
        self.end_suspended(code, ctx);
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
            transport: self.stats.transport.get() as u8,
            flags,
            epoch: self.epoch(),
            client: &self.stats.peer().to_string(),
            previous_gateway: if resumed { previous } else { "" },
        }
        .encode(&mut payload);
        payload
    }

    /// A service is not open here any more: its backend hears `code`, or nothing.
    pub(super) fn unbind(&mut self, service: &str, code: Option<Code>) {
        self.stats.service_closed(service);
        let Some(session) = &mut self.session else {
            return;
        };
        if let Some(place) = session.find(service) {
            // Where it is still being opened, nothing waits for it.
            session.failed(place);
        }
        if let Some(mut lease) = session.unbind(service) {
            match code {
                Some(code) => lease.set_final_code(code),
                None => lease.silence(),
            }
        }
    }

    /// Tells the player that a backend does not go on with the session.
    pub(super) fn tell_unbound(&mut self, service: &str, ctx: &mut Context<Self>) {
        let text = "the backend does not have the session any more; answers may be missing";
        self.tell_error(Code::BAD_GATEWAY, 0, text, service, ctx);
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

    /// Has the machines told the time when one of them wants it. A session that only waits for its
    /// player is on the worker's wheel.
    pub(super) fn watch(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let newcomer = resumable.arriving.as_ref().and_then(|a| a.deadline());
        let holder = resumable.holder.as_ref().filter(|h| h.is_wanted());
        let due = newcomer
            .into_iter()
            .chain(holder.and_then(Holder::deadline));
        let Some(at) = due.min() else { return };
        if resumable.watched.is_some_and(|watched| watched <= at) {
            return;
        }
        resumable.watched = Some(at);
        let wait = Duration::from_millis(at.saturating_sub(now));
        ctx.run_later(wait, |client, ctx| {
            if let Some(resumable) = &mut client.resumable {
                resumable.watched = None;
            }
            client.tell_time(ctx);
            client.watch(ctx);
        });
    }

    /// Tells the machines the time. Returns how long a suspended session still waits.
    pub(super) fn tell_time(&mut self, ctx: &mut Context<Self>) -> Option<Duration> {
        let now = self.shared.elapsed_ms();
        self.at_holder(None, |holder| holder.on_time(now), ctx);
        self.at_newcomer(|newcomer| newcomer.on_time(now), ctx);
        let holder = self.resumable.as_ref()?.holder.as_ref()?;
        let at = holder.deadline()?;
        Some(Duration::from_millis(at.saturating_sub(now)))
    }
}
