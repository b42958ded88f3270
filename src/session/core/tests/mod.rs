//! The core as transcripts: an event, then what it says to the client, to links, to the registry and to
//! peer gateways, in words. Words to links stand before the others of the same event, for they are said
//! at once. `tests/simulator` has all of them together.

mod answers;
mod bans;
mod claims;
mod crossings;
mod lease;
mod lives;
mod moves;
mod owners;
mod rates;
mod targets;
mod telling;
mod wishes;
mod words;

use lease::{Lease, Log, Room};
use words::words;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::codec::Decoded;
use crate::codec::client::{self, FLAG_RESUMABLE, Header, Kind};
use crate::codec::link::{
    Bind, OPEN_REALM_BOUND, OPEN_RESUMED, OPEN_TRANSFERRED, OPEN_USER_BOUND, Open, Transport,
};
use crate::codec::peer::{Binding, Caller, PeerGateway, ToClaimant, ToOwner};
use crate::session::closing::Closing;
use crate::session::token::{TokenBody, TokenError};

/// A gateway named "a".
struct Around {
    limits: Limits,
    drain_left: Cell<Option<Duration>>,
    refuses: Cell<bool>,
    /// Memory is short.
    short: Cell<bool>,
    /// A banned user; 0: nobody.
    banned: Cell<u64>,
    /// The user that tokens say is bound.
    token_user: Cell<u64>,
    calls: Cell<u64>,
    /// A backend that takes no new sessions.
    closed: Cell<Option<SocketAddr>>,
    /// One that the rules do not allow.
    forbidden: Cell<Option<SocketAddr>>,
    /// What tokens say is assigned.
    token_assigned: Vec<Binding>,
    /// Nothing but ASSIGN, or another source of assignments, leads to services.
    assigns: Cell<bool>,
}

impl Host for Around {
    fn limits(&self) -> &Limits {
        &self.limits
    }
    fn gateway_id(&self) -> &str {
        "a"
    }
    fn peer_address(&self) -> Option<&str> {
        Some("a:9")
    }
    fn short_of_memory(&self) -> bool {
        self.short.get()
    }
    fn has_room(&self, _: usize) -> bool {
        !self.short.get()
    }
    fn bans_user(&self, user_id: u64) -> bool {
        user_id != 0 && user_id == self.banned.get()
    }

    fn refuses_sessions(&self) -> bool {
        self.refuses.get()
    }
    fn drain_left(&self) -> Option<Duration> {
        self.drain_left.get()
    }
    fn remote_address(&self) -> SocketAddr {
        ([1, 2, 3, 4], 5).into()
    }
    fn transport(&self) -> Transport {
        Transport::Tcp
    }
    fn open_token(&self, token: &[u8]) -> Result<TokenBody, TokenError> {
        // A token of the tests is an epoch and the name of its gateway.
        let (epoch, owner) = token.split_first().ok_or(TokenError::Malformed)?;
        let owner = String::from_utf8_lossy(owner).into_owned();
        let mut token = token_of(u32::from(*epoch), &owner);
        token.bound.user_id = self.token_user.get();
        token.assigned = self.token_assigned.clone();
        Ok(token)
    }
    fn endpoint_allowed(&self, _: &str, endpoint: &str) -> Result<SocketAddr, Code> {
        let parsed: Option<SocketAddr> = endpoint.parse().ok();
        let allowed = parsed.filter(|to| self.forbidden.get() != Some(*to));
        allowed.ok_or(Code::NO_ROUTE)
    }
    fn takes_sessions(&self, _: &str, endpoint: SocketAddr) -> bool {
        self.closed.get() != Some(endpoint)
    }
    fn is_assigned(&self, _: &str, by_assign: bool) -> bool {
        self.assigns.get() && by_assign
    }
    fn unix_seconds(&self) -> u64 {
        1_000
    }
    fn session_age_s(&self) -> Option<u32> {
        Some(7)
    }
    fn next_call(&self) -> u64 {
        self.calls.set(self.calls.get() + 1);
        self.calls.get()
    }
}

fn endpoint(service: &str) -> SocketAddr {
    ([10, 0, 0, service.as_bytes()[0]], 1).into()
}

fn token_of(epoch: u32, owner: &str) -> TokenBody {
    TokenBody {
        session_id: 7,
        epoch,
        bound: Bind::default(),
        newest: Bind::default(),
        bindings: vec![Binding {
            service: "game".into(),
            endpoint: endpoint("game"),
        }],
        assigned: Vec::new(),
        owner: owner.into(),
        peer: format!("{owner}:9"),
        expires: 2_000,
    }
}

fn caller(name: &str) -> Caller {
    Caller {
        connection: 1,
        call: u64::from(name.as_bytes()[0]),
        at: gateway(name),
    }
}

fn gateway(name: &str) -> PeerGateway {
    PeerGateway {
        gateway: name.into(),
        address: format!("{name}:9"),
    }
}

/// A core, its time, and what it has said.
struct Play {
    core: Core<Lease>,
    reading: ReadLimits,
    around: Around,
    now: Millis,
    log: Log,
}

impl Play {
    fn new() -> Play {
        Play {
            core: Core::new(0),
            reading: ReadLimits::default(),
            around: Around {
                limits: Limits {
                    max_services: 8,
                    trust_client_ids: false,
                    idle_timeout: 10_000,
                    resume_window: 1_000,
                    connect_timeout: 100,
                    replay_bytes: 4096,
                    outbound_queue: 65_536,
                },
                drain_left: Cell::default(),
                refuses: Cell::new(false),
                short: Cell::default(),
                banned: Cell::default(),
                token_user: Cell::default(),
                calls: Cell::new(0),
                closed: Cell::default(),
                forbidden: Cell::default(),
                token_assigned: Vec::new(),
                assigns: Cell::default(),
            },
            now: 0,
            log: Log::default(),
        }
    }

    /// A session 7 with `game` open on link 1.
    fn with_session(flags: u8) -> Play {
        let mut play = Play::new();
        let read = play.says(&data("game", flags));
        assert_eq!(read.bytes, 0, "the frame that starts a session waits");
        play.at(|core, step| core.registered(Ok(7), step));
        play.says(&data("game", flags));
        play.opens("game", 1);
        play.heard();
        play
    }

    fn with_resumable() -> Play {
        Play::with_session(FLAG_RESUMABLE)
    }

    fn lease(&self, service: &'static str, link: u64) -> Lease {
        Lease {
            link,
            service,
            code: Some(Code::INTERNAL),
            endpoint: endpoint(service),
            feature: Cell::new(true),
            room: Rc::default(),
            log: Rc::clone(&self.log),
        }
    }

    /// An event, whose effects go to the log.
    fn at<R>(&mut self, event: impl FnOnce(&mut Core<Lease>, &mut Step<'_>) -> R) -> R {
        let mut effects = Vec::new();
        let mut step = Step {
            now: self.now,
            host: &self.around,
            effects: &mut effects,
        };
        let result = event(&mut self.core, &mut step);
        let words = effects.iter().filter_map(words);
        self.log.borrow_mut().extend(words);
        result
    }

    /// Bytes of the client.
    fn says(&mut self, bytes: &[u8]) -> Inbound {
        let limits = ReadLimits {
            max_payload: 65_536,
            ..self.reading
        };
        self.at(|core, step| core.on_bytes(bytes, &limits, step))
    }

    fn opens(&mut self, service: &'static str, link: u64) {
        let (lease, epoch) = (self.lease(service, link), self.core.epoch());
        self.at(|core, step| core.service_opened(service, epoch, lease, step));
    }

    fn reaches(&mut self, service: &'static str, link: u64) {
        let lease = self.lease(service, link);
        self.at(|core, step| core.service_reached(service, Some(lease), step));
    }

    /// A peer gateway says something.
    fn peer(&mut self, name: &str, say: ToOwner) {
        self.at(|core, step| core.peer_request(caller(name), 7, Some(say), step));
    }

    /// A peer gateway answers the newest call.
    fn answers(&mut self, call: u64, say: ToClaimant) {
        self.at(|core, step| core.peer_response(call, Some(say), step));
    }

    fn breaks(&mut self) {
        self.at(|core, step| core.close(Closing::Disconnected, step));
    }

    fn closes(&mut self, service: &str, code: u16) {
        self.closes_on(service, 1, code);
    }

    fn closes_on(&mut self, service: &str, link: u64, code: u16) {
        let close = BackendClose {
            code: Code(code),
            retry_after_ms: 0,
            text: Box::default(),
        };
        self.at(|core, step| core.closed_on_link(service, link, close, step));
    }

    fn resumes_here(&mut self, epoch: u32, count: u64) {
        let request = ResumeRequest {
            token: token_of(epoch, "a"),
            count,
            moved: None,
        };
        self.at(|core, step| core.resume_here(&request, step));
    }

    /// A backend's DATA for the client; returns whether it is sent at once.
    fn delivers(&mut self, service: &str) -> bool {
        let mut frame = Vec::new();
        client::encode(&mut frame, &Header::default(), service, b"payload");
        self.core.keep(&frame, &[], 1)
    }

    /// Time passes.
    fn waits(&mut self, ms: Millis) {
        self.now += ms;
        self.at(|core, step| core.on_time(step));
    }

    /// Takes what was said so far.
    fn heard(&mut self) -> Vec<String> {
        self.log.take()
    }

    /// Checks all that was said since.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.heard(), expected);
    }
}

fn data(service: &str, flags: u8) -> Vec<u8> {
    frame(Kind::Data, service, flags, b"hello")
}

fn frame(kind: Kind, service: &str, flags: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: kind as u8,
        flags,
        ..Header::default()
    };
    let mut out = Vec::new();
    client::encode(&mut out, &header, service, payload);
    out
}

/// RESUME with a token of this epoch, made by this gateway.
fn resume(count: u64, epoch: u8, owner: &str) -> Vec<u8> {
    let header = Header {
        kind: Kind::Resume as u8,
        session_id: 7,
        ..Header::default()
    };
    let payload = [&count.to_be_bytes()[..], &[epoch], owner.as_bytes()].concat();
    let mut out = Vec::new();
    client::encode(&mut out, &header, "", &payload);
    out
}
