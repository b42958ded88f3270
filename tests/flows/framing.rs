//! Frames of every size, glued together and cut apart.

use bytes::Bytes;
use game_gateway::codec::client::Kind;
use game_gateway::codec::link;

use crate::scene::{Scene, data, frame};
use crate::support::wire::{Backend, Gateway, Link, Player};

/// Around the size from which payloads are not copied, and up to the default limit.
const SIZES: [usize; 7] = [0, 1, 2047, 2048, 2049, 65_535, 65_536];

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

#[tokio::test]
async fn payloads_of_every_size_pass_both_ways() {
    let mut scene = Scene::start().await;
    for len in SIZES {
        scene.player.data("a", &payload(len)).await;
        let data = scene.a.data().await;
        assert!(data.payload == payload(len), "{len} bytes to the backend");
        scene
            .a
            .send(link::Kind::Data, scene.id, &data.payload)
            .await;
        let answer = scene.player.answer().await;
        assert!(answer.payload == data.payload, "{len} bytes to the client");
    }
    for len in [65_537, 300_000, 1024 * 1024] {
        scene
            .b
            .send(link::Kind::Data, scene.id, &payload(len))
            .await;
        let answer = scene.player.answer().await;
        assert!(answer.payload == payload(len), "{len} bytes to the client");
    }
}

#[tokio::test]
async fn payloads_of_every_size_keep_their_order_in_one_stream() {
    let mut scene = Scene::start().await;
    for len in SIZES {
        scene.player.data("a", &payload(len)).await;
    }
    let mut answers = Vec::new();
    for len in SIZES {
        let data = scene.a.data().await;
        assert!(data.payload == payload(len), "{len} bytes to the backend");
        link::encode(&mut answers, link::Kind::Data, scene.id, &data.payload);
    }
    scene.a.raw(&answers).await;
    for len in SIZES {
        let answer = scene.player.answer().await;
        assert!(answer.payload == payload(len), "{len} bytes to the client");
    }
}

#[tokio::test]
async fn a_frame_cut_at_every_byte_is_one_frame() {
    let mut scene = Scene::start().await;
    let read = "game_gateway_client_in_bytes_total";
    let mut so_far = scene.gateway.metric(read).await;
    let wire = [
        data("a", b"slowly"),
        frame(Kind::Ping as u8, "", b"p"),
        data("", b""),
    ]
    .concat();
    for byte in wire {
        scene.player.raw(&[byte]).await;
        so_far += 1;
        // The gateway has read this byte before the next one goes.
        scene.gateway.until(read, |n| n >= so_far).await;
    }
    assert_eq!(&scene.a.data().await.payload[..], b"slowly");
    assert_eq!(scene.a.data().await.payload, Bytes::new());
    let pong = scene.player.next().await.expect("PONG");
    assert_eq!(
        (pong.header.kind, &pong.payload[..]),
        (Kind::Pong as u8, &b"p"[..])
    );
    scene.unharmed().await;
}

#[tokio::test]
async fn a_backends_frame_cut_at_every_byte_is_one_frame() {
    let mut scene = Scene::start().await;
    let read = "game_gateway_link_in_bytes_total";
    let mut so_far = scene.gateway.metric(read).await;
    let mut wire = Vec::new();
    link::encode(&mut wire, link::Kind::Data, scene.id, b"slowly");
    for byte in wire {
        scene.a.raw(&[byte]).await;
        so_far += 1;
        scene.gateway.until(read, |n| n >= so_far).await;
    }
    assert_eq!(&scene.player.answer().await.payload[..], b"slowly");
    scene.unharmed().await;
}

/// Frames of each service in the pipelines; all of them together stay below every queue's bound.
const PIPELINE: u32 = 3000;

#[tokio::test]
async fn pipelines_of_two_services_keep_their_order() {
    let mut scene = Scene::start().await;
    let mut wire = Vec::new();
    for n in 0..PIPELINE {
        wire.extend(data("a", &n.to_be_bytes()));
        // Some in pairs and some alone, so that batches end everywhere.
        if n % 3 == 0 {
            wire.extend(frame(Kind::Pong as u8, "", b""));
        }
        wire.extend(data("b", &n.to_be_bytes()));
    }
    scene.player.raw(&wire).await;
    for link in [&mut scene.a, &mut scene.b] {
        let mut answers = Vec::new();
        for n in 0..PIPELINE {
            let data = link.data().await;
            assert_eq!(data.payload[..], n.to_be_bytes());
            link::encode(&mut answers, link::Kind::Data, scene.id, &data.payload);
        }
        link.raw(&answers).await;
    }
    let (mut a, mut b) = (0_u32, 0_u32);
    for _ in 0..2 * PIPELINE {
        let answer = scene.player.answer().await;
        let next = if answer.service == "a" {
            &mut a
        } else {
            &mut b
        };
        assert_eq!(answer.payload[..], next.to_be_bytes());
        *next += 1;
    }
    assert_eq!((a, b), (PIPELINE, PIPELINE));
}

/// Frames of 64 KiB that together are more than the sockets of a loopback connection hold.
const FLOOD: u32 = 512;

fn numbered(n: u32) -> Vec<u8> {
    let mut payload = vec![0; 65_536];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    payload
}

#[tokio::test]
async fn a_client_waits_for_a_backend_that_does_not_read() {
    let mut scene = Scene::start_with(|config| config.backend.high_watermark = 65_536).await;
    let (player, link, gateway) = (&mut scene.player, &mut scene.a, &scene.gateway);
    let flooding = async {
        for n in 0..FLOOD {
            player.data("a", &numbered(n)).await;
        }
    };
    let reading = async {
        gateway
            .until("game_gateway_paused_clients_total", |n| n > 0)
            .await;
        for n in 0..FLOOD {
            assert!(link.data().await.payload == numbered(n), "frame {n}");
        }
    };
    tokio::join!(flooding, reading);
    scene.unharmed().await;
}

#[tokio::test]
async fn a_client_waits_for_a_backend_that_is_not_there_yet() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    let flooding = async {
        for n in 0..FLOOD {
            player.data("game", &numbered(n)).await;
        }
    };
    let reading = async {
        let socket = backend.accept().await;
        let read = "game_gateway_client_in_bytes_total";
        gateway.until(read, |n| n >= 65_536).await;
        let mut link = Link::new(socket);
        for _ in [link::Kind::Hello, link::Kind::Ping] {
            link.next_raw().await.expect("a frame");
        }
        link.send(link::Kind::Pong, 0, b"").await;
        link.opened().await;
        for n in 0..FLOOD {
            assert!(link.data().await.payload == numbered(n), "frame {n}");
        }
    };
    tokio::join!(flooding, reading);
}
