//! `game-gateway man`: writes the manual pages, made from the definitions of the arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use super::output;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Directory for the pages, e.g. /usr/local/share/man/man1; made if it is missing.
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: PathBuf,
}

/// Writes one page for each command.
pub fn run(args: &ManArgs) -> ExitCode {
    let program = super::Arguments::command();
    let written = std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(program, &args.directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let directory = args.directory.display();
            output::complain(format_args!("game-gateway man: {directory}: {error}"));
            ExitCode::FAILURE
        }
    }
}
