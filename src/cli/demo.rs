//! `game-gateway demo`: two gateways, sample backends and sample players in one process, on free
//! loopback ports, with a live view. After a while a backend dies and a rule changes; later a game server is upgraded.

mod backends;
mod books;
mod certificate;
mod launcher;
mod page;
mod player;
mod relay;
mod routes;
mod show;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngCore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep_until, timeout};

use crate::cli::output;
use crate::config::units::{parse_duration, show_duration};
use crate::config::{Config, Origins, Secret};
use crate::net::dial::Tls;
use crate::run::{self, Running, StartError};
use crate::sdk::client::Transport;
use backends::Backends;
use books::{Books, Totals};
use certificate::Certificate;
use launcher::Launcher;
use player::Player;
use relay::{Destination, Relay};
use show::Screen;

/// The most players: they share this process's descriptors with gateway and backends.
const MAX_SESSIONS: usize = 2_000;
/// Interval at which the view is drawn.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of the players' last exchange.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of the gateway's drain; no player is left by then.
const DRAIN_WINDOW: Duration = Duration::from_secs(1);
/// Threads of each gateway.
const WORKERS: usize = 1;
/// Names of the gateways.
const GATEWAYS: [&str; 2] = ["demo-1", "demo-2"];
/// Duration without a terminal, where nobody may be there to end it; the events come after half of it and three quarters.
const DURATION: Duration = Duration::from_secs(20);

/// Run a demo: gateways, sample backends and sample players in one process.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Duration of the demo [default: until Ctrl-C in a terminal, else 20s].
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
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
        output::complain(format_args!(
            "game-gateway demo: invalid --sessions {sessions}, expected 1 to {MAX_SESSIONS}"
        ));
        return ExitCode::from(2);
    }
    match play(args) {
        Ok(totals) => {
            output::say(show::summary(&totals).trim_end());
            ExitCode::from(u8::from(!totals.is_clean()))
        }
        Err(error) => {
            output::complain(format_args!("game-gateway demo: {error}"));
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
    let page = page::listen(args.page).map_err(|error| DemoError::Page(args.page, error))?;
    let certificate = Certificate::create(routes.folder())?;
    let keys = token_key();
    let start = |id| {
        let mut config = config(id, routes.path(), page.origins()?, &keys);
        certificate.configure(&mut config);
        Ok::<_, DemoError>(run::start(config)?)
    };
    let gateways = [start(GATEWAYS[0])?, start(GATEWAYS[1])?];
    let destination = |number: usize| Destination {
        name: GATEWAYS[number],
        address: gateways[number].players,
    };
    let relay = runtime.block_on(Relay::start([destination(0), destination(1)]))?;
    let way = relay.address;
    let page = page.serve(relay)?;
    output::say(format_args!(
        "A page to play along, while this runs: {}",
        page.url(way)
    ));
    let tls = certificate.trust()?;
    let totals = runtime.block_on(perform(args, backends, &routes, &gateways, &tls));
    gateways.iter().for_each(Running::drain);
    page.stop()?;
    for gateway in gateways {
        gateway.wait()?;
    }
    Ok(totals?)
}

/// Makes the key of resume tokens that both gateways know, so that a session can go from one to the other.
fn token_key() -> Secret {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the configuration of one of the demo's gateways: the defaults, on free loopback ports.
fn config(id: &str, routes: PathBuf, origins: Origins, key: &Secret) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::default();
    config.listen.websocket.allowed_origins = origins;
    config.gateway.id = id.into();
    config.gateway.workers = WORKERS;
    config.listen.address = any;
    config.admin.address = any;
    config.peer.address = Some(any);
    config.session.token_keys = vec![key.clone()];
    config.routes.file = routes;
    config.drain.window = DRAIN_WINDOW;
    config.drain.accept_grace = Duration::ZERO;
    config
}

/// Returns the figures of both gateways together.
fn totals(gateways: &[Running; 2]) -> run::Totals {
    let [one, other] = gateways.each_ref().map(Running::totals);
    run::Totals {
        sessions: one.sessions + other.sessions,
        client_frames_in: one.client_frames_in + other.client_frames_in,
        client_frames_out: one.client_frames_out + other.client_frames_out,
        links: one.links + other.links,
    }
}

impl DemoArgs {
    /// Returns how long to play; none: until Ctrl-C.
    fn limit(&self, terminal: bool) -> Option<Duration> {
        self.duration.or((!terminal).then_some(DURATION))
    }
}

/// Says who is there, where to look, and when it ends.
fn introduce(sessions: usize, backends: usize, gateways: &[Running; 2], limit: Option<Duration>) {
    output::say(format_args!(
        "{sessions} players over TCP, WebSocket and HTTP, half of them inside TLS, {backends} backends"
    ));
    for (name, gateway) in GATEWAYS.iter().zip(gateways) {
        let (players, admin) = (gateway.players, gateway.admin);
        output::say(format_args!(
            "{name}: players on {players}, admin on http://{admin}/"
        ));
    }
    let admin = gateways[0].admin;
    output::say(format_args!(
        "To look inside: game-gateway admin --url http://{admin} sessions"
    ));
    output::say(match limit {
        Some(limit) => format!("It plays for {}, or until Ctrl-C.", show_duration(limit)),
        None => "It plays until Ctrl-C.".to_owned(),
    });
}

/// Starts the players, every sixth six of them at the other gateway.
fn start_players(
    sessions: usize,
    gateways: &[Running; 2],
    tls: &Tls,
    books: &Arc<Books>,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut players = JoinSet::new();
    for number in 1..=sessions {
        let address = gateways[number / 6 % 2].players;
        let tls = (number % 2 == 0).then(|| tls.clone());
        let player = |transport| Player::new(number, address, transport, books.clone());
        let stopped = stopped.clone();
        match number % 3 {
            1 => players.spawn(player(Transport::Tcp).play(tls, stopped)),
            2 => players.spawn(player(Transport::Websocket).play(tls, stopped)),
            _ => players.spawn(Launcher::new(number, address, books.clone()).play(tls, stopped)),
        };
    }
    players
}

/// Lets the players play to the end of the duration, or until Ctrl-C.
async fn perform(
    args: &DemoArgs,
    mut backends: Backends,
    routes: &routes::File,
    gateways: &[Running; 2],
    tls: &Tls,
) -> std::io::Result<Totals> {
    let mut terminated = signal(SignalKind::terminate())?;
    let books = Arc::new(Books::default());
    let (stop, stopped) = watch::channel(false);
    let mut players = start_players(args.sessions, gateways, tls, &books, &stopped);
    let limit = args.limit(std::io::stdout().is_terminal());
    introduce(args.sessions, backends.len(), gateways, limit);
    let start = Instant::now();
    let whole = limit.unwrap_or(DURATION);
    let (half, later) = (start + whole / 2, start + whole * 3 / 4);
    let end = async {
        match limit {
            Some(limit) => sleep_until((start + limit).into()).await,
            None => std::future::pending().await,
        }
    };
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(end, interrupted);
    let mut screen = Screen::new();
    let mut ticks = interval_at((start + DRAW_INTERVAL).into(), DRAW_INTERVAL);
    let (mut changed, mut upgraded) = (false, false);
    let mut upgrades = JoinSet::new();
    loop {
        tokio::select! {
            // The events before the end, on the slowest machine too.
            biased;
            _ = ticks.tick() => {
                screen.draw(start.elapsed(), &backends, &books, totals(gateways));
            }
            () = sleep_until(half.into()), if !changed => {
                changed = true;
                screen.say("account-1 dies now; new sessions find version-2 instead of version-1");
                backends.change().await?;
                routes.write(&backends.rules())?;
            }
            () = sleep_until(later.into()), if !upgraded => {
                upgraded = true;
                screen.say("game-realm-1 is upgraded: its matches move to game-realm-1-v2");
                let upgrade = backends.upgrade(gateways.len()).await?;
                routes.write(&backends.rules())?;
                upgrades.spawn(upgrade);
            }
            Some(Ok(upgrade)) = upgrades.join_next() => {
                screen.say(&format!("game-realm-1 has gone: {} sessions moved in {:.1?}", upgrade.moved, upgrade.took));
                books.upgraded(upgrade);
            }
            () = &mut end, if upgrades.is_empty() => break,
            _ = &mut interrupted => break,
            _ = terminated.recv() => break,
        }
    }
    stop.send_replace(true);
    let finished = async { while players.join_next().await.is_some() {} };
    if timeout(FINISH_TIMEOUT, finished).await.is_err() {
        books.left_behind(players.len() as u64);
    }
    screen.draw(start.elapsed(), &backends, &books, totals(gateways));
    Ok(books.totals())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_only_where_nobody_may_be_there() {
        let mut args = DemoArgs {
            duration: None,
            sessions: 1,
            page: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        assert_eq!(args.limit(true), None);
        assert_eq!(args.limit(false), Some(DURATION));
        args.duration = Some(Duration::from_secs(3));
        assert_eq!(args.limit(true), args.duration);
    }

    #[test]
    fn nothing_is_lost_while_a_backend_dies_and_another_is_upgraded() {
        let args = DemoArgs {
            duration: Some(Duration::from_secs(2)),
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
        assert_eq!(totals.upgrade.map(|upgrade| upgrade.cut_off), Some(0));
    }
}
