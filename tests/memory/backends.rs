//! A backend that sends what takes the most memory on its way to players who read slowly. The process counts the most
//! that it has held at a time, so nothing that lasts for a moment is missed.

use game_gateway::codec::Decoded;
use game_gateway::codec::link::{self, Bind, Kind, Multicast};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use crate::stage::Served;
use crate::support::wire::{Player, soon};

const PLAYERS: usize = 200;
const SETTINGS: &str = "limits.memory = \"8MiB\"\nsession.outbound_queue = \"8MiB\"\n\
    session.idle_timeout = \"1h\"\nlisten.dead_after = \"1h\"\nbackend.probe_interval = \"0s\"";
/// Rounds that are sent once queues have been ended.
const ROUNDS: usize = 5;

/// A backend with its sessions, and the players, who read nothing.
struct Crowd {
    served: Served,
    /// The way to the gateway on the first link.
    link: OwnedWriteHalf,
    sessions: Vec<u64>,
    _players: Vec<Player>,
}

/// Reads all that comes on a link, and tells of OPENs.
async fn hear(mut link: OwnedReadHalf, opened: mpsc::UnboundedSender<u64>) {
    let mut read = bytes::BytesMut::new();
    while matches!(link.read_buf(&mut read).await, Ok(1..)) {
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&read, u32::MAX) {
            if frame.kind == Kind::Open as u8 {
                let _ = opened.send(frame.session_id);
            }
            let _ = read.split_to(used);
        }
    }
}

impl Crowd {
    async fn gather(workers: usize) -> Crowd {
        let settings = format!("{SETTINGS}\ngateway.workers = {workers}");
        let served = Served::start(&settings).await;
        let (opened, mut sessions) = mpsc::unbounded_channel();
        let (mut first, mut others) = (None, Vec::new());
        let (mut players, mut ids) = (Vec::new(), Vec::new());
        while ids.len() < PLAYERS {
            let mut player = Player::connect_narrow(served.players).await;
            player.data("game", b"hello").await;
            players.push(player);
            let id = soon(async {
                loop {
                    tokio::select! {
                        id = sessions.recv() => return id.expect("a session"),
                        link = served.backend.link() => {
                            let (read, write) = link.into_socket().into_split();
                            tokio::spawn(hear(read, opened.clone()));
                            match &first {
                                None => first = Some(write),
                                Some(_) => others.push(write),
                            }
                        }
                    }
                }
            });
            ids.push(id.await);
        }
        tokio::spawn(async move {
            // They stay open.
            let _others = others;
            std::future::pending::<()>().await;
        });
        Crowd {
            served,
            link: first.expect("a link"),
            sessions: ids,
            _players: players,
        }
    }

    /// Sends rounds until queues have been ended, and some more; then the bound must have held at all times.
    async fn flood(mut self, what: &str, round: &[u8]) {
        let ended = "game_gateway_memory_ended_queues_total";
        let mut rest = ROUNDS;
        while rest > 0 {
            soon(self.link.write_all(round)).await.expect("sent");
            rest -= usize::from(self.served.metric(ended).await > 0);
            let players = self.served.metric("game_gateway_sessions").await;
            assert!(players > 0, "{what}: nobody is left");
        }
        self.served.assert_never_over(what).await;
    }
}

fn frames(sessions: &[u64], kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    for session_id in sessions {
        link::encode(&mut frames, kind, *session_id, payload);
    }
    frames
}

fn multicast(sessions: &[u64], bytes: usize) -> Vec<u8> {
    let (mut payload, mut frame) = (Vec::new(), Vec::new());
    Multicast::encode(&mut payload, sessions, &vec![7; bytes]);
    link::encode(&mut frame, Kind::Multicast, 0, &payload);
    frame
}

#[tokio::test]
async fn small_frames_keep_within_the_budget() {
    let crowd = Crowd::gather(1).await;
    let round = frames(&crowd.sessions, Kind::Data, &[7; 32]).repeat(32);
    crowd.flood("small frames", &round).await;
}

#[tokio::test]
async fn a_small_multicast_to_many_keeps_within_the_budget() {
    let crowd = Crowd::gather(1).await;
    let round = multicast(&crowd.sessions, 2000).repeat(4);
    crowd.flood("MULTICAST of 2,000 bytes", &round).await;
}

/// What many share is counted once, and each player's part of it beside that.
#[tokio::test]
async fn a_large_multicast_to_many_keeps_within_the_budget() {
    let crowd = Crowd::gather(1).await;
    let round = multicast(&crowd.sessions, 50_000);
    crowd.flood("MULTICAST of 50,000 bytes", &round).await;
}

/// Most of the sessions are on links of other workers.
#[tokio::test]
async fn what_is_passed_between_workers_keeps_within_the_budget() {
    let crowd = Crowd::gather(3).await;
    let mut round = multicast(&crowd.sessions, 2000);
    round.extend(frames(&crowd.sessions, Kind::Data, &[7; 8]).repeat(4));
    crowd.flood("frames for other workers", &round).await;
}

/// These end nobody's queue: they are handled, and leave nothing.
#[tokio::test]
async fn words_about_sessions_keep_within_the_budget() {
    let mut crowd = Crowd::gather(3).await;
    let bind = Bind {
        user_id: 7,
        realm_id: 0,
    };
    let mut round = frames(&crowd.sessions, Kind::Bind, &bind.encode());
    round.extend(frames(&crowd.sessions, Kind::Accept, &[0, 0, 0, 1]));
    for session_id in &crowd.sessions {
        link::encode(&mut round, Kind::Pong, 0, &session_id.to_be_bytes());
    }
    for _ in 0..10 * ROUNDS {
        soon(crowd.link.write_all(&round)).await.expect("sent");
    }
    // What comes behind is handled behind it.
    let frames = frames(&crowd.sessions[..1], Kind::Data, &[7; 8]);
    soon(crowd.link.write_all(&frames)).await.expect("sent");
    let out = "game_gateway_client_out_frames_total";
    crowd.served.until_metric(out, |n| n > 0).await;
    crowd
        .served
        .assert_never_over("BIND, ACCEPT and PONG")
        .await;
}

const LARGE: usize = 1024 * 1024;
/// Players who are sent large frames.
const FLOODED: usize = 20;

/// Frames of 1 MiB for players who read nothing, and who end one after the other: what comes for them after that must not stay
/// anywhere, for nobody could give it back.
async fn large_frames(workers: usize, what: &str) {
    let Crowd {
        served,
        mut link,
        sessions,
        _players: players,
    } = Crowd::gather(workers).await;
    let round = frames(&sessions[..FLOODED], Kind::Data, &vec![7; LARGE]);
    let flood = async {
        for _ in 0..3 {
            // The link may be lost: its backend has begun a frame for which there was no room for long.
            if soon(link.write_all(&round)).await.is_err() {
                return;
            }
        }
    };
    let mut most_relayed = 0;
    let sample = async {
        loop {
            let memory = served.json("/api/v1/memory").await;
            let relayed = memory["parts"]["relayed"].as_u64().expect("bytes");
            most_relayed = relayed.max(most_relayed);
        }
    };
    tokio::select! {
        () = flood => {}
        () = sample => {}
    }
    let left = served.metric("game_gateway_sessions").await;
    assert!(left >= (PLAYERS - FLOODED) as u64, "{left} are left");
    // What is queued goes with those for whom it is.
    drop(players);
    served.until_pressure(|pressure| pressure == "none").await;
    println!("{what}: {most_relayed} relayed at most, as far as was seen");
    served.assert_never_over(what).await;
    let ended = "game_gateway_memory_ended_queues_total";
    assert!(served.metric(ended).await > 0);
}

#[tokio::test]
async fn large_frames_keep_within_the_budget_and_do_not_stay() {
    large_frames(1, "frames of 1 MiB").await;
}

/// Most of the sessions are on links of other workers.
#[tokio::test]
async fn large_frames_between_workers_keep_within_the_budget_and_do_not_stay() {
    large_frames(3, "frames of 1 MiB for other workers").await;
}
