//! Admission: which connections are served, and whether sessions may start.

mod files;
mod gate;

pub use files::{FileBudget, Room};
pub use gate::{Admission, Gate, Permit, Suspension};
