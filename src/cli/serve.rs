//! `game-gateway serve`: runs the gateway until a signal drains it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, output};
use crate::actors::config_watcher::Reload;
use crate::actors::gateway::{Drain, Gateway};
use crate::admin::LogLevel;
use crate::config::{self, Config};
use crate::logging::{FLUSH_TIMEOUT, Log};
use crate::run;
use crate::supervision::CountedAddr;

/// The exit code when a second signal cuts a drain short.
const EXIT_CUT_SHORT: i32 = 1;
/// Time that this exit waits until its reason is written.
const CUT_SHORT_FLUSH: Duration = Duration::from_millis(100);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the gateway until SIGTERM or SIGINT has drained it.
pub fn run(args: &ServeArgs) -> ExitCode {
    let file = args.config.config.as_deref();
    let loaded = config::load(file, config::environment());
    let format = match &loaded {
        Ok(config) => config.log.format,
        Err(_) => config::log_format(file, config::environment()),
    };
    let log = match Log::start(format) {
        Ok(log) => log,
        Err(error) => {
            output::complain(format_args!("game-gateway: cannot start to log: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match loaded.map_err(lines).and_then(|config| serve(config, &log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.complain(&error);
            ExitCode::FAILURE
        }
    };
    log.flush(FLUSH_TIMEOUT);
    code
}

fn lines(mistakes: Vec<config::Mistake>) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Starts logging and the gateway, and waits for its end.
fn serve(config: Config, log: &Log) -> Result<(), String> {
    let level = config.log.level.clone();
    let apply = log.subscribe(&level);
    let apply = apply.map_err(|error| format!("log.level: {error}"))?;
    let log_level = LogLevel::new(level, apply);
    run_gateway(config, log_level, log).map_err(|error| error.to_string())
}

fn run_gateway(
    config: Config,
    log_level: LogLevel,
    log: &Log,
) -> Result<(), Box<dyn std::error::Error>> {
    let gateway_id = config.gateway.id.clone();
    let signals = Signals::new()?;
    let logging = run::Logging {
        level: log_level,
        log: log.clone(),
    };
    let running = run::start_with(config, Some(logging))?;
    let (players, admin) = (running.players, running.admin);
    tracing::info!(%gateway_id, %players, %admin, version = env!("CARGO_PKG_VERSION"), "the gateway listens");
    let (gateway, own) = (running.gateway().clone(), log.clone());
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.obey(&gateway, &own))?;
    log.announce(
        &format!("game-gateway ready: players on {players}, admin on {admin}"),
        "game-gateway ready",
        json!({"players": players, "admin": admin}),
    );
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

    /// Handles signals: SIGTERM and SIGINT drain, a second one exits at once; SIGHUP has everything read again that
    /// can be.
    fn obey(self, gateway: &CountedAddr<Gateway>, log: &Log) {
        let Signals {
            runtime,
            mut terminate,
            mut interrupt,
            mut hang_up,
        } = self;
        let mut draining = false;
        runtime.block_on(async {
            loop {
                let signal = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    _ = hang_up.recv() => {
                        tracing::info!(by = "SIGHUP", "a reload is asked for");
                        gateway.do_send(Reload);
                        continue;
                    }
                };
                if std::mem::replace(&mut draining, true) {
                    tracing::warn!(by = signal, "a second signal: exiting at once");
                    log.flush(CUT_SHORT_FLUSH);
                    std::process::exit(EXIT_CUT_SHORT);
                }
                tracing::info!(by = signal, "a drain is asked for");
                log.announce("game-gateway draining", "game-gateway draining", json!({}));
                gateway.do_send(Drain::by_signal());
            }
        });
    }
}
