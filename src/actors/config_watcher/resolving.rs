//! Looking names up, each when it is due.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use tokio::time::Instant;

use super::ConfigWatcher;
use crate::store::names::{self, Host};
use crate::supervision::CountedAddr;

/// What the resolver has said of a name.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Answer {
    host: Host,
    found: io::Result<Vec<IpAddr>>,
}

impl ConfigWatcher {
    /// Begins the look-ups that are due, and sleeps until the next ones are.
    pub(super) fn look_up(&mut self, ctx: &mut Context<Self>) {
        for host in self.state.names.begin(Instant::now().into_std()) {
            look_up(host, self.registration.address(ctx));
        }
        if let Some(timer) = self.name_timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(next) = self.state.names.next() else {
            return;
        };
        let wait = Instant::from_std(next).saturating_duration_since(Instant::now());
        self.name_timer = Some(ctx.run_later(wait, |watcher, ctx| {
            watcher.look_up(ctx);
            // Nobody waits any more for names that have become late.
            watcher.build_if_due(ctx);
        }));
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        let Answer { host, found } = answer;
        let now = Instant::now().into_std();
        let interval = self.resolve_interval;
        self.state.names.answered(&host, found, now, interval);
    }
}

/// A thread for each look-up, and no pool's: one that hangs must not hold back the end of the process.
fn look_up(host: Host, watcher: CountedAddr<ConfigWatcher>) {
    let (name, on_thread) = (Arc::clone(&host), watcher.clone());
    let started = std::thread::Builder::new()
        .name("name look-up".into())
        .spawn(move || {
            let found = names::look_up(&name);
            on_thread.do_send(Answer { host: name, found });
        });
    if let Err(error) = started {
        let found = Err(error);
        watcher.do_send(Answer { host, found });
    }
}
