//! Memory of a gateway in a process of its own: clients that pipeline and do not read, and connections
//! that are kept alive.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::scene::{Response, request, send};
use crate::served::{LARGE, SLACK, Served};
use crate::support::wire::{Player, soon};

/// Bytes of requests that one client pipelines.
const FLOOD: usize = 3 * 1024 * 1024;
/// Answers of another player in which nothing of a flood has moved, so that it is known to be held back.
const QUIET_ANSWERS: u32 = 200;
/// Bytes of the buffers of a client's socket, so that the kernel holds little of a flood.
const SOCKET_BYTES: u32 = 32 * 1024;
/// Connections before those that are measured: they warm up pools and allocator.
const WARM: u64 = 200;
/// Connections that are kept alive and measured.
const KEPT: u64 = 800;
/// Stated bound of one that is kept alive after large messages, in bytes.
const KEPT_BYTES: u64 = 8 * 1024;

async fn narrow(gateway: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(SOCKET_BYTES).expect("set");
    socket.set_send_buffer_size(SOCKET_BYTES).expect("set");
    soon(socket.connect(gateway.players))
        .await
        .expect("connected")
}

async fn play(player: &mut Player) {
    player.data("game", b"meanwhile").await;
    assert_eq!(&player.answer().await.payload[..], b"meanwhile");
}

/// Sends `requests` on each socket until all is sent, or the gateway takes no more: then others
/// have had [`QUIET_ANSWERS`] since. Returns how many bytes each has sent.
async fn flood(player: &mut Player, sockets: &[TcpStream], requests: &[u8]) -> Vec<usize> {
    let mut sent = vec![0; sockets.len()];
    let mut quiet = 0;
    while quiet < QUIET_ANSWERS && sent.iter().any(|sent| *sent < requests.len()) {
        quiet += 1;
        for (socket, sent) in sockets.iter().zip(&mut sent) {
            // Zero where the socket is full for now.
            let taken = socket.try_write(&requests[*sent..]).unwrap_or(0);
            *sent += taken;
            if taken > 0 {
                quiet = 0;
            }
        }
        play(player).await;
    }
    sent
}

/// One connection whose answers nobody reads, and that have no body.
#[tokio::test]
async fn pipelined_requests_without_a_reader_wait() {
    let gateway = Served::start().await;
    let mut player = Player::connect_to(gateway.players).await;
    play(&mut player).await;
    let one = request("OPTIONS /game", "", b"");
    let count = FLOOD / one.len();
    let requests = one.repeat(count);
    let before = gateway.peak();
    let mut sockets = [narrow(&gateway).await];
    let sent = flood(&mut player, &sockets, &requests).await[0];
    let grown = gateway.peak() - before;
    println!("{sent} bytes of requests: {grown} bytes of memory");
    assert!(sent < requests.len(), "it is held back");
    assert!(grown <= SLACK, "{grown} bytes");

    // Once it reads, each request gets its answer.
    let (mut reader, mut writer) = sockets[0].split();
    let mut answers = Vec::new();
    let writing = async {
        writer.write_all(&requests[sent..]).await.expect("sent");
        writer.shutdown().await.expect("ended");
    };
    let (read, ()) = soon(async { tokio::join!(reader.read_to_end(&mut answers), writing) }).await;
    read.expect("all answers");
    let heads = answers.windows(13).filter(|w| w == b"HTTP/1.1 204 ");
    assert_eq!(heads.count(), count);
}

/// Messages to a service that does not answer, one behind the other on many connections.
#[tokio::test]
async fn pipelined_messages_to_a_silent_service_wait() {
    const CONNECTIONS: usize = 20;
    let gateway = Served::start().await;
    let mut player = Player::connect_to(gateway.players).await;
    play(&mut player).await;
    let requests = request("POST /silent", "Content-Length: 0\r\n", b"").repeat(20_000);
    let before = gateway.peak();
    let mut sockets = Vec::new();
    for _ in 0..CONNECTIONS {
        sockets.push(narrow(&gateway).await);
    }
    let sent = flood(&mut player, &sockets, &requests).await;
    let grown = gateway.peak() - before;
    println!("{sent:?} bytes of requests: {grown} bytes of memory");
    assert!(sent.iter().all(|sent| *sent < requests.len()), "held back");
    assert!(grown <= SLACK, "{grown} bytes");
}

/// A connection that is kept alive owns next to nothing, whatever it had before.
#[tokio::test]
async fn kept_connections_own_little() {
    let gateway = Served::waiting("1m").await;
    let body = vec![7; 60_000];
    let mut kept = Vec::new();
    let mut warm = 0;
    for n in 0..WARM + KEPT {
        if n == WARM {
            warm = gateway.resident();
        }
        let mut socket = soon(TcpStream::connect(gateway.players))
            .await
            .expect("connected");
        send(&mut socket, &request("POST /game", "", &body)).await;
        assert_eq!(Response::read(&mut socket).await.body.len(), body.len());
        let empty = request("POST /game", "Content-Length: 0\r\n", b"");
        send(&mut socket, &empty).await;
        assert_eq!(Response::read(&mut socket).await.body.len(), LARGE);
        kept.push(socket);
    }
    let each = gateway.resident().saturating_sub(warm) / KEPT;
    println!("{each} bytes for each connection that is kept alive");
    assert!(each <= KEPT_BYTES, "{each} bytes");
    // They are alive.
    for socket in kept.iter_mut().step_by(100) {
        send(socket, &request("GET /health", "", b"")).await;
        assert_eq!(Response::read(socket).await.status, 200);
    }
}
