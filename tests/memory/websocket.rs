//! WebSockets whose clients send what costs memory, or do not read.

use std::net::SocketAddr;

use game_gateway::codec::link::{self, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{MIB, SLACK, SMALL, Served};
use crate::support::frames::data;
use crate::support::wire::soon;

/// Opens a WebSocket, with a receive buffer that holds little.
pub(crate) async fn open(players: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let mut socket = soon(socket.connect(players)).await.expect("connected");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: ggp.v1\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(soon(socket.read_u8()).await.expect("a response"));
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "{response:?}");
    socket
}

/// A masked frame, or the beginning of one that claims to have `claimed` bytes.
pub(crate) fn frame(first: u8, claimed: usize, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match claimed {
        0..=125 => frame.push(0x80 | claimed as u8),
        126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend((claimed as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((claimed as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

/// A frame of the session with so much payload, less a byte, in fragments of a message that does not end.
pub(crate) fn fragments(payload: usize, each: usize) -> Vec<u8> {
    let body = data("game", &vec![7; payload]);
    let parts = body[..body.len() - 1].chunks(each);
    let first = |place| if place == 0 { 0x02 } else { 0x00 };
    let fragments = parts.enumerate();
    fragments
        .flat_map(|(place, part)| frame(first(place), part.len(), part))
        .collect()
}

#[tokio::test]
async fn pongs_that_nobody_reads_are_few() {
    let served = Served::start("session.idle_timeout = \"1h\"").await;
    let mut client = [open(served.players).await];
    let before = served.resident();
    let pings = frame(0x89, 125, &[7; 125]).repeat(512 * 1024);
    served.send_all(&mut client, &pings).await;
    let grown = served.peak() - before;
    println!("{} bytes of PINGs: grown by {grown}", pings.len());
    assert!(grown <= SLACK / 2, "{grown} bytes");
}

/// `body` of each of 64 clients, who send nothing more.
async fn fill(what: &str, body: &[u8]) {
    let served = Served::start(SMALL).await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(open(served.players).await);
    }
    let before = served.resident();
    served.fill(&mut clients, body).await;
    served.assert_bounded(what, before).await;
    // They are not read, and their end is noticed nevertheless.
    drop(clients);
    served.until_pressure(|pressure| pressure == "none").await;
}

#[tokio::test]
async fn messages_that_have_begun_count_by_what_has_come() {
    let most = MIB as usize;
    let body = data("game", &vec![7; most - 100]);
    fill(
        "a message",
        &frame(0x82, body.len(), &body[..body.len() - 1]),
    )
    .await;
}

#[tokio::test]
async fn fragments_count_by_what_is_gathered() {
    fill("fragments", &fragments(976_000, 16_000)).await;
}

#[tokio::test]
async fn clients_that_do_not_read_keep_the_budget() {
    let served = Served::start(SMALL).await;
    let (mut link, mut healthy) = served.sessions(1).await;
    let mut players = Vec::new();
    for _ in 0..32 {
        let mut player = open(served.players).await;
        let hello = data("game", b"hello");
        let hello = frame(0x82, hello.len(), &hello);
        player.write_all(&hello).await.expect("sent");
        let session_id = link.opened().await.session_id;
        link.data().await;
        players.push((player, session_id));
    }
    let before = served.resident();
    let mut round = Vec::new();
    for (_, session_id) in &players {
        link::encode(&mut round, Kind::Data, *session_id, &[7; 60_000]);
    }
    let ended = "game_gateway_memory_ended_queues_total";
    while served.metric(ended).await == 0 {
        link.raw(&round).await;
    }
    served.assert_bounded("slow WebSockets", before).await;
    let (player, session_id) = &mut healthy[0];
    link.send(Kind::Data, *session_id, b"on").await;
    assert_eq!(&player.answer().await.payload[..], b"on");
}
