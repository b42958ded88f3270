//! A session's story as the admin API tells it: what its worker remembers, with times and texts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::traced::name;
use super::{Identity, SessionFilter, SessionService, SessionSnapshot, SessionState};
use crate::codec::link::Transport;
use crate::config::Config;
use crate::history::{
    EndedSession, Event, Happening, LastWords, SessionRecord, Story, UsedService,
};
use crate::labels::Label;
use crate::session::trace_id::TraceId;

/// The worker that a session is on, and its clock.
#[derive(Debug, Clone)]
pub struct Place {
    /// Has the gateway's id.
    pub config: Arc<Config>,
    /// The worker.
    pub worker: usize,
    /// The beginning of the worker's clock, since 1970.
    pub epoch: Duration,
    /// The time by it, in seconds.
    pub now_s: u32,
}

impl Place {
    /// Returns a time in seconds since 1970.
    pub(super) fn at(&self, worker_s: u32) -> u64 {
        (self.epoch + Duration::from_secs(worker_s.into())).as_secs()
    }
}

/// The facts of a session that a filter looks at, its services aside.
pub(super) struct Facts {
    pub(super) realm_id: u32,
    pub(super) user_id: u64,
    pub(super) bound: bool,
    pub(super) client: SocketAddr,
    pub(super) transport: Transport,
    pub(super) state: SessionState,
}

impl SessionFilter {
    pub(super) fn passes(&self, facts: &Facts) -> bool {
        let transport = facts.transport.into();
        self.realm_id.is_none_or(|realm| realm == facts.realm_id)
            && self.user_id.is_none_or(|user| user == facts.user_id)
            && self.bound.is_none_or(|bound| bound == facts.bound)
            && self
                .address
                .is_none_or(|network| network.contains(facts.client.ip().to_canonical()))
            && self.transport.is_none_or(|wanted| wanted == transport)
            && self.state.is_none_or(|state| state == facts.state)
    }

    /// Tells whether the filter lets a session pass, by what is shown of it.
    pub fn fits(&self, session: &SessionSnapshot) -> bool {
        let uses = |name: &String| session.services.iter().any(|used| used.service == *name);
        let is_bound = |at: &SocketAddr| session.services.iter().any(|used| used.endpoint == *at);
        let bound = session.identity == Identity::Bound;
        let ip = session.client.ip().to_canonical();
        self.realm_id.is_none_or(|realm| realm == session.realm_id)
            && self
                .user_id
                .is_none_or(|user| user.to_string() == session.user_id)
            && self.bound.is_none_or(|wanted| wanted == bound)
            && self.address.is_none_or(|network| network.contains(ip))
            && self
                .transport
                .is_none_or(|wanted| wanted == session.transport)
            && self.state.is_none_or(|state| state == session.state)
            && self.service.as_ref().is_none_or(uses)
            && self.backend.as_ref().is_none_or(is_bound)
    }

    pub(super) fn looks_at_services(&self) -> bool {
        self.service.is_some() || self.backend.is_some()
    }

    pub(super) fn passes_services(&self, services: &[UsedService]) -> bool {
        let uses = |wanted: &String| services.iter().any(|used| *used.0 == **wanted);
        let is_bound = |wanted: &SocketAddr| services.iter().any(|used| used.1 == *wanted);
        self.service.as_ref().is_none_or(uses) && self.backend.as_ref().is_none_or(is_bound)
    }

    /// Tells whether the filter lets a session pass that has ended.
    pub fn passes_ended(&self, ended: &EndedSession) -> bool {
        let session = &ended.session;
        let facts = Facts {
            realm_id: session.realm_id,
            user_id: session.user_id,
            bound: session.is_bound,
            client: session.client,
            transport: session.transport,
            state: SessionState::Ended,
        };
        self.passes(&facts) && self.passes_services(&session.services)
    }
}

/// The CLOSE that ended a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LastWordsSnapshot {
    /// Whose: `player`, `backend` or `gateway`.
    #[schema(example = "backend")]
    pub by: &'static str,
    /// Its code.
    #[schema(example = 440)]
    pub code: u16,
    /// The beginning of its text, up to 256 bytes; of a player's CLOSE none is kept.
    pub text: String,
}

/// How a session ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionEnd {
    /// When, in seconds since 1970.
    pub at_seconds: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// The reason, as `game_gateway_closed_connections_total` counts it.
    #[schema(example = "idle")]
    pub reason: &'static str,
    /// The code that its backends were told; 307: it goes on elsewhere.
    pub code: u16,
    /// The gateway that goes on with it; `null`: none is known that does.
    #[schema(example = "gw-b")]
    pub moved_to: Option<String>,
    /// The CLOSE that ended it; `null`: its connection just ended, or was lost before.
    pub last_words: Option<LastWordsSnapshot>,
}

/// Something that has happened to a session, once or more often.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StoryEvent {
    /// What.
    #[schema(example = "resumed")]
    pub event: &'static str,
    /// Where, how or why, for people.
    #[schema(example = "from 192.0.2.7:4242, exactly")]
    pub detail: String,
    /// How often; of frames, how many.
    pub count: u32,
    /// The first time, in seconds since 1970.
    pub first_seconds: u64,
    /// The last time, in seconds since 1970.
    pub last_seconds: u64,
}

/// One session with what has happened to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionStory {
    /// The session.
    #[serde(flatten)]
    pub session: SessionSnapshot,
    /// When it began, or came from another gateway, in seconds since 1970.
    pub since_seconds: u64,
    /// When it began, at whichever gateway, in seconds since 1970; `null`: the gateway that it came from has not told, or was
    /// gone.
    pub began_seconds: Option<u64>,
    /// How often it was resumed.
    pub resumes: u32,
    /// What has happened to it, beside its frames, the oldest first; the same again is counted with the first.
    pub events: Vec<StoryEvent>,
    /// Number of older ones that have given way.
    pub omitted_events: u32,
}

/// A session as its worker hands it out: figures only, because the worker does nothing else meanwhile. The texts are made
/// where they are wanted.
#[derive(Debug)]
pub struct SessionRow {
    pub(super) record: SessionRecord,
    pub(super) state: SessionState,
    pub(super) queued_bytes: u32,
}

impl SessionRow {
    /// Returns what is shown of it.
    pub fn snapshot(&self, place: &Place) -> SessionSnapshot {
        SessionSnapshot {
            state: self.state,
            queued_bytes: self.queued_bytes.into(),
            ..SessionSnapshot::new(&self.record, place.now_s, place)
        }
    }
}

impl SessionSnapshot {
    /// A session that has begun and lasted until `until_s`.
    pub(super) fn new(record: &SessionRecord, until_s: u32, place: &Place) -> SessionSnapshot {
        let session_id = record.session_id;
        let service = |(name, endpoint, since_s): &UsedService| SessionService {
            service: name.to_string(),
            endpoint: *endpoint,
            since_seconds: place.at(*since_s),
        };
        SessionSnapshot {
            session_id: session_id.to_string(),
            global_id: format!("{}:{session_id}", place.config.gateway.id),
            trace_id: TraceId::of(session_id)
                .map_or_else(String::new, |trace_id| trace_id.to_string()),
            user_id: record.user_id.to_string(),
            realm_id: record.realm_id,
            identity: match record.is_bound {
                true => Identity::Bound,
                false => Identity::Claimed,
            },
            state: SessionState::Active,
            transport: record.transport.into(),
            client: record.client,
            worker: place.worker,
            age_seconds: until_s.saturating_sub(record.started_s).into(),
            resumable: record.is_resumable,
            services: record.services.iter().map(service).collect(),
            frames_in: record.frames_in,
            frames_out: record.frames_out,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            queued_bytes: 0,
            end: None,
        }
    }

    /// A session that has ended.
    pub fn of_ended(ended: &EndedSession, place: &Place) -> SessionSnapshot {
        let words = |words: &LastWords| LastWordsSnapshot {
            by: words.by.label(),
            code: words.code.0,
            text: words.text.to_string(),
        };
        let moved_to = ended.story.as_ref().and_then(|s| s.handed_over_to());
        SessionSnapshot {
            state: SessionState::Ended,
            end: Some(SessionEnd {
                at_seconds: place.at(ended.ended_s),
                age_seconds: place.now_s.saturating_sub(ended.ended_s).into(),
                reason: ended.why.label(),
                code: ended.code.0,
                moved_to: moved_to.map(str::to_owned),
                last_words: ended.last_words.as_deref().map(words),
            }),
            ..SessionSnapshot::new(&ended.session, ended.ended_s, place)
        }
    }
}

impl SessionStory {
    pub(super) fn new(
        session: SessionSnapshot,
        since_s: u32,
        resumes: u32,
        story: Option<&Story>,
        place: &Place,
    ) -> SessionStory {
        let events = story.map_or(&[][..], Story::events);
        let before_s = story.map_or(Some(0), Story::before_s);
        SessionStory {
            session,
            since_seconds: place.at(since_s),
            began_seconds: before_s
                .map(|before_s| place.at(since_s).saturating_sub(before_s.into())),
            resumes,
            events: events.iter().map(|event| told(event, place)).collect(),
            omitted_events: story.map_or(0, Story::omitted),
        }
    }

    /// The story of a session that has ended.
    pub fn of_ended(ended: &EndedSession, place: &Place) -> SessionStory {
        let session = SessionSnapshot::of_ended(ended, place);
        let (since_s, story) = (ended.session.started_s, ended.story.as_deref());
        SessionStory::new(session, since_s, ended.resumes, story, place)
    }
}

fn told(event: &Event, place: &Place) -> StoryEvent {
    StoryEvent {
        event: name(&event.what).label(),
        detail: Detail(&event.what).to_string(),
        count: event.count,
        first_seconds: place.at(event.first_s),
        last_seconds: place.at(event.last_s),
    }
}

/// The detail of an event.
pub(super) struct Detail<'a>(pub(super) &'a Happening);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Happening::Disconnected(why) => f.write_str(why.label()),
            Happening::Resumed { gap: false, from } => write!(f, "from {from}, exactly"),
            Happening::Resumed { gap: true, from } => write!(f, "from {from}, with a gap"),
            Happening::TakenUp(from) => write!(f, "from gateway {from}"),
            Happening::HandedOver(to) => write!(f, "to gateway {to}"),
            Happening::Left(service, endpoint) => write!(f, "{service} at {endpoint}"),
            Happening::Moved(moved) => {
                let (service, from, to) = (&moved.service, moved.from, moved.to);
                write!(f, "{service} from {from} to {to}")
            }
            Happening::AskedAway => f.write_str("this gateway drains"),
            Happening::Refused {
                code,
                reason,
                service,
            } => {
                write!(f, "{}: {reason}", code.0)?;
                match &**service {
                    "" => Ok(()),
                    service => write!(f, " ({service})"),
                }
            }
            Happening::OverRate => f.write_str("frames dropped, over limits.*_per_second"),
            Happening::LinkFull => f.write_str("not read until a backend's link had room"),
            Happening::HeldBack => f.write_str("not read because memory was short"),
            Happening::RingCut => f.write_str("replay ring cut down because memory was short"),
        }
    }
}
