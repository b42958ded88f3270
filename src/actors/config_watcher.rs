//! Reads the routing data from a file, watches it, and keeps the last good table.
//!
//! The directory is watched rather than the file: editors and Kubernetes replace files by renaming.
//! A periodic look catches what a lost notification missed, and resolves names again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use notify::Watcher;

use super::router::RoutesChanged;
use crate::routing::{EndpointName, Parsed, RouteTable};
use crate::store::file::{self, ReadError};
use crate::store::resolve::{Resolved, resolve};

/// How long one name look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Changes of a file come in bursts; they are gathered for so long before it is read.
const SETTLE: Duration = Duration::from_millis(20);

/// Reads everything again now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Something happened in the file's directory.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct FileTouched;

/// What has become of an attempt to load.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RoutesLoaded {
    /// The version in force; 0: none yet.
    pub version: u64,
    /// How many services it has.
    pub services: usize,
    /// Why the newest data is not in force, if it is not.
    pub error: Option<Arc<str>>,
    /// How often data was refused because it could not be read.
    pub unreadable: u64,
    /// How often data was refused because of mistakes in it.
    pub mistaken: u64,
    /// Where the data comes from, for example `file config/routes.json`.
    pub source: Arc<str>,
    /// The table in force.
    pub table: Option<Arc<RouteTable>>,
    /// Since when it is.
    pub loaded_at: Option<SystemTime>,
}

/// The actor.
pub struct ConfigWatcher {
    path: PathBuf,
    interval: Duration,
    routers: Vec<Recipient<RoutesChanged>>,
    gateway: Recipient<RoutesLoaded>,
    table: Option<Arc<RouteTable>>,
    addresses: BTreeMap<EndpointName, Vec<SocketAddr>>,
    loading: bool,
    /// Something changed while a load was under way.
    again: bool,
    settling: bool,
    last_error: Option<Arc<str>>,
    unreadable: u64,
    mistaken: u64,
    loaded_at: Option<SystemTime>,
    /// Ends the watch when it is dropped.
    _watch: Option<notify::RecommendedWatcher>,
}

/// The outcome of one load.
type Loaded = Result<(Parsed, Resolved), ReadError>;

impl ConfigWatcher {
    /// A watcher of the file at `path`, which is looked at at least every `interval`.
    pub fn new(
        path: PathBuf,
        interval: Duration,
        routers: Vec<Recipient<RoutesChanged>>,
        gateway: Recipient<RoutesLoaded>,
    ) -> ConfigWatcher {
        ConfigWatcher {
            path,
            interval,
            routers,
            gateway,
            table: None,
            addresses: BTreeMap::new(),
            loading: false,
            again: false,
            settling: false,
            last_error: None,
            unreadable: 0,
            mistaken: 0,
            loaded_at: None,
            _watch: None,
        }
    }

    fn watch(&mut self, ctx: &mut Context<Self>) {
        let address = ctx.address();
        let touched = move |event: notify::Result<notify::Event>| {
            // Reading the file is an event too; only changes matter.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                address.do_send(FileTouched);
            }
        };
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        let watch = notify::recommended_watcher(touched).and_then(|mut watcher| {
            watcher.watch(directory, notify::RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watch {
            Ok(watcher) => self._watch = Some(watcher),
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, interval = ?self.interval,
                "cannot watch the routes' directory; looking at the file periodically")
            }
        }
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        if self.loading {
            self.again = true;
            return;
        }
        self.loading = true;
        let (path, last_good) = (self.path.clone(), self.addresses.clone());
        let load = async move {
            let parsed = file::read(&path)?;
            let names = parsed.data.endpoint_names();
            let resolved = resolve(names.into_iter(), LOOKUP_TIMEOUT, &last_good).await;
            Ok((parsed, resolved))
        };
        ctx.spawn(load.into_actor(self).map(|loaded, watcher, ctx| {
            watcher.loading = false;
            watcher.loaded(loaded);
            if std::mem::take(&mut watcher.again) {
                watcher.load(ctx);
            }
        }));
    }

    fn loaded(&mut self, loaded: Loaded) {
        let error = match loaded {
            Ok((parsed, resolved)) => {
                self.adopt(&parsed, resolved);
                None
            }
            Err(error) => self.refused(&error),
        };
        self.last_error = error;
        self.gateway.do_send(RoutesLoaded {
            version: self.table.as_ref().map_or(0, |t| t.version()),
            services: self.table.as_ref().map_or(0, |t| t.data().rules.len()),
            error: self.last_error.clone(),
            unreadable: self.unreadable,
            mistaken: self.mistaken,
            source: format!("file {}", self.path.display()).into(),
            table: self.table.clone(),
            loaded_at: self.loaded_at,
        });
    }

    /// Says what is wrong, once for as long as it stays so.
    fn refused(&mut self, error: &ReadError) -> Option<Arc<str>> {
        let text = Arc::<str>::from(error.to_string());
        if self.last_error.as_ref() != Some(&text) {
            match error {
                ReadError::Unreadable(..) => self.unreadable += 1,
                ReadError::Mistaken(..) => self.mistaken += 1,
            }
            let kept = self.table.as_ref().map_or(0, |t| t.version());
            tracing::error!(error = %text, version_in_force = kept, "the routes cannot be used");
        }
        Some(text)
    }

    fn adopt(&mut self, parsed: &Parsed, resolved: Resolved) {
        let same_data = self
            .table
            .as_ref()
            .is_some_and(|t| *t.data() == parsed.data);
        for (name, failure) in &resolved.failures {
            tracing::warn!(%name, %failure, "a backend's name cannot be resolved");
        }
        if same_data && resolved.addresses == self.addresses {
            return;
        }
        if !same_data {
            for warning in &parsed.warnings {
                tracing::warn!(file = %self.path.display(), %warning, "in the routes");
            }
        }
        self.addresses = resolved.addresses;
        let version = self.table.as_ref().map_or(0, |t| t.version()) + 1;
        let previous = self.table.as_deref();
        let table = Arc::new(RouteTable::build(
            version,
            &parsed.data,
            &self.addresses,
            previous,
        ));
        tracing::info!(
            version,
            services = parsed.data.rules.len(),
            realms = parsed.data.realms.len(),
            "routes in force"
        );
        for router in &self.routers {
            router.do_send(RoutesChanged(Arc::clone(&table)));
        }
        self.table = Some(table);
        self.loaded_at = Some(SystemTime::now());
    }
}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.watch(ctx);
        self.load(ctx);
        ctx.run_interval(self.interval, Self::load);
    }
}

impl Handler<Reload> for ConfigWatcher {
    type Result = ();

    fn handle(&mut self, _: Reload, ctx: &mut Context<Self>) {
        self.load(ctx);
    }
}

impl Handler<FileTouched> for ConfigWatcher {
    type Result = ();

    fn handle(&mut self, _: FileTouched, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.settling, true) {
            ctx.run_later(SETTLE, |watcher, ctx| {
                watcher.settling = false;
                watcher.load(ctx);
            });
        }
    }
}
