//! State rescued from actors that panicked.

use std::cell::Cell;
use std::rc::Rc;

/// What an actor that dies leaves to the next one on its seat.
pub struct Rescued<T>(Rc<Cell<Option<T>>>);

impl<T> Default for Rescued<T> {
    fn default() -> Self {
        Rescued(Rc::default())
    }
}

impl<T> Clone for Rescued<T> {
    fn clone(&self) -> Self {
        Rescued(Rc::clone(&self.0))
    }
}

impl<T> Rescued<T> {
    /// What the first one finds.
    pub fn begin_with(&self, estate: T) {
        self.0.set(Some(estate));
    }

    /// To be called when the actor is dropped: keeps what it knew if that is because of a panic.
    pub fn leave(&self, estate: impl FnOnce() -> T) {
        if std::thread::panicking() {
            self.0.set(Some(estate()));
        }
    }

    /// What the one before has left, if there was one.
    pub fn take(&self) -> Option<T> {
        self.0.take()
    }
}
