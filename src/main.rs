//! Arguments, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use game_gateway::cli;

/// What the system's allocator costs is a quarter of what the program does for a connection that comes and goes, and an
/// eighth of a round trip (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
