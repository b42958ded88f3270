//! The session core's driver: the execution of its effects.

use std::time::Duration;

use actix::prelude::*;

use super::view::View;
use super::{Client, Connection};
use crate::actors::link::Lease;
use crate::actors::peers::{Call, CancelCall, Reply};
use crate::actors::session_registry::{Forwarded, ResumeConnection, SessionEnded, SessionMoved};
use crate::history::Happening;
use crate::labels::Label;
use crate::memory::{Held, Part};
use crate::metrics::{DropReason, Resumed};
use crate::session::closing::Closing;
use crate::session::core::{Core, Effect, Note, Step};
use crate::session::trace_id::TraceId;
use crate::supervision::Pumped;
use crate::traces::{Decision, Name};

impl Client {
    /// Tells the core of an event and executes what follows.
    pub(super) fn at_core(
        &mut self,
        ctx: &mut Pumped<Self>,
        event: impl FnOnce(&mut Core<Lease>, &mut Step<'_>),
    ) {
        self.at_core_with(None, ctx, event);
    }

    fn at_core_with(
        &mut self,
        connection: Option<Forwarded>,
        ctx: &mut Pumped<Self>,
        event: impl FnOnce(&mut Core<Lease>, &mut Step<'_>),
    ) {
        if self.core.waiting_bytes() == 0 {
            return self.step(connection, ctx, event);
        }
        // A link may take what waits for it.
        self.passing_on(|client| client.step(connection, ctx, event));
    }

    fn step(
        &mut self,
        mut connection: Option<Forwarded>,
        ctx: &mut Pumped<Self>,
        event: impl FnOnce(&mut Core<Lease>, &mut Step<'_>),
    ) {
        let mut effects = self.shared.effects.take();
        let mut host = View::new(&self.shared, &self.stats);
        let resuming = connection.as_mut().and_then(Forwarded::connection);
        host.resuming = resuming.map(|c| (c.remote, c.transport));
        let mut step = Step {
            now: self.shared.elapsed_ms(),
            host: &host,
            effects: &mut effects,
        };
        event(&mut self.core, &mut step);
        self.execute(&mut effects, connection, ctx);
        self.shared.keep_effects(effects);
    }

    /// Another connection wants this client's session.
    pub(super) fn resume_here(&mut self, mut forwarded: Forwarded, ctx: &mut Pumped<Self>) {
        let Some(connection) = forwarded.connection() else {
            return;
        };
        let doors = &self.shared.scope.doors;
        let refusal = if doors.bans_address(connection.remote.ip(), connection.source) {
            // It was banned on its way here, perhaps from another thread.
            Some(Closing::Banned)
        } else if connection.socket.is_abandoned() {
            // Its player may have come back on another connection since, and must not be told 205 there.
            Some(Closing::Disconnected)
        } else {
            None
        };
        if let Some(closing) = refusal {
            let session_id = self.core.session_id();
            return self.refuse_connection(forwarded, &closing, session_id);
        }
        let request = connection.request.clone();
        self.at_core_with(Some(forwarded), ctx, |core, step| {
            core.resume_here(&request, step);
        });
    }

    /// Begins the end of the connection. The first reason counts.
    pub(super) fn close(&mut self, closing: Closing, ctx: &mut Pumped<Self>) {
        if let Connection::Ending(_) = self.connection {
            if matches!(closing, Closing::Failed | Closing::Disconnected) {
                ctx.stop();
            }
            return;
        }
        self.at_core(ctx, |core, step| core.close(closing, step));
    }

    /// Executes the core's effects in order. `connection`: the one that they may take or refuse.
    pub(super) fn execute(
        &mut self,
        effects: &mut Vec<Effect>,
        mut connection: Option<Forwarded>,
        ctx: &mut Pumped<Self>,
    ) {
        let session_id = self.stats.session_id().unwrap_or(0);
        let mut overflowed = false;
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(_) | Effect::SendOpened(_) | Effect::Replay { .. } if overflowed => {
                    let metrics = &self.shared.scope.metrics;
                    metrics.dropped.add(DropReason::ClientClosing, 1);
                }
                Effect::Send(frame) => overflowed = !self.send_own(frame),
                Effect::SendOpened(opened) => overflowed = !self.send_opened(&opened),
                Effect::Replay { bytes, frames } => {
                    self.trace_replay(frames);
                    overflowed = !self.send(bytes, None, frames);
                }
                Effect::LeaveConnection(closing) => self.leave_connection(&closing, session_id),
                Effect::TakeConnection => {
                    if let Some(connection) = connection.take().and_then(Forwarded::take) {
                        self.take_connection(connection);
                    }
                }
                Effect::RefuseConnection(closing) => {
                    if let Some(connection) = connection.take() {
                        self.refuse_connection(connection, &closing, session_id);
                    }
                }
                Effect::Close(closing) => {
                    self.note_last_words(&closing, session_id);
                    self.end_connection(&closing, session_id, ctx);
                }
                Effect::Register { chosen } => self.register(chosen, ctx),
                Effect::Locate(session_id) => self.locate(session_id, ctx),
                Effect::Enlist(session_id) => self.enlist(session_id, ctx),
                Effect::Unregister => self.unregister(),
                Effect::Moved(to) => self.moved(to),
                Effect::Route(route) => self.route(route, ctx),
                Effect::Reach(reach) => self.reach(reach, ctx),
                Effect::Elsewhere(elsewhere) => self.find_elsewhere(elsewhere, ctx),
                Effect::Call {
                    call,
                    to,
                    session_id,
                    say,
                } => {
                    self.trace_call(&say, &to);
                    self.shared.peers.call(Call {
                        call,
                        to,
                        session_id,
                        say,
                        client: self.registration.address(ctx).recipient(),
                    });
                }
                Effect::CancelCall(call) => {
                    self.shared.peers.cancel(CancelCall { call });
                }
                Effect::Reply { to, say } => {
                    self.trace(|| Decision::new(Name::AnswersGateway).detail(say.name()));
                    let held = Held::new(Part::Peers, say.bytes());
                    self.shared.peers.reply(Reply { to, say, held });
                }
                Effect::Note(note) => self.note(note, session_id),
            }
        }
        self.settle();
        if overflowed {
            self.close(Closing::TooSlow, ctx);
        }
    }

    /// Brings what the worker knows of this client up to date: its deadline and its replay ring.
    fn settle(&mut self) {
        self.count_replay();
        if let Connection::Frames | Connection::Absent(_) = self.connection
            && let Some(at) = self.core.deadline(&self.shared.limits)
        {
            self.arm_at(at);
        }
    }

    /// From now on this is the session's connection.
    fn take_connection(&mut self, connection: ResumeConnection) {
        let mut socket = connection.socket;
        // One that is gone is noticed when it is written to.
        let _ = socket.move_here();
        self.use_socket(socket, connection.inbox);
        self.permit = connection.permit;
        self.stats.set_remote(connection.remote, connection.source);
        self.stats.transport.set(connection.transport);
        self.stats.set_suspended(false);
        self.look_for_traces();
        self.connection = Connection::Frames;
    }

    /// Tells a connection that it does not get the session. It still counts while it is told.
    fn refuse_connection(&self, forwarded: Forwarded, closing: &Closing, session_id: u64) {
        let Some(connection) = forwarded.take() else {
            return;
        };
        self.trace(|| {
            let label = closing.outcome().label.label();
            let detail = format!("{label} from {}", connection.remote);
            Decision::new(Name::ResumeRefused).detail(detail)
        });
        let shared = &self.shared;
        shared.refuse_connection(connection, closing, session_id);
    }

    fn moved(&mut self, to: crate::codec::peer::PeerGateway) {
        self.happened(Happening::HandedOver(to.gateway.as_str().into()));
        let scope = &self.shared.scope;
        let session_id = std::mem::take(&mut self.registered_id);
        let trace_id = || TraceId::of(session_id).map(tracing::field::display);
        tracing::debug!(session = %format_args!("{}:{session_id}", scope.config.gateway.id), trace_id = trace_id(), to = %to.gateway, "session is handed over");
        self.shared.shards.home(session_id).do_send(SessionMoved {
            session_id,
            client_number: self.stats.client_number,
            to,
            keep: scope.config.session.resume_window,
        });
    }

    /// The registry forgets the session, or the one that it is being asked about.
    pub(super) fn unregister(&mut self) {
        let session_id = std::mem::take(&mut self.registered_id);
        if session_id != 0 {
            // A registry that is just being rebuilt looks for clients that are gone.
            self.shared.shards.home(session_id).do_send(SessionEnded {
                session_id,
                client_number: self.stats.client_number,
            });
        }
    }

    fn session_started(&mut self, session_id: u64, resumable: bool, taken_up: bool) {
        let scope = &self.shared.scope;
        let (id, peer) = (&scope.config.gateway.id, self.stats.remote());
        let what = match taken_up {
            true => "session is taken up",
            false => "session starts",
        };
        let trace_id = || TraceId::of(session_id).map(tracing::field::display);
        tracing::debug!(session = %format_args!("{id}:{session_id}"), trace_id = trace_id(), %peer, "{what}");
        let transport = self.stats.transport();
        scope.metrics.sessions_started.add(transport, 1);
        self.stats.session_id.set(session_id);
        self.stats.session_starts(resumable, self.shared.now_ms());
        self.look_for_traces();
        self.span_session_starts(session_id, taken_up);
        if taken_up {
            let from = self.core.claims_of().unwrap_or("unknown");
            self.note_resume(Happening::TakenUp(from.into()));
        } else {
            let resumes = if resumable { "" } else { "not " };
            let how = || format!("over {}, {resumes}resumable", transport.label());
            self.trace(|| Decision::new(Name::SessionStarted).detail(how()));
        }
    }

    fn suspended(&mut self) {
        let scope = &self.shared.scope;
        scope.metrics.sessions_suspended.one();
        self.permit = None;
        if let Connection::Absent(suspension) = &mut self.connection {
            suspension.get_or_insert_with(|| Box::new(scope.gate.suspend()));
        }
        self.stats.set_suspended(true);
        self.trace(|| Decision::new(Name::Suspended));
        self.shared.suspended(self.slot, self.stats.client_number);
    }

    fn note(&mut self, note: Note, session_id: u64) {
        let scope = &self.shared.scope;
        let metrics = &scope.metrics;
        match note {
            Note::SessionStarted {
                session_id,
                resumable,
                taken_up,
            } => self.session_started(session_id, resumable, taken_up),
            Note::BeganElsewhere(age_s) => self.stats.began_elsewhere(age_s, self.shared.now_s()),
            Note::SessionEnded(ended) => self.session_ended(&ended),
            Note::Suspended => self.suspended(),
            Note::WaitsAgain => self.shared.suspended(self.slot, self.stats.client_number),
            Note::Resumed { gap, took } => {
                metrics.resume.observe(Duration::from_millis(took));
                let how = if gap { Resumed::Gap } else { Resumed::Exact };
                metrics.sessions_resumed.add(how, 1);
                self.show_identity();
                self.span_resumed(gap, took);
                let from = self.stats.remote();
                self.note_resume(Happening::Resumed { gap, from });
            }
            Note::HandedOver { took } => {
                scope.gate.handed_over();
                metrics.handover.observe(Duration::from_millis(took));
                self.span_handover(true, took);
            }
            Note::NotHandedOver { took } => self.span_handover(false, took),
            Note::ServicesChanged => {
                let now_s = self.shared.now_s();
                self.stats.set_services(self.core.endpoints(), now_s);
                self.trace_services();
            }
            Note::ServiceEnded => metrics.maintenance_ended.one(),
            Note::Bound => {
                metrics.binds.one();
                self.show_identity();
                self.trace_bound();
            }
            Note::BannedUser { user_id, is_bound } => {
                self.show_user(user_id);
                self.stats.set_bound(is_bound);
            }
            Note::BindFailed => metrics.bind_failures.one(),
            Note::MoveBegan => metrics.moves_begun.one(),
            Note::MoveEnded { .. } => self.move_ended(note),
            Note::ErrorMade(code) => metrics.errors_sent.add(code, 1),
            Note::Goaway => {
                metrics.goaways.one();
                self.span_asked_away();
                self.happened(Happening::AskedAway);
            }
            Note::Paused => {
                metrics.paused.one();
                self.happened(Happening::LinkFull);
                // The frame that is held back may have said who the client is; shown again, it says nothing new.
                self.show_identity();
            }
            Note::FramesDropped(frames) => {
                metrics
                    .dropped
                    .add(DropReason::ClientClosing, u64::from(frames));
            }
            Note::UnexpectedAccept => metrics.dropped.add(DropReason::UnexpectedAccept, 1),
            Note::BadToken(error) => {
                tracing::debug!(session_id, %error, "RESUME with a bad token");
            }
        }
    }

    fn move_ended(&self, note: Note) {
        let Note::MoveEnded {
            code,
            took,
            from,
            to,
        } = note
        else {
            return;
        };
        let metrics = &self.shared.scope.metrics;
        metrics.moves_ended.add(code, 1);
        metrics.moving.observe(Duration::from_millis(took));
        self.span_move(code, from, to, took);
    }

    /// Shows who the session is.
    pub(super) fn show_identity(&self) {
        if let Some(identity) = self.core.identity() {
            self.stats.realm_id.set(identity.realm_id);
            self.show_user(identity.user_id);
            self.stats.set_bound(self.core.is_bound());
        }
    }

    fn show_user(&self, user_id: u64) {
        let before = self.stats.user_id.replace(user_id);
        if before != user_id {
            self.shared.user_changes(self.slot, before, user_id);
        }
    }
}
