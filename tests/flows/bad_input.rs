//! Invalid input. Whatever a gateway receives, it answers as the protocol specifies, counts it, and
//! serves other sessions.

use std::time::Duration;

use game_gateway::codec::client::{Header, Kind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::ClientFrame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{Scene, data, frame, ping, routes, talk};
use crate::support::frames::decoded;
use crate::support::wire::{Backend, Gateway, Player, soon};

fn closed(reason: &str) -> String {
    format!("game_gateway_closed_connections_total{{reason=\"{reason}\"}}")
}

fn refused(code: u16) -> String {
    format!("game_gateway_refused_frames_total{{code=\"{code}\"}}")
}

fn with(mut wire: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    wire[at..at + bytes.len()].copy_from_slice(bytes);
    wire
}

fn a_ping() -> Vec<u8> {
    frame(Kind::Ping as u8, "", b"")
}

async fn connect(gateway: &Gateway) -> TcpStream {
    let socket = soon(TcpStream::connect(gateway.players)).await;
    let socket = socket.expect("the players' port");
    socket.set_nodelay(true).expect("set");
    socket
}

/// Reads to the end of the connection; the client's own side stays open. Where nothing is to be
/// sent a reset is as good an end as any.
async fn all_frames(socket: &mut TcpStream) -> Vec<(u8, u16)> {
    let mut bytes = Vec::new();
    if let Err(error) = soon(socket.read_to_end(&mut bytes)).await {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(bytes.is_empty(), "no reset after {bytes:?}");
    }
    let heard = |frame: ClientFrame| {
        let notice = Notice::decode(&frame.payload, Code::NORMAL);
        (frame.header.kind, notice.code.0)
    };
    decoded(&bytes).into_iter().map(heard).collect()
}

const PONG: (u8, u16) = (Kind::Pong as u8, 0);

fn close(code: u16) -> (u8, u16) {
    (Kind::Close as u8, code)
}

/// Sends `wire` on a connection that the gateway must end with exactly these frames, counts it
/// once for `reason`, and goes on with its other session.
async fn ends(scene: &mut Scene, wire: &[u8], frames: &[(u8, u16)], reason: &str) {
    let before = scene.gateway.metric(&closed(reason)).await;
    let mut socket = connect(&scene.gateway).await;
    soon(socket.write_all(wire)).await.expect("sent");
    let shown = String::from_utf8_lossy(&wire[..wire.len().min(80)]);
    assert_eq!(all_frames(&mut socket).await, frames, "{shown:?}");
    // It is counted behind the end of the socket.
    let counted = |n| n == before + 1;
    scene.gateway.until(&closed(reason), counted).await;
    scene.unharmed().await;
}

#[tokio::test]
async fn what_is_no_transport_of_this_version_is_closed_with_nothing_sent() {
    let mut scene = Scene::start().await;
    let tls = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196][..], &[7; 196]].concat();
    for wire in [
        &b"x"[..],
        b"\0\0\0\0",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xA7\x48\x01\0",
        b"\xA7\xA7\x47\x01",
        b"\x47\xA7\x01\0",
        b"\x16\x04",
        b"get / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &tls,
        &[0xFF; 4000],
    ] {
        ends(&mut scene, wire, &[], "unrecognised").await;
    }
}

#[tokio::test]
async fn lost_framing_is_closed_with_its_code() {
    let mut scene = Scene::start().await;
    let second = |bad: Vec<u8>| [a_ping(), bad].concat();
    let named = |name: &str| data(name, b"x");
    let headed = |at, bytes: &[u8]| with(data("", b""), at, bytes);
    for (wire, code, reason) in [
        (second(headed(0, &[0xA8])), 400, "bad_magic"),
        (second(headed(1, &[0x48])), 400, "bad_magic"),
        (second(b"GET / HTTP/1.1\r\n\r\n".to_vec()), 400, "bad_magic"),
        (second(vec![0xA7, 0]), 400, "bad_magic"),
        (headed(2, &[2]), 400, "bad_version"),
        (headed(2, &[0]), 400, "bad_version"),
        (second(headed(2, &[2])), 400, "bad_version"),
        (vec![0xA7, 0x47, 2], 400, "bad_version"),
        (headed(28, &[65]), 400, "bad_service_name"),
        (second(headed(28, &[255])), 400, "bad_service_name"),
        (named("Game"), 400, "bad_service_name"),
        (named("-game"), 400, "bad_service_name"),
        (named(".game"), 400, "bad_service_name"),
        (named("_game"), 400, "bad_service_name"),
        (named("ga me"), 400, "bad_service_name"),
        (named("ga/me"), 400, "bad_service_name"),
        (named("ga\0me"), 400, "bad_service_name"),
        (second(named("gäme")), 400, "bad_service_name"),
        (
            headed(4, &65_537_u32.to_be_bytes()),
            413,
            "payload_too_large",
        ),
        (second(headed(4, &[255; 4])), 413, "payload_too_large"),
        (
            frame(Kind::Resume as u8, "", &[0; 40]),
            410,
            "not_resumable",
        ),
        (frame(Kind::Resume as u8, "", b""), 410, "not_resumable"),
    ] {
        let pinged = wire.starts_with(&a_ping());
        let answers = [PONG, close(code)];
        ends(&mut scene, &wire, &answers[usize::from(!pinged)..], reason).await;
    }
}

#[tokio::test]
async fn a_frame_of_the_wrong_kind_is_refused_and_the_connection_goes_on() {
    let mut scene = Scene::start().await;
    let mut newcomer = Player::connect(&scene.gateway).await;
    ping(&mut newcomer, b"so that RESUME is not the first").await;
    let resume = Kind::Resume as u8;
    let kinds = [1, 5, 7, 8, 9, 100, 255, resume];
    for player in [&mut newcomer, &mut scene.player] {
        for kind in kinds {
            player.raw(&frame(kind, "a", b"abcdefgh")).await;
            assert_eq!(player.error().await, (400, "a".to_owned()), "kind {kind}");
        }
        ping(player, b"it goes on").await;
    }
    assert_eq!(
        scene.gateway.metric(&refused(400)).await,
        2 * kinds.len() as u64
    );
    scene.unharmed().await;
}

#[tokio::test]
async fn unknown_flags_and_reserved_bytes_are_ignored() {
    let mut scene = Scene::start().await;
    let wire = with(data("a", b"odd"), 29, &[0xFE, 0xFF, 0xFF]);
    scene.player.raw(&wire).await;
    assert_eq!(&scene.a.data().await.payload[..], b"odd");
    scene.unharmed().await;
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_reads_its_close() {
    let mut scene = Scene::start().await;
    let wire = [a_ping(), vec![0; 512 * 1024]].concat();
    ends(&mut scene, &wire, &[PONG, close(400)], "bad_magic").await;
}

#[tokio::test]
async fn a_start_that_is_too_slow_is_told_so_only_in_frames() {
    let mut scene = Scene::start_with(|config| {
        config.listen.sniff_timeout = Duration::from_secs(1);
    })
    .await;
    for wire in [
        &b""[..],
        b"\xA7",
        b"G",
        b"GE",
        b"PROXY",
        b"\r\n\r\n",
        b"\x16",
    ] {
        ends(&mut scene, wire, &[], "silent_start").await;
    }
    for wire in [&b"\xA7\x47"[..], b"\xA7\x47\x01\x00", &data("a", b"")[..31]] {
        ends(&mut scene, wire, &[close(408)], "slow_start").await;
    }
}

/// Sends a byte now and then until the gateway says something, or all are sent.
async fn drip(socket: TcpStream, wire: &[u8], pause: Duration) -> Vec<(u8, u16)> {
    let (mut reading, mut writing) = socket.into_split();
    let dripping = async {
        for byte in wire {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            // Only how slow this client is; the gateway's word ends the test.
            tokio::time::sleep(pause).await;
        }
    };
    let mut first = [0];
    tokio::select! {
        read = reading.peek(&mut first) => assert_eq!(read.expect("no reset"), 1),
        () = dripping => {}
    }
    let mut socket = reading.reunite(writing).expect("the same socket");
    all_frames(&mut socket).await
}

#[tokio::test]
async fn a_first_header_that_drips_in_is_too_slow() {
    let mut scene = Scene::start_with(|config| {
        config.listen.sniff_timeout = Duration::from_secs(1);
    })
    .await;
    let socket = connect(&scene.gateway).await;
    // If each byte counted, the PING would be complete in the end and answered.
    let frames = drip(socket, &a_ping(), Duration::from_millis(100)).await;
    assert_eq!(frames, [close(408)]);
    assert_eq!(scene.gateway.metric(&closed("slow_start")).await, 1);
    scene.unharmed().await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_no_sign_of_life() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.session.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let wire = data("game", &[7; 60_000]);
    let socket = connect(&gateway).await;
    let frames = soon(drip(socket, &wire, Duration::from_millis(10))).await;
    assert_eq!(frames, [close(408)]);
    assert_eq!(gateway.metric(&closed("idle")).await, 1);
    // The same behind a frame that was whole.
    let socket = connect(&gateway).await;
    let wire = [data("nowhere", b""), wire].concat();
    let mut socket = socket;
    soon(socket.write_all(&wire[..100])).await.expect("sent");
    let error = (Kind::Error as u8, 404);
    assert_eq!(all_frames(&mut socket).await, [error, close(408)]);
    gateway.until(&closed("idle"), |n| n == 2).await;
    ping(&mut Player::connect(&gateway).await, b"others come").await;
}

#[tokio::test]
async fn a_service_without_a_rule_is_refused_and_the_session_lives() {
    let backend = Backend::start().await;
    let rules = routes(&[
        ("game", Backend::rule(&[&backend])),
        ("world", r#"{"strategy":"realm_based"}"#.to_owned()),
    ]);
    let gateway = Gateway::start(&rules).await;
    let mut player = Player::connect(&gateway).await;
    player.data("nowhere", b"x").await;
    assert_eq!(player.error().await, (404, "nowhere".to_owned()));
    assert_eq!(gateway.metric("game_gateway_sessions").await, 1);
    let realm = Header {
        realm_id: 9,
        ..Header::default()
    };
    player.send(realm, "world", b"x").await;
    assert_eq!(player.error().await, (404, "world".to_owned()));
    player.data("", b"x").await;
    assert_eq!(player.error().await, (404, "world".to_owned()));
    assert_eq!(gateway.metric(&refused(404)).await, 3);
    player.data("game", b"x").await;
    let mut link = backend.link().await;
    link.opened().await;
    link.data().await;
    talk(&mut player, "game", &mut link).await;
    assert_eq!(
        gateway.metric("game_gateway_started_sessions_total").await,
        1
    );
}

#[tokio::test]
async fn before_there_are_routes_services_are_unavailable() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_unready("no routes", |_| ());
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"x").await;
    assert_eq!(player.error().await, (503, "game".to_owned()));
    assert_eq!(gateway.metric(&refused(503)).await, 1);
    gateway.set_routes(&backend.routes());
    gateway.until("game_gateway_ready", |n| n == 1).await;
    player.data("game", b"y").await;
    let mut link = backend.link().await;
    link.opened().await;
    assert_eq!(&link.data().await.payload[..], b"y");
    talk(&mut player, "game", &mut link).await;
}
