//! The border between the simulator and the auditor: all that goes over the simulated wires, and all that
//! applications and operators do, in the real order of a world that is seen from outside.
//!
//! Every byte is seen twice, when its sender hands it to the network and when its receiver takes it.
//! Within one connection and direction, what is delivered is a prefix of what was sent, cut anywhere when
//! the connection is lost; between connections any delay is possible. Nothing here comes from inside the
//! session core.

#![allow(dead_code, reason = "the simulator says more than every auditor asks")]

use game_gateway::codec::code::Code;
use game_gateway::sdk::client::session::Event;

/// Milliseconds of simulated time.
pub(crate) type Millis = u64;

/// One thing that has happened.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// A connection of a player. `conn` is never used twice. A stranger has a `player` beyond the last
    /// one: it shows an old token, and is to be refused.
    ClientWire {
        conn: u64,
        gateway: usize,
        player: usize,
        what: WireEvent<'a>,
    },
    /// A link of a gateway to a backend. `link` is never used twice.
    LinkWire {
        link: u64,
        gateway: usize,
        backend: usize,
        service: &'a str,
        what: WireEvent<'a>,
    },

    /// The application hands one DATA to its library, a [`Payload`]. `life`: how many sessions it had
    /// before; a `number` counts DATA of a life, from 1.
    PlayerSent {
        player: usize,
        life: u32,
        service: &'a str,
        number: u64,
        payload: &'a [u8],
    },
    /// The library tells the application.
    PlayerTold {
        player: usize,
        life: u32,
        event: &'a Event,
    },
    /// The application ends its session in order.
    PlayerCloses { player: usize, life: u32 },
    /// The application is gone, with its connections, without a word.
    PlayerGone { player: usize, life: u32 },

    /// A backend's application takes one DATA.
    BackendGot {
        backend: usize,
        service: &'a str,
        session_id: u64,
        payload: &'a [u8],
    },
    /// A backend's application sends one DATA, a [`Payload`]; MULTICAST is one of these for each session,
    /// with the same payload. `written`: the helper had a link for the session; otherwise nothing is sent.
    BackendSent {
        backend: usize,
        service: &'a str,
        session_id: u64,
        payload: &'a [u8],
        multicast: bool,
        written: bool,
    },
    /// A backend's application learns what becomes of a session.
    BackendTold {
        backend: usize,
        service: &'a str,
        session_id: u64,
        what: BackendLearns,
    },
    /// A backend's application says who a session is.
    BackendBinds {
        backend: usize,
        service: &'a str,
        session_id: u64,
        user_id: u64,
        realm_id: u32,
    },
    /// A backend's application ends a session.
    BackendCloses {
        backend: usize,
        service: &'a str,
        session_id: u64,
        code: Code,
    },
    /// A backend's application gives a session's state away.
    BackendGives {
        backend: usize,
        service: &'a str,
        session_id: u64,
        state: &'a [u8],
    },
    /// A backend's application takes a session with its state over, or refuses it.
    BackendTakes {
        backend: usize,
        service: &'a str,
        session_id: u64,
        state: &'a [u8],
        refused: Option<Code>,
    },
    /// A backend takes no new sessions from now on.
    BackendGoesAway { backend: usize },
    /// Connections to a backend fail, or it does nothing, until then.
    BackendUnreachable { backend: usize, until: Millis },
    /// A backend's process is gone, and all that it knew; its links are lost, for gateways a little later.
    BackendDied { backend: usize },
    /// A backend's process listens again.
    BackendBorn { backend: usize },

    /// A gateway's process is gone without a word; its wires are lost, for the others a little later.
    GatewayDied { gateway: usize },
    /// It is back under the same id, and empty.
    GatewayBorn { gateway: usize },
    /// A connection, a link, a way between gateways, or a gateway's registry is slow from now on.
    Slow,
    /// A gateway's link takes nothing for a while: what is said on it waits inside the gateway.
    LinkFull { link: u64 },
    /// It does nothing until `until`, then all at once.
    GatewayStalls { gateway: usize, until: Millis },
    /// A part of it has panicked: a client's actor (with its session, if it had one) or a registry shard.
    GatewayPanicked {
        gateway: usize,
        session_id: Option<u64>,
    },
    /// A drain begins; it ends `window` later.
    GatewayDrains { gateway: usize, window: Millis },
    /// The drain is over, and every client with it.
    DrainEnds { gateway: usize },
    /// An operator ends a session.
    Kicked { gateway: usize, session_id: u64 },
    /// An operator has a gateway move the sessions that it has at a backend, and send no others there; `on`: from
    /// now on, else no longer.
    Ordered {
        gateway: usize,
        backend: usize,
        service: usize,
        on: bool,
    },
    /// An operator says where a service of a session goes.
    Assigned { gateway: usize, session_id: u64 },
    /// A gateway has no sessions of this user; `on`: from now on, else no longer.
    Banned {
        gateway: usize,
        user_id: u64,
        on: bool,
    },
    /// A gateway is short of memory until then.
    MemoryShort { gateway: usize, until: Millis },
    /// A gateway has no room for a suspended session any more.
    GivenUp { gateway: usize, session_id: u64 },
    /// Two gateways do not reach each other until `until`.
    PeersParted {
        gateways: (usize, usize),
        until: Millis,
    },

    /// No more faults from here on. What is under way ends, sessions go on.
    Quiet,
    /// Every player closes its session; what is left must end within the windows.
    Closing,
}

/// What happens on a wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WireEvent<'a> {
    /// It stands, for both sides.
    Opened,
    /// `from` hands whole frames to the network.
    Sent { from: Side, bytes: &'a [u8] },
    /// `to` takes bytes: whole frames, but for the last ones before a loss.
    Delivered { to: Side, bytes: &'a [u8] },
    /// It is dead, and neither side knows. Nothing that is said on it from now on is shown.
    Cut,
    /// `side` ends it in order, behind all that it has sent.
    Ended { side: Side },
    /// `side` learns that it is lost, or that the other side has ended it. What was sent to it and not delivered is lost with it.
    Lost { side: Side },
}

/// One end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Gateway,
    /// The player or the backend.
    Remote,
}

/// What a backend's application learns of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackendLearns {
    /// It has the session from now on; `resumed`: it had it before.
    Opened { epoch: u32, resumed: bool },
    /// Its player's connection is lost.
    Suspended,
    /// Its ASSIGN or TRANSFER has ended like this.
    Moved { code: Code },
    /// It is over.
    Ended { code: Code },
}

/// The payload of every application frame, 18 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Payload {
    /// The player; of a backend's frame one less than of a MULTICAST, which is `u32::MAX`.
    pub(crate) player: u32,
    /// The player's life; of a backend's frame: the backend's.
    pub(crate) life: u32,
    /// Index of the service.
    pub(crate) service: u8,
    /// Index of the backend; 255 of a player's.
    pub(crate) backend: u8,
    /// Up: counts the DATA of this life over all services, from 1. Down: counts what this backend's life
    /// has sent to this session, from 1; MULTICASTs count on their own, for each backend's life.
    pub(crate) number: u64,
}

impl Payload {
    pub(crate) const LEN: usize = 18;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.player.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.life.to_be_bytes());
        bytes[8] = self.service;
        bytes[9] = self.backend;
        bytes[10..18].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Payload> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        Some(Payload {
            player: u32::from_be_bytes(*bytes[0..4].first_chunk()?),
            life: u32::from_be_bytes(*bytes[4..8].first_chunk()?),
            service: bytes[8],
            backend: bytes[9],
            number: u64::from_be_bytes(*bytes[10..18].first_chunk()?),
        })
    }
}

/// The world that is to be audited.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) players: usize,
    pub(crate) gateways: usize,
    pub(crate) backends: usize,
    /// Names of the services; their index is the one in [`Payload`].
    pub(crate) services: Vec<&'static str>,
    /// `session.resume_window`.
    pub(crate) resume_window: Millis,
    /// `backend.connect_timeout`.
    pub(crate) connect_timeout: Millis,
    /// `session.replay_bytes`.
    pub(crate) replay_bytes: usize,
    /// Gateways reach each other.
    pub(crate) peer_channel: bool,
    /// Some connections, links or ways between gateways are slow from the start.
    pub(crate) slow: bool,
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// When.
    pub(crate) at: Millis,
    /// The rule that is broken: short and without numbers, so that a shrunk run can be held against it.
    pub(crate) rule: &'static str,
    /// Which session, frame, link.
    pub(crate) detail: String,
}

/// What an auditor has counted in a run in which nothing was wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) frames_up: u64,
    pub(crate) frames_down: u64,
    pub(crate) resumes_exact: u64,
    pub(crate) resumes_gap: u64,
    pub(crate) resumes_refused: u64,
}

/// One that sees a whole run. It may keep the first violation to itself until [`Auditor::finish`].
pub(crate) trait Auditor {
    fn see(&mut self, at: Millis, seen: &Seen<'_>);

    /// # Errors
    /// The first violation.
    fn finish(self) -> Result<Report, Violation>;
}
