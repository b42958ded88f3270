//! The metric families that say how long something took.

use super::family::{
    Family,
    Source::{Timed, Timing, TimingByWorker},
    family,
};

pub(super) const FAMILIES: [Family; 9] = [
    family(
        "route_seconds",
        "Time from a session's wish for a service to its link there, or to the refusal, by outcome",
        Timed("outcome", |m| m.route.iter().collect()),
    ),
    family(
        "assignment_lookup_seconds",
        "Time of the look-up of a user's assignment in Redis for a session that waits for it, by outcome",
        Timed("outcome", |m| m.looked_up.iter().collect()),
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
        "resume_seconds",
        "Time from a RESUME that has found its session, or found it elsewhere, to the session that goes on",
        Timing(|m| &m.resume),
    ),
    family(
        "handover_seconds",
        "Time from another gateway's claim of a session, from which on its player is not read, to the handover",
        Timing(|m| &m.handover),
    ),
    family(
        "move_seconds",
        "Time from CLOSE 307 to the old backend to the end of a move, whatever that was",
        Timing(|m| &m.moving),
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
