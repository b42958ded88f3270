//! The sample game servers.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::sdk::backend::{Backend, Replies, SessionInfo};

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

impl Sample {
    async fn start(name: &'static str) -> io::Result<Sample> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        // Each answers with its name in front, and an account server says who the player is.
        let service = move |session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>| {
            let id = session.session_id;
            if name.starts_with("account") {
                out.bind(id, session.user_id, session.realm_id);
            }
            out.send(id, &[name.as_bytes(), b" ", payload].concat());
        };
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
                Sample::start("game-realm-1").await?,
                Sample::start("game-realm-2").await?,
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
