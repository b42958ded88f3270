//! Final CLOSEs that an endpoint is not known to have read, over the links of all workers (protocol 3.1). The backend
//! may live and keep such a session for as long as any link of this gateway stands. So it may one that has left a link by
//! CLOSE 307 that was not answered: it is told that this gateway does not have it (CLOSE 421), which ends nothing (2.3).
//!
//! A session that is opened there again is owed nothing any more: a CLOSE of its stay before would end the new one.
//! The backend reads each link at its own pace, so one that is said on another link must be read before the OPEN is sent.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;

use crate::codec::code::Code;

/// Most that one endpoint may be owed.
const MOST: usize = 65_536;

/// Those of one endpoint.
#[derive(Debug, Default)]
pub struct OwedCloses {
    unread: Mutex<Unread>,
    /// How many there are, owed and said.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Unread {
    /// To be said on the next link, by session: the link that they were said on is lost.
    owed: HashMap<u64, Code, RandomState>,
    /// Those beyond the most.
    lost: u64,
    /// The newest one that was said of a session.
    said: HashMap<u64, Said, RandomState>,
    /// How many were said.
    numbers: u64,
}

/// A final CLOSE that was said and may not have been read.
#[derive(Debug)]
struct Said {
    number: u64,
    link_id: u64,
    /// Who waits for it to be read.
    waiting: Vec<Waker>,
}

impl Drop for Said {
    fn drop(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// A session's final CLOSE that was said on a link and may not have been read.
#[derive(Debug)]
pub struct UnreadOn {
    /// The link: what is said there behind it is read behind it.
    pub link_id: u64,
    endpoint: Arc<OwedCloses>,
    session_id: u64,
    number: u64,
}

/// Ready when it is read, or counts no more.
impl Future for UnreadOn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.endpoint.with(|unread| {
            let said = unread.said.get_mut(&self.session_id);
            let Some(said) = said.filter(|said| said.number == self.number) else {
                return Poll::Ready(());
            };
            if !said.waiting.iter().any(|one| one.will_wake(cx.waker())) {
                said.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

/// What a session that comes back to the endpoint finds.
#[derive(Debug)]
pub enum ComesBack {
    /// Nothing that could end it.
    Free,
    /// It was owed a final CLOSE that nobody has said again.
    Owed(Returning),
    /// One was said, and may not have been read.
    Unread(UnreadOn),
}

/// It is owed nothing, unless it is not opened there after all.
#[derive(Debug)]
pub struct Returning {
    endpoint: Arc<OwedCloses>,
    session_id: u64,
    code: Code,
    is_open: bool,
}

impl Returning {
    /// Its OPEN is sent.
    pub fn opened(mut self) {
        self.is_open = true;
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if !self.is_open {
            self.endpoint.push(self.session_id, self.code);
        }
    }
}

/// What is owed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Sessions, each with the code, and the number of its CLOSE.
    pub closes: Vec<(u64, Code, u64)>,
    /// Sessions that have left a lost link, in order: CLOSE 421 is due where this gateway does not have them again.
    pub left: Vec<u64>,
    /// Those beyond the most.
    pub lost: u64,
}

impl Unread {
    fn push(&mut self, session_id: u64, code: Code) {
        let known = self.owed.contains_key(&session_id);
        if known && code == Code::LEAVES_LINK {
            // It has ended since.
        } else if known || self.owed.len() < MOST {
            self.owed.insert(session_id, code);
        } else {
            self.lost += 1;
        }
    }

    fn says(&mut self, session_id: u64, link_id: u64) -> u64 {
        self.numbers += 1;
        let said = Said {
            number: self.numbers,
            link_id,
            waiting: Vec::new(),
        };
        self.said.insert(session_id, said);
        self.numbers
    }

    fn settle(&mut self, session_id: u64, number: u64) -> bool {
        let said = self.said.get(&session_id);
        let newest = said.is_some_and(|said| said.number == number);
        if newest {
            self.said.remove(&session_id);
        }
        newest
    }
}

impl OwedCloses {
    fn with<R>(&self, work: impl FnOnce(&mut Unread) -> R) -> R {
        let mut unread: MutexGuard<'_, Unread> =
            self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut unread);
        let count = unread.owed.len() + unread.said.len();
        self.count.store(count, Ordering::Relaxed);
        result
    }

    /// Adds one; with the code 307 that the session has left. One too many is only counted: the backend ends that session
    /// when it has no link any more.
    pub fn push(&self, session_id: u64, code: Code) {
        self.with(|unread| unread.push(session_id, code));
    }

    /// A link says all that are owed, but those that `is_here` tells of: a session that it carries has been opened anew.
    pub(super) fn say(&self, link_id: u64, is_here: impl Fn(u64) -> bool) -> Owed {
        self.with(|unread| {
            let owed = std::mem::take(&mut unread.owed).into_iter();
            let owed = owed.filter(|(session_id, _)| !is_here(*session_id));
            let has_left = |(_, code): &(u64, Code)| *code == Code::LEAVES_LINK;
            let (left, ended): (Vec<_>, Vec<_>) = owed.partition(has_left);
            let mut left: Vec<u64> = left.into_iter().map(|(session_id, _)| session_id).collect();
            left.sort_unstable();
            let closes = ended.into_iter();
            Owed {
                closes: closes
                    .map(|(session_id, code)| (session_id, code, unread.says(session_id, link_id)))
                    .collect(),
                left,
                lost: std::mem::take(&mut unread.lost),
            }
        })
    }

    /// A link that said these is lost: those that are the newest of their sessions, and have not been opened since, are
    /// owed. In one step: who waits for one finds it owed. Returns them.
    pub(super) fn lose(&self, closes: Vec<(u64, Code, u64)>) -> Vec<(u64, Code)> {
        self.with(|unread| {
            let mut owed = Vec::new();
            for (session_id, code, number) in closes {
                if unread.settle(session_id, number) {
                    unread.push(session_id, code);
                    owed.push((session_id, code));
                }
            }
            owed
        })
    }

    /// Returns how many are owed.
    pub fn count(&self) -> usize {
        match self.count.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.with(|unread| unread.owed.len()),
        }
    }

    /// A session is about to be opened at the endpoint: takes what it is owed there, if it is.
    pub fn comes_back(self: &Arc<Self>, session_id: u64) -> ComesBack {
        if self.count.load(Ordering::Relaxed) == 0 {
            return ComesBack::Free;
        }
        // In one step, for between two a link of another worker could say it.
        self.with(|unread| {
            if let Some(said) = unread.said.get(&session_id) {
                return ComesBack::Unread(UnreadOn {
                    link_id: said.link_id,
                    endpoint: Arc::clone(self),
                    session_id,
                    number: said.number,
                });
            }
            match unread.owed.remove(&session_id) {
                None => ComesBack::Free,
                Some(code) => ComesBack::Owed(Returning {
                    endpoint: Arc::clone(self),
                    session_id,
                    code,
                    is_open: false,
                }),
            }
        })
    }

    /// A session is opened at the endpoint.
    pub(super) fn opened(&self, session_id: u64) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.with(|unread| {
                unread.owed.remove(&session_id);
                unread.said.remove(&session_id);
            });
        }
    }

    /// A link says one. Returns its number.
    pub(super) fn said(&self, session_id: u64, link_id: u64) -> u64 {
        self.with(|unread| unread.says(session_id, link_id))
    }

    /// The one of this number is read, or nobody asks any more. Returns whether it was the session's newest one, and
    /// the session has not been opened since.
    pub(super) fn settle(&self, session_id: u64, number: u64) -> bool {
        self.with(|unread| unread.settle(session_id, number))
    }
}

#[cfg(test)]
#[path = "owed_tests.rs"]
mod tests;
