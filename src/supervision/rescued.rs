//! State rescued from actors that panicked.
//!
//! A supervised actor keeps what the next one on its seat must have in one struct, in one field of
//! type [`Rescued`]. While a panic drops the actor, that field puts the struct into the
//! [`RescueSlot`], where the factory of the next one finds it. It is the dead actor's own state and
//! no copy: nothing is paid for it in good days.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Slot through which the actors of one seat pass their state on.
pub struct RescueSlot<T>(Rc<Cell<Option<T>>>);

impl<T> Default for RescueSlot<T> {
    fn default() -> Self {
        RescueSlot(Rc::default())
    }
}

impl<T: Default> RescueSlot<T> {
    /// Creates a slot with the state for the first actor.
    pub fn with(state: T) -> RescueSlot<T> {
        RescueSlot(Rc::new(Cell::new(Some(state))))
    }

    /// Takes the state of the actor before, or the default for a first one.
    pub fn take(&self) -> Rescued<T> {
        Rescued {
            state: self.0.take().unwrap_or_default(),
            slot: Rc::clone(&self.0),
        }
    }
}

/// State of a supervised actor that outlives its panic, and its restart by hand.
pub struct Rescued<T: Default> {
    state: T,
    slot: Rc<Cell<Option<T>>>,
}

impl<T: Default> Rescued<T> {
    /// Leaves the state to the next actor of the seat, as a panic would.
    pub fn pass_on(&mut self) {
        self.slot.set(Some(std::mem::take(&mut self.state)));
    }
}

impl<T: Default> Deref for Rescued<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T: Default> DerefMut for Rescued<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
    }
}

impl<T: Default> Drop for Rescued<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_leaves_the_state_and_an_orderly_end_does_not() {
        let slot = RescueSlot::with(1);
        let mut first = slot.take();
        *first += 1;
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _first = first;
            panic!("as injected");
        }));
        assert!(died.is_err());
        let second = slot.take();
        assert_eq!(*second, 2);
        drop(second);
        let mut third = slot.take();
        assert_eq!(*third, 0);
        *third += 7;
        third.pass_on();
        drop(third);
        assert_eq!(*slot.take(), 7);
    }
}
