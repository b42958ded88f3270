//! HTTP requests whose bodies or answers are large.

use game_gateway::codec::link::{self, Kind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::{LIMIT, SMALL, Served, UNDER_WAY};
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
    let (mut player, own) = healthy.remove(0);
    drop(requests);
    still_plays(&served, &mut link, own, &mut player).await;
}
