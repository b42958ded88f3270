//! Final CLOSEs of sessions whose link was lost (protocol 3.1). The backend may live and keep such a session for as long
//! as any link of this gateway stands, so they wait where the pools of all workers find them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::codec::code::Code;

/// Most that one endpoint may be owed.
const MOST: usize = 65_536;

/// A final CLOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct OwedClose {
    pub session_id: u64,
    pub code: Code,
}

/// Those that are owed to one endpoint.
#[derive(Debug, Default)]
pub struct OwedCloses(Mutex<Owed>);

/// What is owed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Oldest first.
    pub closes: Vec<OwedClose>,
    /// Those beyond the most.
    pub lost: u64,
}

impl OwedCloses {
    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one. One too many is only counted: the backend ends that session when it has no link any more.
    pub fn push(&self, close: OwedClose) {
        let mut owed = self.owed();
        if owed.closes.len() < MOST {
            owed.closes.push(close);
        } else {
            owed.lost += 1;
        }
    }

    /// Takes all, for a link to say them.
    pub fn take(&self) -> Owed {
        std::mem::take(&mut self.owed())
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.owed().closes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_once_and_bounded() {
        let owed = OwedCloses::default();
        let close = |session_id| OwedClose {
            session_id,
            code: Code::NORMAL,
        };
        (0..MOST as u64 + 2).for_each(|id| owed.push(close(id)));
        let taken = owed.take();
        assert_eq!((taken.closes.len(), taken.lost), (MOST, 2));
        assert_eq!(taken.closes.first(), Some(&close(0)));
        assert_eq!(owed.take(), Owed::default());
    }
}
