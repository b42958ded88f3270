//! What a core is bounded by.

use super::Millis;

/// Bounds and durations that the core keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `session.max_services`.
    pub max_services: u8,
    /// `session.trust_client_ids`.
    pub trust_client_ids: bool,
    /// `session.idle_timeout`.
    pub idle_timeout: Millis,
    /// `session.resume_window`; zero: no session can be resumed.
    pub resume_window: Millis,
    /// `backend.connect_timeout`: what a backend has for ACCEPT, and for CLOSE 307.
    pub connect_timeout: Millis,
    /// `session.replay_bytes`.
    pub replay_bytes: usize,
    /// `session.outbound_queue`, in bytes.
    pub outbound_queue: usize,
}

impl Limits {
    /// Returns the timeout for answers of peer gateways (protocol 3.2, case 3).
    pub fn peer_timeout(&self) -> Millis {
        3 * self.connect_timeout
    }
}
