//! HTTP requests whose bodies or answers are large.

use game_gateway::codec::link::{self, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pressure;
use crate::stage::{LIMIT, SMALL, Served, UNDER_WAY};
use crate::support::http::Response;
use crate::support::wire::{Link, Player, get, soon};

const BODY: usize = 1_000_000;

/// A request with a body of `announced` bytes, of which none is sent yet.
pub(crate) async fn post(served: &Served, announced: usize) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let mut socket = soon(socket.connect(served.players))
        .await
        .expect("connected");
    let head = format!("POST /game HTTP/1.1\r\nHost: a\r\nContent-Length: {announced}\r\n\r\n");
    soon(socket.write_all(head.as_bytes())).await.expect("sent");
    socket
}

async fn still_plays(served: &Served, link: &mut Link, own: u64, player: &mut Player) {
    link.send(Kind::Data, own, b"on").await;
    assert_eq!(&player.answer().await.payload[..], b"on");
    served.until_pressure(|pressure| pressure == "none").await;
    assert_eq!(get(served.players, "/health").await.0, 200);
}

#[tokio::test]
async fn bodies_for_a_silent_backend_keep_the_budget() {
    let served = Served::start(SMALL).await;
    let (mut link, mut healthy) = served.sessions(1).await;
    let before = served.resident();
    let (mut requests, body) = (Vec::new(), vec![7; BODY - 1]);
    for _ in 0..64 {
        requests.push(post(&served, BODY).await);
    }
    // All but a byte: what has come waits, until it is refused.
    served.fill(&mut requests, &body).await;
    served.assert_bounded("bodies", before).await;
    let (mut player, own) = healthy.remove(0);
    drop(requests);
    still_plays(&served, &mut link, own, &mut player).await;
}

/// All requests have come before the first is answered, so none could be refused.
#[tokio::test]
async fn answers_that_are_not_read_keep_the_budget() {
    let served = Served::start(SMALL).await;
    let (mut link, mut healthy) = served.sessions(1).await;
    let (mut requests, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..64 {
        let mut request = post(&served, 5).await;
        soon(request.write_all(b"hello")).await.expect("sent");
        sessions.push(link.opened().await.session_id);
        link.data().await;
        requests.push(request);
    }
    let before = served.resident();
    for session_id in &sessions {
        let mut answer = Vec::new();
        link::encode(&mut answer, Kind::Data, *session_id, &vec![7; BODY]);
        link.raw(&answer).await;
        let held = served.held().await;
        assert!(held <= LIMIT + UNDER_WAY, "{held} of {LIMIT}");
    }
    served.assert_bounded("answers", before).await;
    let ended = "game_gateway_memory_ended_queues_total";
    assert!(served.metric(ended).await > 0);
    // Those whose answers had begun are cut off; all others hear why.
    let mut told = [0; 2];
    for request in &mut requests {
        let mut read = Vec::new();
        // Nothing more is asked for: it ends behind the answer.
        let _ = request.shutdown().await;
        let _ = soon(request.read_to_end(&mut read)).await;
        match read.get(..12) {
            Some(b"HTTP/1.1 200") => told[0] += 1,
            Some(b"HTTP/1.1 503") => told[1] += 1,
            Some(status) => panic!("{}", String::from_utf8_lossy(status)),
            None => {}
        }
    }
    println!("answers that are not read: {told:?} of 64 have got 200 and 503");
    assert!(told[0] > 0);
    let (mut player, own) = healthy.remove(0);
    drop(requests);
    still_plays(&served, &mut link, own, &mut player).await;
}

/// While memory is short: one that comes, and one whose body has begun.
#[tokio::test]
async fn requests_for_which_there_is_no_room_are_told_503() {
    let settings = "limits.memory = \"16MiB\"\nsession.outbound_queue = \"4MiB\"\n\
                    listen.http.timeout = \"1h\"\nsession.idle_timeout = \"1h\"";
    let served = Served::start(settings).await;
    let (mut link, players) = served.sessions(32).await;
    let mut begun = post(&served, 60_000).await;
    soon(begun.write_all(&[7; 30_000])).await.expect("sent");
    let held = |memory: &serde_json::Value| memory["parts"]["http"].as_u64() >= Some(30_000);
    soon(async {
        while !held(&served.json("/api/v1/memory").await) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let mut round = Vec::new();
    for (_, session_id) in &players {
        link::encode(&mut round, Kind::Data, *session_id, &[7; 8 * 1024]);
    }
    pressure::fill(&served, &mut link, &round).await;
    let is_short = |pressure: &str| matches!(pressure, "sessions" | "queues");
    served.until_pressure(is_short).await;
    let mut fresh = post(&served, 5).await;
    soon(fresh.write_all(b"hello")).await.expect("sent");
    // It may have been told already.
    let _ = soon(begun.write_all(&[7; 30_000])).await;
    for request in [&mut fresh, &mut begun] {
        let response = Response::read(request).await;
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
        let text = String::from_utf8_lossy(&response.body);
        assert!(text.contains("memory"), "{text}");
    }
}
