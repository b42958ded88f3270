//! The peer channel towards those who do not belong there, or do not keep to what is agreed.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use game_gateway::codec::peer::wire::{MAX_FRAME_BYTES, PeerFrame, Said};
use game_gateway::codec::peer::{ToClaimant, ToOwner};
use game_gateway::config::{Config, Secret};
use game_gateway::net::peer::{self, HandshakeError, Hello, HelloError, Secured, VERSION};
use game_gateway::session::token::Keyring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::other_gateway::{KEY, other, peered};
use crate::stage::{Answer, Scene, opened, resume, says};
use crate::support::wire::{Gateway, Player, soon};

/// A gateway of the deployment, in the hands of the test.
pub(crate) struct Neighbour {
    pub(crate) stream: TcpStream,
    secured: Secured,
}

pub(crate) fn keys(secret: &str) -> Keyring {
    Keyring::new(&[secret]).expect("a key")
}

pub(crate) fn hello(keys: &Keyring) -> Hello {
    Hello::new(keys, "gw-neighbour", "127.0.0.1:1")
}

pub(crate) async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.peer()).await.expect("connected")
}

/// Waits until the other end has closed; returns what it has said.
pub(crate) async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too, where the gateway has not read everything.
    let _ = soon(stream.read_to_end(&mut rest)).await;
    rest
}

impl Neighbour {
    pub(crate) async fn of(gateway: &Gateway) -> Neighbour {
        Neighbour::speaking(VERSION, gateway).await
    }

    /// One whose newest version this is.
    pub(crate) async fn speaking(version: u8, gateway: &Gateway) -> Neighbour {
        let neighbour = Neighbour::join(connect(gateway).await, KEY, version).await;
        let shown = &neighbour.secured.other.address;
        assert_eq!(*shown, gateway.peer().to_string());
        neighbour
    }

    /// One that has another key.
    pub(crate) async fn with_key(secret: &str, gateway: &Gateway) -> Neighbour {
        Neighbour::on(connect(gateway).await, secret).await
    }

    /// One that is connected.
    pub(crate) async fn on(stream: TcpStream, secret: &str) -> Neighbour {
        Neighbour::join(stream, secret, VERSION).await
    }

    async fn join(mut stream: TcpStream, secret: &str, version: u8) -> Neighbour {
        let keys = keys(secret);
        let own = Hello {
            version,
            ..hello(&keys)
        };
        let shaken = soon(peer::call(&mut stream, &keys, own)).await;
        let secured = shaken.expect("a neighbour");
        assert_eq!(secured.version, version);
        Neighbour { stream, secured }
    }

    /// Asks on many calls in one write, or learns that the gateway hears no more.
    pub(crate) async fn try_ask_on(
        &mut self,
        calls: std::ops::Range<u64>,
        session_id: u64,
        token_epoch: u32,
    ) -> bool {
        let said = || Said::ToOwner(ToOwner::Ask { token_epoch });
        let frames = calls.map(|call| {
            let frame = PeerFrame {
                call,
                session_id,
                said: said(),
            };
            self.secured.sealer.seal(&frame.encode())
        });
        let records: Vec<_> = frames.collect();
        self.stream.write_all(&records.concat()).await.is_ok()
    }

    pub(crate) async fn say(&mut self, call: u64, session_id: u64, said: Said) {
        let frame = PeerFrame {
            call,
            session_id,
            said,
        };
        self.seal(&frame.encode()).await;
    }

    /// Says several things on one call, in one write.
    pub(crate) async fn say_together<const N: usize>(
        &mut self,
        call: u64,
        session_id: u64,
        all: [Said; N],
    ) {
        let records = all.map(|said| {
            let frame = PeerFrame {
                call,
                session_id,
                said,
            };
            self.secured.sealer.seal(&frame.encode())
        });
        (self.stream.write_all(&records.concat()).await).expect("written");
    }

    /// Says all of it in one write.
    pub(crate) async fn say_frames(&mut self, frames: impl Iterator<Item = PeerFrame>) {
        let records: Vec<_> = frames
            .map(|frame| self.secured.sealer.seal(&frame.encode()))
            .collect();
        (self.stream.write_all(&records.concat()).await).expect("written");
    }

    pub(crate) async fn seal(&mut self, plain: &[u8]) {
        let record = self.secured.sealer.seal(plain);
        self.stream.write_all(&record).await.expect("written");
    }

    pub(crate) async fn ask(&mut self, call: u64, session_id: u64, token_epoch: u32) {
        self.say(
            call,
            session_id,
            Said::ToOwner(ToOwner::Ask { token_epoch }),
        )
        .await;
    }

    pub(crate) async fn frame(&mut self) -> PeerFrame {
        let plain = soon(self.secured.opener.read(&mut self.stream)).await;
        let plain = plain.expect("a frame");
        PeerFrame::decode(&plain).expect("a frame")
    }

    pub(crate) async fn hear(&mut self) -> (u64, ToClaimant) {
        let frame = self.frame().await;
        match frame.said {
            Said::ToClaimant(said) => (frame.call, said),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn failures(gateway: &Gateway, reason: &str, count: u64) {
    let name = format!("game_gateway_peer_handshake_failures_total{{reason=\"{reason}\"}}");
    gateway.until(&name, |n| n == count).await;
}

#[tokio::test]
async fn a_stranger_learns_a_hello_and_nothing_more() {
    let scene = Scene::start_with(peered).await;
    let gateway = &scene.gateway;
    // Somebody who speaks something else.
    let mut stream = connect(gateway).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("written");
    assert_eq!(rest(stream).await, b"");
    failures(gateway, "malformed", 1).await;
    // A version that nobody speaks.
    let own = keys(KEY);
    let mut bytes = hello(&own).encode();
    bytes[8] = 0;
    let mut stream = connect(gateway).await;
    stream.write_all(&bytes).await.expect("written");
    assert_eq!(rest(stream).await, b"");
    failures(gateway, "version", 1).await;
    // Another deployment.
    let strange = keys(&"x".repeat(32));
    let mut stream = connect(gateway).await;
    let refused = soon(peer::call(&mut stream, &strange, hello(&strange))).await;
    let common = HelloError::NoCommonKey;
    assert!(
        matches!(&refused, Err(HandshakeError::Hello(error)) if *error == common),
        "{refused:?}"
    );
    drop(stream);
    failures(gateway, "no_common_key", 1).await;
    // Somebody who names a key without having it, and tries what is not a proof.
    let mut stream = connect(gateway).await;
    stream
        .write_all(&hello(&own).encode())
        .await
        .expect("written");
    let mut record = 48_u16.to_be_bytes().to_vec();
    record.extend_from_slice(&[7; 48]);
    stream.write_all(&record).await.expect("written");
    let said = rest(stream).await;
    let len = usize::from(u16::from_be_bytes([said[0], said[1]]));
    assert_eq!(said.len(), 2 + len, "only the HELLO");
    failures(gateway, "no_proof", 1).await;
}

#[tokio::test]
async fn what_was_said_on_one_connection_is_of_no_use_on_another() {
    let scene = Scene::start_with(peered).await;
    let keys = keys(KEY);
    // All that an honest gateway sends until it is recognised, as somebody in between sees it.
    let (mut near, mut far) = tokio::io::duplex(4096);
    let honest = tokio::spawn(async move {
        let keys = Keyring::new(&[KEY]).expect("a key");
        peer::call(&mut near, &keys, hello(&keys)).await.map(drop)
    });
    let mut recorded = Vec::new();
    let mut stream = connect(&scene.gateway).await;
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    soon(async {
        while !honest.is_finished() {
            tokio::select! {
                read = far.read(&mut up) => {
                    let read = read.expect("read");
                    recorded.extend_from_slice(&up[..read]);
                    stream.write_all(&up[..read]).await.expect("written");
                }
                read = stream.read(&mut down) => {
                    let read = read.expect("read");
                    far.write_all(&down[..read]).await.expect("written");
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    honest.await.expect("no panic").expect("recognised");
    let mut thief = connect(&scene.gateway).await;
    thief.write_all(&recorded).await.expect("written");
    rest(thief).await;
    failures(&scene.gateway, "no_proof", 1).await;
    // Nor is a callee's own HELLO that of a caller's proof: nothing follows it.
    let mut mirror = connect(&scene.gateway).await;
    mirror
        .write_all(&hello(&keys).encode())
        .await
        .expect("written");
    let len = soon(mirror.read_u16()).await.expect("a HELLO");
    let mut back = vec![0; usize::from(len)];
    soon(mirror.read_exact(&mut back)).await.expect("all of it");
    mirror.write_all(&[0, 48]).await.expect("written");
    mirror.write_all(&back[..48]).await.expect("written");
    assert_eq!(rest(mirror).await, b"");
    failures(&scene.gateway, "no_proof", 2).await;
}

#[tokio::test]
async fn a_silent_gateway_is_not_waited_for() {
    let scene = Scene::start_with(peered).await;
    let silent = connect(&scene.gateway).await;
    let mut half = connect(&scene.gateway).await;
    half.write_all(&hello(&keys(KEY)).encode()[..20])
        .await
        .expect("written");
    assert_eq!(
        (rest(silent).await, rest(half).await),
        (Vec::new(), Vec::new())
    );
    failures(&scene.gateway, "io", 2).await;
}

#[tokio::test]
async fn a_neighbour_that_breaks_the_channel_loses_it() {
    let mut scene = Scene::start_with(peered).await;
    for (version, broken) in [
        // More than any frame may have.
        (1, (MAX_FRAME_BYTES as u32 + 65).to_be_bytes().to_vec()),
        // Not sealed by it.
        (1, [&20_u32.to_be_bytes()[..], &[1; 20]].concat()),
        (2, [&20_u16.to_be_bytes()[..], &[1; 20]].concat()),
        (2, [0; 2].to_vec()),
    ] {
        let mut neighbour = Neighbour::speaking(version, &scene.gateway).await;
        neighbour.stream.write_all(&broken).await.expect("written");
        assert_eq!(rest(neighbour.stream).await, b"");
    }
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    let large = neighbour.secured.sealer.seal(&vec![0; MAX_FRAME_BYTES + 1]);
    // Refused by its length, before all of it has come.
    assert!(neighbour.stream.write_all(&large).await.is_err());
    assert_eq!(rest(neighbour.stream).await, b"");
    // Sealed, and no frame.
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.seal(&[1, 2, 3]).await;
    assert_eq!(rest(neighbour.stream).await, b"");
    scene
        .gateway
        .until("game_gateway_peer_connections", |n| n == 0)
        .await;
    scene.send("unharmed").await;
    says(&mut scene.player, "unharmed").await;
}

#[tokio::test]
async fn what_nobody_has_is_unknown_and_what_nobody_promised_is_refused() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    // A kind of a later version is skipped.
    neighbour.say(1, id, Said::Unknown(42)).await;
    neighbour.ask(2, id ^ 1, 1).await;
    assert_eq!(neighbour.hear().await, (2, ToClaimant::Unknown));
    let skipped = "game_gateway_peer_frames_skipped_total";
    scene.gateway.until(skipped, |n| n == 1).await;
    let claim = ToOwner::Claim {
        count: 0,
        places: vec![("game".into(), true)],
    };
    neighbour.say(3, id, Said::ToOwner(claim.clone())).await;
    assert_eq!(neighbour.hear().await, (3, ToClaimant::Refused));
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    // A promise belongs to one call; a claim on another call has no effect.
    neighbour.ask(4, id, 1).await;
    let (call, held) = neighbour.hear().await;
    assert!(
        matches!(held, ToClaimant::Holds { epoch: 2, .. }),
        "{held:?}"
    );
    assert_eq!(call, 4);
    neighbour.ask(5, id, 1).await;
    assert_eq!(neighbour.hear().await, (5, ToClaimant::Busy));
    neighbour.say(6, id, Said::ToOwner(claim)).await;
    assert_eq!(neighbour.hear().await, (6, ToClaimant::Refused));
    let give_up = ToOwner::GiveUp { stale: false };
    neighbour.say(4, id, Said::ToOwner(give_up)).await;
    // That promise was broken: the next claimant is told of a gap.
    assert_eq!(scene.player.closed().await.0, 503);
    let window = crate::stage::suspended(&mut scene.link).await;
    assert!(window > 0);
    scene.player = Player::connect(&scene.gateway).await;
    assert_eq!(scene.resume(1).await, GAP);
}

const GAP: Answer = Answer {
    received: 0,
    gap: true,
};

#[tokio::test]
async fn a_neighbour_that_is_lost_breaks_its_promises() {
    let mut scene = Scene::start_with(peered).await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, scene.ticket.session_id, 1).await;
    let (_, held) = neighbour.hear().await;
    assert!(matches!(held, ToClaimant::Holds { .. }), "{held:?}");
    drop(neighbour);
    assert_eq!(scene.player.closed().await.0, 503);
    crate::stage::suspended(&mut scene.link).await;
    scene.player = Player::connect(&scene.gateway).await;
    assert_eq!(scene.resume(1).await, GAP);
}

#[tokio::test]
async fn keys_rotate_without_breaking_the_channel() {
    let (old, new) = (Secret::new(KEY.to_owned()), Secret::new("n".repeat(32)));
    for (first, second) in [
        (vec![old.clone()], vec![new.clone(), old.clone()]),
        (
            vec![new.clone(), old.clone()],
            vec![old.clone(), new.clone()],
        ),
    ] {
        let with = |keys: Vec<Secret>| {
            move |config: &mut Config| {
                peered(config);
                config.session.token_keys = keys;
            }
        };
        let mut scene = Scene::start_with(with(first)).await;
        let second = other(&scene.backend, "gw-b", with(second)).await;
        let id = scene.ticket.session_id;
        scene.send("a").await;
        let mut player = resume(&second, &scene.ticket, 0).await;
        let mut link = scene.backend.link().await;
        link.opened().await;
        link.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
        assert_eq!(scene.link.closed().await, (id, 307));
        scene
            .link
            .send(Kind::Close, id, &307_u16.to_be_bytes())
            .await;
        let mut ticket = scene.ticket.clone();
        let exact = Answer {
            received: 1,
            gap: false,
        };
        assert_eq!(opened(&mut player, &mut ticket).await, exact);
        says(&mut player, "a").await;
    }
}

#[tokio::test]
async fn a_claim_that_comes_too_late_is_refused() {
    let mut scene = Scene::start_with(|config| {
        peered(config);
        config.backend.connect_timeout = Duration::from_millis(1000);
    })
    .await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, id, 1).await;
    neighbour.hear().await;
    // The promise has ended with the player's connection.
    assert_eq!(scene.player.closed().await.0, 503);
    let claim = ToOwner::Claim {
        count: 1,
        places: vec![("game".into(), true)],
    };
    neighbour.say(1, id, Said::ToOwner(claim)).await;
    assert_eq!(neighbour.hear().await, (1, ToClaimant::Refused));
    crate::stage::suspended(&mut scene.link).await;
    scene.player = Player::connect(&scene.gateway).await;
    assert_eq!(scene.resume(1).await, GAP);
}
