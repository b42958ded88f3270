//! Messages to the registry, and those that reach a session's client by way of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::BytesMut;

use super::{Forwarded, UnderWay};
use crate::admission::{AddressSource, Permit};
use crate::codec::code::Code;
use crate::codec::link::{Bind, Transport};
use crate::codec::peer::{Caller, PeerGateway, ToOwner};
use crate::memory::Held;
use crate::metrics::{DropReason, WorkerMetrics};
use crate::net::outbox::{Slice, VECTORED_BYTES};
use crate::net::socket::Socket;
use crate::session::core::{BackendClose, ResumeRequest};
use crate::supervision::{CountedRecipient, WeakCountedRecipient};

/// Registers a session.
#[derive(Message)]
#[rtype(result = "Result<(), IdInUse>")]
pub struct OpenSession {
    /// Drawn by the gateway, or the client's own where that is trusted.
    pub session_id: u64,
    /// The client, unique in the process.
    pub client_number: u64,
    /// The client.
    pub client: WeakCountedRecipient<ClientMessage>,
}

/// Another live client has this session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdInUse;

/// The session is over. Ignored unless it comes from the session's own client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionEnded {
    /// The session.
    pub session_id: u64,
    /// The client that had it.
    pub client_number: u64,
}

/// The session has gone to another gateway. Ignored unless it comes from the session's own client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionMoved {
    /// The session.
    pub session_id: u64,
    /// The client that had it.
    pub client_number: u64,
    /// Where it went.
    pub to: PeerGateway,
    /// For how long that is remembered.
    pub keep: Duration,
}

/// Memory of a message to a client about one frame, and of the header that it gets.
const MESSAGE_BYTES: usize = 512;

/// Frames that came on a link that does not carry their sessions.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Relay {
    /// The link's service.
    pub service: Arc<str>,
    /// Its backend.
    pub from: SocketAddr,
    /// The frames, in order; all their sessions are at home here.
    pub strays: Vec<Relayed>,
    /// The link, for what must be refused.
    pub origin: CountedRecipient<StraysRefused>,
    /// The memory that they take.
    pub held: Held,
    /// Where the link counts those that are under way.
    pub under_way: Arc<UnderWay>,
    /// How many sessions are counted there.
    pub counted: usize,
    /// Counters of the link's worker, for frames that are lost on the way.
    pub metrics: Arc<WorkerMetrics>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.under_way.end(self.counted) {
            // That it hears something has it read again.
            self.origin.do_send(StraysRefused {
                session_ids: Vec::new(),
                moved: None,
            });
        }
        let lost = self.strays.iter().map(Relayed::recipients).sum();
        let dropped = &self.metrics.dropped;
        dropped.add_shared(DropReason::RegistryGone, lost);
    }
}

/// A part of a [`Relay`].
#[derive(Debug)]
pub enum Relayed {
    /// A frame for one session.
    One(Stray),
    /// DATA for many. An id that is not here takes 8 bytes and no more.
    Many {
        /// Whom it concerns, each once.
        session_ids: Vec<u64>,
        /// The application's bytes.
        payload: Slice,
    },
}

impl Relayed {
    /// Bytes of memory, with what a frame for one session becomes on its way to it; a payload that many share aside.
    pub fn bytes(&self) -> usize {
        match self {
            Relayed::One(_) => size_of::<Relayed>() + self.cost_of_one(),
            Relayed::Many { session_ids, .. } => session_ids.capacity() * size_of::<u64>(),
        }
    }

    /// Bytes of memory that what one session gets may take.
    pub fn cost_of_one(&self) -> usize {
        // The buffer that what is small is gathered in doubles.
        let data = match self {
            Relayed::One(Stray {
                frame: StrayFrame::Data(payload),
                ..
            }) if payload.len() >= VECTORED_BYTES => payload.kept(),
            Relayed::One(stray) => match &stray.frame {
                StrayFrame::Data(payload) => 2 * payload.len(),
                StrayFrame::Move(wish) => 2 * wish.bytes(),
                StrayFrame::Bind(_) | StrayFrame::Close(_) | StrayFrame::Left => 0,
            },
            // A copy for each, or a slice.
            Relayed::Many { payload, .. } => 2 * payload.len().min(VECTORED_BYTES),
        };
        MESSAGE_BYTES + data
    }

    /// Returns the number of sessions concerned.
    pub fn recipients(&self) -> u64 {
        match self {
            Relayed::One(_) => 1,
            Relayed::Many { session_ids, .. } => session_ids.len() as u64,
        }
    }
}

/// One frame for a session that its link does not carry.
#[derive(Debug)]
pub struct Stray {
    /// Whom it concerns.
    pub session_id: u64,
    /// Its content.
    pub frame: StrayFrame,
}

/// A frame that a backend may send for a session on any link of its service (protocol 2.3).
#[derive(Debug)]
pub enum StrayFrame {
    /// The application's bytes.
    Data(Slice),
    /// The identity of the session.
    Bind(Bind),
    /// The session ends.
    Close(BackendClose),
    /// It goes on elsewhere.
    Move(Box<MoveWish>),
    /// None: its CLOSE 307 on a link that is lost may not have been read. Only who does not have it is heard.
    Left,
}

/// ASSIGN or TRANSFER of a backend.
#[derive(Debug)]
pub struct MoveWish {
    /// The service that ASSIGN names; none: TRANSFER of the backend's own.
    pub service: Option<Box<str>>,
    /// Where to, as it says.
    pub endpoint: Box<str>,
}

impl MoveWish {
    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let service = self.service.as_ref().map_or(0, |service| service.len());
        size_of::<MoveWish>() + service + self.endpoint.len()
    }
}

/// A message that reaches a session's client by way of the registry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ClientMessage {
    /// A frame of a backend.
    Stray(Strayed),
    /// The session's player, on another connection.
    Resume(Forwarded),
    /// Another gateway, whose client wants the session.
    Peer(Box<PeerRequest>),
}

/// A stray frame for a client. The client knows which services its session was opened on and
/// refuses the others.
#[derive(Debug)]
pub struct Strayed {
    /// The service whose backend sent it.
    pub service: Arc<str>,
    /// That backend.
    pub from: SocketAddr,
    /// The frame.
    pub stray: Stray,
    /// The link, for when it must be refused.
    pub origin: CountedRecipient<StraysRefused>,
    /// The memory that it takes until the client counts it.
    pub held: Held,
}

/// Asks whose client has a session: its number, unique in the process.
#[derive(Debug, Message)]
#[rtype(result = "Option<u64>")]
pub struct FindClientNumber {
    /// Which session.
    pub session_id: u64,
}

/// Where a session is.
#[derive(Debug)]
pub enum Found {
    /// Here: the way to its client.
    Client(CountedRecipient<ClientMessage>),
    /// It has gone to another gateway.
    Moved(PeerGateway),
}

/// Asks for the way to the client that has a session.
#[derive(Debug, Message)]
#[rtype(result = "Option<Found>")]
pub struct FindClient {
    /// Which session.
    pub session_id: u64,
}

/// Asks whether the actor answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Answer to strays that their sessions must not get, or that nobody has: the link sends CLOSE 421
/// for each, or MOVED.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StraysRefused {
    /// The sessions, as the backend named them.
    pub session_ids: Vec<u64>,
    /// The code of MOVED, where the frame was ASSIGN or TRANSFER.
    pub moved: Option<Code>,
}

/// A message from another gateway to the client that has a session.
#[derive(Debug)]
pub struct PeerRequest {
    /// The sender.
    pub caller: Caller,
    /// About which session.
    pub session_id: u64,
    /// What; `None`: the connection is lost, with all that was promised on it.
    pub said: Option<ToOwner>,
}

/// A connection whose first frame was RESUME, with a genuine token, on its way to the client that has the
/// session.
#[derive(Debug)]
pub struct ResumeConnection {
    /// The RESUME.
    pub request: ResumeRequest,
    /// The connection; it may come from another thread.
    pub socket: Socket,
    /// Bytes that were read behind the RESUME.
    pub inbox: BytesMut,
    /// Counts the connection.
    pub permit: Option<Permit>,
    /// The player's address.
    pub remote: SocketAddr,
    /// Where that comes from.
    pub source: AddressSource,
    /// The player's transport from now on.
    pub transport: Transport,
}
