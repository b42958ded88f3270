//! Mail between the parts of a gateway: one queue a receiver, in the order of sending, taken out with
//! delays of the simulator's choice.

use std::collections::VecDeque;
use std::net::SocketAddr;

use game_gateway::codec::code::Code;
use game_gateway::codec::link::Bind;
use game_gateway::codec::peer::{Caller, PeerGateway, ToClaimant, ToOwner};
use game_gateway::session::core::{BackendClose, RegisterFailed, ResumeRequest, RouteFailed};

use super::lease::{Lease, Word};
use crate::wire::Millis;

#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    pub(crate) queue: VecDeque<M>,
    /// Nothing is taken out earlier.
    pub(crate) not_before: Millis,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Mailbox {
            queue: VecDeque::new(),
            not_before: 0,
        }
    }
}

/// Where a session is.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Client(usize),
    Moved(PeerGateway),
}

#[derive(Debug)]
pub(crate) enum Stray {
    Data(Vec<u8>),
    Bind(Bind),
    Close(BackendClose),
    Move(Wish),
    /// Its CLOSE 307 on a lost link may not have been read.
    Left,
}

/// ASSIGN or TRANSFER.
#[derive(Debug)]
pub(crate) struct Wish {
    /// None: TRANSFER.
    pub(crate) service: Option<String>,
    pub(crate) endpoint: String,
    pub(crate) from: SocketAddr,
}

/// To a client.
#[derive(Debug)]
pub(crate) enum ClientMail {
    Deliver {
        head: Vec<u8>,
        frames: u32,
    },
    Bound(usize, Bind),
    Closed {
        service: usize,
        link: usize,
        close: BackendClose,
    },
    Accepted {
        service: usize,
        epoch: u32,
    },
    Left {
        service: usize,
        link: usize,
        state: Box<[u8]>,
    },
    /// Its backend leaves, and has it moved.
    MoveAway {
        service: usize,
        from: SocketAddr,
    },
    /// Where the rules lead it.
    Elsewhere {
        service: String,
        from: SocketAddr,
        asked: bool,
        found: Result<SocketAddr, Code>,
    },
    Confirmed {
        service: usize,
    },
    Lost {
        service: usize,
        link: usize,
    },
    Room,
    Stray {
        service: usize,
        session_id: u64,
        stray: Stray,
        link: usize,
    },
    Comeback {
        request: Box<ResumeRequest>,
        wire: usize,
        inbox: Vec<u8>,
        eof: bool,
    },
    Called {
        caller: Caller,
        session_id: u64,
        said: Option<ToOwner>,
    },
    Heard {
        call: u64,
        said: Option<ToClaimant>,
    },
    Registered(u64, Result<u64, RegisterFailed>),
    Located(Result<Option<Found>, ()>),
    Opened {
        service: String,
        epoch: u32,
        result: Result<Lease, RouteFailed>,
    },
    Reached {
        service: String,
        lease: Option<Lease>,
    },
    Kick(u64),
    /// A user is banned: maybe the session's.
    Ban(u64),
    /// An operator says where a service goes.
    Assign {
        session_id: u64,
        service: usize,
        endpoint: String,
    },
    GoAway,
    GiveUp,
    CutOff,
    /// The socket has failed.
    Failed,
}

/// To a registry.
#[derive(Debug)]
pub(crate) enum RegistryMail {
    Open {
        session_id: u64,
        client: usize,
        chosen: bool,
    },
    Ended {
        session_id: u64,
        client: usize,
    },
    Moved {
        session_id: u64,
        client: usize,
        to: PeerGateway,
    },
    Find {
        session_id: u64,
        client: usize,
    },
    /// A peer gateway asks.
    FindFor {
        session_id: u64,
        caller: Caller,
        say: ToOwner,
    },
    Relay {
        service: usize,
        session_id: u64,
        stray: Stray,
        link: usize,
    },
}

/// To a link.
#[derive(Debug)]
pub(crate) enum LinkMail {
    Attach(Box<Attach>),
    Word(u64, Word),
    /// CLOSE for a session that this link does not carry.
    Farewell(u64, Code),
    Refuse(u64),
    /// MOVED, at once.
    AnswerMoved(u64, Code),
}

#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) client: usize,
    pub(crate) session_id: u64,
    pub(crate) realm_id: u32,
    pub(crate) open: Vec<u8>,
    pub(crate) resumes: bool,
    pub(crate) service: String,
    pub(crate) epoch: u32,
    /// Backends that were tried before.
    pub(crate) tried: Vec<usize>,
    /// It is moved there: its backend must take new sessions.
    pub(crate) arrives: bool,
    /// A backend has said where it goes: there is no choice.
    pub(crate) assigned: bool,
}

/// To the actor of the peer channel.
#[derive(Debug)]
pub(crate) enum PeerMail {
    Call {
        client: usize,
        call: u64,
        to: PeerGateway,
        session_id: u64,
        say: ToOwner,
    },
    Cancel(u64),
    Reply {
        to: Caller,
        say: ToClaimant,
    },
    Found {
        caller: Caller,
        session_id: u64,
        say: ToOwner,
        found: Result<Option<Found>, ()>,
    },
}
