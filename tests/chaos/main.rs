//! Whatever anybody does, and whatever happens to networks, backends and Redis: each case is done to real processes,
//! on which a resident or a great many others play, and has an invariant, a stated bound and printed figures.
//! Afterwards actors, sessions, links, files and memory are what they were.

#[path = "../moves/stage.rs"]
mod deployment;
#[path = "../support/play/mod.rs"]
mod play;
#[path = "../support/mod.rs"]
mod support;

mod backends;
mod crowd;
mod cuts;
mod files;
mod limits;
mod load;
mod redis;
mod resident;
mod snapshot;
mod stage;
mod stalled;
mod storms;
