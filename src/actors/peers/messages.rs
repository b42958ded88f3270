//! Messages by which clients and the peer channel talk to other gateways about a session that
//! changes hands.
//!
//! A *call* is about one session: a client that wants it (the *caller*, on the gateway that a player
//! has come back to) calls the gateway that may have it. The first thing said is [`ToOwner::Ask`];
//! what follows on either side is said on the same call.

use actix::prelude::*;

use crate::codec::peer::{Caller, PeerGateway};
use crate::codec::peer::{ToClaimant, ToOwner};
use crate::memory::Held;
use crate::supervision::CountedRecipient;

/// Says something to the gateway that may have a session. The first one of a call is
/// [`ToOwner::Ask`], and what comes back goes to the client that said it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Call {
    /// Drawn by the client, unique in the process.
    pub call: u64,
    /// Which gateway.
    pub to: PeerGateway,
    /// About which session.
    pub session_id: u64,
    /// The message.
    pub say: ToOwner,
    /// The client that receives the answers.
    pub client: CountedRecipient<PeerResponse>,
}

/// Nothing more is said on a call, and nothing is to be heard of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CancelCall {
    /// Which.
    pub call: u64,
}

/// A message to a client on a call that it has made.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerResponse {
    /// Which.
    pub call: u64,
    /// What; `None`: the other gateway cannot be reached, or its connection is lost.
    pub said: Option<ToClaimant>,
    /// The memory that it takes until the client counts it.
    pub held: Option<Held>,
}

/// A message from the client that has a session to the one that called.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reply {
    /// To whom.
    pub to: Caller,
    /// What.
    pub say: ToClaimant,
    /// The memory that it takes until it waits to be written.
    pub held: Held,
}
