//! TLS for players, with handshakes made by a library and bytes made by hand.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use game_gateway::codec::client::Kind;
use game_gateway::codec::link::Open;
use game_gateway::config::Config;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use crate::scene::{Browser, closed, connect, data, echo, frame, request, rest, scripted};
use crate::support::authority::{Authority, Issued};
use crate::support::wire::{Player, soon};
use crate::tls_scene::{Way, answer, send, shows};

const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// Makes an authority, and a certificate of it for 127.0.0.1.
fn trusted() -> (Authority, Issued) {
    let authority = Authority::new();
    let own = authority.issue("gateway", "IP:127.0.0.1");
    (authority, own)
}

#[tokio::test]
async fn frames_over_both_versions() {
    let (authority, own) = trusted();
    let (gateway, backend) = scripted(shows(&[&own])).await;
    let mut link = None;
    for version in VERSIONS {
        let way = Way::trusting(&authority).only(version);
        let mut player = way.connect(gateway.players).await;
        send(&mut player, &data("game", b"hello")).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let open = link.opened().await;
        assert_eq!(Open::decode(&open.payload).expect("OPEN").transport, 0x81);
        let sent = link.data().await;
        link.send(
            game_gateway::codec::link::Kind::Data,
            sent.session_id,
            b"welcome",
        )
        .await;
        assert_eq!(answer(&mut player).await, b"welcome");
        for filter in ["tcp%2Btls", "tcp+tls"] {
            let (status, rows) = gateway
                .get(&format!("/api/v1/sessions?transport={filter}"))
                .await;
            assert_eq!(status, 200);
            assert!(rows.contains("\"transport\":\"tcp+tls\""), "{rows}");
        }
        // In order, as TLS has it.
        soon(tokio::io::AsyncWriteExt::shutdown(&mut player))
            .await
            .expect("shut down");
        link.closed().await;
    }
    let started = "game_gateway_started_sessions_total{transport=\"tcp+tls\"}";
    assert_eq!(gateway.metric(started).await, 2);
    assert_eq!(gateway.metric("game_gateway_tls_handshakes_total").await, 2);
    gateway.until(&closed("disconnected"), |n| n == 2).await;
}

#[tokio::test]
async fn a_player_that_leaves_without_close_notify_has_disconnected() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    let mut player = Way::trusting(&authority).connect(gateway.players).await;
    send(&mut player, &data("game", b"x")).await;
    answer(&mut player).await;
    drop(player);
    gateway.until(&closed("disconnected"), |n| n == 1).await;
}

/// Much more than any buffer between the two, both ways, while nobody reads at first.
#[tokio::test]
async fn large_frames_arrive_whole() {
    let (authority, own) = trusted();
    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.max_payload = 8 << 20;
        config.session.outbound_queue = 32 << 20;
    })
    .await;
    let player = Way::trusting(&authority).connect(gateway.players).await;
    let (mut reading, mut writing) = tokio::io::split(player);
    let payload: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    for frames in [1, 2] {
        let wire = data("game", &payload).repeat(frames);
        send(&mut writing, &wire).await;
        let mut read = vec![0; (payload.len() + 36) * frames];
        soon(reading.read_exact(&mut read))
            .await
            .expect("all of it");
        for echoed in read.chunks(payload.len() + 36) {
            assert!(echoed[36..] == payload, "another payload");
        }
    }
}

/// Many small frames in records of their own.
#[tokio::test]
async fn many_records_in_one_read() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    let mut player = Way::trusting(&authority).connect(gateway.players).await;
    for n in 0..500_u32 {
        let bytes = data("game", &n.to_be_bytes());
        soon(tokio::io::AsyncWriteExt::write_all(&mut player, &bytes))
            .await
            .expect("sent");
    }
    soon(tokio::io::AsyncWriteExt::flush(&mut player))
        .await
        .expect("sent");
    for n in 0..500_u32 {
        let mut echoed = [0; 40];
        soon(player.read_exact(&mut echoed)).await.expect("a frame");
        assert_eq!(echoed[36..], n.to_be_bytes());
    }
}

/// Writes one byte at a time.
struct Trickle(TcpStream);

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let one = bytes.len().min(1);
        Pin::new(&mut self.0).poll_write(cx, &bytes[..one])
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    for version in VERSIONS {
        let socket = Trickle(connect(&gateway).await);
        let way = Way::trusting(&authority).only(version);
        let mut player = way.over(socket).await.expect("a handshake");
        send(&mut player, &data("game", b"slow")).await;
        assert_eq!(answer(&mut player).await, b"slow");
    }
}

#[tokio::test]
async fn plain_players_share_the_port_unless_tls_is_required() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    let mut plain = Player::connect(&gateway).await;
    plain.data("game", b"plain").await;
    assert_eq!(&plain.answer().await.payload[..], b"plain");

    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.tls.required = true;
    })
    .await;
    for wire in [data("game", b"x"), request("GET /health", "", b"")] {
        let before = gateway.metric(&closed("tls_missing")).await;
        assert!(crate::scene::answer(&gateway, &wire).await.is_empty());
        gateway
            .until(&closed("tls_missing"), |n| n == before + 1)
            .await;
    }
    let mut player = Way::trusting(&authority).connect(gateway.players).await;
    send(&mut player, &data("game", b"inside")).await;
    assert_eq!(answer(&mut player).await, b"inside");
}

#[tokio::test]
async fn tls_behind_a_proxy_header() {
    let (authority, own) = trusted();
    let (gateway, backend) = scripted(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("networks");
    })
    .await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n").await;
    let way = Way::trusting(&authority);
    let mut player = way.over(socket).await.expect("a handshake");
    send(&mut player, &data("game", b"x")).await;
    let mut link = backend.link().await;
    let open = link.opened().await;
    let said = Open::decode(&open.payload).expect("OPEN");
    assert_eq!((said.client, said.transport), ("192.0.2.7:4711", 0x81));
    // The header belongs outside.
    let socket = connect(&gateway).await;
    assert!(way.over(socket).await.is_err());
    gateway.until(&closed("proxy_missing"), |n| n == 1).await;
}

/// Nothing is sent inside, and it is counted.
#[tokio::test]
async fn what_has_no_place_inside() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    for (wire, reason) in [
        (
            &b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n"[..],
            "proxy_unexpected",
        ),
        (b"\x16\x03\x01\0\x05", "unrecognised"),
        (b"nonsense", "unrecognised"),
    ] {
        let before = gateway.metric(&closed(reason)).await;
        let mut player = Way::trusting(&authority).connect(gateway.players).await;
        send(&mut player, wire).await;
        let mut got = Vec::new();
        // An end without TLS's farewell: nothing at all is said.
        let _ = soon(player.read_to_end(&mut got)).await;
        assert!(got.is_empty(), "{wire:?}: {got:?}");
        gateway.until(&closed(reason), |n| n == before + 1).await;
    }
}

#[tokio::test]
async fn tls_where_there_is_no_certificate() {
    let gateway = echo(|_| ()).await;
    let hello = b"\x16\x03\x01\0\x05\x01\0\0\x01\0";
    assert!(crate::scene::answer(&gateway, hello).await.is_empty());
    gateway.until(&closed("unrecognised"), |n| n == 1).await;
}

#[tokio::test]
async fn plain_bytes_in_a_handshake() {
    let (_authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    let ping = frame(Kind::Ping as u8, "", b"");
    for (n, wire) in [
        [b"\x16\x03\x01".to_vec(), ping.clone()].concat(),
        // A record as long as it may be, of nothing that TLS knows.
        [b"\x16\x03\x01\x40\0".to_vec(), vec![0xA7; 0x4000]].concat(),
        [b"\x16\x03\x01\xFF\xFF".to_vec(), vec![0; 0x1_0000]].concat(),
        [b"\x16\x03\x01\0\x05\x01\0\0\x01\0".to_vec(), ping].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        let got = crate::scene::answer(&gateway, &wire).await;
        // A fatal alert, and not a byte of anything else.
        assert!(got.is_empty() || got.starts_with(b"\x15\x03"), "{got:?}");
        assert!(got.len() <= 7, "{got:?}");
        gateway
            .until(&closed("tls_failed"), |count| count == n as u64 + 1)
            .await;
    }
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let (_authority, own) = trusted();
    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.sniff_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, b"\x16\x03\x01\x02\0\x01\0").await;
    assert!(rest(&mut socket).await.is_empty());
    gateway.until(&closed("silent_start"), |n| n == 1).await;
    assert_eq!(
        gateway
            .metric("game_gateway_tls_handshakes_under_way")
            .await,
        0
    );
}

#[tokio::test]
async fn a_bounded_number_of_handshakes_at_once() {
    let (authority, own) = trusted();
    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.tls.max_handshakes = 1;
    })
    .await;
    let mut slow = connect(&gateway).await;
    send(&mut slow, b"\x16\x03").await;
    let under_way = "game_gateway_tls_handshakes_under_way";
    gateway.until(under_way, |n| n == 1).await;
    let way = Way::trusting(&authority);
    let refused = way.over(connect(&gateway).await).await;
    assert!(refused.is_err());
    gateway.until(&closed("tls_busy"), |n| n == 1).await;
    drop(slow);
    gateway.until(under_way, |n| n == 0).await;
    // A connection that is past its handshake holds no place.
    let mut players = Vec::new();
    while players.len() < 2 {
        let mut player = way.connect(gateway.players).await;
        send(&mut player, &data("game", b"x")).await;
        assert_eq!(answer(&mut player).await, b"x");
        players.push(player);
    }
}

#[tokio::test]
async fn handshakes_of_one_address_give_way_to_others() {
    let (authority, own) = trusted();
    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.gateway.workers = 1;
        config.listen.tls.max_handshakes = 2;
    })
    .await;
    let mut slow = [connect(&gateway).await, connect(&gateway).await];
    let under_way = "game_gateway_tls_handshakes_under_way";
    for (socket, n) in slow.iter_mut().zip(1..) {
        send(socket, b"\x16\x03").await;
        gateway.until(under_way, |count| count == n).await;
    }
    let way = Way::trusting(&authority);
    assert!(way.over(connect(&gateway).await).await.is_err());
    gateway.until(&closed("tls_busy"), |n| n == 1).await;
    let other = TcpSocket::new_v4().expect("a socket");
    other.bind(([127, 0, 0, 77], 0).into()).expect("an address");
    let other = soon(other.connect(gateway.players))
        .await
        .expect("connected");
    let mut player = way.over(other).await.expect("a place");
    send(&mut player, &data("game", b"x")).await;
    assert_eq!(answer(&mut player).await, b"x");
    // The one that had waited for longest.
    assert!(rest(&mut slow[0]).await.is_empty());
    gateway.until(&closed("tls_busy"), |n| n == 2).await;
    assert_eq!(gateway.metric(under_way).await, 1);
}

#[tokio::test]
async fn certificates_by_name() {
    let authority = Authority::new();
    let first = authority.issue("first", "DNS:one.example,IP:127.0.0.1");
    let second = authority.issue("second", "DNS:two.example,DNS:*.two.example");
    let gateway = echo(shows(&[&first, &second])).await;
    // The client itself checks that the certificate is for the name.
    for name in ["one.example", "two.example", "eu.two.example", "127.0.0.1"] {
        let way = Way::trusting(&authority).to(name);
        let mut player = way.connect(gateway.players).await;
        send(&mut player, &data("game", b"x")).await;
        assert_eq!(answer(&mut player).await, b"x", "{name}");
    }
    let way = Way::trusting(&authority).to("three.example");
    let refused = way.over(connect(&gateway).await).await;
    let refused = refused.expect_err("the first certificate is for others");
    assert!(refused.to_string().contains("one.example"), "{refused}");
}

#[tokio::test]
async fn certificates_of_players() {
    let (authority, own) = trusted();
    let (players, strangers) = (Authority::new(), Authority::new());
    let ca = players.ca();
    let gateway = echo(|config: &mut Config| {
        shows(&[&own])(config);
        config.listen.tls.client_ca = Some(ca);
    })
    .await;
    let known = players.issue("player", "DNS:player");
    let way = Way::trusting(&authority).showing(&known);
    let mut player = way.connect(gateway.players).await;
    send(&mut player, &data("game", b"x")).await;
    assert_eq!(answer(&mut player).await, b"x");
    let unknown = strangers.issue("player", "DNS:player");
    for (n, way) in [
        Way::trusting(&authority).showing(&unknown),
        Way::trusting(&authority),
    ]
    .into_iter()
    .enumerate()
    {
        // In TLS 1.3 the client learns of it with its first read.
        let mut player = way.connect(gateway.players).await;
        let mut byte = [0];
        let error = soon(player.read(&mut byte)).await.expect_err("an alert");
        assert!(error.to_string().contains("fatal alert"), "{error}");
        gateway
            .until(&closed("tls_failed"), |count| count == n as u64 + 1)
            .await;
    }
}

#[tokio::test]
async fn protocols_are_a_hint() {
    let (authority, own) = trusted();
    let gateway = echo(shows(&[&own])).await;
    for (offered, chosen) in [
        (&[][..], None),
        (&["http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], Some("http/1.1")),
        (&["ggp.v1"], Some("ggp.v1")),
    ] {
        let way = Way::trusting(&authority).offering(offered);
        let mut player = way.connect(gateway.players).await;
        let agreed = player.get_ref().1.alpn_protocol();
        assert_eq!(agreed, chosen.map(str::as_bytes), "{offered:?}");
        // Frames whatever was agreed on.
        send(&mut player, &data("game", b"x")).await;
        assert_eq!(answer(&mut player).await, b"x");
    }
    let way = Way::trusting(&authority).offering(&["h2"]);
    let refused = way.over(connect(&gateway).await).await;
    let refused = refused.expect_err("nothing in common");
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
}

#[tokio::test]
async fn websocket_inside_tls() {
    let (authority, own) = trusted();
    let (gateway, backend) = scripted(shows(&[&own])).await;
    let player = Way::trusting(&authority).connect(gateway.players).await;
    let mut browser = Browser::over(player).await;
    browser.binary(data("game", b"x")).await;
    let mut link = backend.link().await;
    let open = link.opened().await;
    assert_eq!(Open::decode(&open.payload).expect("OPEN").transport, 0x82);
    link.data().await;
    let (status, rows) = gateway
        .get("/api/v1/sessions?transport=websocket%2Btls")
        .await;
    assert_eq!(status, 200);
    assert!(rows.contains("\"transport\":\"websocket+tls\""), "{rows}");
    let closing = game_gateway::codec::link::Kind::Close;
    link.send(closing, open.session_id, &[]).await;
    assert_eq!(browser.closed().await, (440, 1008));
}
