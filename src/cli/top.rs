//! `game-gateway top`: a live view of running gateways in a terminal.
//!
//! Threads ask the gateways (`poll`); what they hear and the keys that are typed change a `State`, of which `view`
//! makes a frame. Both are pure. `screen` is the thin loop around them.

mod gateway;
mod lists;
mod poll;
mod scrape;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod theme;
mod units;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::admin::gateways::GatewayArgs;
use super::output;
use gateway::Contact;
use lists::View;
use poll::Pollers;
use state::State;
use theme::Theme;

/// Timeout of an answer: a gateway that is slower is said to be away, and is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of the one frame of `--once` where there is no terminal.
const PAPER: (u16, u16) = (100, 48);

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    #[command(flatten)]
    gateways: GatewayArgs,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// View to begin with.
    #[arg(long, value_enum, default_value_t = FirstView::Overview)]
    view: FirstView,
    /// Print one frame as text, when rates are known, and end.
    #[arg(long)]
    once: bool,
}

/// A view, as the command line names it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirstView {
    Overview,
    Backends,
    Sessions,
    Talkers,
    Actors,
    Refusals,
    Drain,
}

/// Shows gateways until somebody quits.
pub fn run(args: &TopArgs) -> ExitCode {
    match start(args) {
        Ok(code) => code,
        Err(error) => {
            output::complain(format_args!("game-gateway top: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start(args: &TopArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut apis = args
        .gateways
        .apis()
        .map_err(|failure| failure.to_string())?;
    let screen = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !screen && !args.once {
        return Err("this is no terminal; --once prints one frame as text".into());
    }
    for api in &mut apis {
        api.answer_within(ANSWER_TIMEOUT);
    }
    let urls: Vec<String> = apis.iter().map(|api| api.url().to_owned()).collect();
    let every = Duration::from_secs(args.interval);
    let mut state = State::new(urls.into_iter(), every, Instant::now());
    state.wanted.view = View::ALL[args.view as usize];
    let pollers = Pollers::start(apis, state.wanted)?;
    let theme = Theme {
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    if args.once {
        return once(state, &pollers, theme);
    }
    screen::run(state, &pollers, theme)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one frame for each gateway, when it is as full as it gets.
fn once(
    mut state: State,
    pollers: &Pollers,
    theme: Theme,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (asked, every) = (Instant::now(), state.wanted.every);
    let until = asked + every * 2 + ANSWER_TIMEOUT * 3;
    while !state
        .gateways
        .iter()
        .all(|gateway| gateway.is_full(state.wanted.view))
    {
        let Some((gateway, news)) = pollers.wait(until) else {
            break;
        };
        state.heard(gateway, news, Instant::now());
    }
    let (width, height) = match std::io::stdout().is_terminal() {
        true => ratatui::crossterm::terminal::size().unwrap_or(PAPER),
        false => PAPER,
    };
    let mut failed = false;
    for place in 0..state.gateways.len() {
        state.shown = place;
        let gap = if place == 0 { "" } else { "\n" };
        let text = screen::text(&state, theme, width, height)?;
        output::write(&format!("{gap}{text}"))?;
        if let Contact::Away { why, .. } = &state.gateway().contact {
            output::complain(format_args!("game-gateway top: {why}"));
            failed = true;
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
