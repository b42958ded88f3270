//! A wish for a session on a link, which may be given up before the link is there or has room.

use std::sync::{Arc, Weak};

/// The wish: dropped, or given up, it brings no OPEN any more.
#[derive(Debug, Default)]
pub struct Want(Option<Arc<()>>);

impl Want {
    /// A wish that holds.
    pub fn new() -> Want {
        Want(Some(Arc::default()))
    }

    /// Gives the wish up.
    pub fn give_up(&mut self) {
        self.0 = None;
    }

    /// Returns what tells others whether it still holds.
    pub fn wanted(&self) -> Wanted {
        Wanted(self.0.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }
}

/// Tells whether a [`Want`] still holds. It goes with the wish from actor to actor.
#[derive(Debug, Clone)]
pub struct Wanted(Weak<()>);

impl Wanted {
    /// Returns true once the wish is given up.
    pub fn is_given_up(&self) -> bool {
        self.0.strong_count() == 0
    }
}
