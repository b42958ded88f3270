//! A peer gateway that reads nothing of what is handed over to it.

use game_gateway::codec::link::Kind;
use game_gateway::codec::peer::wire::{PeerFrame, Said};
use game_gateway::codec::peer::{ToClaimant, ToOwner};
use game_gateway::net::peer::{self, Hello, Secured};
use game_gateway::session::token::Keyring;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::rings::Resumable;
use crate::stage::{LIMIT, MIB, Served};
use crate::support::address;
use crate::support::wire::{Link, Player, get, soon};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SESSIONS: usize = 22;
/// Bytes of DATA in each ring.
const RING: usize = 512 * 1024;
const FRAME: usize = 16 * 1024;

struct Claimant {
    stream: TcpStream,
    secured: Secured,
}

impl Claimant {
    /// Joins with buffers that hold little.
    async fn join(at: std::net::SocketAddr) -> Claimant {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let options = socket2::SockRef::from(&socket);
        options.set_tcp_mss(536).expect("set");
        let mut stream = soon(socket.connect(at)).await.expect("connected");
        let keys = Keyring::new(&[KEY]).expect("a key");
        let hello = Hello::new(&keys, "gw-claimant", "127.0.0.1:1");
        let secured = soon(peer::call(&mut stream, &keys, hello)).await;
        Claimant {
            stream,
            secured: secured.expect("a handshake"),
        }
    }

    async fn say(&mut self, session_id: u64, said: ToOwner) {
        let frame = PeerFrame {
            call: session_id,
            session_id,
            said: Said::ToOwner(said),
        };
        let record = self.secured.sealer.seal(&frame.encode());
        soon(self.stream.write_all(&record)).await.expect("written");
    }

    /// Asks for a session, which is promised.
    async fn ask(&mut self, session_id: u64) {
        self.say(session_id, ToOwner::Ask { token_epoch: 1 }).await;
        let plain = soon(self.secured.opener.read(&mut self.stream)).await;
        let frame = PeerFrame::decode(&plain.expect("a frame")).expect("a frame");
        let Said::ToClaimant(ToClaimant::Holds { .. }) = frame.said else {
            panic!("{frame:?}");
        };
    }

    /// Claims it, and does not read the answer.
    async fn claim(&mut self, session_id: u64, link: &mut Link) {
        let places = vec![("game".to_owned(), true)];
        self.say(session_id, ToOwner::Claim { count: 0, places })
            .await;
        assert_eq!(link.closed().await, (session_id, 307));
        link.send(Kind::Close, session_id, &307_u16.to_be_bytes())
            .await;
    }
}

async fn waiting(served: &Served) -> u64 {
    let memory = served.json("/api/v1/memory").await;
    memory["parts"]["peers"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_deaf_peer_gateway_keeps_the_budget() {
    let free = std::net::TcpListener::bind(address::own()).expect("a port");
    let channel = free.local_addr().expect("an address");
    drop(free);
    let settings = format!(
        "limits.memory = \"16MiB\"\nsession.replay_bytes = \"1MiB\"\nsession.outbound_queue = \"8MiB\"\n\
         session.token_keys = [\"{KEY}\"]\npeer.address = \"{channel}\""
    );
    let served = Served::start(&settings).await;
    let mut link = None;
    let mut players = Vec::new();
    for _ in 0..SESSIONS {
        players.push(Resumable::start(&served, &mut link).await);
    }
    let mut slow = Player::connect_narrow(served.players).await;
    slow.data("game", b"hello").await;
    let mut link = link.expect("a link");
    let slow_id = link.next_open().await;
    link.data().await;
    let before = served.resident();
    for player in &mut players {
        for _ in 0..RING / FRAME {
            link.send(Kind::Data, player.session_id, &[7; FRAME]).await;
            player.take().await;
        }
    }
    let mut claimant = Claimant::join(channel).await;
    for player in &players {
        claimant.ask(player.session_id).await;
    }
    for player in &players {
        claimant.claim(player.session_id, &mut link).await;
    }
    // What the rings held waits for the peer gateway now.
    let most = (SESSIONS * RING) as u64;
    served
        .until_metric("game_gateway_sessions", |n| n == 1)
        .await;
    let (peers, held) = (waiting(&served).await, served.held().await);
    println!("a deaf peer gateway: {peers} bytes wait for it, {held} held, limit {LIMIT}");
    assert!(most / 2 < peers && held <= LIMIT, "{peers} of {held}");

    // It pays when memory is short, before the player who does not read.
    soon(async {
        while waiting(&served).await > 0 {
            if served.held().await < LIMIT * 91 / 100 {
                link.send(Kind::Data, slow_id, &[7; FRAME]).await;
            }
        }
    })
    .await;
    let (_, row) = get(served.admin, "/api/v1/actors?kind=peers").await;
    assert!(row.contains("too much waits for other gateways"), "{row}");
    let ended = "game_gateway_memory_ended_queues_total";
    assert_eq!(served.metric(ended).await, 0);
    let grown = served.peak() - before;
    println!("a deaf peer gateway: grown by {grown}");
    assert!(grown <= 2 * LIMIT + 8 * MIB, "{grown}");
}
