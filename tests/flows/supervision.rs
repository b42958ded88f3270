//! Actors that panic in a running gateway, under traffic: what dies comes back, and nothing is lost
//! but what was the dead one's own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use game_gateway::codec::client::Kind as ClientKind;
use game_gateway::codec::link::Kind as LinkKind;
use game_gateway::sdk::backend::{Backend as EchoBackend, echo};
use game_gateway::supervision::{ActorSnapshot, Fault, Kind};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;

use crate::stage::{Hub, notice};
use crate::support::address;
use crate::support::wire::{Backend, Gateway, Player, soon};

const PLAYERS: usize = 12;
const SERVICES: [&str; 2] = ["game", "chat"];

/// Players who talk without a pause, and newcomers who come without a pause, until they are told
/// to stop. Every one of them must be answered, whole and in order.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    /// Round trips, and sessions of newcomers.
    done: Arc<AtomicU64>,
    players: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(crate) async fn gather(gateway: &Gateway) -> Crowd {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let address = gateway.players;
        let players = (0..PLAYERS).map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let newcomer = number % 3 == 0;
            tokio::spawn(async move {
                let mut player = Player::connect_to(address).await;
                let mut turn = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    if newcomer {
                        player = Player::connect_to(address).await;
                    }
                    for _ in 0..4 {
                        let service = SERVICES[turn as usize % SERVICES.len()];
                        player.data(service, &turn.to_be_bytes()).await;
                        let answer = player.answer().await;
                        assert_eq!(answer.service, service);
                        assert_eq!(&answer.payload[..], turn.to_be_bytes());
                        turn += 1;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let crowd = Crowd {
            stop: Arc::clone(&stop),
            done: Arc::clone(&done),
            players: players.collect(),
        };
        crowd.plays_on().await;
        crowd
    }

    /// Waits until everybody may have played for a while.
    pub(crate) async fn plays_on(&self) {
        let seen = self.done.load(Ordering::Relaxed);
        soon(async {
            while self.done.load(Ordering::Relaxed) < seen + 20 * PLAYERS as u64 {
                // One that has failed ends the test with its own words.
                if self.players.iter().any(JoinHandle::is_finished) {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    pub(crate) async fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        for player in self.players {
            soon(player)
                .await
                .expect("every frame was answered in order");
        }
    }
}

async fn echo_backend() -> EchoBackend {
    EchoBackend::start(address::own(), echo)
        .await
        .expect("a port")
}

/// Starts a gateway with two workers over an echo backend for two services.
pub(crate) async fn gateway() -> (Gateway, EchoBackend) {
    let backend = echo_backend().await;
    let rule = format!(
        r#"{{"strategy":"consistent_hash","hash_key":"session_id","endpoints":["{}"]}}"#,
        backend.address()
    );
    let routes = format!(r#"{{"rules":{{"game":{rule},"chat":{rule}}}}}"#);
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    (gateway, backend)
}

/// Waits until the actor has been started again; returns how it is then.
async fn restarted(gateway: &Gateway, id: &str, restarts: u64) -> ActorSnapshot {
    soon(async {
        loop {
            match gateway.inspector().actor(id).await {
                Some(actor) if actor.restarts == restarts && actor.responding => return actor,
                _ => crate::support::wire::look_again().await,
            }
        }
    })
    .await
}

/// Makes an actor panic.
pub(crate) fn panics(gateway: &Gateway, id: &str, text: &str) {
    gateway
        .inspector()
        .inject(id, Fault::Panic(text.to_owned()));
}

/// Makes each of the actors of this kind panic, at most twice, and waits for their restart. Players are
/// not affected.
async fn nobody_notices(kind: Kind) {
    let (gateway, _backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let page = gateway
        .inspector()
        .actors(kind, None, 2)
        .await
        .expect("a page");
    assert!(!page.actors.is_empty());
    for round in 1..=2 {
        for actor in &page.actors {
            let text = format!("thrown into {} in round {round}", actor.id);
            panics(&gateway, &actor.id, &text);
            crowd.plays_on().await;
            let back = restarted(&gateway, &actor.id, round).await;
            assert_eq!(back.panics, round);
            assert!(back.handled > actor.handled, "its count goes on");
            let error = back.last_error.expect("an error");
            assert_eq!((&error.message, &error.actor), (&text, &Some(back.id)));
            let place = error.place.expect("a place");
            assert!(place.starts_with("src/supervision/inspect.rs:"), "{place}");
        }
    }
    crowd.leave().await;
    nothing_is_left(&gateway).await;
    let deaths = 2 * page.actors.len() as u64;
    let kinds = gateway.inspector().kinds();
    let all = kinds.iter().find(|k| k.kind == kind).expect("the kind");
    assert_eq!((all.panics, all.restarts), (deaths, deaths));
    let (status, _) = gateway.get("/health").await;
    assert_eq!(status, 200);
}

/// Returns an actor's own account of itself; null where it has none.
fn detail(actor: &ActorSnapshot) -> serde_json::Value {
    let read = |text: &RawValue| serde_json::from_str(text.get()).expect("JSON");
    actor.detail.as_deref().map(read).unwrap_or_default()
}

pub(crate) async fn nothing_is_left(gateway: &Gateway) {
    for left in ["game_gateway_sessions", "game_gateway_connections"] {
        gateway.until(left, |n| n == 0).await;
    }
    soon(async {
        // What the registries know, too: one looks for clients that are gone some time after a death.
        loop {
            let kind = Kind::SessionRegistry;
            let page = gateway
                .inspector()
                .actors(kind, None, 9)
                .await
                .expect("a page");
            if page
                .actors
                .iter()
                .all(|actor| detail(actor)["sessions"] == 0)
            {
                return;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let internal = r#"game_gateway_closed_connections_total{reason="internal"}"#;
    assert_eq!(gateway.metric(internal).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_registry_panics() {
    nobody_notices(Kind::SessionRegistry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_router_panics() {
    nobody_notices(Kind::Router).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_pool_panics() {
    nobody_notices(Kind::BackendPool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_worker_panics() {
    nobody_notices(Kind::Worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_the_watcher_panics_and_it_still_watches() {
    let (gateway, backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let before = gateway.metric("game_gateway_routes_version").await;
    panics(&gateway, "config_watcher-0", "ouch");
    restarted(&gateway, "config_watcher-0", 1).await;
    assert_eq!(gateway.metric("game_gateway_routes_version").await, before);
    let rule = format!(
        r#"{{"strategy":"round_robin","endpoints":["{}"]}}"#,
        backend.address()
    );
    gateway.set_routes(&format!(
        r#"{{"rules":{{"game":{rule},"chat":{rule},"new":{rule}}}}}"#
    ));
    let version = "game_gateway_routes_version";
    gateway.until(version, |version| version > before).await;
    let mut player = Player::connect(&gateway).await;
    player.data("new", b"hello").await;
    assert_eq!(&player.answer().await.payload[..], b"hello");
    crowd.leave().await;
}

#[tokio::test]
async fn routes_that_change_while_no_router_is_there_are_in_force() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start(&one.routes()).await;
    panics(&gateway, "router-0", "ouch");
    gateway.set_routes(&two.routes());
    let version = "game_gateway_routes_version";
    gateway.until(version, |version| version > 1).await;
    restarted(&gateway, "router-0", 1).await;
    let mut hub = Hub::start(two);
    hub.player(&gateway).await;
}

#[tokio::test]
async fn a_clients_panic_costs_its_session_and_both_sides_are_told() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut hub = Hub::start(backend);
    let (mut victim, session, link) = hub.player(&gateway).await;
    let (mut other, other_session, _) = hub.player(&gateway).await;
    let page = gateway.inspector().actors(Kind::Client, None, 9).await;
    let clients = page.expect("a page").actors;
    let its =
        |actor: &&ActorSnapshot| detail(actor)["session"]["session_id"] == *session.to_string();
    let id = &clients.iter().find(its).expect("the victim").id;
    panics(&gateway, id, "ouch");
    assert_eq!(victim.closed().await.0, 500);
    let (_, close) = hub.expect(LinkKind::Close).await;
    assert_eq!(close.session_id, session);
    assert_eq!(&close.payload[..], notice(500));
    // The other one on the same link plays on.
    hub.send(link, LinkKind::Data, other_session, b"still here");
    assert_eq!(&other.answer().await.payload[..], b"still here");
    gateway.until("game_gateway_sessions", |n| n == 1).await;
    gateway.until("game_gateway_connections", |n| n == 1).await;
    let internal = r#"game_gateway_closed_connections_total{reason="internal"}"#;
    assert_eq!(gateway.metric(internal).await, 1);
    assert!(gateway.inspector().actor(id).await.is_none());
}

#[tokio::test]
async fn a_links_panic_costs_its_sessions_that_service_and_the_pool_connects_again() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut hub = Hub::start(backend);
    let (mut player, session, first) = hub.player(&gateway).await;
    let page = gateway.inspector().actors(Kind::Link, None, 9).await;
    let id = page.expect("a page").actors[0].id.clone();
    panics(&gateway, &id, "ouch");
    assert_eq!(player.error().await, (502, "game".to_owned()));
    player.data("game", b"again").await;
    let (second, open) = hub.expect(LinkKind::Open).await;
    assert_eq!((open.session_id, second != first), (session, true));
    let (_, data) = hub.expect(LinkKind::Data).await;
    assert_eq!(&data.payload[..], b"again");
    hub.send(second, LinkKind::Data, session, b"answer");
    assert_eq!(&player.answer().await.payload[..], b"answer");
    let panicked = r#"game_gateway_ended_links_total{reason="panicked"}"#;
    assert_eq!(gateway.metric(panicked).await, 1);
}

#[tokio::test]
async fn an_endpoint_that_is_down_stays_known_as_down_when_the_router_is_rebuilt() {
    let (down, up) = (Backend::start().await, Backend::start().await);
    let rule = Backend::rule(&[&down, &up]);
    drop(down);
    let mut hub = Hub::start(up);
    let gateway = Gateway::start(&format!(r#"{{"rules":{{"game":{rule}}}}}"#)).await;
    // Two turns meet both endpoints.
    let _first = hub.player(&gateway).await;
    let _second = hub.player(&gateway).await;
    let router = gateway
        .inspector()
        .actor("router-0")
        .await
        .expect("a router");
    assert_eq!(detail(&router)["unusable_endpoints"], 1);
    panics(&gateway, "router-0", "ouch");
    restarted(&gateway, "router-0", 1).await;
    soon(async {
        loop {
            let router = gateway
                .inspector()
                .actor("router-0")
                .await
                .expect("a router");
            if detail(&router)["unusable_endpoints"] == 1 {
                return;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn sessions_that_wait_for_a_link_outlive_their_pools_panic() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.connect_timeout = std::time::Duration::from_secs(60);
    })
    .await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"patient").await;
    // Connected, but its first PONG does not come yet.
    let socket = backend.accept().await;
    let page = gateway.inspector().actors(Kind::BackendPool, None, 9).await;
    let id = page.expect("a page").actors[0].id.clone();
    panics(&gateway, &id, "ouch");
    restarted(&gateway, &id, 1).await;
    let mut link = crate::support::wire::Link::new(socket);
    link.greet().await;
    let open = link.next().await.expect("OPEN");
    assert_eq!(open.kind, LinkKind::Open as u8);
    assert_eq!(&link.data().await.payload[..], b"patient");
}

#[tokio::test]
async fn too_many_deaths_drain_the_process_and_it_says_that_it_failed() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.drain.window = std::time::Duration::ZERO;
    })
    .await;
    let mut hub = Hub::start(backend);
    let (mut player, session, _) = hub.player(&gateway).await;
    for death in 1..=5 {
        panics(&gateway, "router-0", "ouch");
        if death < 5 {
            restarted(&gateway, "router-0", death).await;
        }
    }
    // Both are told, as in every drain.
    assert_eq!(player.closed().await.0, 503);
    let (_, close) = hub.expect(LinkKind::Close).await;
    assert_eq!(
        (close.session_id, &close.payload[..]),
        (session, &notice(503)[..])
    );
    let error = gateway.failed().await;
    assert!(error.contains("too many actors have died"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_finds_a_worker_that_is_stuck_and_the_others_go_on() {
    let (gateway, _backend) = gateway().await;
    let barrier = Arc::new(Barrier::new(2));
    gateway
        .inspector()
        .inject("worker-1", Fault::Stall(Arc::clone(&barrier)));
    let (status, body) = gateway.get("/health").await;
    assert_eq!(status, 503, "{body}");
    // Queries to it are answered without it.
    let page = gateway
        .inspector()
        .actors(Kind::Worker, None, 9)
        .await
        .expect("a page");
    let responding: Vec<bool> = page.actors.iter().map(|actor| actor.responding).collect();
    assert_eq!(responding, [true, false]);
    let page = gateway
        .inspector()
        .sessions(&Default::default(), None, 9)
        .await;
    assert_eq!(page.expect("a page").silent_workers, [1]);
    barrier.wait();
    soon(async {
        while gateway.get("/health").await.0 != 200 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn panics_of_clients_and_links_never_add_up_to_an_exit() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut hub = Hub::start(backend);
    for _ in 0..8 {
        let (mut victim, ..) = hub.player(&gateway).await;
        let page = gateway.inspector().actors(Kind::Client, None, 9).await;
        for client in page.expect("a page").actors {
            panics(&gateway, &client.id, "ouch");
        }
        let last = victim.next().await.expect("a frame");
        assert_eq!(last.header.kind, ClientKind::Close as u8);
        hub.expect(LinkKind::Close).await;
        gateway.until("game_gateway_connections", |n| n == 0).await;
    }
    let (status, _) = gateway.get("/ready").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_tree_says_who_supervises_whom() {
    let (gateway, _backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let root = gateway.inspector().tree().expect("a tree");
    assert_eq!(root.actor.id, "gateway-0");
    let below = |node: &game_gateway::inspection::ActorNode| -> Vec<String> {
        node.children
            .iter()
            .map(|child| child.actor.id.clone())
            .collect()
    };
    assert_eq!(below(&root), ["config_watcher-0", "worker-0", "worker-1"]);
    let workers = &root.children[1..];
    let clients: u64 = workers.iter().filter_map(|worker| worker.clients).sum();
    assert!(clients >= PLAYERS as u64 / 2, "{clients}");
    assert_eq!(below(&workers[0]), ["session_registry-0", "router-0"]);
    let router = &workers[0].children[1];
    assert!(!router.children.is_empty(), "pools");
    assert!(
        router.children.iter().all(|pool| !pool.children.is_empty()),
        "links"
    );
    crowd.leave().await;
}
