//! Holders beside clients (links whose backend takes nothing, HTTP requests) that a thread's worker can tell to
//! end when memory is short.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;

use super::held::Held;
use super::part::Part;

struct Entry {
    bytes: Rc<Cell<u32>>,
    end: Box<dyn Fn()>,
    /// It was told already.
    is_told: Cell<bool>,
}

thread_local! {
    static ENTRIES: RefCell<Slab<Entry>> = const { RefCell::new(Slab::new()) };
}

/// A holder that can be told to end. Belongs to its thread.
#[derive(Debug)]
pub struct Evictable {
    slot: usize,
    bytes: Rc<Cell<u32>>,
}

impl Evictable {
    /// A holder of nothing yet. `end` ends it: later, for it is called in between.
    pub fn new(end: impl Fn() + 'static) -> Evictable {
        let bytes = Rc::<Cell<u32>>::default();
        let entry = Entry {
            bytes: Rc::clone(&bytes),
            end: Box::new(end),
            is_told: Cell::new(false),
        };
        let slot = ENTRIES.with_borrow_mut(|entries| entries.insert(entry));
        Evictable { slot, bytes }
    }

    /// Replaces the bytes that would come back.
    #[inline]
    pub fn set(&self, bytes: usize) {
        self.bytes.set(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn moves(&self, before: usize, after: usize) {
        let bytes = (self.bytes.get() as usize + after).saturating_sub(before);
        self.set(bytes);
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        // Where the thread ends there is nobody to be told.
        let _ = ENTRIES.try_with(|entries| entries.borrow_mut().try_remove(self.slot));
    }
}

/// Bytes that an evictable holder has for one purpose, counted as [`Held`] are.
#[derive(Debug)]
pub struct Share {
    held: Held,
    of: Option<Rc<Evictable>>,
}

impl Share {
    /// A share of so many bytes.
    pub fn new(part: Part, bytes: usize, of: Option<Rc<Evictable>>) -> Share {
        let mut share = Share {
            held: Held::new(part, 0),
            of,
        };
        share.set(bytes);
        share
    }

    /// Replaces the number of bytes.
    pub fn set(&mut self, bytes: usize) {
        let before = self.held.bytes();
        self.held.set(bytes);
        if let Some(of) = &self.of {
            of.moves(before, bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Passes the bytes of all evictable holders of this thread.
pub fn for_each_evictable(mut pass: impl FnMut(u32)) {
    ENTRIES.with_borrow(|entries| {
        for (_, entry) in entries {
            pass(entry.bytes.get());
        }
    });
}

/// Tells those of this thread that hold at least `least` bytes, and something, to end, until `enough` bytes are
/// to come back; returns how many holders that are told now, and how many bytes come back.
pub fn evict(least: u32, enough: usize) -> (u64, usize) {
    ENTRIES.with_borrow(|entries| {
        let (mut holders, mut back) = (0, 0);
        for (_, entry) in entries {
            let bytes = entry.bytes.get();
            if bytes >= least.max(1) && back < enough {
                back += bytes as usize;
                if !entry.is_told.replace(true) {
                    holders += 1;
                    (entry.end)();
                }
            }
        }
        (holders, back)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<u32> {
        let mut all = Vec::new();
        for_each_evictable(|bytes| all.push(bytes));
        all
    }

    #[test]
    fn the_large_are_told_and_those_that_are_gone_are_not() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let holder = |bytes: usize| {
            let told = Rc::clone(&told);
            let holder = Evictable::new(move || told.borrow_mut().push(bytes));
            holder.set(bytes);
            holder
        };
        let (_nothing, small, large, larger) = (holder(0), holder(10), holder(100), holder(150));
        assert_eq!(evict(0, 0), (0, 0));
        assert_eq!(evict(50, 120), (2, 250));
        assert_eq!(*told.borrow(), [100, 150]);
        drop(large);
        // One that was told is counted once, and what it holds is still to come back.
        assert_eq!(evict(0, usize::MAX), (1, 160));
        drop((small, larger));
        assert_eq!(all(), [0]);
    }

    #[test]
    fn shares_add_up() {
        let holder = Rc::new(Evictable::new(|| ()));
        let mut one = Share::new(Part::Http, 5, Some(Rc::clone(&holder)));
        let two = Share::new(Part::Http, 7, Some(holder));
        assert_eq!(all(), [12]);
        one.set(1);
        drop(two);
        assert_eq!(all(), [1]);
        drop(one);
        assert!(all().is_empty());
    }
}
