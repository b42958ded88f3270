//! Final CLOSEs that a backend may not have read when its link is lost. A link may be dead long before that is
//! noticed, and a backend goes on with its sessions over another link of the gateway: without the CLOSE it would
//! keep them until the gateway has no link any more (protocol 2.3, 3.1).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Sessions;
use super::owed::{Owed, OwedCloses};
use super::sessions::MAX_LEFT;
use crate::codec::code::Code;

/// Final CLOSEs that the backend is not known to have read, at most [`MAX_LEFT`].
#[derive(Debug, Default)]
pub(super) struct UnreadCloses {
    /// Those of all links to the endpoint.
    pub(super) endpoint: Arc<OwedCloses>,
    link_id: u64,
    /// Oldest first.
    closes: VecDeque<UnreadClose>,
    pings: u64,
    pongs: u64,
}

#[derive(Debug, Clone, Copy)]
struct UnreadClose {
    session_id: u64,
    code: Code,
    /// PINGs that were sent before.
    pings: u64,
    /// Its number among those of the endpoint.
    number: u64,
}

impl UnreadCloses {
    pub(super) fn said(&mut self, session_id: u64, code: Code) {
        let number = self.endpoint.said(session_id, self.link_id);
        self.push(session_id, code, number);
    }

    fn push(&mut self, session_id: u64, code: Code, number: u64) {
        if self.closes.len() == MAX_LEFT {
            self.settle_first();
        }
        self.closes.push_back(UnreadClose {
            session_id,
            code,
            pings: self.pings,
            number,
        });
    }

    /// The first one needs no answer any more.
    fn settle_first(&mut self) {
        if let Some(close) = self.closes.pop_front() {
            self.endpoint.settle(close.session_id, close.number);
        }
    }
}

impl Drop for UnreadCloses {
    fn drop(&mut self) {
        while !self.closes.is_empty() {
            self.settle_first();
        }
    }
}

impl<C> Sessions<C> {
    /// Those of one of an endpoint's links.
    pub fn of_endpoint(endpoint: Arc<OwedCloses>, link_id: u64) -> Sessions<C> {
        let mut sessions = Sessions::default();
        sessions.unread.endpoint = endpoint;
        sessions.unread.link_id = link_id;
        sessions
    }

    /// What the link's endpoint is owed, over all its links.
    pub fn endpoint(&self) -> &OwedCloses {
        &self.unread.endpoint
    }

    /// What is owed since other links were lost is said here. A session that is attached has been opened anew since.
    pub fn say_owed(&mut self) -> Owed {
        let places = &self.places;
        let endpoint = &self.unread.endpoint;
        let owed = endpoint.say(self.unread.link_id, |id| places.contains_key(&id));
        for (session_id, code, number) in &owed.closes {
            self.unread.push(*session_id, *code, *number);
        }
        owed
    }

    /// A PING is sent now, behind all that was sent before.
    pub fn ping(&mut self) {
        self.unread.pings += 1;
    }

    /// Tells whether a final CLOSE has no such PING behind it yet.
    pub fn lacks_ping(&self) -> bool {
        let newest = self.unread.closes.back();
        newest.is_some_and(|close| close.pings == self.unread.pings)
    }

    /// The PONG of such a PING came: the backend has read all that was sent before it.
    pub fn pong(&mut self) {
        let pongs = (self.unread.pongs + 1).min(self.unread.pings);
        self.unread.pongs = pongs;
        let unread = &mut self.unread;
        while unread.closes.front().is_some_and(|c| c.pings < pongs) {
            unread.settle_first();
        }
    }

    /// The link is lost: the final CLOSEs that may not have been read are owed on another one. Sessions that were opened
    /// at the endpoint anew have their own. Returns them, the oldest first, behind those that have left, with the code 307,
    /// and were not answered: the backend may have read no CLOSE 307 either. One that was to be moved, and ended, was taken
    /// back and closed behind that.
    pub fn lose_unread(&mut self) -> Vec<(u64, Code)> {
        let closes = std::mem::take(&mut self.unread.closes).into_iter();
        let (endpoint, places) = (&self.unread.endpoint, &self.places);
        let mut others = Vec::new();
        for close in closes {
            match places.contains_key(&close.session_id) {
                true => drop(endpoint.settle(close.session_id, close.number)),
                false => others.push((close.session_id, close.code, close.number)),
            }
        }
        let ended = endpoint.lose(others);
        let over: HashSet<u64> = ended.iter().map(|(id, _)| *id).collect();
        let left = self.left.iter();
        let left = left.filter(|id| !places.contains_key(id) && !over.contains(id));
        let mut owed: Vec<(u64, Code)> = left.map(|id| (*id, Code::LEAVES_LINK)).collect();
        owed.sort_unstable_by_key(|(id, _)| *id);
        owed.iter().for_each(|(id, code)| endpoint.push(*id, *code));
        owed.extend(ended);
        owed
    }
}

#[cfg(test)]
#[path = "unread_tests.rs"]
mod tests;
