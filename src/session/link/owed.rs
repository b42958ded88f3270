//! Final CLOSEs that an endpoint is not known to have read, over the links of all workers (protocol 3.1). The backend
//! may live and keep such a session for as long as any link of this gateway stands.
//!
//! A session that is opened there again is owed nothing any more: a CLOSE of its stay before would end the new one.
//! The backend reads each link at its own pace, so one that is said on another link must be read before the OPEN is sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::watch;

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
    /// Dropped with this: the session waits for that.
    settled: Option<watch::Sender<()>>,
}

/// A session's final CLOSE that was said on a link and may not have been read.
#[derive(Debug)]
pub struct UnreadOn {
    /// The link: what is said there behind it is read behind it.
    pub link_id: u64,
    settled: watch::Receiver<()>,
}

impl UnreadOn {
    /// Waits until it is read, or counts no more.
    pub async fn settled(mut self) {
        // Nothing is ever sent.
        while self.settled.changed().await.is_ok() {}
    }
}

/// A session comes back to the endpoint: it is owed nothing, unless it is not opened there after all.
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
    /// Sessions, each with the code.
    pub closes: Vec<(u64, Code)>,
    /// Those beyond the most.
    pub lost: u64,
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

    /// Adds one. One too many is only counted: the backend ends that session when it has no link any more.
    pub fn push(&self, session_id: u64, code: Code) {
        self.with(|unread| {
            if unread.owed.len() < MOST || unread.owed.contains_key(&session_id) {
                unread.owed.insert(session_id, code);
            } else {
                unread.lost += 1;
            }
        });
    }

    /// Takes all that are owed, for a link to say them.
    pub fn take(&self) -> Owed {
        self.with(|unread| Owed {
            closes: std::mem::take(&mut unread.owed).into_iter().collect(),
            lost: std::mem::take(&mut unread.lost),
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
    pub fn returns(self: &Arc<Self>, session_id: u64) -> Option<Returning> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let code = self.with(|unread| unread.owed.remove(&session_id))?;
        Some(Returning {
            endpoint: Arc::clone(self),
            session_id,
            code,
            is_open: false,
        })
    }

    /// Returns where a session's final CLOSE was said that may not have been read.
    pub fn unread(&self, session_id: u64) -> Option<UnreadOn> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.with(|unread| {
            let said = unread.said.get_mut(&session_id)?;
            let settled = said.settled.get_or_insert_with(|| watch::channel(()).0);
            Some(UnreadOn {
                link_id: said.link_id,
                settled: settled.subscribe(),
            })
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
        self.with(|unread| {
            unread.numbers += 1;
            let said = Said {
                number: unread.numbers,
                link_id,
                settled: None,
            };
            unread.said.insert(session_id, said);
            unread.numbers
        })
    }

    /// The one of this number is read, or nobody asks any more. Returns whether it was the session's newest one, and
    /// the session has not been opened since.
    pub(super) fn settle(&self, session_id: u64, number: u64) -> bool {
        self.with(|unread| {
            let said = unread.said.get(&session_id);
            let newest = said.is_some_and(|said| said.number == number);
            if newest {
                unread.said.remove(&session_id);
            }
            newest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_once_and_bounded() {
        let owed = OwedCloses::default();
        (0..MOST as u64 + 2).for_each(|id| owed.push(id, Code::NORMAL));
        owed.push(0, Code::NORMAL);
        let taken = owed.take();
        assert_eq!((taken.closes.len(), taken.lost), (MOST, 2));
        assert_eq!(owed.take(), Owed::default());
    }

    #[test]
    fn a_session_that_is_opened_again_is_owed_nothing() {
        let owed = OwedCloses::default();
        owed.push(1, Code::NORMAL);
        let before = owed.said(2, 1);
        owed.opened(1);
        owed.opened(2);
        assert_eq!((owed.count(), owed.settle(2, before)), (0, false));
        // What was said since is its own matter.
        let since = owed.said(2, 1);
        assert!(!owed.settle(2, before));
        assert!(owed.settle(2, since));
        assert_eq!(owed.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_session_that_comes_back_is_owed_nothing_unless_it_is_not_opened() {
        let owed = Arc::new(OwedCloses::default());
        owed.push(1, Code::NORMAL);
        assert!(owed.returns(2).is_none());
        let returning = owed.returns(1).expect("owed");
        assert_eq!(owed.take(), Owed::default());
        drop(returning);
        assert_eq!(owed.count(), 1);
        owed.returns(1).expect("owed").opened();
        assert_eq!(owed.take(), Owed::default());
    }

    #[tokio::test]
    async fn who_waits_for_one_to_be_read_is_told() {
        let owed = OwedCloses::default();
        assert!(owed.unread(1).is_none());
        let number = owed.said(1, 7);
        let [first, second] = [(); 2].map(|()| owed.unread(1).expect("unread"));
        assert_eq!(first.link_id, 7);
        let mut first = std::pin::pin!(first.settled());
        assert!(futures_util::poll!(&mut first).is_pending());
        // A newer one takes its place, perhaps on another link: who waits asks again.
        let newer = owed.said(1, 8);
        first.await;
        second.settled().await;
        assert!(!owed.settle(1, number));
        let third = owed.unread(1).expect("unread");
        assert_eq!(third.link_id, 8);
        assert!(owed.settle(1, newer));
        third.settled().await;
        assert!(owed.unread(1).is_none());
    }
}
