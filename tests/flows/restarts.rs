//! Actors that are restarted by hand in a running gateway, under traffic: nothing is lost.

use game_gateway::supervision::{Fault, Kind, NotRestarted};

use crate::stage::Hub;
use crate::supervision::{Crowd, gateway, nothing_is_left};
use crate::support::wire::{Backend, Gateway, Player, soon};

/// Restarts of each actor: by then newcomers have met many of them.
const ROUNDS: u64 = 20;

/// Restarts the actors of a kind again and again while everybody plays on, and others come.
async fn nobody_notices(kind: Kind) {
    let (gateway, _backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let page = gateway.inspector().actors(kind, None, 2).await;
    let actors = page.expect("a page").actors;
    assert!(!actors.is_empty());
    for round in 1..=ROUNDS {
        for actor in &actors {
            let restarted = gateway.inspector().restart(&actor.id).await;
            let back = restarted.expect("the actor").expect("a restart");
            assert_eq!(back.restarts_by_hand, round);
            assert_eq!((back.restarts, back.panics), (0, 0));
            assert!(back.responding && back.handled > actor.handled, "{back:?}");
        }
        if round % 5 == 0 {
            crowd.plays_on().await;
        }
    }
    crowd.leave().await;
    nothing_is_left(&gateway).await;
    let kinds = gateway.inspector().kinds();
    let all = kinds.iter().find(|k| k.kind == kind).expect("the kind");
    let by_hand = ROUNDS * actors.len() as u64;
    assert_eq!(
        (all.panics, all.restarts, all.restarts_by_hand),
        (0, 0, by_hand)
    );
    for nothing in [
        "game_gateway_failed_bindings_total",
        r#"game_gateway_ended_links_total{reason="panicked"}"#,
        r#"game_gateway_refused_frames_total{code="502"}"#,
    ] {
        assert_eq!(gateway.metric(nothing).await, 0, "{nothing}");
    }
    let counted = format!(
        r#"game_gateway_restarted_by_hand_actors_total{{kind="{}"}}"#,
        kind.name()
    );
    assert_eq!(gateway.metric(&counted).await, by_hand);
    let (status, _) = gateway.get("/health").await;
    assert_eq!(status, 200, "so many deaths would have drained it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_router_is_restarted() {
    nobody_notices(Kind::Router).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_pool_is_restarted() {
    nobody_notices(Kind::BackendPool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_the_watcher_is_restarted_and_it_still_watches() {
    let (gateway, backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let version = "game_gateway_routes_version";
    let before = gateway.metric(version).await;
    for _ in 0..3 {
        let restarted = gateway.inspector().restart("config_watcher-0").await;
        restarted.expect("the watcher").expect("a restart");
    }
    assert_eq!(gateway.metric(version).await, before);
    let rule = format!(
        r#"{{"strategy":"round_robin","endpoints":["{}"]}}"#,
        backend.address()
    );
    gateway.set_routes(&format!(
        r#"{{"rules":{{"game":{rule},"chat":{rule},"new":{rule}}}}}"#
    ));
    gateway.until(version, |version| version > before).await;
    let mut player = Player::connect(&gateway).await;
    player.data("new", b"hello").await;
    assert_eq!(&player.answer().await.payload[..], b"hello");
    crowd.leave().await;
}

#[tokio::test]
async fn sessions_that_wait_for_a_link_outlive_the_restart_of_their_pool() {
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
    let restarted = gateway.inspector().restart(&id).await;
    restarted.expect("the pool").expect("a restart");
    let mut link = crate::support::wire::Link::new(socket);
    link.greet().await;
    link.opened().await;
    assert_eq!(&link.data().await.payload[..], b"patient");
}

/// Nothing is done to it, and it says why.
#[tokio::test]
async fn actors_whose_end_would_cost_something_stay() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut hub = Hub::start(backend);
    let (mut player, session, link) = hub.player(&gateway).await;
    for kind in [
        Kind::Gateway,
        Kind::Worker,
        Kind::SessionRegistry,
        Kind::Link,
        Kind::Client,
    ] {
        let page = gateway.inspector().actors(kind, None, 9).await;
        let actor = page.expect("a page").actors.remove(0);
        let refused = gateway.inspector().restart(&actor.id).await;
        let why = kind.restart_refused().expect("why not").to_owned();
        assert_eq!(
            refused.expect("the actor").err(),
            Some(NotRestarted::Refused(why))
        );
        let still = gateway.inspector().actor(&actor.id).await.expect("it");
        assert_eq!((still.restarts_by_hand, still.responding), (0, true));
    }
    for nobody in ["router-7", "client-4711", "nonsense"] {
        assert!(
            gateway.inspector().restart(nobody).await.is_none(),
            "{nobody}"
        );
    }
    hub.send(
        link,
        game_gateway::codec::link::Kind::Data,
        session,
        b"still here",
    );
    assert_eq!(&player.answer().await.payload[..], b"still here");
}

/// One that is stuck keeps its seat, and is restarted when somebody asks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_stuck_says_so_and_is_restarted_later() {
    let (gateway, _backend) = gateway().await;
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(2));
    gateway
        .inspector()
        .inject("router-1", Fault::Stall(std::sync::Arc::clone(&barrier)));
    let silent = gateway.inspector().restart("router-1").await;
    assert_eq!(
        silent.expect("the router").err(),
        Some(NotRestarted::Silent)
    );
    tokio::task::spawn_blocking(move || barrier.wait())
        .await
        .expect("it goes on");
    let restarted = soon(async {
        loop {
            match gateway.inspector().restart("router-1").await {
                Some(Ok(restarted)) => return restarted,
                // The first wish is still in the supervisor's hands, until it sees that nobody waits for it.
                Some(Err(NotRestarted::UnderWay | NotRestarted::Silent)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert!(restarted.responding && restarted.restarts_by_hand >= 1);
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    assert_eq!(&player.answer().await.payload[..], b"hello");
}

/// The state of what works is not touched by a restart that is asked for by many at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_a_time_are_all_answered() {
    let (gateway, _backend) = gateway().await;
    let crowd = Crowd::gather(&gateway).await;
    let mut done = 0;
    soon(async {
        while done == 0 {
            let asked = (0..50).map(|_| gateway.inspector().restart("router-0"));
            for restarted in futures_util::future::join_all(asked).await {
                match restarted.expect("the router") {
                    Ok(_) => done += 1,
                    // A machine that is too busy to restart it in time says so, and asks again.
                    Err(NotRestarted::UnderWay | NotRestarted::Silent) => {}
                    Err(refused) => panic!("{refused:?}"),
                }
            }
        }
    })
    .await;
    let router = gateway.inspector().actor("router-0").await.expect("it");
    assert!(router.restarts_by_hand >= done && router.panics == 0);
    crowd.plays_on().await;
    crowd.leave().await;
    nothing_is_left(&gateway).await;
}
