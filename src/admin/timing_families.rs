//! The metric families that say how long something took.

use super::family::{
    Family,
    Source::{Timed, Timing, TimingByWorker},
    family,
};

pub(super) const FAMILIES: [Family; 5] = [
    family(
        "route_seconds",
        "Time from a session's wish for a service to its link there, or to the refusal, by outcome",
        Timed("outcome", |m| m.route.iter().collect()),
    ),
    family(
        "connect_seconds",
        "Time from the start of a connection to a backend to its first PONG",
        Timing(|m| &m.connect),
    ),
    family(
        "frame_seconds",
        "Time from the read that brings a frame to the write of its last byte, of one frame in 1,024, by way",
        Timed("way", |m| m.frames.iter().collect()),
    ),
    family(
        "tls_handshake_seconds",
        "Time that completed TLS handshakes with players took",
        Timing(|m| &m.handshake),
    ),
    family(
        "event_loop_lag_seconds",
        "How late the event loop of a worker comes to a timer that is due every 50 ms, by worker",
        TimingByWorker(|m| &m.loop_lag),
    ),
];
