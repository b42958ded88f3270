//! Fill level of a link, which its clients read before they send more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::awaited::AwaitedFrame;
use super::{LinkSnapshot, LinkState, Occupancy, SessionClaim};
use crate::codec::buffers::SCRATCH_BYTES;
use crate::memory::{Meter, Pressure};
use crate::metrics::Count;
use crate::supervision::{ActorId, Kind};

/// Fill level and counters of a link. Senders add what they queue and the link subtracts what it has
/// written, so what lies in the link's mailbox counts too.
#[derive(Debug)]
pub struct Gauge {
    queued: AtomicUsize,
    sessions: AtomicUsize,
    /// Those of the endpoint, of which this link's are a part.
    occupancy: Arc<Occupancy>,
    /// Those who wait for room, and those on their way to wait.
    waiting: AtomicUsize,
    high_watermark: usize,
    /// Of the link's worker.
    meter: Arc<Meter>,
    /// Origin of `Carried::pinged_us`.
    started: Instant,
    /// The link alone writes these.
    pub(super) carried: Carried,
}

/// Counters of a link. Directions are the gateway's.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) frames_in: Count,
    pub(super) frames_out: Count,
    pub(super) bytes_in: Count,
    pub(super) bytes_out: Count,
    /// PINGs among those to the backend, and PONGs among those from it.
    pub(super) pings: Count,
    pub(super) pongs: Count,
    /// The one frame to the backend behind which DATA is awaited.
    pub(super) awaited: AwaitedFrame,
    /// Round trip of the newest PING, in microseconds; 0 while none was answered.
    pub(super) rtt_us: Count,
    /// When the oldest PING that is unanswered was sent, in microseconds since the start; 0: none is.
    pinged_us: Count,
}

impl Gauge {
    pub(super) fn new(
        high_watermark: usize,
        meter: Arc<Meter>,
        occupancy: Arc<Occupancy>,
    ) -> Gauge {
        Gauge {
            queued: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            occupancy,
            waiting: AtomicUsize::new(0),
            high_watermark,
            meter,
            started: Instant::now(),
            carried: Carried::default(),
        }
    }

    /// Returns the link's snapshot; `state` is what the pool or the link itself knows of it.
    pub(in crate::actors) fn snapshot(
        &self,
        link_id: u64,
        worker: usize,
        state: LinkState,
    ) -> LinkSnapshot {
        let carried = &self.carried;
        let id = ActorId {
            kind: Kind::Link,
            number: link_id,
        };
        LinkSnapshot {
            id: id.to_string(),
            worker,
            state,
            sessions: self.sessions() as u64,
            rtt_us: self.rtt_us(),
            ping_age_us: self.ping_age_us(),
            awaited_us: self.awaited_us(),
            silent_us: self.silent_us(),
            queued_bytes: self.queued() as u64,
            frames_in: carried.frames_in.get(),
            frames_out: carried.frames_out.get(),
            bytes_in: carried.bytes_in.get(),
            bytes_out: carried.bytes_out.get(),
        }
    }

    /// Returns how long ago the link was started.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows since when a PING is unanswered.
    pub(super) fn show_ping(&self, oldest: Option<Instant>) {
        let since = |at: Instant| (at - self.started).as_micros().max(1) as u64;
        self.carried.pinged_us.set(oldest.map_or(0, since));
    }

    /// Returns the age of the oldest PING that is unanswered.
    fn ping_age_us(&self) -> Option<u64> {
        let pinged_us = self.carried.pinged_us.get();
        let now = self.started.elapsed().as_micros() as u64;
        (pinged_us > 0).then(|| now.saturating_sub(pinged_us))
    }

    /// Returns the newest round trip, or the one under way where that is longer already: a backend that hangs
    /// must not look as quick as it was.
    fn rtt_us(&self) -> Option<u64> {
        let rtt = Some(self.carried.rtt_us.get()).filter(|rtt| *rtt > 0)?;
        Some(rtt.max(self.ping_age_us().unwrap_or(0)))
    }

    /// Returns the bytes on their way to the backend.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns how many sessions the link has, those that are being attached included.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(in crate::actors) fn session_added(&self, claim: SessionClaim) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        claim.on_link();
    }

    pub(super) fn session_removed(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        self.occupancy.leave(1);
    }

    pub(super) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    pub(super) fn add(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns whether readers ask for memory before they read.
    #[inline]
    pub(super) fn is_scarce(&self) -> bool {
        self.meter.is_scarce()
    }

    /// Returns whether a client may feed the link. While others wait only one whose turn it is may.
    #[inline]
    pub fn has_room(&self, in_turn: bool) -> bool {
        self.queued() < self.watermark() && (in_turn || self.waiting.load(Ordering::Relaxed) == 0)
    }

    /// Returns whether one more of those who wait may go on, where others that bring `promised` bytes have just
    /// been told so.
    pub(super) fn admits(&self, promised: usize) -> bool {
        // Not before a read fits, or half is written where that is less.
        let watermark = self.watermark();
        let reserve = SCRATCH_BYTES.min(watermark / 2);
        self.queued() + promised + reserve <= watermark
    }

    /// Bytes that may wait. While memory is short that is one read: there may be more links than their
    /// watermarks have room for, and a backend that reads does without.
    #[inline]
    fn watermark(&self) -> usize {
        match self.meter.pressure() >= Pressure::Reading {
            true => self.high_watermark.min(SCRATCH_BYTES),
            false => self.high_watermark,
        }
    }

    pub(super) fn waiter_added(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waiters_removed(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        // Of a link that was lost.
        self.occupancy.leave(self.sessions());
    }
}
