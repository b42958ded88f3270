//! The configuration's file, read again when it changes or a reload is asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::actors::worker::{LimitsReloaded, Worker};
use crate::admission::{Doors, Gate, LiveConfig};
use crate::config::{self, Config, Reloaded};
use crate::memory::{MemoryBudget, available};
use crate::net::tls::Tls;
use crate::store::watch::watch;
use crate::supervision::Seat;

/// Changes come in bursts; they are gathered for so long.
const SETTLE: Duration = Duration::from_millis(50);
/// Interval at which the file is read, notification or not.
const INTERVAL: Duration = Duration::from_secs(60);

/// Gives `limits.memory` its value where none is configured.
pub(super) fn complete(config: &mut Config) {
    let memory = &mut config.limits.memory;
    memory.get_or_insert_with(available::default_limit);
}

/// Everything that has limits in force.
pub(super) struct Live {
    pub(super) doors: Arc<Doors>,
    pub(super) gate: Arc<Gate>,
    pub(super) tls: Arc<Tls>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) workers: Vec<Seat<Worker>>,
}

impl Live {
    /// Puts a configuration in force.
    pub(super) fn apply(&self, config: Config) {
        if let Some(limit) = self.gate.want(config.listen.max_connections) {
            tracing::info!(limit, "connections served at a time have changed");
        }
        self.tls.reload_limits(&config);
        if let Some(limit) = config.limits.memory {
            self.memory.set_limit(limit);
        }
        self.doors.reload(Arc::new(config));
        for worker in &self.workers {
            // One that is just being rebuilt has the same scope.
            worker.do_send(LimitsReloaded);
        }
    }
}

fn take(live: &LiveConfig, reloaded: Reloaded) {
    let Reloaded {
        config,
        changed,
        need_restart,
    } = reloaded;
    if !changed.is_empty() {
        let gone = live.reloaded(config, &changed).join(", ");
        let changed = changed.join(", ");
        tracing::info!(changed, "changed configuration is in force");
        if !gone.is_empty() {
            tracing::warn!(
                keys = gone,
                "what operators had changed is as configured again"
            );
        }
    }
    if !need_restart.is_empty() {
        let keys = need_restart.join(", ");
        tracing::warn!(keys, "changed configuration needs a restart");
    }
}

/// Reads the file again when it changes or `asked` says so, and puts in force what can be. What cannot is
/// logged, once for each change. Returns only if there is no file.
pub(super) async fn keep_fresh(live: Arc<LiveConfig>, asked: Arc<Notify>) {
    let Some(file) = live.configured().file else {
        return;
    };
    let tell = Arc::clone(&asked);
    let _watch =
        watch(std::slice::from_ref(&file), move || tell.notify_one()).inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the configuration; reading it periodically");
        });
    let mut before = None;
    loop {
        // At first too: it may have changed before it was watched.
        let configured = live.configured();
        let read = move || config::reload(&configured, config::environment(), complete);
        match tokio::task::spawn_blocking(read).await {
            Ok(now) if before.as_ref() == Some(&now) => {}
            Ok(now) => {
                match now.clone() {
                    Ok(reloaded) => take(&live, reloaded),
                    Err(mistakes) => {
                        let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                        let error = all.join("; ");
                        tracing::error!(
                            error,
                            "the configuration has mistakes; the one in force stays"
                        );
                    }
                }
                before = Some(settled(now));
            }
            Err(error) => tracing::error!(%error, "the configuration could not be read"),
        }
        // Where nobody asks, the time has come.
        let _ = timeout(INTERVAL, asked.notified()).await;
        sleep(SETTLE).await;
    }
}

/// What the next read says if nothing changes: all that could change has.
fn settled<E>(read: Result<Reloaded, E>) -> Result<Reloaded, E> {
    read.map(|reloaded| Reloaded {
        changed: Vec::new(),
        ..reloaded
    })
}
