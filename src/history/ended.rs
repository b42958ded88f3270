//! Sessions that have ended of late on one worker.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::story::{LastWords, Story};
use crate::codec::code::Code;
use crate::codec::link::Transport;
use crate::memory::{self, Held, Part};
use crate::session::closing::ClosingLabel;

/// How long a session is remembered, in seconds.
pub const KEPT_FOR: u32 = 3_600;
/// The most sessions of all workers.
const MOST: usize = 8_192;

/// A service of a session: its name, its endpoint, and since when, in the worker's seconds.
pub type UsedService = (Arc<str>, SocketAddr, u32);

/// The facts of a session.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct SessionRecord {
    pub session_id: u64,
    pub user_id: u64,
    pub realm_id: u32,
    pub is_bound: bool,
    pub is_resumable: bool,
    pub transport: Transport,
    pub client: SocketAddr,
    pub frames_in: u64,
    pub frames_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub services: SmallVec<[UsedService; 1]>,
    /// When it began, or was taken up, in the worker's seconds.
    pub started_s: u32,
}

/// A session that is over here.
#[derive(Debug)]
pub struct EndedSession {
    /// As it was at its end.
    pub session: SessionRecord,
    /// When it ended, in the worker's seconds.
    pub ended_s: u32,
    /// The closing.
    pub why: ClosingLabel,
    /// The code that its backends were told.
    pub code: Code,
    /// Number of resumes, here and elsewhere.
    pub resumes: u32,
    /// The CLOSE that has ended it, if one has.
    pub last_words: Option<Box<LastWords>>,
    /// Its events, if there were some.
    pub story: Option<Box<Story>>,
}

impl EndedSession {
    fn bytes(&self) -> usize {
        let words = self.last_words.as_ref();
        let words = words.map_or(0, |words| size_of::<LastWords>() + words.text.len());
        let services = &self.session.services;
        let spilled = match services.spilled() {
            true => services.capacity() * size_of::<UsedService>(),
            false => 0,
        };
        words + spilled
    }
}

/// The sessions, the oldest first.
#[derive(Debug)]
pub struct EndedSessions {
    sessions: VecDeque<EndedSession>,
    /// Numbers of sessions by id; of one that was here twice the newest.
    numbers: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// The number of the oldest.
    first: u64,
    most: usize,
    /// Bytes beside the two collections'.
    beside: usize,
    held: Held,
}

impl EndedSessions {
    /// A worker's share, one of so many.
    pub fn new(workers: usize) -> EndedSessions {
        EndedSessions {
            sessions: VecDeque::new(),
            numbers: HashMap::default(),
            first: 0,
            most: (MOST / workers.max(1)).max(1),
            beside: 0,
            held: Held::new(Part::History, 0),
        }
    }

    /// Remembers one more; the oldest gives way. Where there is no room for it, it is not remembered.
    pub fn push(&mut self, session: EndedSession) {
        self.forget_old(session.ended_s);
        while self.sessions.len() == self.most || self.lacks_room(&session) {
            if self.sessions.is_empty() {
                return;
            }
            self.forget_first();
            self.count();
        }
        let number = self.first + self.sessions.len() as u64;
        self.numbers.insert(session.session.session_id, number);
        self.beside += session.bytes();
        self.sessions.push_back(session);
        self.count();
    }

    fn lacks_room(&self, session: &EndedSession) -> bool {
        // The list would double.
        let doubles = self.sessions.len() == self.sessions.capacity();
        memory::is_scarce() && (doubles || !memory::admits(session.bytes()))
    }

    /// Sets the last words of the session that has ended last, if it is this one.
    pub fn set_last_words(&mut self, session_id: u64, words: LastWords) {
        if let Some(session) = self.sessions.back_mut()
            && session.session.session_id == session_id
        {
            if memory::is_scarce() && !memory::admits(size_of::<LastWords>() + words.text.len()) {
                return;
            }
            self.beside -= session.bytes();
            session.last_words = Some(Box::new(words));
            self.beside += session.bytes();
            self.count();
        }
    }

    /// Forgets those whose time is over.
    pub fn forget_old(&mut self, now_s: u32) {
        let is_old = |session: &EndedSession| now_s.saturating_sub(session.ended_s) >= KEPT_FOR;
        while self.sessions.front().is_some_and(is_old) {
            self.forget_first();
        }
        if self.sessions.is_empty() {
            self.sessions = VecDeque::new();
            self.numbers = HashMap::default();
        }
        self.count();
    }

    /// Forgets the older half, because memory is short.
    pub fn forget_half(&mut self) {
        for _ in 0..self.sessions.len().div_ceil(2) {
            self.forget_first();
        }
        self.sessions.shrink_to_fit();
        self.numbers.shrink_to_fit();
        self.count();
    }

    fn forget_first(&mut self) {
        if let Some(session) = self.sessions.pop_front() {
            self.beside -= session.bytes();
            let session_id = session.session.session_id;
            if self.numbers.get(&session_id) == Some(&self.first) {
                self.numbers.remove(&session_id);
            }
            self.first += 1;
        }
    }

    fn count(&mut self) {
        let of_index = self.numbers.capacity() * (size_of::<(u64, u64)>() + 1);
        let of_list = self.sessions.capacity() * size_of::<EndedSession>();
        self.held.set(of_index + of_list + self.beside);
    }

    /// Tells whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Finds a session by its id.
    pub fn find(&self, session_id: u64) -> Option<&EndedSession> {
        let number = self.numbers.get(&session_id)?;
        self.sessions.get((number - self.first) as usize)
    }

    /// Sessions with their numbers, the newest first; `below`: from those with smaller numbers.
    pub fn newest_first(&self, below: u64) -> impl Iterator<Item = (u64, &EndedSession)> {
        let first = self.first;
        let older = usize::try_from(below.saturating_sub(first)).unwrap_or(usize::MAX);
        let numbered = self.sessions.iter().take(older).enumerate().rev();
        numbered.map(move |(place, session)| (first + place as u64, session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Speaker;

    fn session(session_id: u64, ended_s: u32) -> EndedSession {
        EndedSession {
            session: SessionRecord {
                session_id,
                user_id: 4711,
                realm_id: 7,
                is_bound: false,
                is_resumable: false,
                transport: Transport::Tcp,
                client: SocketAddr::from(([192, 0, 2, 1], 7)),
                frames_in: 0,
                frames_out: 0,
                bytes_in: 0,
                bytes_out: 0,
                services: SmallVec::new(),
                started_s: 0,
            },
            ended_s,
            why: ClosingLabel::Client,
            code: Code::NORMAL,
            resumes: 0,
            last_words: None,
            story: None,
        }
    }

    fn ids(all: &EndedSessions, below: u64) -> Vec<u64> {
        let listed = all.newest_first(below);
        listed.map(|(_, s)| s.session.session_id).collect()
    }

    #[test]
    fn the_oldest_give_way() {
        let mut all = EndedSessions::new(MOST / 4);
        for id in 1..=10 {
            all.push(session(id, 0));
        }
        assert_eq!(ids(&all, u64::MAX), [10, 9, 8, 7]);
        assert!(all.find(6).is_none() && all.find(7).is_some());
        let (number, _) = all.newest_first(u64::MAX).nth(1).expect("the second");
        assert_eq!(ids(&all, number), [8, 7], "a list goes on");
        assert_eq!(ids(&all, 0), [] as [u64; 0]);
        assert_eq!(all.numbers.len(), 4);
        all.forget_half();
        assert_eq!(ids(&all, u64::MAX), [10, 9]);
        assert!(all.find(8).is_none() && all.find(9).is_some());
    }

    /// docs/operations.md says what all of them take.
    #[test]
    fn one_is_small() {
        let sizes = (size_of::<EndedSession>(), size_of::<super::super::Event>());
        assert!(sizes.0 <= 240 && sizes.1 <= 64, "{sizes:?}");
    }

    #[test]
    fn an_hour_and_no_longer() {
        let mut all = EndedSessions::new(1);
        all.push(session(1, 100));
        all.push(session(2, 101));
        all.forget_old(100 + KEPT_FOR - 1);
        assert_eq!(ids(&all, u64::MAX), [2, 1]);
        all.forget_old(100 + KEPT_FOR);
        assert_eq!(ids(&all, u64::MAX), [2]);
        all.forget_old(u32::MAX);
        assert!(all.is_empty() && all.find(2).is_none());
        assert_eq!((all.held.bytes(), all.beside), (0, 0));
    }

    #[test]
    fn one_that_was_here_twice_is_found_as_it_was_last() {
        let mut all = EndedSessions::new(MOST / 2);
        for (id, at) in [(1, 1), (1, 2), (2, 3)] {
            all.push(session(id, at));
        }
        assert_eq!(all.find(1).map(|s| s.ended_s), Some(2));
    }

    #[test]
    fn last_words_belong_to_the_last_one_and_count() {
        let mut all = EndedSessions::new(1);
        all.push(session(1, 1));
        let before = all.held.bytes();
        let words = |text: &str| LastWords::new(Speaker::Backend, Code::KICKED, text);
        all.set_last_words(2, words("not its"));
        assert_eq!(all.held.bytes(), before);
        all.set_last_words(1, words("cheater"));
        all.set_last_words(1, words("cheat"));
        let last = all.find(1).and_then(|s| s.last_words.as_ref());
        assert_eq!(last.map(|words| &*words.text), Some("cheat"));
        assert_eq!(all.held.bytes(), before + size_of::<LastWords>() + 5);
    }
}
