//! Bounds of a session.

use std::time::Duration;

use crate::sdk::client::MAX_PAYLOAD;

/// Longer than a gateway waits for another one and its backends, at its defaults.
const RESUME_TIMEOUT: Duration = Duration::from_secs(12);

/// Bounds of a session. Durations count in whole milliseconds.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Limit for a connection to be made, and for a RESUME to be answered: a gateway may wait six
    /// seconds for another one, and two for each backend (protocol 3.2).
    pub connect_timeout: Duration,
    /// Longest random wait before the first attempt to come back, where the gateway gave no advice;
    /// it doubles up to `longest_wait` (protocol 1.4).
    pub first_wait: Duration,
    /// Longest random wait between attempts.
    pub longest_wait: Duration,
    /// Time without a connection after which the session gives up.
    pub give_up_after: Duration,
    /// Silence while a PING is unanswered, after which the connection counts as broken.
    pub pong_timeout: Duration,
    /// Bytes that are kept until the gateway is known to have them. Beyond it the session takes no
    /// more DATA from the application.
    pub max_kept: usize,
    /// Longest payload that is accepted, in bytes.
    pub max_payload: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            connect_timeout: RESUME_TIMEOUT,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(30),
            give_up_after: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(10),
            max_kept: 1 << 20,
            max_payload: MAX_PAYLOAD,
        }
    }
}
