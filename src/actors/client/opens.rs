//! OPENs on a session's way to a link, for spans.

use std::net::SocketAddr;

use super::ClientStats;
use crate::telemetry::{UnixNanos, now};

/// The OPENs of one way to a link.
#[derive(Debug, Default)]
pub(super) struct Opens(Option<Vec<OpenSpan>>);

#[derive(Debug)]
pub(super) struct OpenSpan {
    pub(super) endpoint: SocketAddr,
    pub(super) times: (UnixNanos, UnixNanos),
    pub(super) error: Option<&'static str>,
}

impl Opens {
    /// Notes OPENs of a client that has spans, and none of another.
    pub(super) fn of(stats: &ClientStats) -> Opens {
        Opens(stats.has_spans().then(Vec::new))
    }

    /// Returns when an OPEN begins, where that is noted.
    pub(super) fn begins(&self) -> UnixNanos {
        self.0.as_ref().map_or(0, |_| now())
    }

    /// Returns those that were noted.
    pub(super) fn into_all(self) -> impl Iterator<Item = OpenSpan> {
        self.0.into_iter().flatten()
    }

    /// Notes an OPEN that has ended.
    pub(super) fn ended(
        &mut self,
        began: UnixNanos,
        endpoint: SocketAddr,
        error: Option<&'static str>,
    ) {
        if let Some(all) = &mut self.0 {
            let times = (began, now());
            all.push(OpenSpan {
                endpoint,
                times,
                error,
            });
        }
    }
}
