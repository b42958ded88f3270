//! The lease that the core is given: its words go into the link's mail.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use game_gateway::codec::code::Code;
use game_gateway::codec::link::Bind;
use game_gateway::session::core::Hold;

/// Bytes beyond which a link is full.
pub(crate) const HIGH_WATERMARK: usize = 400;
/// Sessions of one endpoint that a gateway moves at a time; one more is told 409.
const MAX_MOVES: usize = 2;

/// A lease's word to its link.
#[derive(Debug)]
pub(crate) enum Word {
    Forward(Vec<u8>),
    /// In turn.
    AwaitRoom(bool),
    TellBound(Bind),
    Retag(u32),
    Reopen(Vec<u8>),
    Suspend(u32),
    Confirm,
    Leave,
    /// CLOSE 307 with which a move begins.
    Part,
    TellMoved(Code),
    Release(Option<Code>),
}

/// What leases have said since it was looked at last, in order: link, session, word.
pub(crate) type Post = Rc<RefCell<Vec<(usize, u64, Word)>>>;

/// What a gateway knows of an endpoint, all its links together.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    /// The newest FEATURES say so.
    pub(crate) transfers: Cell<bool>,
    /// GOAWAY 01 came.
    pub(crate) evacuated: Cell<bool>,
    /// GOAWAY came, with or without `01`.
    pub(crate) leaves: Cell<bool>,
    /// An operator drains it, and has its sessions moved.
    pub(crate) ordered: Cell<bool>,
    /// Its sessions that are being moved to others.
    pub(crate) moves: Cell<usize>,
}

impl Endpoint {
    pub(crate) fn takes_sessions(&self) -> bool {
        !self.leaves.get() && !self.ordered.get()
    }

    pub(crate) fn room_for_moves(&self) -> usize {
        MAX_MOVES.saturating_sub(self.moves.get())
    }
}

/// All that the leases of one link share.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) link: usize,
    pub(crate) endpoint: SocketAddr,
    pub(crate) known: Rc<Endpoint>,
    /// Bytes that the link holds, those in its mail included.
    pub(crate) queued: Cell<usize>,
    /// Those who wait for room, those included whose word is in its mail.
    pub(crate) waiting: Cell<usize>,
    pub(crate) post: Post,
}

impl Anchor {
    pub(crate) fn has_room(&self, in_turn: bool) -> bool {
        self.queued.get() < HIGH_WATERMARK && (in_turn || self.waiting.get() == 0)
    }
}

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) anchor: Rc<Anchor>,
    pub(crate) session_id: u64,
    pub(crate) final_code: Code,
    pub(crate) silent: bool,
    /// It counts among the moves of its endpoint.
    pub(crate) moving: bool,
}

impl Lease {
    pub(crate) fn new(anchor: Rc<Anchor>, session_id: u64) -> Lease {
        Lease {
            anchor,
            session_id,
            final_code: Code::INTERNAL,
            silent: false,
            moving: false,
        }
    }

    fn say(&self, word: Word) {
        let mut post = self.anchor.post.borrow_mut();
        post.push((self.anchor.link, self.session_id, word));
    }

    fn end_move(&mut self) {
        if std::mem::take(&mut self.moving) {
            let moves = &self.anchor.known.moves;
            moves.set(moves.get() - 1);
        }
    }
}

impl Hold for Lease {
    fn link_id(&self) -> u64 {
        self.anchor.link as u64
    }

    fn endpoint(&self) -> SocketAddr {
        self.anchor.endpoint
    }

    fn forward(&self, bytes: Vec<u8>, _: u32) {
        self.anchor
            .queued
            .set(self.anchor.queued.get() + bytes.len());
        self.say(Word::Forward(bytes));
    }

    fn has_room(&self, in_turn: bool) -> bool {
        self.anchor.has_room(in_turn)
    }

    fn await_room(&self, in_turn: bool) {
        self.anchor.waiting.set(self.anchor.waiting.get() + 1);
        self.say(Word::AwaitRoom(in_turn));
    }

    fn tell_bound(&self, bound: Bind) {
        self.say(Word::TellBound(bound));
    }

    fn retag(&self, realm_id: u32) {
        self.say(Word::Retag(realm_id));
    }

    fn reopen(&self, open: Vec<u8>) {
        self.say(Word::Reopen(open));
    }

    fn suspend(&self, window_ms: u32) {
        self.say(Word::Suspend(window_ms));
    }

    fn confirm(&self) {
        self.say(Word::Confirm);
    }

    fn leave(&mut self) {
        self.silent = true;
        self.say(Word::Leave);
    }

    fn silence(&mut self) {
        self.silent = true;
    }

    fn set_final_code(&mut self, code: Code) {
        self.final_code = code;
    }

    fn transfers(&self) -> bool {
        self.anchor.known.transfers.get()
    }

    fn part(&mut self) -> bool {
        let known = &self.anchor.known;
        if known.room_for_moves() == 0 {
            return false;
        }
        known.moves.set(known.moves.get() + 1);
        (self.moving, self.silent) = (true, true);
        self.say(Word::Part);
        true
    }

    fn comes_back(&mut self) {
        self.silent = false;
        self.end_move();
    }

    fn tell_moved(&self, code: Code) {
        self.say(Word::TellMoved(code));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end_move();
        self.say(Word::Release((!self.silent).then_some(self.final_code)));
    }
}
