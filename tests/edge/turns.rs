//! Requests of one read take turns with everybody else on the thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use game_gateway::config;
use game_gateway::net::entry;
use game_gateway::net::entry_host::EntryParams;
use game_gateway::net::socket::Socket;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::autobahn::Nobody;
use crate::scene::request;

/// Requests that are there at once.
const REQUESTS: u64 = 400;
/// Stated bound of answers in one turn of the event loop.
const A_TURN: u64 = 16;

#[tokio::test]
async fn pipelined_requests_take_turns_with_others() {
    let config = config::load(None, std::iter::empty()).expect("the defaults");
    // All answers fit, so that nobody has to wait for the client.
    let (near, _far) = tokio::io::duplex(1 << 20);
    let requests = request("OPTIONS /game", "", b"").repeat(REQUESTS as usize);
    let host = Rc::new(Nobody::default());
    let params = EntryParams {
        tls: Arc::default(),
        config: Arc::new(config),
        remote: ([127, 0, 0, 1], 4711).into(),
        timeout: Duration::from_secs(30),
        host: Rc::clone(&host) as Rc<_>,
        drain: Rc::new(Notify::new()),
    };
    LocalSet::new()
        .run_until(async move {
            spawn_local(entry::enter(
                Socket::Duplex(near),
                BytesMut::from(&requests[..]),
                params,
            ));
            let mut before = 0;
            while before < REQUESTS {
                yield_now().await;
                let answers = host.answers.get();
                assert!(answers <= before + A_TURN, "{} in a turn", answers - before);
                before = answers;
            }
        })
        .await;
}
