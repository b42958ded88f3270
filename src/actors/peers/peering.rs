//! The way from clients to the actor, and what is counted of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Call, HangUp, Heard, PeerGateway, Peers, Reply};
use crate::actors::life::Seat;
use crate::codec::peer::ToHolder;

/// Why handshakes fail.
pub const HANDSHAKE_FAILURES: [&str; 7] = [
    "io",
    "malformed",
    "version",
    "no_common_key",
    "no_proof",
    "crowded",
    "other",
];

/// How calls that clients of this gateway have made ended.
pub const CALL_ENDS: [&str; 9] = [
    "handed_over",
    "moved",
    "busy",
    "not_good",
    "unknown",
    "refused",
    "ended",
    "given_up",
    "lost",
];

/// The way to the other gateways. Without one nobody is there.
#[derive(Debug, Clone, Default)]
pub struct Peering {
    /// This gateway, as others name it.
    pub(super) own: Option<Arc<PeerGateway>>,
    seat: Seat<Peers>,
    counts: Arc<PeerCounts>,
}

impl Peering {
    /// The way to the actor that will be in this seat.
    pub(super) fn new(
        own: Arc<PeerGateway>,
        seat: Seat<Peers>,
        counts: Arc<PeerCounts>,
    ) -> Peering {
        Peering {
            own: Some(own),
            seat,
            counts,
        }
    }

    /// This gateway, as others name it; none where the channel is off.
    pub fn own(&self) -> Option<&PeerGateway> {
        self.own.as_deref()
    }

    /// The actor's seat.
    pub fn seat(&self) -> &Seat<Peers> {
        &self.seat
    }

    /// What is counted.
    pub fn counts(&self) -> &Arc<PeerCounts> {
        &self.counts
    }

    /// Says something to another gateway. Where nobody is there to do so, the client hears that.
    pub fn call(&self, call: Call) {
        let (client, number) = (call.client.clone(), call.call);
        let asks = matches!(call.say, ToHolder::Ask { .. });
        if !self.seat.do_send(call) {
            if asks {
                self.counts.made();
                self.counts.ended("lost");
            }
            client.do_send(Heard {
                call: number,
                said: None,
            });
        }
    }

    /// Answers another gateway. Where nobody is there to do so, its connection is lost too.
    pub fn reply(&self, reply: Reply) {
        self.seat.do_send(reply);
    }

    /// Nothing more is said.
    pub fn hang_up(&self, hang_up: HangUp) {
        self.seat.do_send(hang_up);
    }
}

/// What is counted of the peer channel.
#[derive(Debug, Default)]
pub struct PeerCounts {
    generation: AtomicU64,
    connections: AtomicUsize,
    made: AtomicU64,
    served: AtomicU64,
    skipped: AtomicU64,
    failures: [AtomicU64; HANDSHAKE_FAILURES.len()],
    ends: [AtomicU64; CALL_ENDS.len()],
}

impl PeerCounts {
    /// An actor begins.
    pub(super) fn begin(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn connections(&self, now: usize) {
        self.connections.store(now, Ordering::Relaxed);
    }

    pub(super) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A handshake has failed, or was not begun.
    pub(super) fn failed(&self, why: &str) {
        let known = HANDSHAKE_FAILURES.iter().position(|name| *name == why);
        let place = known.unwrap_or(HANDSHAKE_FAILURES.len() - 1);
        self.failures[place].fetch_add(1, Ordering::Relaxed);
    }

    /// A call that was made here is over.
    pub(super) fn ended(&self, how: &str) {
        if let Some(place) = CALL_ENDS.iter().position(|name| *name == how) {
            self.ends[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections to and from other gateways, those that are being made included.
    pub fn connections_now(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Calls that clients of this gateway have made.
    pub fn calls_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Calls of other gateways.
    pub fn calls_served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Frames of kinds that this version does not know, or that the other end should not send.
    pub fn frames_skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Failed handshakes, by why.
    pub fn handshake_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failures.iter().map(|n| n.load(Ordering::Relaxed));
        HANDSHAKE_FAILURES.into_iter().zip(counts)
    }

    /// Calls that clients of this gateway have made and that are over, by how.
    pub fn calls_ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.ends.iter().map(|n| n.load(Ordering::Relaxed));
        CALL_ENDS.into_iter().zip(counts)
    }
}
