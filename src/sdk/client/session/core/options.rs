//! Bounds of a session.

use std::time::Duration;

use crate::sdk::client::MAX_PAYLOAD;

/// Limit for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
/// Longer than a gateway waits for another one and its backends, whatever its timeouts are.
const RESUME_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of a session. Durations count in whole milliseconds.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Limit for a connection to be made.
    pub connect_timeout: Duration,
    /// Limit for a RESUME to be answered by a gateway that says meanwhile that it lives: it may wait for another
    /// one, and for each backend (protocol 3.2).
    pub resume_timeout: Duration,
    /// Longest random wait before the first attempt to come back, where the gateway gave no advice;
    /// it doubles up to `longest_wait` (protocol 1.4).
    pub first_wait: Duration,
    /// Longest random wait between attempts.
    pub longest_wait: Duration,
    /// Time without a connection after which the session gives up.
    pub give_up_after: Duration,
    /// Silence while something is awaited (a PONG, or that DATA is acknowledged), after which PING asks for a
    /// sign of life; zero: never.
    pub heartbeat: Duration,
    /// Silence while nothing is awaited, after which PING asks; zero: only as the gateway's idle timeout wants.
    pub idle_heartbeat: Duration,
    /// Silence while something is awaited, after which the path is dead and the session resumes.
    pub dead_after: Duration,
    /// Bytes that are kept until the gateway is known to have them. Beyond it the session takes no
    /// more DATA from the application.
    pub max_kept: usize,
    /// Longest payload that is accepted, in bytes.
    pub max_payload: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            connect_timeout: CONNECT_TIMEOUT,
            resume_timeout: RESUME_TIMEOUT,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(30),
            give_up_after: Duration::from_secs(120),
            heartbeat: Duration::from_secs(5),
            idle_heartbeat: Duration::from_secs(15),
            dead_after: Duration::from_secs(10),
            max_kept: 1 << 20,
            max_payload: MAX_PAYLOAD,
        }
    }
}
