//! The other gateways of the deployment: who calls whom about which session, and what operators ask all of them
//! (docs/peer.md).
//!
//! One actor a process, beside the workers. A client that wants a session *calls* the gateway that may
//! have it, over a connection that all calls to that gateway share. A gateway that is called asks the
//! registry whose client has the session, and passes on what is said. Bytes and seals are the
//! connections' matter ([`connection`]).

mod calls;
mod connection;
mod connections;
mod launch;
mod messages;
mod neighbours;
mod peering;
mod questions;
mod refusals;
mod superseding;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use serde_json::json;

use self::questions::Asked;
use self::refusals::Refusals;
use self::superseding::Owed;
use self::wire::Wire;
use super::session_registry::{ClientMessage, Shards};
use crate::codec::peer::{PeerGateway, Question};
use crate::config::{Config, PeerChannel};
use crate::session::token::Keyring;
use crate::supervision::{CountedRecipient, Inspectable, Registration, Supervised, mailbox};

pub use launch::{Listening, launch, listen};
pub use messages::{Call, CancelCall, PeerResponse, Reply};
pub use neighbours::{MAX_NEIGHBOURS, Neighbours};
pub use peering::{CallEnd, PeerCounts, Peering};
pub use questions::{
    Answering, AskGateway, AskedByPeer, MAX_ANSWERING, NoAnswer, PeerAnswer, tell_not_made,
};

/// A session id that no session has: a gateway that is asked for it shows that it answers.
const NO_SESSION: u64 = 0;
/// Calls on one connection, either way; more are answered as if nobody were there.
const MAX_CALLS: usize = 65_536;
/// Sockets that connections to and from other gateways may take.
pub const MAX_SOCKETS: usize = PeerChannel::MAX_CONNECTIONS + connections::MAX_STRANGERS;
/// Interval at which connections are checked.
const TICK: Duration = Duration::from_secs(1);
/// Time that a process that ends waits for what is still to be written.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// All connections write what they hold, and end. The answer comes when they have.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Parameters of the actor, the same after a restart.
#[derive(Clone)]
pub(super) struct Shared {
    config: Arc<Config>,
    tokens: Arc<ArcSwap<Keyring>>,
    shards: Shards,
    own: Arc<PeerGateway>,
    counts: Arc<PeerCounts>,
    listener: Arc<std::net::TcpListener>,
    answering: Answering,
}

/// The actor.
pub struct Peers {
    registration: Registration,
    shared: Shared,
    connections: HashMap<u64, Connection>,
    /// Connections to other gateways, by whom they lead to.
    dialled: HashMap<PeerGateway, u64>,
    /// Calls that this gateway's clients have made: on which connection, and who hears.
    calls: HashMap<u64, (u64, CountedRecipient<PeerResponse>)>,
    /// What is owed to gateways that could not be asked, by call.
    owed: HashMap<PeerGateway, HashMap<u64, Owed>>,
    /// Questions that this gateway has asked for operators, by call.
    asked: HashMap<u64, Asked>,
    refusals: Refusals,
    next: u64,
    last_error: Option<String>,
}

/// One connection.
struct Connection {
    wire: Wire,
    kind: Side,
    /// Version of the channel; 0 in the handshake.
    version: u8,
    used: Instant,
    /// A question that nothing has come back for.
    asked: Option<Instant>,
    /// Bytes that are held for the frame that is being read.
    input: Arc<AtomicUsize>,
}

impl Connection {
    fn input(&self) -> usize {
        self.input.load(Ordering::Relaxed)
    }

    /// Bytes that come back when it ends.
    fn held(&self) -> usize {
        self.wire.queued() + self.input()
    }
}

enum Side {
    /// This gateway has dialled. `at`: who has answered, once the handshake is over.
    Dialled {
        to: PeerGateway,
        at: Option<PeerGateway>,
    },
    /// Another one has; it has not proved who it is where there is no name.
    Accepted {
        from: SocketAddr,
        at: Option<PeerGateway>,
        calls: HashMap<u64, Served>,
        /// Questions for operators that are being answered.
        answering: usize,
        /// Changes among them that wait for the asking gateway's PROCEED, by call, with when READY was said.
        unconfirmed: HashMap<u64, (Question, Instant)>,
    },
}

/// A call of another gateway.
struct Served {
    session_id: u64,
    client: Option<CountedRecipient<ClientMessage>>,
    /// The session was promised: the caller says what comes of it.
    promised: bool,
}

impl Peers {
    fn new(registration: Registration, shared: Shared) -> Peers {
        Peers {
            registration,
            shared,
            connections: HashMap::new(),
            dialled: HashMap::new(),
            calls: HashMap::new(),
            owed: HashMap::new(),
            asked: HashMap::new(),
            refusals: Refusals::default(),
            next: 0,
            last_error: None,
        }
    }
}

impl Actor for Peers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.shared.counts.begin();
        let (shared, own) = (self.shared.clone(), self.registration.address(ctx));
        ctx.spawn(actix::fut::wrap_future(connection::accept(shared, own)));
        ctx.run_interval(TICK, |peers, ctx| peers.tick(ctx));
    }
}

/// Tells the clients that wait for an answer that none will come.
impl Drop for Peers {
    fn drop(&mut self) {
        for (call, (_, client)) in std::mem::take(&mut self.calls) {
            self.shared.counts.ended(CallEnd::Lost);
            let (said, held) = (None, None);
            client.do_send(PeerResponse { call, said, held });
        }
        for (number, connection) in std::mem::take(&mut self.connections) {
            connections::tell_lost(number, connection.kind);
        }
        for _ in std::mem::take(&mut self.owed).into_values().flatten() {
            self.shared.counts.ended(CallEnd::Lost);
        }
        self.shared.counts.connections(0);
    }
}

impl Inspectable for Peers {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let served = self.connections.values().map(|c| match &c.kind {
            Side::Dialled { .. } => 0,
            Side::Accepted { calls, .. } => calls.len(),
        });
        let version_1 = self.connections.values().filter(|c| c.version == 1);
        json!({
            "address": self.shared.own.address,
            "connections": self.connections.len(),
            "connections_of_version_1": version_1.count(),
            "dialled": self.dialled.len(),
            "calls_made": self.calls.len(),
            "supersedes_owed": self.owed.values().map(HashMap::len).sum::<usize>(),
            "questions_asked": self.asked.len(),
            "calls_served": served.sum::<usize>(),
            "last_error": self.last_error,
        })
    }
}

mailbox!(Peers);

impl Supervised for Peers {
    fn leave_state(&mut self) {}
}
