//! A gateway that stands still for a while, and goes on when others have gone on without it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use game_gateway::sdk::client::Outgoing;
use game_gateway::sdk::client::session::{Connect, Event, Io, Session, SessionOptions};
use tokio::net::TcpStream;

use crate::play::SERVICE;
use crate::stage::Deployment;
use crate::support::wire::soon;

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
            tokio::task::yield_now().await;
        }
    })
    .await;
}
