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
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::{BackendHealth, BackendPool, Breaker, EndpointHealth, LeavingMark};

/// First wait after a failure; it doubles up to `backend.max_backoff`.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) enum Health {
    #[default]
    Unknown,
    Up,
    /// Linked, but a PONG is overdue on every link and nothing comes.
    Suspect,
    Down {
        failures: u32,
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
        let before = std::mem::replace(&mut self.state.health, health);
        let health = &self.state.health;
        // What stays the same is said once; that a suspect is down is news.
        let was_suspect = matches!(before, Health::Suspect);
        if before.is_usable() == health.is_usable() && !was_suspect {
            return;
        }
        let (service, endpoint) = (&self.service.name, self.endpoint);
        match health {
            Health::Suspect => {
                tracing::warn!(%service, %endpoint, "backend is suspect: a PONG is overdue and nothing comes from it")
            }
            Health::Up | Health::Unknown => {
                tracing::info!(%service, %endpoint, "backend can be reached again")
            }
            Health::Down { .. } => {
                let error = self.state.last_error.as_deref().unwrap_or_default();
                tracing::warn!(%service, %endpoint, error, "backend is down");
            }
            Health::Leaving(_) => {
                tracing::info!(%service, %endpoint, "backend takes no new sessions")
            }
        }
        self.announce();
    }

    /// The backend has said GOAWAY.
    pub(super) fn set_leaving(&mut self) {
        let service = &self.service.name;
        let mark = self.shared.limits.mark_leaving(service, self.endpoint);
        self.set_health(Health::Leaving(mark));
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
    /// configured most, less up to half of it at random, so that gateways do not come back in step.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.min(16).saturating_sub(1));
        let most = doubled.min(self.scope.config.backend.max_backoff);
        most.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Connects again to an endpoint that is down.
    pub(super) fn retry(&mut self) {
        let due = matches!(self.state.health, Health::Down { .. }) && !self.connecting();
        if due && !self.state.retired && self.open_link().is_err() {
            // Another worker has taken the place; sessions will be sent there.
            self.set_health(Health::Unknown);
        }
    }

    pub(super) fn breaker(&self) -> Breaker {
        match self.state.health {
            Health::Unknown | Health::Up | Health::Suspect => Breaker::Closed,
            Health::Down { .. } if self.connecting() => Breaker::HalfOpen,
            Health::Down { .. } | Health::Leaving(_) => Breaker::Open,
        }
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
