//! Arguments, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use game_gateway::cli;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
