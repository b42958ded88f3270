//! Messages between the gateways of one deployment, about a session that changes hands or for an operator
//! (docs/peer.md): values, and in [`wire`] the bytes that they travel as.

mod question;
pub mod wire;

use std::net::SocketAddr;

use super::link::Bind;

pub use question::{Answer, MAX_ANSWER_BODY, MAX_PATH, MAX_QUESTION_BODY, Question};

/// Another gateway of the deployment, as tokens and answers name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerGateway {
    /// Its gateway_id.
    pub gateway: String,
    /// Where its peer channel is reached, `host:port`.
    pub address: String,
}

/// The far end of a call from a peer gateway. Unique in the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The connection that the call came on, unique in the process.
    pub connection: u64,
    /// The call, unique on that connection; the peer gateway has numbered it.
    pub call: u64,
    /// The peer gateway; a later claimant is sent there.
    pub at: PeerGateway,
}

/// Message of a claimant to the gateway that may own the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToOwner {
    /// Is this token good, and may the session be taken?
    Ask {
        /// The token's.
        token_epoch: u32,
    },
    /// The backends have taken their OPENs: the session is to be handed over.
    Claim {
        /// DATA frames that the player has taken.
        count: u64,
        /// Every service that the answer named, and whether its backend has taken the OPEN.
        places: Vec<(String, bool)>,
    },
    /// Nothing comes of it.
    GiveUp {
        /// Because a backend says that the session has gone on elsewhere.
        stale: bool,
    },
    /// The ASK is taken back before anything was opened: a promise leaves no trace.
    Withdraw,
    /// The session goes on here: its backends have taken this epoch from the caller, whom the owner did not
    /// answer in time. A call of its own; UNKNOWN answers it.
    Supersede {
        /// The caller's.
        epoch: u32,
    },
    /// A backend has ended the session.
    End {
        /// With this code.
        code: u16,
    },
}

impl ToOwner {
    /// Returns what it is, for operators.
    pub fn name(&self) -> &'static str {
        match self {
            ToOwner::Ask { .. } => "ask",
            ToOwner::Claim { .. } => "claim",
            ToOwner::GiveUp { .. } => "give_up",
            ToOwner::Withdraw => "withdraw",
            ToOwner::Supersede { .. } => "supersede",
            ToOwner::End { .. } => "end",
        }
    }

    /// Tells whether it is the last message of its call.
    pub fn ends(&self) -> bool {
        match self {
            ToOwner::Ask { .. } | ToOwner::Claim { .. } => false,
            ToOwner::GiveUp { .. }
            | ToOwner::Withdraw
            | ToOwner::Supersede { .. }
            | ToOwner::End { .. } => true,
        }
    }
}

/// Answer to a claimant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToClaimant {
    /// Here is the session, and it is promised.
    Holds {
        /// For the OPENs.
        epoch: u32,
        /// Identity and services.
        particulars: Particulars,
    },
    /// It went to this gateway.
    Moved {
        /// Its gateway_id.
        gateway: String,
        /// Where its peer channel is reached, `host:port`.
        address: String,
    },
    /// Not now.
    Busy,
    /// The token was used.
    NotGood,
    /// It is not here.
    Unknown,
    /// To a claim: there are more services by now; open those too, and claim again.
    HoldsMore {
        /// Identity and services, the known ones included.
        particulars: Particulars,
    },
    /// To a claim: the session.
    Handover(Box<Handover>),
    /// To a claim: nothing is promised.
    Refused,
    /// The session has ended.
    Ended {
        /// With this code.
        code: u16,
    },
}

impl ToClaimant {
    /// Bytes of what is handed over.
    pub fn bytes(&self) -> usize {
        match self {
            ToClaimant::Handover(handed) => handed.ring.capacity(),
            _ => 0,
        }
    }

    /// Returns what it is, for operators.
    pub fn name(&self) -> &'static str {
        match self {
            ToClaimant::Holds { .. } => "holds",
            ToClaimant::Moved { .. } => "moved",
            ToClaimant::Busy => "busy",
            ToClaimant::NotGood => "not_good",
            ToClaimant::Unknown => "unknown",
            ToClaimant::HoldsMore { .. } => "holds_more",
            ToClaimant::Handover(_) => "handover",
            ToClaimant::Refused => "refused",
            ToClaimant::Ended { .. } => "ended",
        }
    }

    /// Tells whether it is the last message of its call.
    pub fn ends(&self) -> bool {
        !matches!(
            self,
            ToClaimant::Holds { .. } | ToClaimant::HoldsMore { .. }
        )
    }
}

/// All that a claimant needs to open a session on its backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Particulars {
    /// The ids that a backend has bound; 0: not bound.
    pub bound: Bind,
    /// The newest ids that the client has sent.
    pub newest: Bind,
    /// The services in use, in the order in which the session has used them.
    pub bindings: Vec<Binding>,
}

/// One service of a session and the endpoint that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The service's name.
    pub service: String,
    /// The endpoint, resolved.
    pub endpoint: SocketAddr,
}

/// All that a session is beyond its backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handover {
    /// Something may be missing.
    pub gap: bool,
    /// DATA frames that the session has taken from its client.
    pub received: u64,
    /// Epochs, and how many frames had been sent to the client when the count of each began.
    pub starts: Vec<(u32, u64)>,
    /// DATA frames that were sent to the client before the first one of `ring`.
    pub before: u64,
    /// Whole client frames that the client lacks.
    pub ring: Vec<u8>,
    /// The ids that a backend has bound by now; 0: not bound.
    pub bound: Bind,
    /// The newest ids that the client has sent by now.
    pub newest: Bind,
    /// The service that the client's last DATA named; empty where none has, or an older gateway does not
    /// tell.
    pub last_service: String,
    /// The services that ASSIGN has sent somewhere, and where: those that the client has not used yet, and those that are
    /// open there; empty where an older gateway does not tell.
    pub assigned: Vec<Binding>,
    /// Seconds since the session began, at whichever gateway; `None` where that is not known, or an older gateway does
    /// not tell.
    pub age_s: Option<u32>,
}

/// The longest ring that is handed over, in bytes; of a longer one the oldest frames give way first.
pub const MAX_RING_BYTES: usize = 8 * 1024 * 1024;
