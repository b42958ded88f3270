//! What travels between the parts of the world.

use game_gateway::session::resume::{Answer, Numbering, Place};

/// A gateway and its worker.
pub(crate) type LinkId = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) backend: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    pub(crate) epoch: u32,
    pub(crate) gateway: usize,
    pub(crate) backends: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum ToGateway {
    Resume {
        token: Token,
        count: u64,
        thief: bool,
    },
    Data(u32, usize),
    Ping,
    Close,
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) enum ToClient {
    Opened {
        received: u64,
        gap: bool,
        token: Token,
        resumed: bool,
    },
    Frames(Vec<u8>),
    Close(u16),
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) enum ToBackend {
    Open { resumed: bool, epoch: u32 },
    Data(u32),
    Suspend,
    Ping,
    Close(u16),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum FromBackend {
    Accept,
    Pong,
    Data(u32),
    Close(u16),
}

#[derive(Debug, Clone)]
pub(crate) enum Peer {
    Ask {
        epoch: u32,
    },
    Answer(Answer<usize>, Vec<usize>),
    Claim {
        count: u64,
        places: Vec<(usize, Place)>,
        worker: usize,
    },
    HoldsMore(Vec<usize>),
    HandOver {
        received: u64,
        before: u64,
        bytes: Vec<u8>,
        gap: bool,
        numbering: Numbering,
    },
    Refused,
    Ended(u16),
    GaveUp {
        stale: bool,
    },
    Superseded,
    End(u16),
}

/// What a gateway sends.
pub(crate) enum Out {
    Client(usize, ToClient),
    Link(Link, ToBackend),
    Peer(usize, Peer),
}
