//! Making the connections, at a bounded rate.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::args::Transport;
use super::plan::Plan;
use crate::net::dial::Stream;

/// For one connection to be made, with its handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of one thread.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// With the session's index, in its order.
    pub(super) made: Vec<(u32, Stream)>,
    /// By reason.
    pub(super) failed: BTreeMap<String, u64>,
}

/// Connects the sessions with these indices.
pub(super) async fn connect_all(plan: &Arc<Plan>, indices: Range<u32>) -> Connections {
    let interval = plan.threads as f64 / plan.connect_rate;
    let start = Instant::now();
    let mut tries = JoinSet::new();
    for (place, index) in indices.enumerate() {
        let due = start + Duration::from_secs_f64(interval * place as f64);
        tokio::select! {
            () = sleep_until(due) => {}
            _ = plan.progress.interrupted() => break,
        }
        let plan = Arc::clone(plan);
        tries.spawn(async move {
            let made = connect(&plan, index).await;
            if made.is_ok() {
                plan.progress.connected();
            }
            (index, made)
        });
    }
    let mut connections = Connections::default();
    for (index, made) in tries.join_all().await {
        match made {
            Ok(stream) => connections.made.push((index, stream)),
            Err(error) => *connections.failed.entry(error.to_string()).or_default() += 1,
        }
    }
    connections.made.sort_by_key(|(index, _)| *index);
    connections
}

/// Makes the connection of the session with that index, including its handshakes.
pub(super) async fn connect(plan: &Plan, index: u32) -> io::Result<Stream> {
    let made = async {
        let source = plan.source(index);
        let stream = Stream::connect_from(source, plan.target, plan.tls.as_ref()).await?;
        match plan.transport(index) {
            Transport::Tcp | Transport::Http => Ok(stream),
            // Nothing has come behind the handshake: a gateway waits for the first frame.
            Transport::Websocket => Ok(stream.upgrade(&plan.host, 0).await?.into_inner()),
        }
    };
    match timeout(CONNECT_TIMEOUT, made).await {
        Ok(made) => made,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
