//! Keeps a subscription alive for as long as it is polled, and reports its notifications.
//!
//! ```text
//!   Connecting ── subscribed ──▶ Subscribed (Connected, then Notified …)
//!       ▲                            │ end of input, no PONG, no longer the master
//!       └──── back-off (Lost) ◀──────┘
//! ```
//!
//! No connection is repaired: a new one begins with a full search for the master, and its first event
//! makes the listener read everything again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use rand::Rng;
use redis::aio::{PubSub, PubSubSink};

use super::connect::{Connected, Server};

/// Interval between two checks of the connections, by which a silent server is noticed.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of such a check; `redis.timeout` if that is shorter.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Checks between two queries of the sentinels for the current master: for seconds after a failover
/// the old master does not know that it is demoted.
const CHECKS_AN_ELECTION: u32 = 3;
/// The wait before the second attempt; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
/// The longest wait between two attempts, shortened by up to half at random.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Characters of a notification that are kept.
const MAX_WORDS: usize = 100;
/// Notifications that are told of together.
const MAX_BATCH: usize = 1024;

/// The channels that tell of changes of some keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// On which writers announce changes.
    pub notify: Vec<String>,
    /// Of the server's keyspace notifications.
    pub keyspace: Vec<String>,
}

impl Channels {
    /// Returns the channels of these keys.
    pub fn of<K: std::fmt::Display>(keys: impl IntoIterator<Item = K>, database: u32) -> Channels {
        let both = |key: K| {
            (
                format!("{key}:notify"),
                format!("__keyspace@{database}__:{key}"),
            )
        };
        let (notify, keyspace) = keys.into_iter().map(both).unzip();
        Channels { notify, keyspace }
    }
}

/// A message on one of the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Where it came.
    pub channel: String,
    /// Its text, as one short line.
    pub text: String,
}

/// An event of the subscription.
pub enum News {
    /// Subscribed; changes before that are to be read over this connection.
    Connected(Arc<Connected>),
    /// Something may have changed; one notification or more.
    Notified(Vec<Notification>),
    /// The subscription was lost or failed, with the reason. The next attempt follows.
    Lost(String),
}

/// Follows these channels without end; passes events to `tell`.
pub async fn follow(server: &Server, channels: &Channels, tell: impl Fn(News)) -> Infallible {
    let mut backoff = MIN_BACKOFF;
    loop {
        let Err(why) = subscription(server, channels, &tell, &mut backoff).await;
        tell(News::Lost(why));
        let shortened = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(backoff.mul_f64(shortened)).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// Runs one subscription; the error says why it ended.
async fn subscription(
    server: &Server,
    channels: &Channels,
    tell: &impl Fn(News),
    backoff: &mut Duration,
) -> Result<Infallible, String> {
    let connected = Arc::new(server.connect().await?);
    // A server that is still loading its data takes connections, but is not there yet.
    server.is_alive(&connected).await?;
    let mut subscriber = server.subscriber(&connected).await?;
    subscribe(server, channels, &mut subscriber).await?;
    let (mut sink, messages) = subscriber.split();
    tell(News::Connected(Arc::clone(&connected)));
    tokio::select! {
        why = listen(messages, tell) => Err(why),
        ended = check(server, &connected, &mut sink, backoff) => ended,
    }
}

async fn subscribe(
    server: &Server,
    channels: &Channels,
    subscriber: &mut PubSub,
) -> Result<(), String> {
    for channel in &channels.notify {
        let subscribed = server.in_time(subscriber.subscribe(channel)).await;
        subscribed.map_err(|error| format!("channel {channel}: {error}"))?;
    }
    for channel in &channels.keyspace {
        // Many users may not; writers' own notifications and the refresh are enough.
        if let Err(error) = server.in_time(subscriber.subscribe(channel)).await {
            tracing::debug!(channel, error, "no keyspace notifications");
        }
    }
    Ok(())
}

/// Makes one event of all notifications that have arrived together.
async fn listen(messages: impl Stream<Item = redis::Msg>, tell: &impl Fn(News)) -> String {
    let mut incoming = std::pin::pin!(messages);
    while let Some(first) = incoming.next().await {
        let mut batch = vec![notification(&first)];
        while batch.len() < MAX_BATCH
            && let Some(Some(next)) = incoming.next().now_or_never()
        {
            batch.push(notification(&next));
        }
        tell(News::Notified(batch));
    }
    "connection closed".to_owned()
}

fn notification(message: &redis::Msg) -> Notification {
    let text = String::from_utf8_lossy(message.get_payload_bytes());
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Notification {
        channel: message.get_channel_name().to_owned(),
        text: text.chars().take(MAX_WORDS).map(plain).collect(),
    }
}

async fn check(
    server: &Server,
    connected: &Connected,
    sink: &mut PubSubSink,
    backoff: &mut Duration,
) -> Result<Infallible, String> {
    let patience = CHECK_TIMEOUT.min(server.timeout());
    let mut since_election = 0;
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let checks = async {
            let answer = server.in_time(sink.ping::<redis::Value>()).await;
            answer.map_err(|error| format!("the subscription: {error}"))?;
            server.is_alive(connected).await
        };
        match tokio::time::timeout(patience, checks).await {
            Ok(alive) => alive?,
            Err(_) => return Err(format!("timed out after {patience:?}")),
        }
        *backoff = MIN_BACKOFF;
        since_election += 1;
        if since_election == CHECKS_AN_ELECTION {
            since_election = 0;
            server.is_elected(connected).await?;
        }
    }
}
