//! A backend's part of the link protocol (protocol 2), without I/O and clock: the bytes of links and the
//! time go in, frames for links and calls of a [`Service`] come out. The same inputs give the same
//! outputs.
//!
//! ```
//! use game_gateway::codec::link::{Kind, encode};
//! use game_gateway::sdk::backend::core::{BackendCore, echo};
//!
//! let mut core = BackendCore::new(echo);
//! let link = core.link_up();
//! let hello = br#"{"protocol":1,"gateway_id":"a","service_type":"game","resume_window_ms":30000}"#;
//! let mut input = Vec::new();
//! encode(&mut input, Kind::Hello, 0, hello);
//! encode(&mut input, Kind::Ping, 0, b"there?");
//! assert_eq!(core.received(0, link, &input).ok(), Some(input.len()));
//! while let Some(link) = core.next_ready() {
//!     let mut output = Vec::new();
//!     core.take_output(link, &mut output);
//!     assert!(output.ends_with(b"there?"));
//! }
//! ```

mod frames;
mod links;
mod replies;
mod service;
mod sessions;

use std::collections::BTreeMap;

use crate::codec::Decoded;
use crate::codec::code::Code;
use crate::codec::link::{self, Frame, FrameError, GOAWAY_MOVE, Hello, Kind};
use links::{Greeting, Links};
use sessions::Sessions;

pub use links::MAX_OUTBOX_BYTES;
pub use replies::Replies;
pub use service::{Counts, Service, echo};
pub use sessions::{LinkId, SessionInfo};

/// Longest link payload that is accepted, in bytes.
pub const MAX_LINK_PAYLOAD: u32 = 16 << 20;
/// Version of the link protocol.
const PROTOCOL: u32 = 1;

/// Reason for which a link must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A frame is malformed, or not a gateway's to send.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Another frame came before HELLO.
    #[error("expected HELLO as the first frame, got kind {0}")]
    NoHello(u8),
    /// The JSON of HELLO is malformed.
    #[error("malformed HELLO: {0}")]
    BadHello(#[from] serde_json::Error),
    /// HELLO asks for another version.
    #[error("unsupported link protocol {0}, expected {PROTOCOL}")]
    Version(u32),
    /// The gateway does not read.
    #[error("outbox full: {MAX_OUTBOX_BYTES} bytes wait for the gateway")]
    Overflowed,
}

/// A backend as a state machine. `now` is in milliseconds since any moment, and never goes back.
///
/// After each call: take [`next_ready`](Self::next_ready) until `None`, and write what
/// [`take_output`](Self::take_output) gives to each of these links.
pub struct BackendCore<S> {
    service: S,
    /// Index of each service_type in `sessions`.
    names: BTreeMap<String, usize>,
    sessions: Vec<Sessions>,
    links: Links,
    /// The driver counts the links that it drops.
    pub(super) counts: Counts,
    /// Sessions that the service has closed during a call.
    closed: Vec<u64>,
    /// The payload of its GOAWAY, once it leaves.
    leaving: Option<&'static [u8]>,
}

impl<S> std::fmt::Debug for BackendCore<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendCore")
            .field("links", &self.links)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl<S: Service> BackendCore<S> {
    /// Creates a backend without links.
    pub fn new(service: S) -> BackendCore<S> {
        BackendCore {
            service,
            names: BTreeMap::new(),
            sessions: Vec::new(),
            links: Links::default(),
            counts: Counts::default(),
            closed: Vec::new(),
            leaving: None,
        }
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts the links whose HELLO was taken and that are still there.
    pub fn link_count(&self) -> usize {
        self.links.greeted().count()
    }

    /// Counts the sessions over all services, suspended ones included.
    pub fn session_count(&self) -> usize {
        self.sessions.iter().map(Sessions::len).sum()
    }

    /// Returns the service.
    pub fn service(&mut self) -> &mut S {
        &mut self.service
    }

    /// Adds a link; its HELLO is yet to come.
    pub fn link_up(&mut self) -> LinkId {
        self.links.insert()
    }

    /// Handles every whole frame in `input`, which begins with a frame; returns how many bytes they took.
    ///
    /// # Errors
    /// The gateway has broken the protocol, or does not read: the link must be dropped, and
    /// [`link_down`](Self::link_down) called.
    pub fn received(&mut self, now: u64, link: LinkId, input: &[u8]) -> Result<usize, LinkError> {
        let (mut at, mut service) = (0, self.links.greeting(link).map(|hello| hello.service));
        while let Decoded::Frame(frame, used) = link::decode(&input[at..], MAX_LINK_PAYLOAD)? {
            at += used;
            match service {
                None => service = Some(self.hello(link, &frame)?),
                Some(service) if frame.kind == Kind::Data as u8 => {
                    self.data(link, service, frame.session_id, frame.payload);
                }
                Some(_) => self.control(now, link, &frame)?,
            }
        }
        if self.links.overflowed(link) {
            return Err(LinkError::Overflowed);
        }
        Ok(at)
    }

    /// Returns how long a link may be silent before it is lost, in milliseconds: three intervals of its
    /// gateway's PINGs (protocol 2.2). None before HELLO, or where that does not tell.
    pub fn silence_limit(&self, link: LinkId) -> Option<u64> {
        let interval = self.links.greeting(link)?.ping_interval_ms;
        (interval > 0).then(|| interval.saturating_mul(3))
    }

    /// Removes a link. Sessions without another link of that gateway are suspended.
    pub fn link_down(&mut self, now: u64, link: LinkId) {
        let Some(gone) = self.links.remove(link) else {
            return;
        };
        let twin =
            |other: &Greeting| other.service == gone.service && other.gateway_id == gone.gateway_id;
        let sibling = self.links.greeted().find(|(_, other)| twin(other));
        let sibling = sibling.map(|(link, _)| link);
        let until = now.saturating_add(gone.resume_window_ms);
        for info in self.sessions[gone.service].lose_link(link, sibling, until) {
            self.service.suspended(&info);
        }
    }

    /// Ends the sessions whose window has passed. Called once a second.
    pub fn timer(&mut self, now: u64) {
        for sessions in &mut self.sessions {
            for info in sessions.expire(now) {
                self.service.ended(&info, Code::TIMEOUT);
            }
        }
    }

    /// Tells every gateway, now and on links to come, that this backend takes no new sessions; with `moves` that those
    /// which it has are to be moved to others, else they go on.
    pub fn leave(&mut self, moves: bool) {
        let goaway: &[u8] = if moves { &[GOAWAY_MOVE] } else { &[] };
        self.leaving = Some(goaway);
        let links: Vec<LinkId> = self.links.greeted().map(|(link, _)| link).collect();
        for link in links {
            self.links.push(link, Kind::Goaway, 0, goaway);
        }
    }

    /// Returns true once it has said that it takes no new sessions.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Asks every gateway for a sign that it has taken all that was said to it: a PING on each link, which is answered
    /// in the order of the link's frames. What the gateway has sent before it heard of a GOAWAY comes before that too.
    pub fn ask_all(&mut self) {
        self.links.ping_all();
    }

    /// Returns true if every gateway that was asked has answered, or its link is gone.
    pub fn all_have_answered(&self) -> bool {
        self.links.all_have_answered()
    }

    /// Speaks to sessions of `service` unasked. Returns `None` where no link for it has ever come.
    pub fn speak<R>(
        &mut self,
        service: &str,
        say: impl FnOnce(&mut Replies<'_>) -> R,
    ) -> Option<R> {
        let service = *self.names.get(service)?;
        let said = say(&mut Replies {
            sessions: &self.sessions[service],
            links: &mut self.links,
            counts: &mut self.counts,
            here: None,
            closed: &mut self.closed,
        });
        self.forget_closed(service);
        Some(said)
    }

    /// Returns a link with bytes to write, each once.
    pub fn next_ready(&mut self) -> Option<LinkId> {
        self.links.next_ready()
    }

    /// Swaps `empty` with the frames that wait to be written to a link.
    pub fn take_output(&mut self, link: LinkId, empty: &mut Vec<u8>) {
        self.links.take_output(link, empty);
    }

    /// Takes a link's first frame; returns the index of its service.
    fn hello(&mut self, link: LinkId, frame: &Frame<'_>) -> Result<usize, LinkError> {
        if frame.kind != Kind::Hello as u8 {
            return Err(LinkError::NoHello(frame.kind));
        }
        let hello: Hello = serde_json::from_slice(frame.payload)?;
        if hello.protocol != PROTOCOL {
            return Err(LinkError::Version(hello.protocol));
        }
        let next = self.sessions.len();
        let service = *self.names.entry(hello.service_type).or_insert(next);
        if service == next {
            self.sessions.push(Sessions::default());
        }
        let greeting = Greeting {
            gateway_id: hello.gateway_id.into(),
            service,
            resume_window_ms: hello.resume_window_ms,
            ping_interval_ms: hello.ping_interval_ms,
            features_told: false,
            unanswered: 0,
        };
        self.links.greet(link, greeting);
        if let Some(goaway) = self.leaving {
            self.links.push(link, Kind::Goaway, 0, goaway);
        }
        self.counts.links += 1;
        Ok(service)
    }

    #[inline]
    fn data(&mut self, link: LinkId, service: usize, session_id: u64, payload: &[u8]) {
        let sessions = &self.sessions[service];
        let Some(info) = sessions.on_link(link, session_id) else {
            self.counts.strays += 1;
            return;
        };
        self.counts.data_in += 1;
        // While a session leaves this link, its answers already go elsewhere.
        let here = sessions.link_of(session_id) == Some(link);
        let mut out = Replies {
            sessions,
            links: &mut self.links,
            counts: &mut self.counts,
            here: here.then_some((session_id, link)),
            closed: &mut self.closed,
        };
        self.service.data(info, payload, &mut out);
        self.forget_closed(service);
    }

    /// Takes out the sessions that the service has just closed: CLOSE is never answered.
    #[inline]
    fn forget_closed(&mut self, service: usize) {
        for session_id in self.closed.drain(..) {
            self.sessions[service].remove(session_id);
        }
    }
}

#[cfg(test)]
mod tests;
