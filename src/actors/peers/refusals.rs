//! Handshakes that fail because of what the other end is: one log line at once, then one a minute for all of them.

use std::time::{Duration, Instant};

use super::Peers;
use crate::net::peer::HandshakeFailure;

/// Interval of log lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Refused connections that the log has not been told of.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: Option<Instant>,
    untold: u64,
    newest: String,
}

/// A log line that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Refused connections since the line before.
    pub(super) connections: u64,
    /// Error of the newest one.
    pub(super) newest: String,
}

impl Refusals {
    /// Counts a refused connection.
    pub(super) fn count(&mut self, error: String) {
        self.untold += 1;
        self.newest = error;
    }

    /// Returns what is to be logged now, if anything is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Summary> {
        let early = self.told.is_some_and(|told| now < told + INTERVAL);
        if self.untold == 0 || early {
            return None;
        }
        self.told = Some(now);
        Some(Summary {
            connections: std::mem::take(&mut self.untold),
            newest: std::mem::take(&mut self.newest),
        })
    }
}

/// Tells whether somebody should know: a stranger, another deployment, an address that is somebody else's. Gateways
/// that cannot be reached are no news, nor are probes that only connect.
pub(super) fn is_news(failure: HandshakeFailure) -> bool {
    match failure {
        HandshakeFailure::Malformed
        | HandshakeFailure::Version
        | HandshakeFailure::NoCommonKey
        | HandshakeFailure::NoProof
        | HandshakeFailure::WrongGateway
        | HandshakeFailure::Other => true,
        HandshakeFailure::Io | HandshakeFailure::Crowded => false,
    }
}

impl Peers {
    /// Logs what was refused, at most once a minute.
    pub(super) fn tell_refusals(&mut self) {
        if let Some(refused) = self.refusals.due(Instant::now()) {
            tracing::warn!(
                connections = refused.connections,
                newest = refused.newest,
                "connections of the peer channel were refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_at_once_and_then_one_a_minute() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let summary = |connections, newest: &str| {
            let newest = newest.to_owned();
            Some(Summary {
                connections,
                newest,
            })
        };
        assert_eq!(refusals.due(start), None);
        refusals.count("first".into());
        assert_eq!(refusals.due(start), summary(1, "first"));
        for _ in 0..1000 {
            refusals.count("more".into());
            assert_eq!(refusals.due(start + INTERVAL / 2), None);
        }
        refusals.count("last".into());
        assert_eq!(refusals.due(start + INTERVAL), summary(1001, "last"));
        assert_eq!(refusals.due(start + INTERVAL * 2), None);
    }
}
