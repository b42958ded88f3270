//! Backends whose sessions operators have moved to others: who goes, who stays and why.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use game_gateway::codec::client::Header;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{Features, Kind, OPEN_TRANSFERRED, Open};
use game_gateway::config::Config;
use serde_json::{Value, json};

use crate::scene::routes;
use crate::stage::{echo, notice};
use crate::support::wire::{Backend, Gateway, Link, Player, ask, soon};

/// How a backend takes part in moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It hands sessions over, and takes those of others.
    Able,
    /// It hands them over, and takes none.
    Refusing,
    /// It knows nothing of moves.
    Old,
}

/// The DATA that each session has sent; it is what moves.
type Counts = Arc<Mutex<HashMap<u64, u64>>>;

/// Answers each DATA with how many the session has sent so far, wherever that was.
async fn counting_link(mut link: Link, manner: Manner, counts: Counts) {
    if manner != Manner::Old {
        let features = Features { transfer: true }.encode();
        link.send(Kind::Features, 0, &features).await;
    }
    while let Some(frame) = link.next().await {
        let id = frame.session_id;
        let lock = || counts.lock().unwrap_or_else(PoisonError::into_inner);
        if frame.kind == Kind::Data as u8 {
            let count = {
                let mut counts = lock();
                let count = counts.entry(id).or_default();
                *count += 1;
                *count
            };
            link.send(Kind::Data, id, &count.to_be_bytes()).await;
        } else if frame.kind == Kind::Open as u8 {
            let open = Open::decode(&frame.payload).expect("a payload");
            let epoch = open.epoch.to_be_bytes();
            match open.flags & OPEN_TRANSFERRED {
                0 if open.epoch > 1 => link.send(Kind::Accept, id, &epoch).await,
                0 => {}
                _ if manner == Manner::Able => {
                    let state = open.state.try_into().expect("a count");
                    lock().insert(id, u64::from_be_bytes(state));
                    link.send(Kind::Accept, id, &epoch).await;
                }
                _ => link.send(Kind::Close, id, &notice(503)).await,
            }
        } else if frame.kind == Kind::Close as u8
            && Notice::decode(&frame.payload, Code::KICKED).code == Code::LEAVES_LINK
        {
            let count = lock().get(&id).copied().unwrap_or_default();
            let mut state = notice(307).to_vec();
            state.extend(count.to_be_bytes());
            link.send(Kind::Close, id, &state).await;
        }
    }
}

fn counting(backend: Backend, manner: Manner) {
    let counts = Counts::default();
    tokio::spawn(async move {
        let mut links = tokio::task::JoinSet::new();
        loop {
            links.spawn(counting_link(
                backend.link().await,
                manner,
                Arc::clone(&counts),
            ));
        }
    });
}

/// Two backends of `game`, and players, who begin at the first one.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) players: Vec<Player>,
    pub(crate) one: SocketAddr,
    pub(crate) two: SocketAddr,
}

impl Scene {
    pub(crate) async fn start(manners: [Manner; 2], players: usize) -> Scene {
        let backends = [Backend::start().await, Backend::start().await];
        let [one, two] = backends.each_ref().map(|backend| backend.address);
        let rule = Backend::rule(&[&backends[0], &backends[1]]);
        let two_workers = |config: &mut Config| config.gateway.workers = 2;
        let gateway = Gateway::start_with(&routes(&[("game", rule)]), two_workers).await;
        for (backend, manner) in backends.into_iter().zip(manners) {
            counting(backend, manner);
        }
        put(&gateway, two, json!({"state": "drain"})).await;
        let mut scene = Scene {
            gateway,
            players: Vec::new(),
            one,
            two,
        };
        for number in 0..players {
            let mut player = Player::connect(&scene.gateway).await;
            let header = Header {
                user_id: number as u64 + 1,
                ..Header::default()
            };
            player.send(header, "game", b"hello").await;
            assert_eq!(count(&mut player).await, 1);
            scene.players.push(player);
        }
        put(&scene.gateway, two, json!({"state": "ready"})).await;
        scene
    }

    /// Waits for a row of this backend that is right.
    pub(crate) async fn until(&self, address: SocketAddr, right: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let (_, answer) = self.gateway.get("/api/v1/backends").await;
                let answer: Value = serde_json::from_str(&answer).expect("JSON");
                let rows = answer["backends"].as_array().expect("rows");
                let row = rows
                    .iter()
                    .find(|row| row["endpoint"] == address.to_string());
                let row = row.expect("a row").clone();
                if right(&row) {
                    return row;
                }
            }
        })
        .await
    }

    /// Checks that everybody goes on from this count.
    pub(crate) async fn all_go_on_from(&mut self, before: u64) {
        for player in &mut self.players {
            player.data("game", b"again").await;
            assert_eq!(count(player).await, before + 1);
        }
    }
}

async fn put(gateway: &Gateway, address: SocketAddr, body: Value) -> Value {
    let line = format!("PUT /api/v1/backends/{address}/state");
    let (status, answer) = ask(gateway.admin, &line, &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

async fn count(player: &mut Player) -> u64 {
    let payload = player.answer().await.payload;
    u64::from_be_bytes(payload[..].try_into().expect("a count"))
}

#[tokio::test]
async fn a_drain_with_move_empties_a_backend() {
    let mut scene = Scene::start([Manner::Able; 2], 20).await;
    let (one, two) = (scene.one, scene.two);
    let answer = put(&scene.gateway, one, json!({"state": "drain", "move": true})).await;
    assert_eq!(answer["order"]["move"], true);
    let row = scene.until(one, |row| row["sessions"] == 0).await;
    assert_eq!(row["evacuation"]["moved"], 20);
    assert_eq!(row["evacuation"]["under_way"], 0);
    assert_eq!(scene.until(two, |_| true).await["sessions"], 20);
    scene.all_go_on_from(1).await;
    // And back.
    put(&scene.gateway, one, json!({"state": "ready"})).await;
    scene.until(one, |row| row["evacuation"].is_null()).await;
    put(&scene.gateway, two, json!({"state": "drain", "move": true})).await;
    scene.until(one, |row| row["sessions"] == 20).await;
    scene.all_go_on_from(2).await;
    let moved = r#"game_gateway_moves_total{code="0"}"#;
    assert_eq!(scene.gateway.metric(moved).await, 40);
}

#[tokio::test]
async fn who_stays_is_told_with_the_reason() {
    let reasons = [
        (Manner::Old, Manner::Able, "not_supported"),
        (Manner::Able, Manner::Refusing, "refused"),
    ];
    for (from, to, why) in reasons {
        let mut scene = Scene::start([from, to], 4).await;
        let one = scene.one;
        put(&scene.gateway, one, json!({"state": "drain", "move": true})).await;
        let row = scene
            .until(one, |row| row["evacuation"]["stay"][why] == 4)
            .await;
        assert_eq!(
            (&row["sessions"], &row["evacuation"]["moved"]),
            (&json!(4), &json!(0))
        );
        scene.all_go_on_from(1).await;
        // Who leaves is no longer among them.
        scene.players.pop();
        scene
            .until(one, |row| row["evacuation"]["stay"][why] == 3)
            .await;
    }
    // Nobody else takes sessions, until somebody does.
    let mut scene = Scene::start([Manner::Able; 2], 4).await;
    let (one, two) = (scene.one, scene.two);
    put(&scene.gateway, two, json!({"state": "drain"})).await;
    put(&scene.gateway, one, json!({"state": "drain", "move": true})).await;
    scene
        .until(one, |row| row["evacuation"]["stay"]["nowhere"] == 4)
        .await;
    put(&scene.gateway, two, json!({"state": "ready"})).await;
    let row = scene.until(one, |row| row["sessions"] == 0).await;
    assert_eq!(row["evacuation"]["stay"]["nowhere"], 0);
    scene.all_go_on_from(1).await;
}

#[tokio::test]
async fn maintenance_with_move_ends_only_who_cannot_go() {
    let mut scene = Scene::start([Manner::Able; 2], 12).await;
    let one = scene.one;
    let maintenance = json!({"state": "maintenance", "move": true});
    put(&scene.gateway, one, maintenance.clone()).await;
    scene.until(one, |row| row["sessions"] == 0).await;
    scene.all_go_on_from(1).await;
    let ended = "game_gateway_maintenance_ended_sessions_total";
    assert_eq!(scene.gateway.metric(ended).await, 0);

    let mut scene = Scene::start([Manner::Able, Manner::Refusing], 3).await;
    let one = scene.one;
    put(&scene.gateway, one, maintenance).await;
    scene.until(one, |row| row["sessions"] == 0).await;
    assert_eq!(scene.gateway.metric(ended).await, 3);
    for player in &mut scene.players {
        assert_eq!(player.error().await.0, 502);
    }
}

#[tokio::test]
async fn only_the_services_of_that_backend_are_moved() {
    let [a, b, other] = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let [to_a, to_b] = [a.address, b.address];
    let rules = routes(&[
        ("game", Backend::rule(&[&a, &b])),
        ("chat", Backend::rule(&[&other])),
    ]);
    let gateway = Gateway::start(&rules).await;
    counting(a, Manner::Able);
    counting(b, Manner::Able);
    echo(other);
    put(&gateway, to_b, json!({"state": "drain"})).await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    assert_eq!(count(&mut player).await, 1);
    player.data("chat", b"hi").await;
    assert_eq!(&player.answer().await.payload[..], b"hi");
    put(&gateway, to_b, json!({"state": "ready"})).await;
    put(&gateway, to_a, json!({"state": "drain", "move": true})).await;
    gateway
        .until(r#"game_gateway_moves_total{code="0"}"#, |n| n == 1)
        .await;
    player.data("chat", b"still here").await;
    assert_eq!(&player.answer().await.payload[..], b"still here");
    player.data("game", b"again").await;
    assert_eq!(count(&mut player).await, 2);
}
