//! Admission: which connections are served, and whether sessions may start.

mod gate;

pub use gate::{Admission, Gate, Permit, Suspension};
