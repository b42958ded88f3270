//! `game-gateway completions`: prints a shell's completions, made from the definitions of the arguments.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Shell to complete in.
    shell: Shell,
}

/// Prints the shell's script.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    let mut program = super::Arguments::command();
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    match output::write(&String::from_utf8_lossy(&script)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(format_args!("game-gateway completions: {error}"));
            ExitCode::FAILURE
        }
    }
}
