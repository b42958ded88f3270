//! The health of an endpoint as its pool sees it, which decides whether new sessions come here.
//!
//! ```text
//!             Bind                first PONG
//!   Unknown ───────▶ (connecting) ──────────▶ Up ──── GOAWAY ───▶ Leaving
//!                        │  ▲                  │                     │
//!                 failed │  │ retry, Bind      │ last link lost      │ last link ended
//!                        ▼  │                  ▼                     ▼
//!                      Down(attempt, retry_at) ◀────────────────── Unknown
//!                                              ▲
//!        Up ── a PONG overdue on every link ─▶ Suspect ── something has come ─▶ Up
//!        Leaving ── a new link of another worker, without GOAWAY ─▶ Unknown
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rand::Rng;

use super::health_entry::{News, View};
use super::{BackendHealth, BackendPool, Breaker, EndpointHealth, LeavingMark, Slot, SlotState};
use crate::labels::Label;
use crate::routing::health::STABLE;
use crate::session::link::LinkEnd;

/// First wait after a failure; it doubles up to `backend.max_backoff`. Whoever asks for the endpoint meanwhile waits
/// for an attempt of their own, which is made so long after the one before: what a probe has found may be over.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) enum Health {
    #[default]
    Unknown,
    Up,
    /// Linked, but a PONG is overdue on every link and nothing comes.
    Suspect,
    Down {
        failures: u32,
        /// When the last attempt failed, or the link was lost.
        tried_at: Instant,
        /// When the next one is made.
        retry_at: Instant,
    },
    Leaving(
        #[expect(
            dead_code,
            reason = "held: it tells the pools of other workers until it is dropped"
        )]
        LeavingMark,
    ),
}

impl Health {
    fn is_usable(&self) -> bool {
        match self {
            Health::Unknown | Health::Up => true,
            Health::Suspect | Health::Down { .. } | Health::Leaving(_) => false,
        }
    }
}

impl BackendPool {
    pub(super) fn set_health(&mut self, health: Health) {
        let was_usable = self.state.health.is_usable();
        self.state.health = health;
        let is_other = was_usable != self.state.health.is_usable();
        let news = self.report().unwrap_or(News {
            says_health: is_other,
            opened: None,
        });
        self.tell(news);
        if is_other {
            self.announce();
        }
    }

    /// Tells the pools of all workers how the endpoint is, and returns what is new about it. What a retired pool
    /// finds concerns no other.
    fn report(&self) -> Option<News> {
        let view = View {
            worker: self.scope.worker,
            health: self.backend_health(),
            error: self.state.last_error.as_deref().unwrap_or_default(),
        };
        let book = &self.shared.limits.health;
        let report = || book.report(&self.service.name, self.endpoint, view, Instant::now());
        (!self.state.retired).then(report)
    }

    /// Looks at what sessions find there, and says that the endpoint has been well for a while, where that is news.
    pub(super) fn look(&self) {
        let (service, endpoint) = (&self.service.name, self.endpoint);
        let (book, so_far) = (&self.shared.limits.health, self.occupancy.openings());
        let mut news = book.look(service, endpoint, so_far, Instant::now());
        if let Some(wait) = news.opened.take() {
            let seconds = wait.as_secs();
            tracing::warn!(%service, %endpoint, seconds, "backend ends new sessions with errors; new ones go elsewhere where they can");
        }
        self.tell(news);
    }

    fn tell(&self, news: News) {
        let (service, endpoint) = (&self.service.name, self.endpoint);
        let error = match self.state.health {
            Health::Suspect => "a PONG is overdue and nothing comes from it",
            Health::Unknown | Health::Up | Health::Down { .. } | Health::Leaving(_) => {
                self.state.last_error.as_deref().unwrap_or_default()
            }
        };
        if let Some(wait) = news.opened {
            // That it is down is the same news.
            let seconds = wait.as_secs();
            return tracing::warn!(%service, %endpoint, error, seconds,
                "backend fails again and again; new sessions go elsewhere where they can");
        }
        if !news.says_health {
            return;
        }
        match &self.state.health {
            Health::Suspect => {
                tracing::warn!(%service, %endpoint, error, "backend is suspect")
            }
            Health::Up | Health::Unknown => {
                tracing::info!(%service, %endpoint, "backend can be reached again")
            }
            Health::Down { .. } if self.state.has_left => {
                tracing::info!(%service, %endpoint, "backend has left, as it has said");
            }
            Health::Down { .. } => {
                tracing::warn!(%service, %endpoint, error, "backend is down");
            }
            Health::Leaving(_) => {
                tracing::info!(%service, %endpoint, "backend takes no new sessions")
            }
        }
    }

    /// Says that a link has ended, where others stand. Where none does the endpoint's health says so, once for all
    /// workers.
    pub(super) fn tell_end(&mut self, slot: &Slot, reason: LinkEnd) {
        let is_loss = slot.state != SlotState::Connecting && self.best().is_some();
        let recent = |at: Instant| at.elapsed() < STABLE;
        let (service, endpoint, reason) = (&self.service.name, self.endpoint, reason.label());
        if is_loss && !self.state.said_loss_at.is_some_and(recent) {
            tracing::info!(%service, %endpoint, reason, "link ended; others stand");
            self.state.said_loss_at = Some(Instant::now());
        } else {
            tracing::debug!(%service, %endpoint, reason, "link ended");
        }
    }

    /// No rule names the endpoint any more, or the gateway ends.
    pub(super) fn forget_health(&self) {
        let (service, endpoint) = (&self.service.name, self.endpoint);
        let book = &self.shared.limits.health;
        book.forget(service, endpoint, self.scope.worker);
    }

    /// The backend has said GOAWAY.
    pub(super) fn set_leaving(&mut self) {
        let service = &self.service.name;
        let mark = self.shared.limits.mark_leaving(service, self.endpoint);
        self.set_health(Health::Leaving(mark));
    }

    /// Another worker has a new link without a GOAWAY: the one that was said here holds no more, although its link may
    /// stand for as long as it has sessions.
    pub(super) fn take_back_goaway(&mut self) {
        let limits = &self.shared.limits;
        let is_leaving = limits.is_leaving(&self.service.name, self.endpoint);
        if matches!(self.state.health, Health::Leaving(_)) && !is_leaving {
            self.set_health(Health::Unknown);
        }
    }

    /// Tells the router whether new sessions should come here.
    pub(super) fn announce(&self) {
        // A router that is just being rebuilt asks.
        self.shared.router.do_send(EndpointHealth {
            service: Arc::clone(&self.service.name),
            endpoint: self.endpoint,
            pool: self.seat.clone(),
            usable: self.state.health.is_usable(),
        });
    }

    /// Returns the wait after `failures` failures in a row: doubling from [`FIRST_BACKOFF`] to the
    /// configured most, less up to half of it at random, so that gateways do not come back in step. The pool that keeps
    /// the endpoint known never waits for longer than the interval of probes, and for as long while no session has
    /// asked.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.min(16).saturating_sub(1));
        let config = &self.scope.config.backend;
        let most = match (self.is_probed(), self.state.is_wanted) {
            (true, true) => config.max_backoff.min(config.probe_interval),
            (true, false) => config.probe_interval,
            (false, _) => config.max_backoff,
        };
        doubled
            .min(most)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The endpoint is down as of now, and is tried again after `wait`; by a retired pool only if somebody waits then.
    pub(super) fn set_down(&mut self, failures: u32, wait: Duration, ctx: &mut Context<Self>) {
        let tried_at = Instant::now();
        let retry_at = tried_at + wait;
        self.set_health(Health::Down {
            failures,
            tried_at,
            retry_at,
        });
        ctx.run_later(wait, |pool, _| pool.retry());
    }

    /// Tries an endpoint that is down sooner than planned, for those who wait.
    pub(super) fn retry_at(&mut self, sooner: Instant, ctx: &mut Context<Self>) {
        // A retired pool's timer does nothing while nobody waits, so it may be over.
        let is_retired = self.state.retired;
        if let Health::Down { retry_at, .. } = &mut self.state.health
            && (sooner < *retry_at || is_retired)
        {
            *retry_at = sooner;
            let wait = sooner.saturating_duration_since(Instant::now());
            ctx.run_later(wait, |pool, _| pool.retry());
        }
    }

    /// Connects again to an endpoint that is down, where it is time.
    pub(super) fn retry(&mut self) {
        // The timer of an attempt that was made sooner finds another plan.
        let is_due = matches!(self.state.health, Health::Down { retry_at, .. } if retry_at <= Instant::now());
        let may = !self.state.retired || !self.state.waiting.is_empty();
        if is_due && may && !self.connecting() && self.open_link().is_err() {
            // Another worker has taken the place; sessions will be sent there.
            self.set_health(Health::Unknown);
            self.state.waiting.clear();
        }
    }

    pub(super) fn breaker(&self) -> Breaker {
        let (service, endpoint) = (&self.service.name, self.endpoint);
        let book = &self.shared.limits.health;
        book.breaker(service, endpoint, Instant::now())
    }

    pub(super) fn backend_health(&self) -> BackendHealth {
        match self.state.health {
            Health::Unknown => BackendHealth::Unknown,
            Health::Up => BackendHealth::Up,
            Health::Suspect => BackendHealth::Suspect,
            Health::Down { .. } => BackendHealth::Down,
            Health::Leaving(_) => BackendHealth::Leaving,
        }
    }
}
