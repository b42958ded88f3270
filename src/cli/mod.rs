//! The subcommands of the program.

pub mod loadtest;
mod units;
