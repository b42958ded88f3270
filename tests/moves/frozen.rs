//! A gateway that stands still for a while, and goes on when others have gone on without it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use game_gateway::codec::client::{FLAG_GAP, FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::sdk::client::Outgoing;
use game_gateway::sdk::client::session::{Connect, Event, Io, Session, SessionOptions};
use tokio::net::TcpStream;

use crate::play::SERVICE;
use crate::stage::Deployment;
use crate::support::wire::{Player, soon};

/// Returns a player's way to the deployment, which leads to one gateway or another.
fn ways(reached: Arc<Mutex<SocketAddr>>) -> Connect {
    Box::new(move || {
        let address = *reached.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    })
}

/// Reads the server's next number, and whether a gap was told before it.
async fn heard(session: &mut Session) -> (u64, bool) {
    let mut gap = false;
    loop {
        match soon(session.next()).await.expect("an event") {
            Event::Data(data) => {
                let number = data.payload[..].try_into().expect("a number");
                return (u64::from_be_bytes(number), gap);
            }
            Event::Resumed { gap: told, .. } => gap |= told,
            Event::Started(_) | Event::Interrupted => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_a_session_twice() {
    // Short, so that the player notices the silence, and the one that stood still gives up.
    let durations = "backend.connect_timeout = \"1s\"\n\
                     session.resume_window = \"5s\"\nsession.idle_timeout = \"3s\"\n";
    let deployment = Deployment::start(2, durations).await;
    let [first, second] = [0, 1].map(|n| deployment.places[n].players);
    let reached = Arc::new(Mutex::new(first));
    let mut session = Session::start(ways(reached.clone()), SessionOptions::default());
    let to = Outgoing::to(SERVICE);
    assert!(session.send(&to, 0_u64.to_be_bytes()).await);
    let mut last = heard(&mut session).await.0;

    *reached.lock().unwrap_or_else(PoisonError::into_inner) = second;
    deployment.places[0].process.signal("STOP");
    let gap = loop {
        let (number, gap) = heard(&mut session).await;
        assert!(number > last, "{number} after {last}");
        last = number;
        if gap {
            break gap;
        }
    };
    assert!(gap, "the owner did not answer in time");
    deployment
        .until(1, "game_gateway_sessions", |n| n == 1)
        .await;

    deployment.places[0].process.signal("CONT");
    deployment
        .until(0, "game_gateway_sessions", |n| n == 0)
        .await;
    assert_eq!(deployment.sessions(), 1);
    // It goes on where it is now, and nothing of the other one's comes any more.
    assert!(session.send(&to, 1_u64.to_be_bytes()).await);
    for _ in 0..20 {
        let (number, gap) = heard(&mut session).await;
        assert_eq!((number, gap), (last + 1, false));
        last = number;
    }
    session.close().await;
    deployment
        .until(1, "game_gateway_sessions", |n| n == 0)
        .await;
    soon(async {
        while deployment.sessions() > 0 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// Starts a session; returns its connection, its id and its token.
async fn begun(at: SocketAddr) -> (Player, u64, Vec<u8>) {
    let mut player = Player::connect_to(at).await;
    let header = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    player.send(header, SERVICE, &0_u64.to_be_bytes()).await;
    let frame = player.next().await.expect("OPENED");
    assert_eq!(frame.header.kind, Kind::Opened as u8, "{frame:?}");
    let token = Opened::decode(&frame.payload).expect("a payload").token;
    (player, frame.header.session_id, token.to_vec())
}

/// Resumes a session on another connection; returns that, and whether a gap was told.
async fn resumed(at: SocketAddr, session_id: u64, token: &[u8]) -> (Player, bool) {
    let mut player = Player::connect_to(at).await;
    let header = Header {
        kind: Kind::Resume as u8,
        session_id,
        ..Header::default()
    };
    let payload = [&0_u64.to_be_bytes()[..], token].concat();
    player.send(header, "", &payload).await;
    let frame = player.next().await.expect("OPENED");
    assert_eq!(frame.header.kind, Kind::Opened as u8, "{frame:?}");
    (player, frame.header.flags & FLAG_GAP != 0)
}

/// Reads a connection to its end; returns the code of its CLOSE.
async fn told_at_the_end(player: &mut Player) -> u16 {
    let mut last = None;
    while let Some(frame) = player.next().await {
        last = Some(frame);
    }
    let last = last.expect("a frame");
    assert_eq!(last.header.kind, Kind::Close as u8, "{last:?}");
    Notice::decode(&last.payload, Code::NORMAL).code.0
}

/// The old connection stands, and the session's window is long: without a word from the new owner the one that stood
/// still would keep both for minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stood_still_drops_the_old_connection_at_once() {
    let durations = "backend.connect_timeout = \"1s\"\nsession.resume_window = \"60s\"\n";
    for acquainted in [false, true] {
        let deployment = Deployment::start(2, durations).await;
        let [first, second] = [0, 1].map(|n| deployment.places[n].players);
        if acquainted {
            // The question then waits on a connection that is there; else its handshake is not answered.
            let (_old, id, token) = begun(first).await;
            let (_new, gap) = resumed(second, id, &token).await;
            assert!(!gap);
        }
        let (mut old, id, token) = begun(first).await;
        deployment.places[0].process.signal("STOP");
        let (_new, gap) = resumed(second, id, &token).await;
        assert!(gap, "the owner did not answer in time");
        deployment.places[0].process.signal("CONT");
        assert_eq!(told_at_the_end(&mut old).await, 205, "{acquainted}");
        deployment
            .until(0, "game_gateway_sessions", |n| n == 0)
            .await;
        let over = "game_gateway_peer_calls_ended_total{reason=\"unknown\"}";
        deployment.until(1, over, |n| n == 1).await;
    }
}
