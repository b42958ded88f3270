//! A lease that tests look at.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use super::super::Hold;
use super::words::opened;
use crate::codec::code::Code;
use crate::codec::link::Bind;
use crate::session::moving::Stays;

/// Transcript, oldest first.
pub(super) type Log = Rc<RefCell<Vec<String>>>;

/// A lease that writes down what it is told.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) link: u64,
    pub(super) service: &'static str,
    pub(super) code: Option<Code>,
    pub(super) endpoint: SocketAddr,
    pub(super) feature: Cell<bool>,
    pub(super) room: Rc<Cell<Room>>,
    pub(super) log: Log,
}

/// Room in a link's queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Room {
    #[default]
    Free,
    /// Others wait.
    InTurn,
    None,
}

impl Lease {
    fn say(&self, words: &str) {
        let line = format!("{}.{}: {words}", self.service, self.link);
        self.log.borrow_mut().push(line);
    }
}

impl Hold for Lease {
    fn link_id(&self) -> u64 {
        self.link
    }
    fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }
    fn forward(&self, _: Vec<u8>, frames: u32) {
        self.say(&format!("forward {frames}"));
    }
    fn has_room(&self, in_turn: bool) -> bool {
        match self.room.get() {
            Room::Free => true,
            Room::InTurn => in_turn,
            Room::None => false,
        }
    }
    fn await_room(&self, in_turn: bool) {
        self.say(if in_turn {
            "await room in turn"
        } else {
            "await room"
        });
    }
    fn tell_bound(&self, bound: Bind) {
        self.say(&format!("BOUND {} {}", bound.user_id, bound.realm_id));
    }
    fn retag(&self, realm_id: u32) {
        if realm_id != 0 {
            self.say(&format!("realm {realm_id}"));
        }
    }
    fn reopen(&self, open: Vec<u8>) {
        self.say(&opened(&open));
    }
    fn suspend(&self, window_ms: u32) {
        self.say(&format!("SUSPEND {window_ms}"));
    }
    fn confirm(&self) {
        self.say("confirm");
    }
    fn leave(&mut self) {
        self.code = None;
        self.say("CLOSE 307");
    }
    fn silence(&mut self) {
        self.code = None;
    }
    fn set_final_code(&mut self, code: Code) {
        self.code = self.code.map(|_| code);
    }
    fn transfers(&self) -> bool {
        self.feature.get()
    }
    fn part(&mut self) -> bool {
        self.code = None;
        self.say("CLOSE 307 move");
        true
    }
    fn comes_back(&mut self) {
        self.code = Some(Code::INTERNAL);
    }
    fn tell_moved(&self, code: Code) {
        self.say(&format!("MOVED {}", code.0));
    }
    fn stays(&mut self, why: Stays) {
        if why == Stays::Busy {
            self.say("stays for now");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.code {
            Some(code) => self.say(&format!("final CLOSE {}", code.0)),
            None => self.say("released"),
        }
    }
}
