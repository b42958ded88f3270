//! The routes file of a gateway that runs, and where its rules send sessions.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::task::Poll;

use game_gateway::codec::client::Header;
use game_gateway::codec::link::Kind;

use crate::stage::{Hub, echo, player};
use crate::support::wire::{Backend, Gateway, Player, soon};

/// Returns the backend that gets the next session.
async fn chosen(hubs: &mut [Hub]) -> usize {
    let opened = poll_fn(|cx| {
        for (place, hub) in hubs.iter_mut().enumerate() {
            if let Poll::Ready((_, frame)) = hub.poll_next(cx) {
                return Poll::Ready((place, frame.kind));
            }
        }
        Poll::Pending
    });
    let (place, kind) = soon(opened).await;
    assert_eq!(kind, Kind::Open as u8);
    hubs[place].expect(Kind::Data).await;
    place
}

const REJECTED: &str = "game_gateway_routes_rejected";

#[tokio::test]
async fn new_routes_are_for_new_sessions() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start(&old.routes()).await;
    let mut bound = player(&gateway, "game", b"1").await;
    let mut old = old.link().await;
    let session_id = old.opened().await.session_id;
    old.data().await;
    gateway.set_routes(&new.routes());
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;

    let mut next = player(&gateway, "game", b"2").await;
    echo(new);
    assert_eq!(&next.answer().await.payload[..], b"2");
    bound.data("game", b"as before").await;
    assert_eq!(&old.data().await.payload[..], b"as before");
    old.send(Kind::Data, session_id, b"yes").await;
    assert_eq!(&bound.answer().await.payload[..], b"yes");
    // The last one turns the lights off.
    drop(bound);
    assert_eq!(old.closed().await, (session_id, 0));
    assert_eq!(old.next().await, None);
}

#[tokio::test]
async fn bad_routes_keep_the_last_good_ones() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let address = backend.address;
    echo(backend);
    let rule = |members: &str| format!(r#"{{"rules":{{"game":{{{members}}}}}}}"#);
    let cases = [
        ("not JSON".to_owned(), "line 1"),
        (
            rule(&format!(
                r#""strategy":"sideways","endpoints":["{address}"]"#
            )),
            "sideways",
        ),
        (
            rule(&format!(
                r#""strategy":"round_robin","endpoints":[{{"address":"{address}","weight":0}}]"#
            )),
            "weight",
        ),
        (
            rule(r#""strategy":"round_robin","endpoints":["127.0.0.1"]"#),
            "port",
        ),
        (
            format!(r#"{{"rules":{{}},"realms":{{"north":"{address}"}}}}"#),
            "north",
        ),
    ];
    let good = rule(&format!(
        r#""strategy":"round_robin","endpoints":["{address}"]"#
    ));
    for (bad, mistake) in &cases {
        gateway.set_routes(bad);
        gateway.until(REJECTED, |rejected| rejected == 1).await;
        let (status, body) = gateway.get("/ready").await;
        assert_eq!(status, 200, "{bad}");
        assert!(body.contains(mistake), "{bad}: {body}");
        let mut player = player(&gateway, "game", b"as ever").await;
        assert_eq!(&player.answer().await.payload[..], b"as ever");
        gateway.set_routes(&good);
        gateway.until(REJECTED, |rejected| rejected == 0).await;
    }
    let counted = r#"game_gateway_rejected_routes_total{reason="mistaken"}"#;
    assert_eq!(gateway.metric(counted).await, cases.len() as u64);
    assert_eq!(gateway.metric("game_gateway_routes_version").await, 1);
    assert!(gateway.get("/ready").await.1.contains("null"));
}

#[tokio::test]
async fn a_gateway_waits_for_its_routes() {
    let backend = Backend::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    let gateway = Gateway::start_unready("{}", |config| config.routes.file = file.clone());
    gateway.until(REJECTED, |rejected| rejected == 1).await;
    let (status, body) = gateway.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("no routes yet"), "{body}");
    let counted = r#"game_gateway_rejected_routes_total{reason="unreadable"}"#;
    assert_eq!(gateway.metric(counted).await, 1);
    let mut early = player(&gateway, "game", b"early").await;
    assert_eq!(early.error().await, (503, "game".to_owned()));

    std::fs::write(&file, backend.routes()).expect("written");
    gateway
        .until("game_gateway_ready", |ready| ready == 1)
        .await;
    echo(backend);
    early.data("game", b"now").await;
    assert_eq!(&early.answer().await.payload[..], b"now");
}

#[tokio::test]
async fn turns_are_taken_over_the_whole_process() {
    let mut backends = Vec::new();
    while backends.len() < 4 {
        backends.push(Backend::start().await);
    }
    let rule = Backend::rule(&backends.iter().collect::<Vec<_>>());
    let routes = format!(r#"{{"rules":{{"game":{rule}}}}}"#);
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 4).await;
    let mut hubs: Vec<Hub> = backends.into_iter().map(Hub::start).collect();
    let mut counts = [0; 4];
    let mut players = Vec::new();
    for _ in 0..40 {
        players.push(player(&gateway, "game", b"x").await);
        let chosen = chosen(&mut hubs).await;
        counts[chosen] += 1;
    }
    assert_eq!(counts, [10; 4]);
}

#[tokio::test]
async fn two_gateways_send_a_user_to_the_same_backend() {
    let mut backends = Vec::new();
    while backends.len() < 4 {
        backends.push(Backend::start().await);
    }
    let endpoints: Vec<String> = backends
        .iter()
        .map(|b| format!("\"{}\"", b.address))
        .collect();
    let rule = |endpoints: String| {
        format!(
            r#"{{"rules":{{"game":{{"strategy":"consistent_hash","endpoints":[{endpoints}]}}}}}}"#
        )
    };
    let one = Gateway::start(&rule(endpoints.join(","))).await;
    let mut reversed = endpoints;
    reversed.reverse();
    let two = Gateway::start_with(&rule(reversed.join(",")), |config| {
        config.gateway.id = "gw-other".to_owned();
        config.gateway.workers = 2;
    })
    .await;
    let mut hubs: Vec<Hub> = backends.into_iter().map(Hub::start).collect();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut players = Vec::new();
    for gateway in [&one, &two] {
        for user_id in 1..=16 {
            let mut player = Player::connect(gateway).await;
            let header = Header {
                user_id,
                ..Header::default()
            };
            player.send(header, "game", b"x").await;
            players.push(player);
            let chosen = chosen(&mut hubs).await;
            assert_eq!(
                *places.entry(user_id).or_insert(chosen),
                chosen,
                "{user_id}"
            );
        }
    }
    let used: HashSet<usize> = places.values().copied().collect();
    assert!(used.len() > 1, "sixteen users at {used:?}");
}
