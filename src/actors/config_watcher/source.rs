//! Where the watcher's data comes from, and how it hears of changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::changes::Record;
use super::{ConfigWatcher, SourceNews};
use crate::config::{Config, RouteSource};
use crate::routing::{Mistake, Parsed, RoutingData};
use crate::store::names::Host;
use crate::store::redis::change::history;
use crate::store::redis::pieces::{Contents, Reader};
use crate::store::redis::{Channels, Gathered, Keys, News, Server, connect::Connected, follow};
use crate::store::watch::watch;
use crate::store::{Refused, file};
use crate::supervision::CountedAddr;

/// Changes of a file come in bursts; they are gathered for so long before it is read.
const FILE_SETTLE: Duration = Duration::from_millis(20);
/// The same for notifications.
const REDIS_SETTLE: Duration = Duration::from_millis(5);

/// Where the data comes from. Clones share the connection.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Redis {
        server: Arc<Server>,
        keys: Arc<Keys>,
        /// None while the subscription is gone.
        connected: Option<Arc<Connected>>,
    },
}

/// What a read has brought.
#[derive(Default)]
pub(super) struct Outcome {
    /// None: the newest good data is there as before.
    pub(super) loaded: Option<Loaded>,
    /// None: nothing was written.
    pub(super) record: Option<Record>,
}

/// Good data that is new.
pub(super) struct Loaded {
    pub(super) data: Arc<RoutingData>,
    /// Hosts that have to be looked up.
    pub(super) hosts: BTreeSet<Host>,
    pub(super) warnings: Vec<Mistake>,
}

/// What is kept between two reads, so that what has not changed is not parsed again.
#[derive(Default)]
pub(super) struct Seen {
    file: Option<file::Seen>,
    redis: Option<Reader>,
}

/// Returns what was read if it differs from the newest good data.
fn compare(parsed: Parsed, newest: Option<Arc<RoutingData>>) -> Option<Loaded> {
    let Parsed { mut data, warnings } = parsed;
    if let Some(newest) = newest {
        if *newest == data {
            return None;
        }
        if newest.realms == data.realms {
            data.realms = Arc::clone(&newest.realms);
        }
    }
    let names = data.endpoint_names().into_iter();
    let hosts = names.filter(|name| name.literal().is_none());
    Some(Loaded {
        hosts: hosts.map(|name| Host::from(name.host.as_str())).collect(),
        data: Arc::new(data),
        warnings,
    })
}

/// Parses what Redis has, and looks it up in the history there.
async fn changed(
    gathered: Gathered,
    server: &Server,
    connected: &Connected,
    keys: Arc<Keys>,
    newest: Option<Arc<RoutingData>>,
) -> Result<Outcome, Refused> {
    let its_keys = Arc::clone(&keys);
    let parse = move || {
        let (parsed, digest) = gathered.identify(&its_keys)?;
        Ok::<_, Refused>((compare(parsed, newest), digest))
    };
    let (loaded, digest) = blocking(parse).await?;
    // Read after the data: a version that was written since is not taken for it, for the digest decides.
    let history = history(server, connected, &keys).await;
    let history = history.unwrap_or_else(|error| {
        tracing::debug!(error, "no history of the routes");
        Default::default()
    });
    Ok(Outcome {
        loaded,
        record: Some(Record::of(history, &digest)),
    })
}

/// Does what takes long on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            // The watcher's own, as if it had done the work itself.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The thread ends, and the watcher with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Ends the watch of a directory when it is dropped.
pub(super) type Watch = Option<notify::RecommendedWatcher>;

impl Source {
    pub(super) fn new(config: &Config) -> Source {
        match config.routes.source {
            RouteSource::File => Source::File(config.routes.file.clone()),
            RouteSource::Redis => Source::Redis {
                server: Arc::new(Server::new(&config.redis)),
                keys: Arc::new(Keys::new(&config.redis.prefix)),
                connected: None,
            },
        }
    }

    /// Describes the source for an operator, without passwords.
    pub(super) fn describe(&self, config: &Config) -> String {
        match self {
            Source::File(path) => format!("file {}", path.display()),
            Source::Redis { server, .. } => {
                format!("redis {} prefix {}", server.shown(), config.redis.prefix)
            }
        }
    }

    /// Returns the interval at which to read, notification or not.
    pub(super) fn interval(config: &Config) -> Duration {
        let resolve = config.backend.resolve_interval;
        match config.routes.source {
            RouteSource::File => resolve,
            RouteSource::Redis => resolve.min(config.redis.refresh),
        }
    }

    pub(super) fn settle(&self) -> Duration {
        match self {
            Source::File(_) => FILE_SETTLE,
            Source::Redis { .. } => REDIS_SETTLE,
        }
    }

    /// Tells whether a read can be tried now; where it cannot, the connection will trigger it.
    pub(super) fn is_reachable(&self) -> bool {
        match self {
            Source::File(_) => true,
            Source::Redis { connected, .. } => connected.is_some(),
        }
    }

    /// Reads the source, unless it has what was `seen`. `newest` is the newest good data.
    pub(super) async fn read(
        self,
        mut seen: Seen,
        newest: Option<Arc<RoutingData>>,
    ) -> (Seen, Result<Outcome, Refused>) {
        match self {
            Source::File(path) => {
                blocking(move || {
                    let read = file::read_changed(&path, &mut seen.file);
                    let outcome = read.map(|parsed| Outcome {
                        loaded: parsed.and_then(|parsed| compare(parsed, newest)),
                        record: None,
                    });
                    (seen, outcome.map_err(Refused::from))
                })
                .await
            }
            Source::Redis {
                server,
                keys,
                connected,
            } => {
                let Some(connected) = connected else {
                    return (seen, Err(Refused::unreadable("redis: gone")));
                };
                let reader = seen
                    .redis
                    .take()
                    .filter(|reader| reader.is_over(&connected));
                let mut reader = reader.unwrap_or_else(|| Reader::new(&server, &keys, &connected));
                let outcome = match reader.read().await {
                    Ok(Contents::Unchanged) => Ok(Outcome::default()),
                    Ok(Contents::Changed(gathered)) => {
                        changed(gathered, &server, &connected, keys, newest).await
                    }
                    Err(refused) => Err(refused),
                };
                if outcome.is_err() {
                    reader.forget();
                }
                seen.redis = Some(reader);
                (seen, outcome)
            }
        }
    }

    /// Begins to listen for changes; they come as [`SourceNews`].
    pub(super) fn listen(
        &self,
        watcher: CountedAddr<ConfigWatcher>,
        ctx: &mut Context<ConfigWatcher>,
    ) -> Watch {
        match self {
            Source::File(path) => watch_file(path, watcher),
            Source::Redis { server, keys, .. } => {
                let (server, keys) = (Arc::clone(server), Arc::clone(keys));
                let channels = keys.routing_channels(server.database());
                let follower = async move {
                    let tell = |news| watcher.do_send(SourceNews::of(news, &channels));
                    match follow(&server, &channels, tell).await {}
                };
                // The actor's own: it ends with the actor.
                ctx.spawn(actix::fut::wrap_future(follower));
                None
            }
        }
    }
}

impl SourceNews {
    fn of(news: News, channels: &Channels) -> SourceNews {
        match news {
            News::Connected(connected) => SourceNews::Connected(connected),
            News::Notified(batch) => SourceNews::Changed {
                messages: batch.len() as u64,
                // The last writer's own words; the server's say only that a key was written.
                by: (batch.into_iter().rev())
                    .find(|it| channels.notify.contains(&it.channel))
                    .map(|it| it.text),
            },
            News::Lost(why) => SourceNews::Lost(why),
        }
    }
}

/// Hears of changes of the file, where the system tells.
fn watch_file(path: &Path, watcher: CountedAddr<ConfigWatcher>) -> Watch {
    let changed = move || {
        watcher.do_send(SourceNews::Changed {
            messages: 1,
            by: None,
        });
    };
    watch(&[path.to_owned()], changed)
        .inspect_err(|error| {
            tracing::warn!(file = %path.display(), %error,
                "cannot watch the routes' directory; looking at the file periodically");
        })
        .ok()
}
