//! What is seen goes to the auditor, and where wanted into a hash or onto the screen.

use std::fmt::{self, Write};

use crate::Audit;
use crate::wire::{Auditor, Millis, Seen};

/// FNV-1a over formatted text.
#[derive(Debug, Clone, Copy)]
struct Hash(u64);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        Ok(())
    }
}

/// How much of a run is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    /// A hash of all that happens.
    Hash,
    /// The same, and everything on standard error.
    Print,
}

pub(crate) struct Log {
    pub(crate) audit: Audit,
    detail: Detail,
    hash: Hash,
}

impl Log {
    pub(crate) fn new(audit: Audit, detail: Detail) -> Log {
        Log {
            audit,
            detail,
            hash: Hash(0xCBF2_9CE4_8422_2325),
        }
    }

    pub(crate) fn see(&mut self, at: Millis, seen: &Seen<'_>) {
        self.note(at, seen);
        let held = self.prints() && !self.audit.is_broken();
        self.audit.see(at, seen);
        if held && self.audit.is_broken() {
            eprintln!("{at:>7} here a rule is broken");
        }
    }

    /// Writes down what the auditor is not told: it happens inside.
    pub(crate) fn note(&mut self, at: Millis, what: &dyn fmt::Debug) {
        match self.detail {
            Detail::Nothing => {}
            Detail::Hash => drop(write!(self.hash, "{at} {what:?}")),
            Detail::Print => {
                let _ = write!(self.hash, "{at} {what:?}");
                eprintln!("{at:>7} {what:?}");
            }
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn prints(&self) -> bool {
        self.detail == Detail::Print
    }
}
