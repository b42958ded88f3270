//! Backends that take nothing.

use game_gateway::codec::link::Kind;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::{SMALL, Served};
use crate::support::frames::data;
use crate::support::wire::{Backend, get, soon};

/// Each with a link whose queue may have 1 MiB.
const BACKENDS: usize = 24;
const FRAME: usize = 60_000;

#[tokio::test]
async fn queues_of_links_keep_the_budget() {
    let healthy = Backend::start().await;
    let mut rules = format!("\"game\": {}", Backend::rule(&[&healthy]));
    let mut stuck = Vec::new();
    for n in 0..BACKENDS {
        let backend = Backend::start_narrow().await;
        rules.push_str(&format!(", \"stuck{n}\": {}", Backend::rule(&[&backend])));
        stuck.push(backend);
    }
    let served = Served::start_with(SMALL, healthy, &format!("{{\"rules\": {{{rules}}}}}"));
    let (mut link, mut players) = served.sessions(1).await;
    let before = served.resident();

    // Links first, for new sessions will be refused.
    let (mut feeders, mut links) = (Vec::new(), Vec::new());
    for (n, backend) in stuck.iter().enumerate() {
        let feeder = tokio::net::TcpSocket::new_v4().expect("a socket");
        feeder.set_send_buffer_size(256 * 1024).expect("set");
        let feeder = soon(feeder.connect(served.players)).await;
        let mut feeder = feeder.expect("connected");
        let hello = data(&format!("stuck{n}"), b"hello");
        soon(feeder.write_all(&hello)).await.expect("sent");
        let mut link = backend.link().await;
        link.opened().await;
        feeders.push(feeder);
        links.push(link);
    }
    let frames = data("", &[7; FRAME]).repeat(120);
    served.fill(&mut feeders, &frames).await;
    served.assert_bounded("links", before).await;
    let ended = r#"game_gateway_ended_links_total{reason="memory"}"#;
    println!("{} links ended", served.metric(ended).await);

    // Who has a backend that reads plays on.
    let (player, own) = &mut players[0];
    for _ in 0..8 {
        player.data("game", &[1; FRAME]).await;
        assert_eq!(link.data().await.payload.len(), FRAME);
        link.send(Kind::Data, *own, b"on").await;
        assert_eq!(&player.answer().await.payload[..], b"on");
    }
    drop((feeders, links));
    served.until_pressure(|pressure| pressure == "none").await;
    assert_eq!(get(served.players, "/health").await.0, 200);
}

/// Each of two workers has a link to each, which takes 1 MiB.
const STUCK: usize = 12;
/// Of each backend. Four reads of each fill the links of either worker.
const PLAYERS: usize = 8;

/// The process was stopped, so that all players have something for it at once: more than there is room for, and no
/// link has run before all of them have been read.
#[tokio::test]
async fn players_who_are_read_at_once_keep_within_the_budget() {
    let mut rules = Vec::new();
    for n in 0..STUCK {
        let backend = Backend::start_narrow().await;
        rules.push(format!("\"stuck{n}\": {}", Backend::rule(&[&backend])));
        tokio::spawn(async move {
            let mut links = Vec::new();
            loop {
                links.push(backend.link().await);
            }
        });
    }
    let settings = "limits.memory = \"8MiB\"\ngateway.workers = 2\nbackend.probe_interval = \"0s\"\n\
        session.idle_timeout = \"1h\"";
    let document = format!("{{\"rules\": {{{}}}}}", rules.join(","));
    let served = Served::start_with(settings, Backend::start().await, &document);
    let mut players: Vec<TcpStream> = Vec::new();
    for n in 0..STUCK * PLAYERS {
        let player = tokio::net::TcpSocket::new_v4().expect("a socket");
        player.set_send_buffer_size(256 * 1024).expect("set");
        let mut player = soon(player.connect(served.players))
            .await
            .expect("connected");
        let hello = data(&format!("stuck{}", n % STUCK), b"hello");
        soon(player.write_all(&hello)).await.expect("sent");
        players.push(player);
    }
    // OPEN and DATA of each.
    let sent = 2 * players.len() as u64;
    soon(async {
        while served.sent_to_backends().await < sent {
            crate::support::wire::look_again().await;
        }
    })
    .await;

    let frames = data("", &[7; 3000]).repeat(200);
    served.stop(true);
    for player in &players {
        let _ = player.try_write(&frames);
    }
    served.stop(false);
    served
        .until_pressure(|pressure| !matches!(pressure, "none" | "rings"))
        .await;
    served.assert_never_over("players read at once").await;
}
