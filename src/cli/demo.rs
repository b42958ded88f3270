//! `game-gateway demo`: a gateway, sample backends and sample players in one process, on free
//! loopback ports, with a live view. Half-way a backend dies and a rule changes.

mod backends;
mod books;
mod certificate;
mod launcher;
mod page;
mod player;
mod routes;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep_until, timeout};

use crate::config::units::parse_duration;
use crate::config::{Config, Origins};
use crate::net::dial::Tls;
use crate::run::{self, Running, StartError};
use crate::sdk::client::Transport;
use backends::Backends;
use books::{Books, Totals};
use certificate::Certificate;
use launcher::Launcher;
use page::Page;
use player::Player;
use show::Screen;

/// The most players: they share this process's descriptors with gateway and backends.
const MAX_SESSIONS: usize = 2_000;
/// Interval at which the view is drawn.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of the players' last exchange.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of the gateway's drain; no player is left by then.
const DRAIN_WINDOW: Duration = Duration::from_secs(1);
/// Threads that carry the demo's traffic.
const WORKERS: usize = 2;

/// Run a demo: a gateway, sample backends and sample players in one process.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Duration of the demo.
    #[arg(long, value_parser = parse_duration, default_value = "20s")]
    pub duration: Duration,
    /// Concurrent players: one third each over TCP, WebSocket and HTTP; half of each over TLS.
    #[arg(long, default_value_t = 48, value_name = "N")]
    pub sessions: usize,
    /// Address to serve the browser page on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub page: SocketAddr,
}

/// The reason that the demo failed.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("--page {0}: {1}")]
    Page(SocketAddr, std::io::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the gateway: {0}")]
    Start(#[from] StartError),
}

/// Runs the demo and prints what became of every frame. Exit code 1: something was lost or wrong,
/// or nothing was answered; 2: bad usage.
pub fn run(args: &DemoArgs) -> ExitCode {
    if !(1..=MAX_SESSIONS).contains(&args.sessions) {
        let sessions = args.sessions;
        eprintln!("game-gateway demo: invalid --sessions {sessions}, expected 1 to {MAX_SESSIONS}");
        return ExitCode::from(2);
    }
    match play(args) {
        Ok(totals) => {
            print!("{}", show::summary(&totals));
            ExitCode::from(u8::from(!totals.is_clean()))
        }
        Err(error) => {
            eprintln!("game-gateway demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &DemoArgs) -> Result<Totals, DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("demo")
        .enable_all()
        .build()?;
    let backends = runtime.block_on(Backends::start())?;
    let routes = routes::File::create(&backends.rules())?;
    let page = Page::start(args.page).map_err(|error| DemoError::Page(args.page, error))?;
    let certificate = Certificate::create(routes.folder())?;
    let mut config = config(routes.path(), page.origins()?);
    certificate.configure(&mut config);
    let gateway = run::start(config)?;
    println!(
        "A page to play along, while this runs: {}",
        page.url(gateway.players)
    );
    let tls = certificate.trust()?;
    let totals = runtime.block_on(perform(args, backends, &routes, &gateway, &tls));
    gateway.drain();
    page.stop()?;
    gateway.wait()?;
    Ok(totals?)
}

/// Returns the configuration of the demo's gateway: the defaults, on free loopback ports.
fn config(routes: PathBuf, origins: Origins) -> Config {
    let mut config = Config::default();
    config.listen.websocket.allowed_origins = origins;
    config.gateway.id = "demo".into();
    config.gateway.workers = WORKERS;
    config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin.address = SocketAddr::from(([127, 0, 0, 1], 0));
    config.routes.file = routes;
    config.drain.window = DRAIN_WINDOW;
    config.drain.accept_grace = Duration::ZERO;
    config
}

/// Lets the players play to the end of the duration, or until Ctrl-C.
async fn perform(
    args: &DemoArgs,
    mut backends: Backends,
    routes: &routes::File,
    gateway: &Running,
    tls: &Tls,
) -> std::io::Result<Totals> {
    let books = Arc::new(Books::default());
    let (stop, stopped) = watch::channel(false);
    let mut players = JoinSet::new();
    for number in 1..=args.sessions {
        let (address, books) = (gateway.players, books.clone());
        let tls = (number % 2 == 0).then(|| tls.clone());
        let player = |transport| Player::new(number, address, transport, books.clone());
        match number % 3 {
            1 => players.spawn(player(Transport::Tcp).play(tls, stopped.clone())),
            2 => players.spawn(player(Transport::Websocket).play(tls, stopped.clone())),
            _ => players.spawn(Launcher::new(number, address, books).play(tls, stopped.clone())),
        };
    }
    println!(
        "{} players over TCP, WebSocket and HTTP, half of them inside TLS, a gateway on {} (figures: http://{}/metrics), {} backends",
        args.sessions,
        gateway.players,
        gateway.admin,
        backends.len()
    );
    let start = Instant::now();
    let half = start + args.duration / 2;
    let end = sleep_until((start + args.duration).into());
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(end, interrupted);
    let mut screen = Screen::new();
    let mut ticks = interval_at((start + DRAW_INTERVAL).into(), DRAW_INTERVAL);
    let mut changed = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                screen.draw(start.elapsed(), &backends, &books, gateway.totals());
            }
            () = sleep_until(half.into()), if !changed => {
                changed = true;
                screen.say("account-1 dies now; new sessions find version-2 instead of version-1");
                backends.change().await?;
                routes.write(&backends.rules())?;
            }
            () = &mut end => break,
            _ = &mut interrupted => break,
        }
    }
    stop.send_replace(true);
    let finished = async { while players.join_next().await.is_some() {} };
    if timeout(FINISH_TIMEOUT, finished).await.is_err() {
        books.left_behind(players.len() as u64);
    }
    screen.draw(start.elapsed(), &backends, &books, gateway.totals());
    Ok(books.totals())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_while_a_backend_dies() {
        let args = DemoArgs {
            duration: Duration::from_secs(2),
            sessions: 8,
            page: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let totals = play(&args).unwrap();
        assert!(totals.is_clean(), "{}", show::summary(&totals));
        let sum =
            |count: fn(&books::Frames) -> u64| totals.services.values().map(count).sum::<u64>();
        let (sent, answered) = (sum(|frames| frames.sent), sum(|frames| frames.answered));
        assert_eq!(sent, answered + sum(|frames| frames.told));
        for service in ["account", "version", "game"] {
            assert!(totals.services[service].answered > 0, "{service}");
        }
        for transport in ["tcp", "websocket", "http"] {
            assert!(totals.answered_over[transport] > 0, "{transport}");
        }
    }
}
