//! The way from clients to the actor, and what is counted of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::neighbours::NeighboursNow;
use super::{
    AskGateway, Call, CancelCall, Neighbours, NoAnswer, PeerAnswer, PeerResponse, Peers, Reply,
};
use crate::codec::peer::{PeerGateway, ToOwner};
use crate::labels::labels;
use crate::memory::{self, Part};
use crate::metrics::Labelled;
use crate::net::peer::HandshakeFailure;
use crate::supervision::Seat;

/// End of a call that a client of this gateway has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/metrics.md describes each")]
pub enum CallEnd {
    HandedOver,
    Moved,
    Busy,
    NotGood,
    Unknown,
    Refused,
    Ended,
    GivenUp,
    Lost,
}

labels!(CallEnd {
    HandedOver => "handed_over",
    Moved => "moved",
    Busy => "busy",
    NotGood => "not_good",
    Unknown => "unknown",
    Refused => "refused",
    Ended => "ended",
    GivenUp => "given_up",
    Lost => "lost",
});

/// The way to the other gateways. Without one nobody is there.
#[derive(Debug, Clone, Default)]
pub struct Peering {
    /// This gateway, as others name it.
    pub(super) own: Option<Arc<PeerGateway>>,
    seat: Seat<Peers>,
    counts: Arc<PeerCounts>,
    neighbours: NeighboursNow,
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
            neighbours: NeighboursNow::default(),
        }
    }

    /// The addresses of other gateways, as they are known now.
    pub fn neighbours(&self) -> Arc<Neighbours> {
        self.neighbours.load_full()
    }

    pub(super) fn neighbours_now(&self) -> &NeighboursNow {
        &self.neighbours
    }

    /// Asks another gateway for an operator.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub async fn ask(&self, ask: AskGateway) -> Result<PeerAnswer, NoAnswer> {
        let answer = self.seat.send(ask).await;
        answer.unwrap_or(Err(NoAnswer::Unreachable))
    }

    /// This gateway, as others name it; none where the channel is off.
    pub fn own(&self) -> Option<&PeerGateway> {
        self.own.as_deref()
    }

    /// The actor's seat.
    pub fn seat(&self) -> &Seat<Peers> {
        &self.seat
    }

    /// Returns the counters.
    pub fn counts(&self) -> &Arc<PeerCounts> {
        &self.counts
    }

    /// Says something to another gateway. Where nobody is there to do so, the client hears that.
    pub fn call(&self, call: Call) {
        let (client, number) = (call.client.clone(), call.call);
        let asks = matches!(call.say, ToOwner::Ask { .. });
        if !self.seat.do_send(call) {
            if asks {
                self.counts.made();
                self.counts.ended(CallEnd::Lost);
            }
            client.do_send(PeerResponse {
                call: number,
                said: None,
                held: None,
            });
        }
    }

    /// Answers another gateway. Where nobody is there to do so, its connection is lost too.
    pub fn reply(&self, reply: Reply) {
        self.seat.do_send(reply);
    }

    /// Nothing more is said.
    pub fn cancel(&self, cancel: CancelCall) {
        self.seat.do_send(cancel);
    }
}

/// Counters of the peer channel.
#[derive(Debug, Default)]
pub struct PeerCounts {
    generation: AtomicU64,
    connections: AtomicUsize,
    made: AtomicU64,
    served: AtomicU64,
    skipped: AtomicU64,
    queued: AtomicUsize,
    ended_for_memory: AtomicU64,
    failures: Labelled<HandshakeFailure>,
    ends: Labelled<CallEnd>,
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

    /// Counts bytes that wait to be written from now on.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        memory::count(Part::Peers, 0, bytes);
    }

    /// Counts bytes that wait no more.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        memory::count(Part::Peers, bytes, 0);
    }

    /// Counts a connection that ends because memory is short.
    pub(super) fn ended_for_memory(&self) {
        self.ended_for_memory.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a handshake that has failed, or was not begun.
    pub(super) fn failed(&self, why: HandshakeFailure) {
        self.failures.add_shared(why, 1);
    }

    /// Counts a call that was made here and is over.
    pub(super) fn ended(&self, how: CallEnd) {
        self.ends.add_shared(how, 1);
    }

    /// Connections to and from other gateways, those that are being made included.
    pub fn connections_now(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Bytes that wait to be written to other gateways.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Calls that clients of this gateway have made.
    pub fn calls_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Calls of other gateways.
    pub fn calls_served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Connections that have ended because memory was short.
    pub fn connections_ended_for_memory(&self) -> u64 {
        self.ended_for_memory.load(Ordering::Relaxed)
    }

    /// Frames of kinds that this version does not know, or that the other end should not send.
    pub fn frames_skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the failed handshakes by reason.
    pub fn handshake_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.failures.iter()
    }

    /// Returns how the calls of this gateway's clients have ended.
    pub fn calls_ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.ends.iter()
    }
}
