//! Counting where no meter is at hand: by the thread.

use std::cell::RefCell;
use std::sync::Arc;

use super::meter::Meter;
use super::part::Part;
use super::pressure::Pressure;

thread_local! {
    static METER: RefCell<Option<Arc<Meter>>> = const { RefCell::new(None) };
}

/// Makes what [`Held`] counts on this thread count in `meter`.
pub fn count_on_this_thread(meter: &Arc<Meter>) {
    METER.set(Some(Arc::clone(meter)));
}

/// Counts that `part` holds `after` bytes where it has held `before`.
#[inline]
pub fn count(part: Part, before: usize, after: usize) {
    // Without a meter, in a thread of a test, nothing is counted; nor where a thread ends.
    let _ = METER.try_with(|meter| {
        if let Some(meter) = &*meter.borrow() {
            meter.moves(part, before, after);
        }
    });
}

/// Tells whether there is room for so many bytes more, as [`Meter::admits`].
pub fn admits(bytes: usize) -> bool {
    METER.with_borrow(|meter| meter.as_ref().is_none_or(|meter| meter.admits(bytes)))
}

/// Tells whether readers ask before they read, as [`Meter::is_scarce`].
pub fn is_scarce() -> bool {
    METER.with_borrow(|meter| meter.as_ref().is_some_and(|meter| meter.is_scarce()))
}

/// How much all threads hold, as of now. Publishes what this one holds.
pub fn pressure() -> Pressure {
    let pressure = |meter: &Arc<Meter>| {
        meter.publish();
        meter.pressure()
    };
    METER.with_borrow(|meter| meter.as_ref().map_or(Pressure::None, pressure))
}

/// Tells whether memory is at least so short, and so many bytes are more than an eighth of it.
pub fn is_too_much(bytes: usize, least: Pressure) -> bool {
    let too_much = |meter: &Arc<Meter>| meter.is_too_much(bytes, least);
    METER.with_borrow(|meter| meter.as_ref().is_some_and(too_much))
}

/// One of so many equal parts of the bound; without one, no bound.
pub fn part_of_limit(parts: usize) -> usize {
    let part = |meter: &Arc<Meter>| meter.limit() / parts;
    METER.with_borrow(|meter| meter.as_ref().map_or(usize::MAX, part))
}

/// Bytes of one holder, counted until it is dropped, on whatever thread that is.
#[derive(Debug)]
pub struct Held {
    part: Part,
    bytes: usize,
}

impl Held {
    /// A holder of so many bytes.
    pub fn new(part: Part, bytes: usize) -> Held {
        let mut held = Held { part, bytes: 0 };
        held.set(bytes);
        held
    }

    /// A holder of so many bytes, counted by this thread's `meter`.
    #[inline]
    pub fn in_meter(meter: &Meter, part: Part, bytes: usize) -> Held {
        meter.moves(part, 0, bytes);
        Held { part, bytes }
    }

    /// Gives the bytes back in this thread's `meter`.
    #[inline]
    pub fn release(mut self, meter: &Meter) {
        meter.moves(self.part, std::mem::take(&mut self.bytes), 0);
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes so many of the bytes, or all that there are, another holder's.
    pub fn split(&mut self, bytes: usize) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Held {
            part: self.part,
            bytes,
        }
    }

    /// Takes over the bytes of another holder of the same part, which may come from another thread. The sum of all
    /// threads stays as it is.
    #[inline]
    pub fn absorb(&mut self, mut other: Held) {
        debug_assert_eq!(self.part, other.part);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Replaces the number of bytes.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        let before = std::mem::replace(&mut self.bytes, bytes);
        count(self.part, before, bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBudget;

    /// A link takes over what a client on another thread has counted.
    #[test]
    fn what_is_taken_over_counts_once() {
        let budget = Arc::new(MemoryBudget::new(1 << 20, 2));
        let own = Arc::clone(&budget);
        let sent = std::thread::spawn(move || {
            count_on_this_thread(own.worker(1));
            Held::new(Part::LinkQueues, 100)
        });
        count_on_this_thread(budget.worker(0));
        let mut queue = Held::new(Part::LinkQueues, 10);
        queue.absorb(sent.join().unwrap());
        assert_eq!((queue.bytes(), budget.snapshot().held), (110, 110));
        queue.set(50);
        assert_eq!(budget.snapshot().held, 50);
        drop(queue);
        assert_eq!(budget.snapshot().held, 0);
    }
}
