//! Fill level of a link, which its clients read before they send more.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{LinkSnapshot, LinkState};
use crate::metrics::Count;
use crate::supervision::{ActorId, Kind};

/// Fill level and counters of a link. Senders add what they queue and the link subtracts what it has
/// written, so what lies in the link's mailbox counts too.
#[derive(Debug)]
pub struct Gauge {
    queued: AtomicUsize,
    sessions: AtomicUsize,
    high_watermark: usize,
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
    /// Round trip of the newest PING, in microseconds; 0 while none was answered.
    pub(super) rtt_us: Count,
}

impl Gauge {
    pub(super) fn new(high_watermark: usize) -> Gauge {
        Gauge {
            queued: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            high_watermark,
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
            rtt_us: Some(carried.rtt_us.get()).filter(|rtt| *rtt > 0),
            queued_bytes: self.queued() as u64,
            frames_in: carried.frames_in.get(),
            frames_out: carried.frames_out.get(),
            bytes_in: carried.bytes_in.get(),
            bytes_out: carried.bytes_out.get(),
        }
    }

    /// Returns the bytes on their way to the backend.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns how many sessions the link has, those that are being attached included.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(in crate::actors) fn session_added(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn session_removed(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns whether clients that feed the link must wait.
    pub fn is_full(&self) -> bool {
        self.queued() > self.high_watermark
    }

    /// Returns whether those that wait may go on.
    pub(super) fn has_room(&self) -> bool {
        self.queued() <= self.high_watermark / 2
    }
}
