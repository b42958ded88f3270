//! Players, with numbered frames both ways.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use game_gateway::codec::code::Code;
use game_gateway::sdk::client::session::{End, Event, Session, SessionOptions, dial};
use game_gateway::sdk::client::{self, Client, Options, Outgoing, Transport};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::numbers::{Faults, Numbers};
use super::server::Server;
use crate::support::wire::soon;

/// Between two frames of a player, and two that the server sends unasked.
pub(crate) const PACE: Duration = Duration::from_millis(100);
/// The sessions' service.
pub(crate) const SERVICE: &str = "game";

/// Record of a player whose session can be resumed.
#[derive(Debug, Default)]
struct Account {
    session_id: u64,
    sent: u64,
    /// Times that it went on over another connection.
    moves: u64,
    /// Times that it was told that frames may be missing.
    gaps: u64,
    /// Of those sent, how many may be missing, by what it was told.
    unknown: u64,
    /// Times that it was told that a service could not be reached.
    errors: u64,
    ids: u64,
    heard: Numbers,
}

/// Record of a player whose session cannot be resumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Times that it had to connect again.
    pub(crate) moves: u64,
    /// Times that it was told that the gateway goes: CLOSE 503.
    pub(crate) told: u64,
    /// Times that its connection just ended.
    pub(crate) cut: u64,
}

/// State that players share with the test that waits for them.
#[derive(Default)]
struct Pulse {
    /// Frames that players have heard.
    heard: AtomicU64,
    stop: AtomicBool,
}

/// Everyone who plays.
pub(crate) struct Players {
    pulse: Arc<Pulse>,
    resumable: JoinSet<Account>,
    plain: JoinSet<Plain>,
}

impl Players {
    /// Starts them as soon as the deployment can be reached, over TCP and WebSocket in turns.
    pub(crate) async fn start(address: SocketAddr, resumable: u64, plain: u64) -> Players {
        // A Service learns a moment late that its pods are ready.
        soon(async {
            while !answers(address).await {
                tokio::time::sleep(PACE).await;
            }
        })
        .await;
        let mut players = Players {
            pulse: Arc::default(),
            resumable: JoinSet::new(),
            plain: JoinSet::new(),
        };
        for number in 0..resumable {
            let transport = [Transport::Tcp, Transport::Websocket][number as usize % 2];
            let options = Options {
                transport,
                ..Options::default()
            };
            let quick = SessionOptions {
                first_wait: Duration::from_millis(100),
                longest_wait: Duration::from_secs(1),
                ..SessionOptions::default()
            };
            let session = Session::start(dial(address, options), quick);
            players
                .resumable
                .spawn(play(session, players.pulse.clone()));
        }
        for _ in 0..plain {
            players
                .plain
                .spawn(play_plainly(address, players.pulse.clone()));
        }
        players
    }

    /// Waits until so many frames more have been heard.
    pub(crate) async fn hear(&self, frames: u64) {
        let goal = self.pulse.heard.load(Ordering::Relaxed) + frames;
        soon(async {
            while self.pulse.heard.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(PACE).await;
            }
        })
        .await;
    }

    /// Ends all sessions, and says what became of them.
    pub(crate) async fn stop(self, servers: &[Server]) -> Summary {
        self.pulse.stop.store(true, Ordering::Relaxed);
        let mut summary = Summary::default();
        let accounts = soon(self.resumable.join_all()).await;
        summary.plain = soon(self.plain.join_all()).await;
        // When the server has a player's CLOSE, it has all earlier frames of that player.
        soon(async {
            while servers.iter().any(|server| server.sessions() > 0) {
                tokio::time::sleep(PACE).await;
            }
        })
        .await;
        for account in accounts {
            let known = servers
                .iter()
                .filter_map(|server| server.faults(account.session_id));
            let known: Vec<_> = known.collect();
            assert_eq!(
                known.len(),
                1,
                "a session stays with its server: {account:?}"
            );
            summary.add(&account, known[0]);
        }
        summary
    }
}

/// Sum of the records of all resumable sessions.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) sessions: usize,
    pub(crate) faults: Faults,
    /// Told that a service could not be reached.
    pub(crate) errors: u64,
    /// Session ids that players have heard of, one each.
    pub(crate) ids: u64,
    /// Told of missing frames, and how many were.
    pub(crate) gaps: u64,
    pub(crate) told: u64,
    /// Number of sessions by how often they have moved.
    pub(crate) moves: HashMap<u64, usize>,
    /// Of each plain player.
    pub(crate) plain: Vec<Plain>,
}

impl Summary {
    fn add(&mut self, account: &Account, (mut faults, received): (Faults, u64)) {
        // Final frames that never arrived are lost as well.
        faults.lost += account.sent - received;
        // By what was told some of them may be missing, and that is not a loss without a word.
        let told = faults.lost.min(account.unknown);
        self.sessions += 1;
        self.faults.lost += faults.lost - told + account.heard.faults.lost;
        self.faults.doubled += faults.doubled + account.heard.faults.doubled;
        self.gaps += account.gaps;
        self.errors += account.errors;
        self.ids += account.ids;
        self.told += told + account.heard.told;
        *self.moves.entry(account.moves).or_default() += 1;
    }
}

/// Tells whether a gateway is there.
async fn answers(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::connect(address, Options::default()).await else {
        return false;
    };
    client.ping("there?").await.is_ok() && client.next().await.is_ok()
}

/// Sends numbers, follows the server's, until it is told to stop.
async fn play(mut session: Session, pulse: Arc<Pulse>) -> Account {
    let to = Outgoing::to(SERVICE);
    let mut account = Account::default();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gap = false;
    let mut closing = false;
    loop {
        tokio::select! {
            _ = ticks.tick(), if !closing => {
                if pulse.stop.load(Ordering::Relaxed) {
                    session.close().await;
                    closing = true;
                    continue;
                }
                assert!(session.send(&to, account.sent.to_be_bytes()).await, "it stands");
                account.sent += 1;
            }
            event = session.next() => match event.expect("an event") {
                Event::Started(id) => {
                    account.session_id = id;
                    account.ids += 1;
                }
                Event::Error(_) => account.errors += 1,
                Event::Data(data) => {
                    let number = data.payload[..].try_into().expect("a number");
                    account.heard.take(u64::from_be_bytes(number), gap);
                    gap = false;
                    pulse.heard.fetch_add(1, Ordering::Relaxed);
                }
                Event::Interrupted => {}
                Event::Resumed { gap: told, unknown } => {
                    account.moves += 1;
                    account.gaps += u64::from(told);
                    account.unknown += unknown as u64;
                    gap |= told;
                }
                Event::Ended(End::Local) => return account,
                other => panic!("{other:?}"),
            },
        }
    }
}

/// Plays without resume: connects again after a close, and counts that.
async fn play_plainly(address: SocketAddr, pulse: Arc<Pulse>) -> Plain {
    let (mut plain, mut connections) = (Plain::default(), 0);
    while !pulse.stop.load(Ordering::Relaxed) {
        // A pod that has just gone may still be among those that connections are sent to.
        if let Ok(mut client) = Client::connect(address, Options::default()).await {
            connections += u64::from(plain_session(&mut client, &pulse, &mut plain).await);
        }
        tokio::time::sleep(PACE).await;
    }
    plain.moves = u64::saturating_sub(connections, 1);
    plain
}

/// Plays until the session ends; whether it ever began.
async fn plain_session(client: &mut Client, pulse: &Pulse, plain: &mut Plain) -> bool {
    let to = Outgoing::to(SERVICE);
    let (mut sent, mut heard) = (0_u64, Numbers::default());
    while !pulse.stop.load(Ordering::Relaxed) {
        if client.send(&to, sent.to_be_bytes().to_vec()).await.is_err() {
            // It may have been told; that comes now.
            while let Ok(event) = client.next().await {
                if let client::Event::Close(_) = event {
                    plain.told += 1;
                    return sent > 0;
                }
            }
            plain.cut += u64::from(sent > 0);
            break;
        }
        sent += 1;
        match client.next().await {
            Ok(client::Event::Data(data)) => {
                let number = data.payload[..].try_into().expect("a number");
                heard.take(u64::from_be_bytes(number), false);
                pulse.heard.fetch_add(1, Ordering::Relaxed);
            }
            Ok(client::Event::Close(told)) => {
                assert_eq!(told.code, Code::UNAVAILABLE, "{told:?}");
                plain.told += 1;
                break;
            }
            Err(_) => {
                // A connection on which nothing was answered was none.
                plain.cut += u64::from(sent > 1);
                break;
            }
            Ok(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(PACE).await;
    }
    assert_eq!(
        heard.faults,
        Faults::default(),
        "within one connection nothing is lost"
    );
    sent > 0
}
