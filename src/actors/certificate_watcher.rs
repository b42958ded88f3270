//! Watches the files of TLS and has them read again when they change. What is in force is in
//! [`Tls`], so one that has panicked leaves nothing to the next.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;

use crate::net::tls::{Reloaded, Tls};
use crate::store::watch::watch;
use crate::supervision::{
    self, ActorId, ActorRegistry, Budget, Inspectable, Kind, ROOT, Receive, Registration, Seat,
    Supervised, mailbox,
};

/// Changes come in bursts, and a certificate and its key one after the other; they are gathered for
/// so long before both are read.
const SETTLE: Duration = Duration::from_millis(100);
/// Interval at which the files are read, notification or not.
const INTERVAL: Duration = Duration::from_secs(60);

/// Reads the files again now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Something in a file's directory may have changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Changed;

/// The actor.
pub struct CertificateWatcher {
    registration: Registration,
    tls: Arc<Tls>,
    /// Why the newest files are not in force, if they are not.
    error: Option<String>,
    settling: bool,
    /// A read is under way; news that comes meanwhile brings one more.
    reading: bool,
    again: bool,
    watch: Option<notify::RecommendedWatcher>,
}

/// Starts the supervised watcher on this thread.
pub fn launch(
    tls: &Arc<Tls>,
    actors: &Arc<ActorRegistry>,
    budget: Arc<Budget>,
    seat: Seat<CertificateWatcher>,
) {
    let id = ActorId {
        kind: Kind::CertificateWatcher,
        number: 0,
    };
    let entry = actors.register(id, String::new(), None, Some(ROOT));
    let tls = Arc::clone(tls);
    supervision::supervise(seat, entry, budget, move |registration| {
        CertificateWatcher {
            registration,
            tls: Arc::clone(&tls),
            error: None,
            settling: false,
            reading: false,
            again: false,
            watch: None,
        }
    });
}

impl CertificateWatcher {
    fn read(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.reading, true) {
            self.again = true;
            return;
        }
        let tls = Arc::clone(&self.tls);
        let read = actix::fut::wrap_future(tokio::task::spawn_blocking(move || tls.reload()));
        ctx.spawn(read.map(|result, watcher: &mut Self, ctx| {
            match result {
                Ok(reloaded) => watcher.take(reloaded),
                Err(error) => tracing::error!(%error, "the files of TLS could not be read"),
            }
            watcher.reading = false;
            if std::mem::take(&mut watcher.again) {
                watcher.read(ctx);
            }
        }));
    }

    fn take(&mut self, reloaded: Reloaded) {
        match reloaded {
            Reloaded::Unchanged => {}
            Reloaded::InForce { warnings } => {
                self.error = None;
                tracing::info!("changed files of TLS are in force for new connections");
                for warning in warnings {
                    tracing::warn!(warning, "TLS");
                }
            }
            Reloaded::Refused(mistakes) => {
                let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                let error = all.join("; ");
                tracing::error!(
                    error,
                    "changed files of TLS cannot be used; what was in force stays"
                );
                self.error = Some(error);
            }
        }
    }

    fn read_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.settling, true) {
            ctx.run_later(SETTLE, |watcher, ctx| {
                watcher.settling = false;
                watcher.read(ctx);
            });
        }
    }
}

impl Actor for CertificateWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let own = self.registration.address(ctx);
        self.watch = watch(&self.tls.paths(), move || own.do_send(Changed))
            .inspect_err(|error| {
                tracing::warn!(%error, "cannot watch the files of TLS; looking at them periodically");
            })
            .ok();
        // What has changed before it was watched.
        self.read(ctx);
        ctx.run_interval(INTERVAL, Self::read);
    }
}

impl Inspectable for CertificateWatcher {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let tls = self.tls.snapshot();
        json!({
            "files": self.tls.paths(),
            "watching": self.watch.is_some(),
            "reloads": tls.reloads,
            "reload_failures": tls.reload_failures,
            "expires_at_seconds": tls.expires_at,
            "last_error": self.error,
        })
    }
}

mailbox!(CertificateWatcher);

impl Supervised for CertificateWatcher {
    fn leave_state(&mut self) {}
}

impl Receive<Reload> for CertificateWatcher {
    type Result = ();

    fn receive(&mut self, _: Reload, ctx: &mut Context<Self>) {
        self.read(ctx);
    }
}

impl Receive<Changed> for CertificateWatcher {
    type Result = ();

    fn receive(&mut self, _: Changed, ctx: &mut Context<Self>) {
        self.read_soon(ctx);
    }
}
