//! Services that go where operators say, and the strategy `assigned`.

use std::net::SocketAddr;
use std::time::Duration;

use game_gateway::codec::link::{Assign, Kind};
use game_gateway::config::Config;
use serde_json::{Value, json};

use crate::scene::{routes, talk};
use crate::stage::{echo, player};
use crate::support::wire::{Backend, Gateway, Link, Player, ask, soon};

async fn assign(gateway: &Gateway, id: u64, service: &str, endpoint: &str) -> (u16, Value) {
    let line = format!("POST /api/v1/sessions/{id}/assign");
    let body = json!({"service": service, "endpoint": endpoint});
    soon(async {
        loop {
            let (status, answer) = ask(gateway.admin, &line, &body.to_string()).await;
            // A worker that had no turn for a second, on a busy machine.
            if status != 503 {
                return (status, serde_json::from_str(&answer).expect("JSON"));
            }
        }
    })
    .await
}

/// A player in a lobby, and a service `battle` to which nothing but a word leads.
struct Lobby {
    gateway: Gateway,
    player: Player,
    link: Link,
    id: u64,
    /// Of other workers.
    more: Vec<Link>,
    backend: Backend,
}

impl Lobby {
    async fn start() -> Lobby {
        Lobby::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Lobby {
        let backend = Backend::start().await;
        let battle = r#"{"strategy":"assigned","assignable":["127.0.0.0/8"]}"#.to_owned();
        let rules = routes(&[("lobby", Backend::rule(&[&backend])), ("battle", battle)]);
        let gateway = Gateway::start_with(&rules, change).await;
        let mut player = Player::connect(&gateway).await;
        player.data("lobby", b"hello").await;
        let mut link = backend.link().await;
        let id = link.opened().await.session_id;
        link.data().await;
        Lobby {
            gateway,
            player,
            link,
            id,
            more: Vec::new(),
            backend,
        }
    }

    /// Reads how another player comes into the lobby, over whatever link.
    async fn next_player(&mut self) -> u64 {
        let next = async |link: &mut Link| loop {
            let frame = link.next().await.expect("a frame");
            if frame.kind == Kind::Open as u8 {
                return frame.session_id;
            }
        };
        let more = self.more.last_mut();
        tokio::select! {
            id = next(&mut self.link) => id,
            id = async {
                match more {
                    Some(link) => next(link).await,
                    None => std::future::pending().await,
                }
            } => id,
            link = self.backend.link() => {
                self.more.push(link);
                let link = self.more.last_mut().expect("it is there");
                next(link).await
            }
        }
    }

    async fn assigns(&mut self, endpoint: &str) {
        let mut payload = Vec::new();
        let service = "battle";
        Assign { service, endpoint }.encode(&mut payload);
        self.link.send(Kind::Assign, self.id, &payload).await;
        // Players come and go meanwhile.
        loop {
            let moved = self.link.next().await.expect("MOVED");
            if moved.kind == Kind::Moved as u8 {
                return assert_eq!(&moved.payload[..], [0, 0]);
            }
        }
    }
}

#[tokio::test]
async fn without_a_word_there_is_no_way() {
    let mut lobby = Lobby::start().await;
    lobby.player.data("battle", b"anybody?").await;
    assert_eq!(lobby.player.error().await, (404, "battle".to_owned()));
    let (status, _) = ask(lobby.gateway.players, "POST /battle", "anybody?").await;
    assert_eq!(status, 404);
    let (_, answer) = lobby
        .gateway
        .get("/api/v1/routes/resolve?service=battle")
        .await;
    assert!(
        answer.contains("nobody has assigned an endpoint"),
        "{answer}"
    );
    let battle = Backend::start().await;
    lobby.assigns(&battle.address.to_string()).await;
    lobby.player.data("battle", b"here I am").await;
    let mut fight = battle.link().await;
    assert_eq!(fight.opened().await.session_id, lobby.id);
    assert_eq!(&fight.data().await.payload[..], b"here I am");
    talk(&mut lobby.player, "battle", &mut fight).await;
}

#[tokio::test]
async fn a_word_lasts_longer_than_a_link() {
    let mut lobby = Lobby::start().await;
    let battle = Backend::start().await;
    lobby.assigns(&battle.address.to_string()).await;
    lobby.player.data("battle", b"here I am").await;
    let mut fight = battle.link().await;
    fight.opened().await;
    fight.data().await;
    drop(fight);
    assert_eq!(lobby.player.error().await.0, 502);
    lobby.player.data("battle", b"again").await;
    let mut fight = battle.link().await;
    fight.opened().await;
    assert_eq!(&fight.data().await.payload[..], b"again");
    talk(&mut lobby.player, "battle", &mut fight).await;
}

#[tokio::test]
async fn an_operator_is_as_good_as_a_backend() {
    let mut lobby = Lobby::start().await;
    let [one, two] = [Backend::start().await, Backend::start().await];
    let (to_one, to_two) = (one.address.to_string(), two.address.to_string());
    let (status, answer) = assign(&lobby.gateway, lobby.id, "battle", &to_one).await;
    assert_eq!(
        (status, &answer["outcome"]),
        (200, &json!("noted")),
        "{answer}"
    );
    echo(one);
    lobby.player.data("battle", b"one").await;
    assert_eq!(&lobby.player.answer().await.payload[..], b"one");
    let (_, answer) = assign(&lobby.gateway, lobby.id, "battle", &to_one).await;
    assert_eq!(answer["outcome"], "there");
    // It does not hand sessions over.
    let (_, answer) = assign(&lobby.gateway, lobby.id, "battle", &to_two).await;
    assert_eq!(answer["outcome"], "replaced");
    lobby.player.data("battle", b"two").await;
    let mut fight = two.link().await;
    fight.opened().await;
    assert_eq!(&fight.data().await.payload[..], b"two");
    for (service, endpoint, why) in [
        ("chat", to_one.as_str(), "service: no rule names chat"),
        (
            "battle",
            "10.1.2.3:7000",
            "endpoint: 10.1.2.3:7000 is none of",
        ),
        ("lobby", to_one.as_str(), "endpoint: "),
    ] {
        let (status, answer) = assign(&lobby.gateway, lobby.id, service, endpoint).await;
        let said = answer["error"]["message"].as_str().expect("a message");
        assert!(status == 409 && said.starts_with(why), "{status} {said}");
    }
    let (status, _) = assign(&lobby.gateway, lobby.id ^ 1, "battle", &to_one).await;
    assert_eq!(status, 404);
    // Nobody else has heard of that.
    talk(&mut lobby.player, "lobby", &mut lobby.link).await;
    talk(&mut lobby.player, "battle", &mut fight).await;
}

#[tokio::test]
async fn a_live_session_is_moved_with_its_state() {
    let mut scene = crate::evacuation::Scene::start([crate::evacuation::Manner::Able; 2], 1).await;
    let (_, page) = scene.gateway.get("/api/v1/sessions").await;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let id = page["sessions"][0]["session_id"].as_str().expect("an id");
    let id = id.parse().expect("a number");
    let to = scene.two.to_string();
    let (status, answer) = assign(&scene.gateway, id, "game", &to).await;
    assert_eq!(
        (status, &answer["outcome"]),
        (200, &json!("moving")),
        "{answer}"
    );
    scene.until(scene.two, |row| row["sessions"] == 1).await;
    soon(scene.all_go_on_from(1)).await;
}

/// Returns the endpoints that `/api/v1/backends` has rows of.
async fn endpoints(gateway: &Gateway) -> Vec<String> {
    let (_, answer) = gateway.get("/api/v1/backends").await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let rows = answer["backends"].as_array().expect("rows").iter();
    rows.map(|row| row["endpoint"].as_str().expect("a text").to_owned())
        .collect()
}

#[tokio::test]
async fn servers_come_and_go_and_leave_nothing() {
    let mut lobby = Lobby::start_with(|config| {
        config.gateway.workers = 2;
    })
    .await;
    // Somebody who is not concerned.
    let own = Backend::start().await;
    let stays = own.address;
    lobby.assigns(&stays.to_string()).await;
    lobby.player.data("battle", b"hello").await;
    let mut fight = own.link().await;
    fight.opened().await;
    fight.data().await;
    let mut gone: Vec<SocketAddr> = Vec::new();
    for round in 0..10 {
        let mut playing = Vec::new();
        for number in 0..10 {
            let mut player = Player::connect(&lobby.gateway).await;
            player.data("lobby", b"hello").await;
            // It is the lobby's only link of that worker, or its second.
            let id = lobby.next_player().await;
            let battle = Backend::start().await;
            gone.push(battle.address);
            let to = battle.address.to_string();
            let (status, answer) = assign(&lobby.gateway, id, "battle", &to).await;
            assert_eq!(status, 200, "{answer}");
            player.data("battle", b"here").await;
            let mut link = battle.link().await;
            link.opened().await;
            assert_eq!(&link.data().await.payload[..], b"here");
            talk(&mut player, "battle", &mut link).await;
            playing.push((number, player, battle, link));
        }
        // Half of the servers end first, half of the players.
        for (number, player, battle, link) in playing {
            if number % 2 == 0 {
                drop((battle, link));
                drop(player);
            } else {
                drop(player);
                tokio::spawn(async move {
                    let mut link = link;
                    while link.next().await.is_some() {}
                    drop(battle);
                });
            }
        }
        let told = format!("round {round}");
        lobby.player.data("battle", told.as_bytes()).await;
        assert_eq!(fight.data().await.payload, told.as_bytes());
    }
    let known = async || endpoints(&lobby.gateway).await;
    soon(async {
        while known().await.len() > 2 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    assert!(known().await.contains(&stays.to_string()));
    let shown = async || {
        let (_, metrics) = lobby.gateway.get("/metrics").await;
        gone.iter()
            .any(|address| metrics.contains(&address.to_string()))
    };
    // Rows are up to a second old.
    soon(async {
        while shown().await {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let (_, actors) = lobby.gateway.get("/api/v1/actors?kind=backend_pool").await;
    let left = |address: &&SocketAddr| actors.contains(&address.to_string());
    assert_eq!(gone.iter().find(left), None);
    talk(&mut lobby.player, "battle", &mut fight).await;
}

#[tokio::test]
async fn there_is_a_bound_and_room_again_below_it() {
    let mut lobby = Lobby::start_with(|config| {
        config.backend.max_assigned_endpoints = 1;
    })
    .await;
    let [one, two] = [Backend::start().await, Backend::start().await];
    let (to_one, to_two) = (one.address.to_string(), two.address.to_string());
    echo(one);
    echo(two);
    let mut other = Player::connect(&lobby.gateway).await;
    other.data("lobby", b"hello").await;
    let id = lobby.next_player().await;
    assign(&lobby.gateway, id, "battle", &to_one).await;
    other.data("battle", b"one").await;
    assert_eq!(&other.answer().await.payload[..], b"one");
    lobby.assigns(&to_two).await;
    lobby.player.data("battle", b"two").await;
    assert_eq!(lobby.player.error().await, (503, "battle".to_owned()));
    // The same endpoint has room for everybody.
    lobby.assigns(&to_one).await;
    lobby.player.data("battle", b"one").await;
    assert_eq!(&lobby.player.answer().await.payload[..], b"one");
    drop(other);
    drop(lobby.player);
    let mut player = Player::connect(&lobby.gateway).await;
    player.data("lobby", b"hello").await;
    soon(async {
        loop {
            let (_, page) = lobby.gateway.get("/api/v1/sessions").await;
            let page: Value = serde_json::from_str(&page).expect("JSON");
            let ids = page["sessions"].as_array().expect("rows").iter();
            let ids: Vec<u64> = ids
                .map(|row| row["session_id"].as_str().expect("an id"))
                .map(|id| id.parse().expect("a number"))
                .collect();
            for id in ids {
                assign(&lobby.gateway, id, "battle", &to_two).await;
            }
            player.data("battle", b"two").await;
            let frame = player.next().await.expect("a frame");
            if frame.payload[..] == *b"two" {
                return;
            }
        }
    })
    .await;
}

/// The backend reads each link at its own pace, and a CLOSE behind the OPEN would end the session.
#[tokio::test]
async fn who_comes_back_is_opened_when_its_end_has_been_read_on_another_link() {
    let (home, away) = (Backend::start().await, Backend::start().await);
    let rule = format!(
        r#"{{"strategy":"round_robin","endpoints":["{}"],"assignable":["127.0.0.0/8"]}}"#,
        home.address
    );
    let gateway = Gateway::start_with(&routes(&[("game", rule)]), |config| {
        config.gateway.workers = 2;
        config.backend.probe_interval = Duration::ZERO;
        // The link that takes the place of the lost one is not answered before the test comes to it.
        config.backend.connect_timeout = Duration::from_secs(60);
    })
    .await;
    let mut first = player(&gateway, "game", b"hello").await;
    let mut lost = home.link().await;
    let id = lost.next_open().await;
    // Somebody on either worker.
    let (mut same, mut other) = (None, None::<(Player, Link)>);
    while same.is_none() || other.is_none() {
        let next = player(&gateway, "game", b"hello").await;
        tokio::select! {
            mut link = home.link(), if other.is_none() => {
                link.next_open().await;
                other = Some((next, link));
            }
            same_id = lost.next_open() => same = Some((next, same_id)),
            _ = async { other.as_mut().expect("it is there").1.next_open().await }, if other.is_some() => {}
        }
    }
    let ((mut same, same_id), (_other, mut stands)) = (same.expect("one"), other.expect("one"));
    let (status, answer) = assign(&gateway, id, "game", &away.address.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    while lost.next().await.expect("CLOSE").kind != Kind::Close as u8 {}
    drop(lost);
    assert_eq!(same.error().await.0, 502);
    // At the end of a ping interval: CLOSE, and a PING behind it, which is not answered yet.
    loop {
        let frame = stands.next().await.expect("CLOSE");
        if frame.kind == Kind::Close as u8 && frame.session_id == id {
            break;
        }
    }
    let behind = loop {
        let frame = stands.next_raw().await.expect("PING");
        if frame.kind == Kind::Ping as u8 && !frame.payload.is_empty() {
            break frame;
        }
    };
    let (status, answer) = assign(&gateway, id, "game", &home.address.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    first.data("game", b"back").await;
    same.data("game", b"again").await;
    let mut back = home.link().await;
    assert_eq!(back.next_open().await, same_id);
    stands.send(Kind::Pong, 0, &behind.payload).await;
    assert_eq!(back.next_open().await, id);
    assert_eq!(&back.data().await.payload[..], b"back");
}
