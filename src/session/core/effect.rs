//! The core's boundary: what it is given with each event, and the effects that it asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use crate::codec::code::Code;
use crate::codec::link::{Bind, Transport};
use crate::codec::peer::{Caller, PeerGateway, ToClaimant, ToOwner};
use crate::session::closing::{Closing, ClosingLabel};
use crate::session::moving::Stays;
use crate::session::token::{TokenBody, TokenError};

/// Milliseconds of a clock that never goes back, its origin the driver's choice.
pub type Millis = u64;

/// A session's hold on a link. While it lives the link delivers to the session; dropping it sends the
/// backend its final CLOSE, so one OPEN is followed by one CLOSE by construction, also in a panic.
pub trait Hold {
    /// The link, unique in the process.
    fn link_id(&self) -> u64;
    /// The backend.
    fn endpoint(&self) -> SocketAddr;
    /// Sends whole link frames.
    fn forward(&self, bytes: Vec<u8>, frames: u32);
    /// Tells whether the link takes more from the client now; while others wait only in its turn.
    fn has_room(&self, in_turn: bool) -> bool;
    /// Asks for [`Core::link_has_room`](super::Core::link_has_room); `in_turn`: before all others.
    fn await_room(&self, in_turn: bool);
    /// Sends BOUND; while the link is full only the newest one is kept.
    fn tell_bound(&self, bound: Bind);
    /// Tells the link the session's realm, which frames to the client name.
    fn retag(&self, realm_id: u32);
    /// Sends OPEN again on this link.
    fn reopen(&self, open: Vec<u8>);
    /// Sends SUSPEND.
    fn suspend(&self, window_ms: u32);
    /// Asks for [`Core::confirmed`](super::Core::confirmed): the backend has taken the session's OPEN.
    fn confirm(&self);
    /// Sends CLOSE 307; the link delivers until [`Core::left`](super::Core::left). No final CLOSE is owed any more.
    fn leave(&mut self);
    /// Makes the drop send nothing: the backend has ended the session itself, or has opened it again.
    fn silence(&mut self);
    /// Sets the code of the final CLOSE.
    fn set_final_code(&mut self, code: Code);
    /// Tells whether the backend hands sessions over with their state.
    fn transfers(&self) -> bool;
    /// Sends CLOSE 307 with which a move begins; the session may come back by [`reopen`](Self::reopen). No final CLOSE
    /// is owed meanwhile. False, and nothing is sent: too many sessions of this backend are being moved.
    fn part(&mut self) -> bool;
    /// The session that has [parted](Self::part) is the backend's again, and a final CLOSE is owed.
    fn comes_back(&mut self);
    /// Sends MOVED.
    fn tell_moved(&self, code: Code);
    /// Notes that the session was to be moved, for its backend leaves, and stays.
    fn stays(&mut self, _why: Stays) {}
    /// Tells whether maintenance may end the session: not while it may still be moved.
    fn may_be_ended(&self) -> bool {
        true
    }
}

/// The gateway around a core. Every answer is a value that is there already: no call waits.
pub trait Host {
    /// The bounds in force.
    fn limits(&self) -> &Limits;
    /// This gateway's id.
    fn gateway_id(&self) -> &str;
    /// Where other gateways reach this one, `host:port`; none where the peer channel is off.
    fn peer_address(&self) -> Option<&str>;
    /// Tells whether a drain has come so far that new sessions are refused.
    fn refuses_sessions(&self) -> bool;
    /// Takes one of the sessions that may start each second; false: none is left.
    fn admits_session(&self) -> bool {
        true
    }
    /// Returns true if this user is banned; 0 is nobody. Asked when a session's user changes, not for each frame.
    fn bans_user(&self, _user_id: u64) -> bool {
        false
    }
    /// Notes that a player was told ERROR with this code and text, for operators.
    fn refused(&self, _code: Code, _text: &str, _service: &str, _who: Bind) {}
    /// Tells whether any rules are in force. Before that no token's backend can be known.
    fn has_routes(&self) -> bool {
        true
    }
    /// Tells whether so much memory is held that new sessions are refused.
    fn short_of_memory(&self) -> bool;
    /// Tells whether there is memory for so many bytes more.
    fn has_room(&self, _bytes: usize) -> bool {
        true
    }
    /// Returns the rest of a drain's window; none without a drain.
    fn drain_left(&self) -> Option<Duration>;
    /// The client's remote address.
    fn remote_address(&self) -> SocketAddr;
    /// Returns the client's transport.
    fn transport(&self) -> Transport;
    /// Opens a resume token.
    ///
    /// # Errors
    /// It is not one of this deployment's, or has expired.
    fn open_token(&self, token: &[u8]) -> Result<TokenBody, TokenError>;
    /// Returns where ASSIGN or TRANSFER may send a session of this service by these words (protocol 2.5).
    ///
    /// # Errors
    /// 404: there is no such service or endpoint, or the service's rule does not allow it.
    fn endpoint_allowed(&self, service: &str, endpoint: &str) -> Result<SocketAddr, Code>;
    /// Tells whether an endpoint of a service takes sessions that it does not have: a move leads nowhere else.
    fn takes_sessions(&self, _service: &str, _endpoint: SocketAddr) -> bool {
        true
    }
    /// Tells whether a session that was at an endpoint of this service goes there again behind a lost link, because
    /// nothing but ASSIGN leads there. `by_assign`: ASSIGN has said where it was; else it may be assigned elsewhere.
    fn is_assigned(&self, _service: &str, _by_assign: bool) -> bool {
        false
    }
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Seconds since the session began, at whichever gateway; `None`: not known.
    fn session_age_s(&self) -> Option<u32>;
    /// Draws a number for a call to a peer gateway, unique in the process.
    fn next_call(&self) -> u64;
}

/// One event's surroundings: the time, the gateway, and the effects so far, which the driver executes in order afterwards.
pub struct Step<'a> {
    /// The time.
    pub now: Millis,
    /// The gateway.
    pub host: &'a dyn Host,
    /// Effects, the first one first.
    pub effects: &'a mut Vec<Effect>,
}

impl Step<'_> {
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }

    /// Returns true if this user is banned, and has it shown who the client is.
    pub(super) fn bans_user(&mut self, user_id: u64, is_bound: bool) -> bool {
        let is_banned = self.host.bans_user(user_id);
        if is_banned {
            self.note(Note::BannedUser { user_id, is_bound });
        }
        is_banned
    }

    pub(super) fn reply(&mut self, to: Caller, say: ToClaimant) {
        self.effects.push(Effect::Reply { to, say });
    }

    pub(super) fn limits(&self) -> &Limits {
        self.host.limits()
    }
}

/// Instruction to a driver. Those for links go through [`Hold`].
#[derive(Debug)]
pub enum Effect {
    /// Sends one whole frame that is not DATA to the client.
    Send(Vec<u8>),
    /// Seals the token and sends OPENED to the client.
    SendOpened(OpenedFrame),
    /// Sends what a client that has resumed lacks.
    Replay {
        /// Whole frames.
        bytes: Vec<u8>,
        /// Number of DATA among them.
        frames: u32,
    },
    /// Parts with the connection, with a CLOSE where its reason has one; the session goes on.
    LeaveConnection(Closing),
    /// Makes the connection that [`Core::resume_here`](super::Core::resume_here) was called for the
    /// session's own.
    TakeConnection,
    /// Parts with that connection.
    RefuseConnection(Closing),
    /// Ends the connection, if there is one, and the driver: the core is over.
    Close(Closing),

    /// Enters a session into the registry under `chosen` or an id that the driver draws; answered by
    /// [`Core::registered`](super::Core::registered).
    Register {
        /// The client's own choice, where that is trusted.
        chosen: Option<u64>,
    },
    /// Asks the registry who has this session; answered by one of the `located_…` methods.
    Locate(u64),
    /// Enters a session that is to come here; answered by [`Core::registered`](super::Core::registered).
    Enlist(u64),
    /// Takes back what was entered.
    Unregister,
    /// Replaces the registry's entry by a note where the session went.
    Moved(PeerGateway),

    /// Routes a service and opens a link to one of its endpoints; answered by
    /// [`Core::service_opened`](super::Core::service_opened) or `service_failed`.
    Route(Route),
    /// Opens a link to the endpoint that a service is bound to; answered by
    /// [`Core::service_reached`](super::Core::service_reached).
    Reach(Reach),
    /// Looks for another endpoint of a service by the rules; answered by
    /// [`Core::found_elsewhere`](super::Core::found_elsewhere).
    Elsewhere(Elsewhere),

    /// Says something to a peer gateway; `Ask` begins the call.
    Call {
        /// The call.
        call: u64,
        /// The peer gateway.
        to: PeerGateway,
        /// The session.
        session_id: u64,
        /// The words.
        say: ToOwner,
    },
    /// Ends a call; nothing more is said on it.
    CancelCall(u64),
    /// Answers a peer gateway.
    Reply {
        /// The caller.
        to: Caller,
        /// The words.
        say: ToClaimant,
    },

    /// Something to count, log or show.
    Note(Note),
}

/// An OPENED that is to be sealed and sent.
#[derive(Debug)]
pub struct OpenedFrame {
    /// The session.
    pub session_id: u64,
    /// DATA frames that the session has taken.
    pub received: u64,
    /// The flag GAP.
    pub gap: bool,
    /// The token; none where the session cannot be resumed.
    pub token: Option<Box<TokenBody>>,
}

/// A service that is to be routed by the rules.
#[derive(Debug)]
pub struct Route {
    /// The service.
    pub service: Arc<str>,
    /// The session.
    pub session_id: u64,
    /// The session's realm; 0: none.
    pub realm_id: u32,
    /// The session's user; 0: none.
    pub user_id: u64,
    /// A backend has said who the session is.
    pub is_bound: bool,
    /// The session's epoch, for the answer.
    pub epoch: u32,
    /// Where it goes, whatever the rules say.
    pub assigned: Option<SocketAddr>,
    /// It was open in this session before.
    pub again: bool,
    /// The payload of OPEN.
    pub open: Vec<u8>,
}

/// A service that is to be moved by the rules.
#[derive(Debug)]
pub struct Elsewhere {
    /// The service.
    pub service: Arc<str>,
    /// The endpoint that it has, which is left out.
    pub from: SocketAddr,
    /// Its backend has asked, and hears MOVED where there is none.
    pub asked: bool,
    /// The session.
    pub session_id: u64,
    /// The session's realm; 0: none.
    pub realm_id: u32,
    /// The session's user; 0: none.
    pub user_id: u64,
    /// A backend has said who the session is.
    pub is_bound: bool,
}

/// A service that is to be opened at a certain endpoint: where it was before, or where it is moved.
#[derive(Debug)]
pub struct Reach {
    /// The service.
    pub service: Arc<str>,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// The session.
    pub session_id: u64,
    /// The session's realm; 0: none.
    pub realm_id: u32,
    /// The payload of OPEN.
    pub open: Vec<u8>,
    /// A live owner says that the session is there. Only a token does otherwise, and tokens outlive rules.
    pub vouched: bool,
    /// It is moved there: its backend has nothing of it, and must take new sessions.
    pub arrives: bool,
}

/// How a session has ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The closing.
    pub why: ClosingLabel,
    /// The code that its backends are told.
    pub code: Code,
    /// How often it was resumed, here and elsewhere.
    pub resumes: u32,
}

/// Something to count, log or show; no effect on anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A session has started, or has been taken up from elsewhere.
    SessionStarted {
        /// Its id.
        session_id: u64,
        /// The client can resume it.
        resumable: bool,
        /// It was another gateway's.
        taken_up: bool,
    },
    /// A session that has been taken up began so many seconds ago.
    BeganElsewhere(u32),
    /// The session is over here.
    SessionEnded(Ended),
    /// The session has no connection from now on.
    Suspended,
    /// It was suspended before a peer gateway claimed it, and is again: it may have been passed over as one too many.
    WaitsAgain,
    /// A resume has succeeded.
    Resumed {
        /// Not exactly.
        gap: bool,
        /// Since the RESUME had found the session, or that nobody here has it.
        took: Millis,
    },
    /// The session was handed over to a peer gateway.
    HandedOver {
        /// Since its client was not read any more.
        took: Millis,
    },
    /// It was to be, and stays: the peer gateway has not come back for it.
    NotHandedOver {
        /// Likewise.
        took: Millis,
    },
    /// The services or their endpoints have changed.
    ServicesChanged,
    /// A service was ended, for its backend is in maintenance.
    ServiceEnded,
    /// A backend has said who the session is.
    Bound,
    /// The client turns out to be a banned user, for which it ends.
    BannedUser {
        /// Who it is, or claims to be.
        user_id: u64,
        /// A backend says so.
        is_bound: bool,
    },
    /// A service could not be opened.
    BindFailed,
    /// A move has begun.
    MoveBegan,
    /// A move has ended; 0: at the new backend.
    MoveEnded {
        /// As the old backend is told.
        code: Code,
        /// Since it began.
        took: Millis,
        /// The old backend.
        from: SocketAddr,
        /// The new one.
        to: SocketAddr,
    },
    /// An ERROR was made.
    ErrorMade(Code),
    /// The client was asked to go elsewhere.
    Goaway,
    /// The client is not read until a link has room.
    Paused,
    /// Frames that waited for links were dropped with the session.
    FramesDropped(u32),
    /// An ACCEPT that nobody had asked for.
    UnexpectedAccept,
    /// RESUME with a token that cannot be opened.
    BadToken(TokenError),
}
