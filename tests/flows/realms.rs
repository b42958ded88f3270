//! The largest realm map from a file.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use game_gateway::codec::client::Header;

use crate::stage::echo;
use crate::support::health::Health;
use crate::support::wire::{Backend, Gateway, Player};

const MOST: u32 = 1 << 20;

/// A document of the most realms; only the last one leads to this address.
fn document(last: SocketAddr) -> String {
    let mut text = r#"{"rules":{"game":{"strategy":"realm_based"}},"realms":{"#.to_owned();
    for id in 1..MOST {
        let name = format!("game-{}.a-usual-length.internal:9300", id % 1000);
        write!(text, r#""{id}":"{name}","#).expect("written");
    }
    write!(text, r#""{MOST}":"{last}"}}}}"#).expect("written");
    text
}

/// Read again every second and changed twice, and nobody notices. Prints what it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_realms_without_a_missed_health() {
    let (one, other) = (Backend::start().await, Backend::start().await);
    let (first, second) = (document(one.address), document(other.address));
    let begin = Instant::now();
    let gateway = Gateway::start_unready(&first, |config| {
        config.backend.resolve_interval = Duration::from_secs(1);
    });
    let health = Health::watch(gateway.admin);
    gateway
        .until("game_gateway_ready", |ready| ready == 1)
        .await;
    println!("{MOST} realms in force after {:?}", begin.elapsed());
    echo(one);
    echo(other);
    let loads = "game_gateway_routes_loads_total";
    for (version, routes) in [(2, &second), (3, &first)] {
        let before = gateway.metric(loads).await;
        let begin = Instant::now();
        gateway.set_routes(routes);
        let changed = |now| now >= version;
        gateway.until("game_gateway_routes_version", changed).await;
        println!("one of them changed: in force after {:?}", begin.elapsed());
        gateway.until(loads, |now| now >= before + 2).await;
        let mut player = Player::connect(&gateway).await;
        let header = Header {
            realm_id: MOST,
            ..Header::default()
        };
        player.send(header, "game", b"there?").await;
        assert_eq!(&player.answer().await.payload[..], b"there?");
    }
    let (status, body) = gateway.get("/api/v1/routes").await;
    assert_eq!(status, 200);
    assert!(body.contains(&format!("\"realms_total\":{MOST}")));
    assert!(body.contains("\"10000\":") && !body.contains("\"10001\":"));
    let (answers, longest) = health.end().await;
    assert!(answers > 1, "nobody asked");
    println!("{answers} answers of /health, all 200, the slowest after {longest:?}");
}
