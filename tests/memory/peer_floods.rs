//! Peer gateways that send more than there is room for.

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::link::{Bind, Kind};
use game_gateway::codec::peer::wire::{PeerFrame, Said};
use game_gateway::codec::peer::{Binding, Handover, Particulars, ToClaimant, ToOwner};
use game_gateway::net::peer::{self, Hello, Secured, VERSION};
use game_gateway::session::token::{Keyring, TokenBody};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::stage::Served;
use crate::support::address;
use crate::support::wire::{Link, Player, get, soon};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const NAME: &str = "gw-neighbour";
/// Each with more frames than the kernel takes, all but the last byte of the last one.
const CONNECTIONS: usize = 10;
const FRAMES: usize = 2;
const LARGE: usize = 3_000_000;
/// Sessions that are handed over at once, and the ring of each.
const SESSIONS: u64 = 24;
const RING: usize = 1_000_000;

async fn serve(channel: std::net::SocketAddr) -> Served {
    let settings = format!(
        "limits.memory = \"16MiB\"\nsession.outbound_queue = \"8MiB\"\nlisten.dead_after = \"1h\"\nbackend.probe_interval = \"0s\"\n\
         session.token_keys = [\"{KEY}\"]\npeer.address = \"{channel}\""
    );
    Served::start(&settings).await
}

fn free() -> std::net::SocketAddr {
    let free = std::net::TcpListener::bind(address::own()).expect("a port");
    free.local_addr().expect("an address")
}

/// Frames that nobody has asked for.
#[tokio::test]
async fn parts_of_frames_keep_within_the_budget() {
    flood(VERSION).await;
}

/// Gateways of the release before speak it.
#[tokio::test]
async fn parts_of_records_of_version_1_keep_within_the_budget() {
    flood(1).await;
}

async fn flood(version: u8) {
    let channel = free();
    let served = serve(channel).await;
    let before = served.resident();
    let frame = PeerFrame {
        call: 1,
        session_id: 1,
        said: Said::ToClaimant(ToClaimant::Handover(Box::new(Handover {
            ring: vec![7; LARGE],
            ..Handover::default()
        }))),
    };
    let frame = frame.encode();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = soon(TcpStream::connect(channel)).await.expect("connected");
        let keys = Keyring::new(&[KEY]).expect("a key");
        let hello = Hello {
            version,
            ..Hello::new(&keys, NAME, "127.0.0.1:1")
        };
        let secured = soon(peer::call(&mut stream, &keys, hello)).await;
        connections.push((stream, secured.expect("a handshake")));
    }
    // Not before all are there: a handshake has its time, and the gateway is busy from now on.
    let mut floods = Vec::new();
    for (mut stream, mut secured) in connections {
        let mut sealed = Vec::new();
        for _ in 0..FRAMES {
            sealed.extend(secured.sealer.seal(&frame));
        }
        floods.push(tokio::spawn(async move {
            // Until it is lost, for there is no room for all of them.
            let written = stream.write_all(&sealed[..sealed.len() - 1]).await;
            (stream, secured, written)
        }));
    }
    let mut rest = Vec::new();
    for flood in floods {
        rest.push(soon(flood).await.expect("no panic"));
    }
    // Their last frames never fit together.
    let ended = "game_gateway_peer_connections_ended_for_memory_total";
    served.until_metric(ended, |n| n > 0).await;
    served.assert_never_over("parts of peers' frames").await;
    served
        .assert_bounded("parts of peers' frames", before)
        .await;
    drop(rest);
    served.until_part("peers", |bytes| bytes == 0).await;
}

/// The gateway that has the sessions, as this test plays it.
struct Owner {
    stream: TcpStream,
    secured: Secured,
    backend: std::net::SocketAddr,
}

impl Owner {
    async fn say(&mut self, to: PeerFrame, said: ToClaimant) -> bool {
        let said = Said::ToClaimant(said);
        let sealed = self.secured.sealer.seal(&PeerFrame { said, ..to }.encode());
        self.stream.write_all(&sealed).await.is_ok()
    }

    /// Promises all that it is asked for, and hands over a large ring.
    async fn play(mut self) {
        while let Ok(plain) = self.secured.opener.read(&mut self.stream).await {
            let frame = PeerFrame::decode(&plain).expect("a frame");
            let said = match frame.said {
                Said::ToOwner(ToOwner::Ask { .. }) => ToClaimant::Holds {
                    epoch: 2,
                    particulars: Particulars {
                        bound: Bind::default(),
                        newest: Bind::default(),
                        bindings: vec![binding(self.backend)],
                    },
                },
                Said::ToOwner(ToOwner::Claim { .. }) => {
                    let header = Header {
                        session_id: frame.session_id,
                        ..Header::default()
                    };
                    let mut ring = Vec::new();
                    while ring.len() < RING {
                        client::encode(&mut ring, &header, "game", &[7; 10_000]);
                    }
                    ToClaimant::Handover(Box::new(Handover {
                        ring,
                        starts: vec![(1, 0)],
                        last_service: "game".to_owned(),
                        ..Handover::default()
                    }))
                }
                _ => continue,
            };
            if !self.say(frame, said).await {
                return;
            }
        }
    }
}

fn binding(backend: std::net::SocketAddr) -> Binding {
    Binding {
        service: "game".to_owned(),
        endpoint: backend,
    }
}

/// A backend that accepts every OPEN.
async fn accept(mut link: Link) {
    while let Some(frame) = link.next().await {
        if frame.kind == Kind::Open as u8 {
            link.send(Kind::Accept, frame.session_id, &frame.payload[14..18])
                .await;
        }
    }
}

/// Their players do not read what is handed over.
#[tokio::test]
async fn sessions_that_are_handed_over_keep_within_the_budget() {
    let served = serve(free()).await;
    let owners = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let (at, backend) = (owners.local_addr().expect("bound"), served.backend.address);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = owners.accept().await.expect("dialled");
            let keys = Keyring::new(&[KEY]).expect("a key");
            let hello = Hello::new(&keys, NAME, &at.to_string());
            let secured = peer::answer(&mut stream, &keys, hello).await;
            let owner = Owner {
                stream,
                secured: secured.expect("a handshake"),
                backend,
            };
            tokio::spawn(owner.play());
        }
    });
    let mut players = Vec::new();
    for session_id in 1..=SESSIONS {
        let token = Keyring::new(&[KEY]).expect("a key").seal(&TokenBody {
            session_id,
            epoch: 1,
            bound: Bind::default(),
            newest: Bind::default(),
            bindings: vec![binding(backend)],
            owner: NAME.to_owned(),
            peer: at.to_string(),
            assigned: Vec::new(),
            expires: u64::MAX,
        });
        let mut payload = 0_u64.to_be_bytes().to_vec();
        payload.extend_from_slice(&token);
        let header = Header {
            kind: client::Kind::Resume as u8,
            session_id,
            ..Header::default()
        };
        let mut player = Player::connect_narrow(served.players).await;
        player.send(header, "", &payload).await;
        players.push(player);
    }
    tokio::spawn(accept(served.backend.link().await));
    let over = "game_gateway_peer_calls_ended_total{reason=\"handed_over\"}";
    served.until_metric(over, |n| n > 0).await;
    soon(async {
        let calls = || get(served.admin, "/api/v1/actors?kind=peers");
        while !calls().await.1.contains("\"calls_made\":0") {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    served.assert_never_over("sessions handed over").await;
}
