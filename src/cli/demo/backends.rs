//! The sample game servers.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::books::Upgrade;
use crate::codec::code::Code;
use crate::sdk::backend::matches::Matches;
use crate::sdk::backend::{Backend, Replies, Service, SessionInfo, Speaker};

/// Limit for the gateways to learn of a new server.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Interval at which it is looked whether they have.
const POLL: Duration = Duration::from_millis(10);
/// Limit for the sessions of a server that is upgraded to be moved.
const UPGRADE_WINDOW: Duration = Duration::from_secs(10);

/// One sample server.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// None once it was stopped.
    pub(super) running: Option<Backend>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Backends {
    account: [Sample; 2],
    version: Vec<Sample>,
    game: [Sample; 2],
}

/// A game server: the answer is its name, the number of the frame in the player's match, and the frame.
#[derive(Debug)]
struct Game {
    name: &'static str,
    matches: Matches,
}

impl Service for Game {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        let heard = self.matches.hear(session, payload);
        let number = heard.map_or(0, |player| player.heard);
        let head = format!("{} {number} ", self.name);
        out.send(session.session_id, &[head.as_bytes(), payload].concat());
    }

    fn opened(&mut self, session: &SessionInfo, out: &mut Replies<'_>) {
        self.matches.opened(session, out);
    }

    fn transfers(&self) -> bool {
        true
    }

    fn on_transfer(&mut self, session: &SessionInfo, out: &mut Replies<'_>) -> Vec<u8> {
        self.matches.on_transfer(session, out)
    }

    fn on_arrival(&mut self, session: &SessionInfo, state: &[u8]) -> Result<(), Code> {
        self.matches.on_arrival(session, state)
    }

    fn departed(&mut self, session: &SessionInfo) {
        self.matches.departed(session);
    }

    fn ended(&mut self, session: &SessionInfo, code: Code) {
        self.matches.ended(session, code);
    }
}

impl Sample {
    async fn game(name: &'static str) -> io::Result<Sample> {
        let matches = Matches::default();
        Sample::with(name, Game { name, matches }).await
    }

    async fn start(name: &'static str) -> io::Result<Sample> {
        // Each answers with its name in front, and an account server says who the player is.
        let service = move |session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>| {
            let id = session.session_id;
            if name.starts_with("account") {
                out.bind(id, session.user_id, session.realm_id);
            }
            out.send(id, &[name.as_bytes(), b" ", payload].concat());
        };
        Sample::with(name, service).await
    }

    async fn with(name: &'static str, service: impl Service) -> io::Result<Sample> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let backend = Backend::start(any, service).await?;
        Ok(Sample {
            name,
            address: backend.address(),
            running: Some(backend),
        })
    }
}

impl Backends {
    pub(super) async fn start() -> io::Result<Backends> {
        Ok(Backends {
            account: [
                Sample::start("account-1").await?,
                Sample::start("account-2").await?,
            ],
            version: vec![Sample::start("version-1").await?],
            game: [
                Sample::game("game-realm-1").await?,
                Sample::game("game-realm-2").await?,
            ],
        })
    }

    /// Plays the event at half-time: an account server dies, a second version server starts.
    pub(super) async fn change(&mut self) -> io::Result<()> {
        if let Some(backend) = self.account[0].running.take() {
            backend.abort().await;
        }
        self.version.push(Sample::start("version-2").await?);
        Ok(())
    }

    /// Starts the successor of a game server, which the rules name from then on. Returns what moves the old one's
    /// matches there, once so many gateways know it.
    pub(super) async fn upgrade(
        &mut self,
        gateways: usize,
    ) -> io::Result<impl Future<Output = Upgrade> + use<>> {
        let new = Sample::game("game-realm-1-v2").await?;
        let arrivals = new.running.as_ref().map(Backend::speaker);
        let old = std::mem::replace(&mut self.game[0], new).running;
        Ok(async move {
            let known_by = Instant::now() + KNOWN_WITHIN;
            let links = || arrivals.as_ref().map_or(0, Speaker::links);
            while links() < gateways && Instant::now() < known_by {
                tokio::time::sleep(POLL).await;
            }
            let start = Instant::now();
            let (cut_off, moved) = match old {
                Some(old) => {
                    let counts = old.speaker();
                    let cut_off = old.retire(UPGRADE_WINDOW).await;
                    (cut_off, counts.counts().moved_away)
                }
                None => (0, 0),
            };
            let took = start.elapsed();
            Upgrade {
                moved,
                cut_off,
                took,
            }
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.account.iter().chain(&self.version).chain(&self.game)
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns the routing data: account by round robin (a dead server stays in the rule, as it would in
    /// production), version at the newest server, game by realm.
    pub(super) fn rules(&self) -> Value {
        let address = |sample: &Sample| sample.address.to_string();
        let newest = self.version.last().map(address);
        json!({
            "rules": {
                "account": {
                    "strategy": "round_robin",
                    "endpoints": self.account.each_ref().map(address),
                },
                "version": { "strategy": "consistent_hash", "endpoints": [newest] },
                "game": { "strategy": "realm_based", "require_bind": true },
            },
            "realms": { "1": address(&self.game[0]), "2": address(&self.game[1]) },
        })
    }
}
