//! The metric families of the peer channel.

use super::family::{
    Family,
    Source::{Status, StatusCounter, StatusReasons},
    family,
};

pub(super) const FAMILIES: [Family; 8] = [
    family(
        "peer_connections",
        "Connections to and from other gateways, those that are being made included",
        Status(|s| s.peers.connections_now() as u64),
    ),
    family(
        "peer_queued_bytes",
        "Bytes that wait to be written to other gateways",
        Status(|s| s.peers.queued_bytes() as u64),
    ),
    family(
        "peer_handshake_failures",
        "Connections to and from other gateways that did not come about, by reason",
        StatusReasons(|s| s.peers.handshake_failures().collect()),
    ),
    family(
        "peer_calls_made",
        "Times that another gateway was asked for a session, or told that it was passed over",
        StatusCounter(|s| s.peers.calls_made()),
    ),
    family(
        "peer_calls_ended",
        "Times that another gateway was asked for a session and that are over, by how",
        StatusReasons(|s| s.peers.calls_ended().collect()),
    ),
    family(
        "peer_calls_served",
        "Times that another gateway has asked for a session",
        StatusCounter(|s| s.peers.calls_served()),
    ),
    family(
        "peer_connections_ended_for_memory",
        "Connections to and from other gateways that have ended because memory was short",
        StatusCounter(|s| s.peers.connections_ended_for_memory()),
    ),
    family(
        "peer_frames_skipped",
        "Frames of other gateways that this one does not know, or that they should not send",
        StatusCounter(|s| s.peers.frames_skipped()),
    ),
];
