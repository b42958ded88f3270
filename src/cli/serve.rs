//! `game-gateway serve`: runs the gateway until a signal drains it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use super::ConfigFile;
use crate::actors::config_watcher::Reload;
use crate::actors::gateway::{Drain, Gateway};
use crate::admin::LogLevel;
use crate::config::{self, Config};
use crate::run;
use crate::supervision::CountedAddr;

/// The exit code when a second signal cuts a drain short.
const EXIT_CUT_SHORT: i32 = 1;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the gateway until SIGTERM or SIGINT has drained it.
pub fn run(args: &ServeArgs) -> ExitCode {
    let config = match config::load(args.config.config.as_deref(), config::environment()) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("game-gateway: {mistake}");
            }
            return ExitCode::FAILURE;
        }
    };
    let log_level = match log(&config) {
        Ok(log_level) => log_level,
        Err(error) => {
            eprintln!("game-gateway: log.level: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(config, log_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("game-gateway: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Target that logs players' HTTP mistakes at `error`; they are common, and counted. A level that names
/// it still goes before this.
const QUIET: &str = "actix_http=off";

fn filtered(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
}

/// Starts logging; returns the control of its level.
fn log(config: &Config) -> Result<LogLevel, Box<dyn std::error::Error + Send + Sync>> {
    let (filter, in_force) = reload::Layer::new(filtered(&config.log.level)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match config.log.format {
        config::LogFormat::Text => lines.boxed(),
        config::LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(LogLevel::new(config.log.level.clone(), move |level| {
        let filter = filtered(level).map_err(|error| error.to_string())?;
        in_force.reload(filter).map_err(|error| error.to_string())
    }))
}

fn serve(config: Config, log_level: LogLevel) -> Result<(), Box<dyn std::error::Error>> {
    let gateway_id = config.gateway.id.clone();
    let signals = Signals::new()?;
    let running = run::start_with(config, Some(Arc::new(log_level)))?;
    let (players, admin) = (running.players, running.admin);
    tracing::info!(%gateway_id, %players, %admin, version = env!("CARGO_PKG_VERSION"), "the gateway listens");
    let gateway = running.gateway().clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.obey(&gateway))?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "game-gateway ready: players on {players}, admin on {admin}"
    )?;
    out.flush()?;
    running.wait()?;
    Ok(())
}

/// The signals that the program takes, from the moment that this is made.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Signals {
            runtime,
            terminate,
            interrupt,
            hang_up,
        })
    }

    /// Handles signals: SIGTERM and SIGINT drain, a second one exits at once; SIGHUP reloads the routes.
    fn obey(self, gateway: &CountedAddr<Gateway>) {
        let Signals {
            runtime,
            mut terminate,
            mut interrupt,
            mut hang_up,
        } = self;
        let mut draining = false;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hang_up.recv() => {
                        gateway.do_send(Reload);
                        continue;
                    }
                }
                if std::mem::replace(&mut draining, true) {
                    tracing::warn!("a second signal: exiting at once");
                    std::process::exit(EXIT_CUT_SHORT);
                }
                // For scripts that wait for it; a closed stdout must not stop a drain.
                let _ = writeln!(std::io::stdout(), "game-gateway draining");
                gateway.do_send(Drain::by_signal());
            }
        });
    }
}
