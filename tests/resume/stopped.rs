//! A RESUME that meets the end of its session.

use std::sync::{Arc, Barrier};

use game_gateway::codec::client::{FLAG_RESUMABLE, Header, Kind as ClientKind};
use game_gateway::supervision::{ActorSnapshot, Fault, Kind, KindSnapshot};

use crate::stage::{Ticket, opened, resume_on};
use crate::support::wire::{Backend, Gateway, Link, Player, soon};

async fn actors(gateway: &Gateway, kind: Kind) -> Vec<ActorSnapshot> {
    let page = gateway.inspector().actors(kind, None, 99).await;
    page.expect("a page").actors
}

/// Counts of all clients, without asking them.
fn of_clients(gateway: &Gateway) -> KindSnapshot {
    let kinds = gateway.inspector().kinds().into_iter();
    let mut clients = kinds.filter(|kind| kind.kind == Kind::Client);
    clients.next().expect("the kind")
}

/// Waits until a connection has a client; returns that.
async fn client_of(gateway: &Gateway, player: &Player) -> ActorSnapshot {
    let address = format!("127.0.0.1:{}", player.local_port());
    soon(async {
        loop {
            let clients = actors(gateway, Kind::Client).await.into_iter();
            let mut its = clients.filter(|client| client.name == address);
            if let Some(client) = its.next() {
                return client;
            }
        }
    })
    .await
}

/// Returns the sessions that the registry of worker 1 has.
async fn at_home_on_1(gateway: &Gateway) -> u64 {
    let registry = gateway.inspector().actor("session_registry-1").await;
    let detail = registry.expect("a registry").detail.expect("its account");
    let detail: serde_json::Value = serde_json::from_str(detail.get()).expect("JSON");
    detail["sessions"].as_u64().expect("a number")
}

/// A new connection of this worker.
async fn connect_to(gateway: &Gateway, worker: usize, others: &mut Vec<Player>) -> Player {
    loop {
        let player = Player::connect(gateway).await;
        if client_of(gateway, &player).await.worker == Some(worker) {
            return player;
        }
        others.push(player);
    }
}

/// A player whose client is on worker 0, and whose session is at home on worker 1.
async fn astride(
    gateway: &Gateway,
    backend: &Backend,
    others: &mut Vec<Player>,
) -> (Player, Ticket, Vec<Link>) {
    let mut links = Vec::new();
    for session_id in 1.. {
        let mut player = connect_to(gateway, 0, others).await;
        let header = Header {
            flags: FLAG_RESUMABLE,
            session_id,
            ..Header::default()
        };
        player.send(header, "game", b"1").await;
        if links.is_empty() {
            links.push(backend.link().await);
        }
        links[0].opened().await;
        links[0].data().await;
        let mut ticket = Ticket::default();
        opened(&mut player, &mut ticket).await;
        if at_home_on_1(gateway).await == 1 {
            return (player, ticket, links);
        }
        others.push(player);
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_that_its_sessions_client_does_not_live_to_read_is_answered() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.gateway.workers = 2;
        config.session.trust_client_ids = true;
    })
    .await;
    let mut others = Vec::new();
    let (mut player, ticket, _links) = astride(&gateway, &backend, &mut others).await;
    let mut again = connect_to(&gateway, 1, &mut others).await;
    let owner = client_of(&gateway, &player).await.id;
    // Its client stands still, and will panic before it reads the RESUME.
    let barriers = [(); 2].map(|()| Arc::new(Barrier::new(2)));
    let inspector = gateway.inspector();
    let stall = |barrier: &Arc<Barrier>| Fault::Stall(Arc::clone(barrier));
    inspector.inject("worker-0", stall(&barriers[0]));
    inspector.inject(&owner, stall(&barriers[1]));
    inspector.inject(&owner, Fault::Panic("before it reads".to_owned()));
    let before = of_clients(&gateway);
    barriers[0].wait();
    // Both are in its mailbox.
    let mail = |kind: &KindSnapshot| kind.handled + kind.waiting;
    soon(async {
        while mail(&of_clients(&gateway)) < mail(&before) + 2 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    resume_on(&mut again, &ticket, 0).await;
    // The connection is handed over: its own client is gone.
    soon(async {
        while of_clients(&gateway).live == before.live {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    barriers[1].wait();
    let (code, retry_after_ms) = again.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after_ms > 0);
    assert_eq!(
        player.next().await.expect("CLOSE").header.kind,
        ClientKind::Close as u8
    );
    drop((again, player, others));
    gateway.until("game_gateway_connections", |n| n == 0).await;
    let count = async |name| gateway.metric(name).await;
    let accepted = count("game_gateway_accepted_connections_total").await;
    let closed = "game_gateway_closed_connections_total";
    assert_eq!(accepted, count(closed).await);
    let busy = r#"game_gateway_closed_connections_total{reason="resume_busy"}"#;
    assert_eq!(count(busy).await, 1);
}
