//! Making the connections, at a bounded rate.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::plan::Plan;

/// For one connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of one thread.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// With the session's index, in its order.
    pub(super) made: Vec<(u32, TcpStream)>,
    /// By reason.
    pub(super) failed: BTreeMap<String, u64>,
}

/// Connects the sessions with these indices.
pub(super) async fn connect_all(plan: &Plan, indices: Range<u32>) -> Connections {
    let interval = plan.threads as f64 / plan.connect_rate;
    let start = Instant::now();
    let mut tries = JoinSet::new();
    for (place, index) in indices.enumerate() {
        sleep_until(start + Duration::from_secs_f64(interval * place as f64)).await;
        let target = plan.target;
        tries.spawn(async move {
            let made = match timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
                Ok(made) => made,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let made = made.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
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
