//! A client that a trace concerns: its frames and what is decided about it become events. All others know by a mark
//! of theirs that nothing of this concerns them.

use std::fmt;
use std::time::Duration;

use super::story::Detail;
use super::{Client, ClientStats, STORY_BYTES, WorkerScope};
use crate::actors::link::Lease;
use crate::codec::client::{self, Kind};
use crate::codec::code::{Code, Notice};
use crate::codec::peer::{PeerGateway, ToOwner};
use crate::history::Happening;
use crate::labels::Label;
use crate::memory::Pressure;
use crate::routing::Why;
use crate::session::core::{Hold, RouteFailed};
use crate::traces::{Decision, Direction, Fate, Frame, Name, Subject, What};

impl WorkerScope {
    /// Marks a client that a trace concerns.
    pub(super) fn look_for_traces(&self, stats: &ClientStats, subject: &Subject) {
        let traces = &self.scope.traces;
        if traces.any() && !stats.is_traced() && traces.concern(subject) {
            stats.set_traced(true);
        }
    }

    /// Notes something that has happened to a session, so many times, and tells traces of it.
    pub(super) fn happened(&self, stats: &ClientStats, what: Happening, count: u32) {
        self.trace(stats, || decision(&what, count));
        if self.has_room_for_a_note() {
            stats.happened(what, count, self.now_s());
        }
    }

    pub(super) fn has_room_for_a_note(&self) -> bool {
        let meter = &self.scope.meter;
        !meter.is_scarce() || meter.admits(STORY_BYTES)
    }

    /// A client's address becomes known, or another one.
    pub(super) fn meet_address(&self, stats: &ClientStats, name: Name) {
        self.look_for_traces(stats, &stats.subject(self.scope.worker));
        self.trace(stats, || {
            let (transport, source) = (stats.transport().label(), stats.source().label());
            Decision::new(name).detail(format!("over {transport}, by its {source}"))
        });
    }

    /// A client's user becomes known, or another one.
    pub(super) fn meet_user(&self, stats: &ClientStats, user_id: u64) {
        if !self.scope.traces.any() {
            return;
        }
        let subject = Subject {
            user_id,
            ..stats.subject(self.scope.worker)
        };
        self.look_for_traces(stats, &subject);
        if stats.is_traced() && subject.session_id != 0 {
            let detail = format!("over {}", stats.transport().label());
            self.record(&subject, || Decision::new(Name::UserKnown).detail(detail));
        }
    }

    /// Tells the traces that concern a client of a decision about it.
    #[inline]
    pub(super) fn trace(&self, stats: &ClientStats, decision: impl FnOnce() -> Decision) {
        if stats.is_traced() {
            self.record(&stats.subject(self.scope.worker), decision);
        }
    }

    #[cold]
    fn record<W: Into<What>>(&self, subject: &Subject, what: impl FnOnce() -> W) -> bool {
        let is_short = self.scope.meter.pressure() >= Pressure::Rings;
        let traces = &self.scope.traces;
        traces.record(subject, is_short, || what().into())
    }
}

impl Client {
    fn subject(&self) -> Subject {
        let known = self.stats.subject(self.shared.scope.worker);
        let identity = self.core.identity().map_or(0, |identity| identity.user_id);
        // A session on its way here is not on the card yet.
        let or = |known, other| if known == 0 { other } else { known };
        Subject {
            session_id: or(known.session_id, self.registered_id),
            user_id: or(known.user_id, identity),
            ..known
        }
    }

    /// Looks whether a trace concerns what the client has become.
    pub(super) fn look_for_traces(&self) {
        if self.shared.scope.traces.any() {
            self.shared.look_for_traces(&self.stats, &self.subject());
        }
    }

    /// Tells the traces that concern the client of a decision about it.
    #[inline]
    pub(super) fn trace(&self, decision: impl FnOnce() -> Decision) {
        if self.stats.is_traced() {
            self.shared.record(&self.subject(), decision);
        }
    }

    /// The same, of a session that may be over.
    pub(super) fn trace_of(&self, session_id: u64, decision: impl FnOnce() -> Decision) {
        if self.stats.is_traced() {
            let subject = Subject {
                session_id,
                ..self.subject()
            };
            self.shared.record(&subject, decision);
        }
    }

    /// Tells traces that the player gets frames that it lacks.
    pub(super) fn trace_replay(&self, frames: u32) {
        let detail = || format!("{frames} frames of DATA");
        self.trace(|| Decision::new(Name::Replayed).detail(detail()));
    }

    /// Tells traces of the services in use and their endpoints.
    pub(super) fn trace_services(&self) {
        self.trace(|| {
            let endpoints = self.core.endpoints();
            let now: Vec<String> = endpoints.map(|(name, at)| format!("{name}@{at}")).collect();
            Decision::new(Name::ServicesChanged).detail(now.join(","))
        });
    }

    /// Tells traces who the session is by a backend's word.
    pub(super) fn trace_bound(&self) {
        self.trace(|| {
            let (user, realm) = (self.stats.user_id(), self.stats.realm_id.get());
            Decision::new(Name::Bound).detail(format!("user {user}, realm {realm}"))
        });
    }

    /// Tells traces what a peer gateway is asked. The session may be known by now, though it is not here yet.
    pub(super) fn trace_call(&self, say: &ToOwner, to: &PeerGateway) {
        self.look_for_traces();
        let said = || format!("{} to {}", say.name(), to.gateway);
        self.trace(|| Decision::new(Name::AsksGateway).detail(said()));
    }

    /// Tells traces of whole frames, of which the last one's payload may be elsewhere.
    #[cold]
    pub(super) fn trace_frames(&self, bytes: &[u8], direction: Direction, fate: Fate) {
        let subject = self.subject();
        for (frame, payload_bytes) in client::headers(bytes) {
            let is_traced = self.shared.record(&subject, || {
                let header = frame.header;
                let kind = Kind::from_byte(header.kind);
                let has_code = matches!(kind, Some(Kind::Error | Kind::Close));
                let code = || Notice::decode(frame.payload, Code::NORMAL).code.0;
                What::Frame(Frame {
                    direction,
                    fate,
                    kind: header.kind,
                    flags: header.flags,
                    realm_id: header.realm_id,
                    user_id: header.user_id,
                    session_id: header.session_id,
                    service: frame.service.into(),
                    payload_bytes,
                    code: has_code.then(code),
                })
            });
            if !is_traced {
                // The trace is over, or the client is not whom it concerned any more.
                return self.stats.set_traced(false);
            }
        }
    }
}

pub(super) fn decision(what: &Happening, count: u32) -> Decision {
    let decision = Decision::new(name(what));
    match what {
        Happening::Refused {
            code,
            reason,
            service,
        } => decision.code(code.0).service(service).detail(&**reason),
        Happening::Left(service, endpoint) => decision.service(service).endpoint(*endpoint),
        Happening::Moved(moved) => {
            let told = decision.service(&moved.service).endpoint(moved.to);
            told.detail(format!("from {}", moved.from))
        }
        _ if count == 1 => decision.detail(Detail(what).to_string()),
        _ => decision.detail(format!("{count}: {}", Detail(what))),
    }
}

/// Returns the name of an event in traces and in the story.
pub(super) fn name(what: &Happening) -> Name {
    match what {
        Happening::Disconnected(_) => Name::Disconnected,
        Happening::Resumed { .. } => Name::Resumed,
        Happening::TakenUp(_) => Name::TakenUp,
        Happening::HandedOver(_) => Name::HandedOver,
        Happening::Left(..) => Name::ServiceLeft,
        Happening::Moved(_) => Name::ServiceMoved,
        Happening::AskedAway => Name::AskedAway,
        Happening::Refused { .. } => Name::Refused,
        Happening::OverRate => Name::OverRate,
        Happening::LinkFull => Name::LinkFull,
        Happening::HeldBack => Name::HeldBack,
        Happening::RingCut => Name::RingCut,
    }
}

/// By whose word a session goes to an endpoint.
pub(super) enum Word {
    Rules(Why),
    /// ASSIGN, of a backend or an operator.
    Session,
    /// The user's assignment in Redis.
    Redis,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Rules(why) => why.fmt(f),
            Word::Session => f.write_str("assigned by a backend or an operator"),
            Word::Redis => f.write_str("assigned in Redis"),
        }
    }
}

/// The outcome of routing, for traces.
pub(super) fn routed(
    service: &str,
    result: &Result<(Lease, Word), RouteFailed>,
    took: Duration,
) -> Decision {
    let micros = took.as_micros();
    match result {
        Ok((lease, why)) => Decision::new(Name::Routed)
            .endpoint(lease.endpoint())
            .detail(format!("{why}, after {micros} µs")),
        Err(failed) => Decision::new(Name::RouteFailed)
            .code(failed.code.0)
            .detail(format!("{}, after {micros} µs", failed.text)),
    }
    .service(service)
}
