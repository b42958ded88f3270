//! Where the watcher's data comes from, and how it hears of changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use notify::Watcher;

use super::{ConfigWatcher, SourceNews};
use crate::config::{Config, RouteSource};
use crate::routing::Parsed;
use crate::store::redis::{Keys, News, Server, connect::Connected, follow, read};
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

    pub(super) async fn read(self) -> Result<Parsed, Refused> {
        match self {
            Source::File(path) => Ok(file::read(&path)?),
            Source::Redis {
                server,
                keys,
                connected,
            } => {
                let connected = connected.ok_or_else(|| Refused::unreadable("redis: gone"))?;
                read(&server, &connected, &keys).await?.parse(&keys)
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
            Source::File(path) => watch_directory(path, watcher),
            Source::Redis { server, keys, .. } => {
                let (server, keys) = (Arc::clone(server), Arc::clone(keys));
                let follower = async move {
                    let tell = |news| watcher.do_send(SourceNews::from(news));
                    match follow(&server, &keys, tell).await {}
                };
                // The actor's own: it ends with the actor.
                ctx.spawn(actix::fut::wrap_future(follower));
                None
            }
        }
    }
}

impl From<News> for SourceNews {
    fn from(news: News) -> SourceNews {
        match news {
            News::Connected(connected) => SourceNews::Connected(connected),
            News::Notified { messages, by } => SourceNews::Changed { messages, by },
            News::Lost(why) => SourceNews::Lost(why),
        }
    }
}

/// The directory rather than the file: editors and Kubernetes replace files by renaming.
fn watch_directory(path: &Path, watcher: CountedAddr<ConfigWatcher>) -> Watch {
    let touched = move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too; only changes matter.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            watcher.do_send(SourceNews::Changed {
                messages: 1,
                by: None,
            });
        }
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let watch = notify::recommended_watcher(touched).and_then(|mut watcher| {
        watcher.watch(directory, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watch {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error,
                "cannot watch the routes' directory; looking at the file periodically");
            None
        }
    }
}
