//! The program's subcommands, one a module.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod admin;
pub mod check;
pub mod completions;
pub mod demo;
pub mod loadtest;
pub mod man;
mod output;
pub mod routes;
pub mod serve;
pub mod top;
mod units;

/// A gateway for game servers: one port for players, rules that route every packet.
#[derive(Debug, Parser)]
#[command(name = "game-gateway", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::ServeArgs),
    /// Validate the configuration and the routing data; reports all errors at once.
    Check(check::CheckArgs),
    /// Inspect and control a running gateway through its admin API.
    Admin(admin::AdminArgs),
    /// Watch running gateways in the terminal.
    Top(top::TopArgs),
    /// Run a demo: gateways, sample backends and sample players in one process.
    Demo(demo::DemoArgs),
    /// Generate load on a gateway and verify every response.
    Loadtest(Box<loadtest::LoadtestArgs>),
    /// Read and write the routing data in Redis.
    Routes(routes::RoutesArgs),
    /// Print a shell's completions.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a directory.
    Man(man::ManArgs),
}

/// Runs the subcommand.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Admin(args) => admin::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Loadtest(args) => loadtest::run(&args),
        Command::Routes(args) => routes::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// The configuration file's option, the same for every subcommand that has it.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// Configuration file (TOML); built-in defaults if omitted.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
