//! The auditor's own picture of a deployment, drawn from the wires.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frames::{ClientFrame, LinkFrame, Stream};
use super::rules::Rule;
use super::wishes::{Answers, Ends};
use crate::wire::{Millis, Payload};

/// Number of a seen event, from 1; the real order.
pub(crate) type Seq = u64;

/// A moment: real order, and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment {
    pub(crate) seq: Seq,
    pub(crate) at: Millis,
}

/// A process: its place, and how often it was born before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) index: usize,
    pub(crate) life: u32,
}

impl Process {
    /// The process that has sent a frame: every service of a backend is one of its own.
    pub(crate) fn origin(payload: Payload) -> Process {
        Process {
            index: usize::from(payload.backend) * 256 + usize::from(payload.service),
            life: payload.life,
        }
    }
}

/// A player's connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) gateway: Process,
    pub(crate) player: usize,
    pub(crate) up: Stream<ClientFrame>,
    pub(crate) down: Stream<ClientFrame>,
    pub(crate) form: Form,
    /// The player's life, once DATA of it has come.
    pub(crate) life: Option<u32>,
    pub(crate) session: Option<u64>,
    /// Index of the incarnation that its OPENED began.
    pub(crate) incarnation: Option<usize>,
    /// The moment of the gateway's CLOSE.
    pub(crate) closed: Option<Moment>,
    /// The gateway has CLOSE of the player.
    pub(crate) player_closed: bool,
    /// The gateway knows that it is lost or ended.
    pub(crate) gone: bool,
    /// The player has ended it, or it is cut: a CLOSE does not get out any more.
    pub(crate) remote_gone: bool,
    /// It was closed with 205: another connection goes on with what was begun here.
    pub(crate) replaced: bool,
    /// DATA that the gateway has been given here.
    pub(crate) data: u64,
    /// `received` of the OPENED that this connection began with.
    pub(crate) base: u64,
    /// The newest `received`.
    pub(crate) received: u64,
    /// Services for which an ERROR 502 is due, within the moment of OPENED.
    pub(crate) owed_errors: Vec<usize>,
    /// The player's DATA contradicted what its session is bound to.
    pub(crate) contradicted: bool,
    /// Realms that it named before its session had an id.
    pub(crate) first_realms: Vec<u32>,
    /// Its newest OPENED.
    pub(crate) renewed: Option<Moment>,
}

/// The kind of a connection, by its first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Unknown,
    Plain,
    /// OPENED is due, or was sent.
    Resumable {
        opened: bool,
    },
    /// OPENED or CLOSE is due as the answer to RESUME, or was sent.
    Resume {
        /// The incarnation whose token was shown; none where nobody ever got that token.
        token: Option<usize>,
        asked: Moment,
        /// The token had been used by then.
        used: bool,
        answered: bool,
    },
}

/// A gateway's link to a backend.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) gateway: Process,
    pub(crate) backend: Process,
    pub(crate) service: usize,
    pub(crate) to_backend: Stream<LinkFrame>,
    pub(crate) to_gateway: Stream<LinkFrame>,
    /// Lost or ended, for the gateway.
    pub(crate) lost: Option<Moment>,
    /// Lost or ended, for the backend.
    pub(crate) backend_lost: Option<Moment>,
    /// Answers that the backend owes here, in order.
    pub(crate) due: VecDeque<(u64, Due)>,
    pub(crate) resume_window: Millis,
    /// What its gateway says here may come late: it was decided before.
    pub(crate) full: bool,
    /// It is dead, which nobody may know yet: what its gateway says here is not seen.
    pub(crate) cut: bool,
    /// Its backend hands sessions over, as far as the gateway knows.
    pub(crate) transfers: bool,
    /// Its backend has said GOAWAY 01.
    pub(crate) evacuated: bool,
    /// The backend has its HELLO.
    pub(crate) greeted: bool,
    /// Realms that the backend has bound here.
    pub(crate) realms: BTreeMap<u64, u32>,
}

/// An answer of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Accept(u32),
    Close(u16),
}

/// A session on one link, by the gateway's frames.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) standing: Standing,
    pub(crate) opened: Moment,
    /// The moment of the newest OPEN that was not resumed.
    pub(crate) began: Moment,
    /// Epoch and moment of the newest OPEN (resumed).
    pub(crate) resumed: Option<(u32, Moment)>,
    /// That OPEN is not answered.
    pub(crate) unanswered: bool,
    /// Its ACCEPT has arrived.
    pub(crate) accepted: Moment,
    /// OPENs (resumed) that are not answered, that one included.
    pub(crate) opens: u32,
    /// Those before that the gateway has given up: their answers come first, and say nothing (protocol 2.3).
    pub(crate) given_up: u32,
    /// Those among them with the flag transferred: a CLOSE of any code refuses them.
    pub(crate) late_offers: u32,
    pub(crate) left: Option<Moment>,
    /// The backend's CLOSE 307 has arrived.
    pub(crate) left_answered: Option<Moment>,
    pub(crate) suspended: Option<Moment>,
    /// The final CLOSE was said.
    pub(crate) closed: Option<Moment>,
    /// The backend's CLOSE has arrived, last.
    pub(crate) ended: Moment,
    /// It was left for a move (protocol 2.5).
    pub(crate) parted: bool,
    /// Its newest OPEN was one of a move.
    pub(crate) of_move: bool,
    /// And had the flag transferred.
    pub(crate) transferred: bool,
    /// It had that flag before, and was given up unanswered.
    pub(crate) too_late: bool,
    /// Its OPEN came behind one of the same epoch on another link, which had been decided later.
    pub(crate) belated: bool,
    /// Its OPEN came behind a CLOSE 307 that was not answered: the backend may have ended the session before it
    /// read either, and opens it anew then.
    pub(crate) crossed: bool,
    /// Its newest OPEN came behind another one, or behind such a CLOSE 307: CLOSE 410 may refuse what was said before that
    /// OPEN, which the backend takes then (2.3).
    pub(crate) reopened: bool,
    /// The final CLOSE was said again on another link, when this one was lost.
    pub(crate) repeated: bool,
    /// Frames of the backend that may be answered by CLOSE 410.
    pub(crate) strays: u32,
    /// When the last one of them came.
    pub(crate) strayed: Option<Moment>,
}

impl Place {
    /// A frame has come that its gateway may answer: it does not have the session there.
    pub(crate) fn strays_at(&mut self, now: Moment) {
        self.strays += 1;
        self.strayed = Some(now);
    }

    /// What is not answered is waited for no more.
    pub(crate) fn gives_up(&mut self) {
        self.late_offers += u32::from(self.transferred && self.opens > 0);
        self.given_up += std::mem::take(&mut self.opens);
    }

    /// An answer to an OPEN has come; tells whether that one was given up. `offer`: it refuses one with the flag transferred.
    pub(crate) fn answered(&mut self, offer: bool) -> bool {
        let given_up = self.given_up > 0;
        let opens = match given_up {
            true => &mut self.given_up,
            false => &mut self.opens,
        };
        *opens = opens.saturating_sub(1);
        let late_offers = self.late_offers.saturating_sub(u32::from(offer));
        self.late_offers = late_offers.min(self.given_up);
        given_up
    }
}

impl Default for Place {
    fn default() -> Place {
        Place {
            standing: Standing::Unopened,
            opened: Moment::default(),
            began: Moment::default(),
            resumed: None,
            unanswered: false,
            accepted: Moment::default(),
            opens: 0,
            given_up: 0,
            late_offers: 0,
            left: None,
            left_answered: None,
            suspended: None,
            closed: None,
            ended: Moment::default(),
            parted: false,
            of_move: false,
            transferred: false,
            too_late: false,
            belated: false,
            crossed: false,
            reopened: false,
            repeated: false,
            strays: 0,
            strayed: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Never opened here.
    Unopened,
    Open,
    /// CLOSE 307 was sent.
    Left,
    /// The final CLOSE was sent.
    Closed,
    /// The backend has ended it, or refused it with this code.
    ByBackend(u16),
}

/// From one OPENED that answers a RESUME (or begins the session) to the next.
#[derive(Debug)]
pub(crate) struct Incarnation {
    pub(crate) gateway: Process,
    pub(crate) epoch: u32,
    pub(crate) opened: Moment,
    pub(crate) gap: bool,
    /// A frame of the player came on the connection that it opened.
    pub(crate) used: bool,
    /// An owner that was passed over has gone on beside the one that the session has.
    pub(crate) aside: bool,
    /// Least and most that `received` can be.
    pub(crate) received: (u64, u64),
}

/// A RESUME that a gateway was given.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) gateway: Process,
    pub(crate) asked: Moment,
    pub(crate) token: Option<usize>,
    pub(crate) conn: u64,
    /// It became an incarnation.
    pub(crate) succeeded: bool,
}

/// A breach if none of those links is closed or left for the session soon.
#[derive(Debug)]
pub(crate) struct Suspicion {
    pub(crate) since: Moment,
    pub(crate) session: u64,
    pub(crate) links: Vec<u64>,
    pub(crate) rule: &'static Rule,
    pub(crate) seen: String,
}

/// A connection that was lost: its backends are to be told.
#[derive(Debug)]
pub(crate) struct LostConn {
    pub(crate) since: Moment,
    /// They have been, by then.
    pub(crate) due: Millis,
    pub(crate) conn: u64,
}

/// A session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The player and its life.
    pub(crate) of: Option<(usize, u32)>,
    pub(crate) incarnations: Vec<Incarnation>,
    pub(crate) tokens: BTreeMap<Box<[u8]>, usize>,
    /// Tokens of earlier incarnations are used, since then.
    pub(crate) used: (usize, Moment),
    pub(crate) attempts: Vec<Attempt>,
    /// Oldest first.
    pub(crate) moves: Vec<Move>,
    /// States that backends have given away, oldest first.
    pub(crate) gifts: Vec<Gift>,
    /// ASSIGNs and TRANSFERs that gateways have.
    pub(crate) wishes: Vec<Wish>,
    pub(crate) answers: BTreeMap<Ends, Answers>,
    /// Gateways that a backend has told, in a move, that the session has gone on elsewhere.
    pub(crate) told_gone: BTreeSet<Process>,
    /// Where a service goes when it is opened next: an ASSIGN was answered with MOVED 0.
    pub(crate) assigned_to: BTreeMap<usize, (Moment, usize)>,
    /// An operator has said where a service of it goes.
    pub(crate) assigned: bool,
    /// The highest epoch of an OPEN, and since when.
    pub(crate) epoch: (u32, Moment),
    /// By link.
    pub(crate) places: BTreeMap<u64, Place>,
    /// What backends have said of it: the bound ids, newest last, by the moment a gateway was told.
    pub(crate) bound: Vec<(Moment, u64, u32)>,
    /// Each user and realm of a BIND, whether or not its gateway took it.
    pub(crate) binds: BTreeSet<(u64, u32)>,
    /// The gateway that was told last.
    pub(crate) bound_at: Option<Process>,
    pub(crate) realms: BTreeSet<u32>,
    /// When a gateway has said CLOSE 307 last.
    pub(crate) left: BTreeMap<Process, Moment>,
    /// Moment of the exact handover away from a gateway.
    pub(crate) handed_over: BTreeMap<Process, Moment>,
    /// What every backend's life has sent to it.
    pub(crate) down: BTreeMap<Process, Down>,
    /// Final CLOSEs since the newest OPEN of a gateway to a backend's service.
    pub(crate) final_closes: BTreeMap<(Process, Process, usize), u32>,
    /// Links that were lost with the session open there.
    pub(crate) lost_links: Vec<LostLink>,
    /// A gateway learned that its connection is lost.
    pub(crate) lost: Option<Moment>,
    /// A gateway learned that the newest one is.
    pub(crate) away: Option<Moment>,
    /// Its owner has sent a final CLOSE.
    pub(crate) closed: bool,
    /// Ended by a backend, an operator or its client, for all who look.
    pub(crate) ended: Option<Moment>,
}

/// A service on its way from one backend to another, by its gateway's frames.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) gateway: Process,
    pub(crate) service: usize,
    /// The link of the old backend.
    pub(crate) from: u64,
    /// The link of the new one, once its OPEN was said.
    pub(crate) to: Option<u64>,
    pub(crate) began: Moment,
    /// What the old one has answered.
    pub(crate) state: Option<(Moment, Box<[u8]>)>,
    /// The session's highest epoch by then.
    pub(crate) epoch: u32,
    /// The new one's answer: 0 is ACCEPT.
    pub(crate) answer: Option<(Moment, u16)>,
    /// The old one has it back.
    pub(crate) back: Option<Moment>,
    /// MOVED was said, or nobody is left to say it to.
    pub(crate) ended: Option<Moment>,
}

/// A state that a backend has given away.
#[derive(Debug)]
pub(crate) struct Gift {
    pub(crate) service: usize,
    pub(crate) by: Process,
    pub(crate) state: Box<[u8]>,
    pub(crate) given: Moment,
    /// Who got it, where it was taken.
    pub(crate) offered: Option<(Moment, Option<Process>)>,
}

impl Gift {
    pub(crate) fn is_taken(&self) -> bool {
        self.offered.is_some_and(|(_, by)| by.is_some())
    }
}

/// An ASSIGN or TRANSFER.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) link: u64,
    pub(crate) heard: Moment,
    /// Of ASSIGN: service and backend, where they are some.
    pub(crate) assigns: Option<(usize, usize)>,
    /// Codes that may answer it at once.
    pub(crate) codes: Vec<u16>,
    pub(crate) answered: bool,
}

/// A link that was lost with a session open there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostLink {
    pub(crate) since: Moment,
    /// The session's newest OPEN there.
    pub(crate) opened: Moment,
    pub(crate) service: usize,
    pub(crate) gateway: Process,
}

/// Frames of one backend's life to one session, in the order sent.
#[derive(Debug, Default)]
pub(crate) struct Down {
    pub(crate) frames: Vec<DownFrame>,
    /// By (MULTICAST, number).
    pub(crate) index: BTreeMap<(bool, u64), usize>,
}

#[derive(Debug)]
pub(crate) struct DownFrame {
    #[expect(dead_code, reason = "shown where the frame is lost")]
    pub(crate) payload: Payload,
    pub(crate) service: usize,
    pub(crate) written: bool,
    pub(crate) sent: Moment,
    pub(crate) link: Option<u64>,
    /// A gateway has it.
    pub(crate) arrived: Option<Moment>,
    pub(crate) told: Option<Moment>,
    /// It came on a link where its session was not open.
    pub(crate) stray: bool,
    /// A gateway has answered it with CLOSE 410: it does not have the session.
    pub(crate) refused: bool,
    /// The newest OPEN of its session was read from a link that the gateway had lost before.
    pub(crate) late: bool,
    /// The realm that a BIND before it on its link said.
    pub(crate) realm: Option<u32>,
}

/// A player's life: one session of its application.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) session: Option<u64>,
    pub(crate) sent: Vec<UpFrame>,
    pub(crate) told: Vec<(Moment, Told)>,
    /// ERRORs and GAPs that gateways have sent.
    pub(crate) errors: Vec<SentError>,
    /// GAPs that it was told of.
    pub(crate) era: u32,
    pub(crate) connected: bool,
    pub(crate) closes: Option<Moment>,
    pub(crate) ended: Option<Moment>,
    /// Its connection was lost, last.
    pub(crate) interrupted: Option<Moment>,
    /// The answer to RESUME that came last, and whether it was GAP.
    pub(crate) answer: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct UpFrame {
    pub(crate) service: usize,
    pub(crate) sent: Moment,
    /// GAPs told before it was first written, or sent where that was not seen.
    pub(crate) era: u32,
    pub(crate) written: Option<Moment>,
    /// A gateway has it, the last time.
    pub(crate) arrived_last: Option<Moment>,
    /// A gateway has it, for the first time.
    pub(crate) arrived: Option<Moment>,
    pub(crate) gateways: BTreeSet<Process>,
    /// A gateway has passed it on, for the last time, and on which link.
    pub(crate) forwarded: Option<Moment>,
    pub(crate) link: Option<u64>,
    /// It contradicts what its session was bound to, and its gateway knew.
    pub(crate) contradicts: bool,
    pub(crate) got: Option<(Moment, Process)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Gap,
    Error { code: u16, service: usize },
}

#[derive(Debug)]
pub(crate) struct SentError {
    pub(crate) sent: Moment,
    pub(crate) code: u16,
    pub(crate) service: usize,
    pub(crate) told: bool,
    /// It has excused a frame of its own already.
    pub(crate) spent: bool,
    /// It came with the replay behind OPENED: it was decided before, nobody sees when.
    pub(crate) replayed: bool,
}

/// A backend's process, by the protocol.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) life: u32,
    /// By service and session.
    pub(crate) sessions: BTreeMap<(usize, u64), Entry>,
    /// What its application is to learn, in order.
    pub(crate) due: VecDeque<(usize, u64, Learn)>,
    /// Links (and sessions) whose superseded session is taken no more, or was until a moment ago.
    pub(crate) expired: BTreeSet<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learn {
    Opened { epoch: u32, resumed: bool },
    Data(Option<Payload>),
    Moved(u16),
    Ended(u16),
}

/// What a backend keeps of a session (protocol 2.3).
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) gateway: usize,
    pub(crate) epoch: u32,
    /// The application knows of its newest OPEN.
    pub(crate) told: Option<Moment>,
    pub(crate) link: Option<u64>,
    /// The link of its newest OPEN.
    pub(crate) opened_on: u64,
    /// Links that a newer OPEN has superseded, since when.
    pub(crate) leaving: Vec<(u64, Millis)>,
    /// The link of its OPEN is lost: any link of its gateway may end it.
    pub(crate) adrift: bool,
    /// Its gateway has ended it elsewhere: it is over when that loss is known.
    pub(crate) closed: bool,
    /// Its gateway has said elsewhere that it does not have it: it is suspended when that loss is known.
    pub(crate) absent: bool,
    /// Its state is given away, and MOVED is still to come.
    pub(crate) given: bool,
    /// The OPEN was read from a link that its gateway had lost before: what that gateway said since on
    /// another link may have been quicker, its final CLOSE too. Nobody can tell.
    pub(crate) late: bool,
    pub(crate) until: Option<Millis>,
}

/// A fault of the world that can excuse what is not exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    GatewayDied(usize),
    /// Until then.
    Stalled(usize, Millis),
    Panicked(usize),
    Drained(usize),
    Parted(usize, usize, Millis),
    LinkLost(usize),
    BackendDied(usize),
    BackendGone(usize),
    /// Some connection, link, or part of a gateway is slow from now on.
    Slow,
    BackendUnreachable(usize, Millis),
    /// An operator drains a backend.
    Ordered,
    /// Until then.
    MemoryShort(usize, Millis),
}
