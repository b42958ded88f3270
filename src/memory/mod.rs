//! The budget of memory: one bound, `limits.memory`, for all queues and buffers that somebody outside can make
//! grow.
//!
//! Each thread counts what it holds in a [`Meter`] of its own, by plain stores, and draws it from the budget in coarse
//! steps: nothing that threads share is touched for a frame. When little is left, whoever reads asks first, and leaves
//! its bytes with the kernel where there is no room. A buffer may be counted on one thread and given
//! back on another, so the figures of a single thread can be negative.
//!
//! * [`Part`]: what holds memory.
//! * [`Meter`], [`Held`]: counting.
//! * [`Evictable`]: holders beside clients that can be told to end.
//! * [`MemoryBudget`]: the bound, and what is held in all.
//! * [`Pressure`]: how much of it is held, and what follows.
//! * [`shares`]: from whom it is taken back.
//! * [`available`]: how much memory the process may use, and [`use_small_pages`].

pub mod available;
mod budget;
mod evictable;
mod held;
mod meter;
mod pages;
mod part;
mod pressure;
pub mod shares;

pub use budget::{MemoryBudget, MemorySnapshot};
pub use evictable::{Evictable, Share, evict, for_each_evictable};
pub use held::{
    Held, admits, count, count_on_this_thread, is_scarce, is_too_much, part_of_limit, pressure,
};
pub use meter::{Meter, SMALL, STEP, UNASKED};
pub use pages::use_small_pages;
pub use part::Part;
pub use pressure::Pressure;
