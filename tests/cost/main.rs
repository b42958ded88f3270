//! The costs of a frame and of an idle session, in exact numbers that may only fall: allocations, bytes of heap, system
//! calls, messages for each read.
//!
//! There is no time among them, so they are the same on a busy machine. The gateway is a process of its own, so that
//! nothing of the players is counted. Its work besides frames, such as that of every second, only adds: the least of
//! many equal windows is the cost of the frames.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod calls;
mod counted;
mod player;
mod process;
mod transports;
