//! A session's hold on a link. While it lives the link delivers to the session; when it is dropped,
//! by whatever path, the backend gets its one final CLOSE.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Message;

use super::Link;
use super::messages::{Confirm, Leave, Reopen, Suspend};
use crate::actors::link::{LinkSnapshot, LinkState};
use crate::codec::code::Code;
use crate::metrics::Count;
use crate::session::core::Hold;
use crate::supervision::Kind;
use crate::supervision::{ActorId, CountedAddr, SeatRecipient};

/// How full a link is, and what it has carried. Whoever queues adds, the link subtracts what it has
/// written; so what lies in the link's mailbox counts too.
#[derive(Debug)]
pub struct Gauge {
    queued: AtomicUsize,
    sessions: AtomicUsize,
    high_watermark: usize,
    /// The link alone writes these.
    pub(super) carried: Carried,
}

/// What a link has carried. Directions are the gateway's.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) frames_in: Count,
    pub(super) frames_out: Count,
    pub(super) bytes_in: Count,
    pub(super) bytes_out: Count,
    /// Microseconds; 0: not known yet.
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

    /// How the link is, as its pool or it itself sees its state.
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

    /// Bytes on their way to the backend.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Sessions on this link, those that are being attached included.
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

    /// Whether clients that feed the link must wait.
    pub fn is_full(&self) -> bool {
        self.queued() > self.high_watermark
    }

    /// Whether those that wait may go on.
    pub(super) fn has_room(&self) -> bool {
        self.queued() <= self.high_watermark / 2
    }
}

/// Frames of one socket read of one client, already encoded for the link.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forward {
    /// Whole link frames.
    pub bytes: Vec<u8>,
    /// How many.
    pub frames: u32,
}

/// The session waits for the link to have room; it is told by [`LinkEvent::Room`].
///
/// [`LinkEvent::Room`]: super::LinkEvent::Room
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitRoom {
    /// The session that waits.
    pub session_id: u64,
}

/// The session's realm has changed; frames to the client name the new one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Retag {
    /// The session.
    pub session_id: u64,
    /// Its realm from now on.
    pub realm_id: u32,
}

/// The session leaves the link for good. Sent by a [`Lease`] that is dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Release {
    /// The session.
    pub session_id: u64,
    /// The code of the final CLOSE; none where the backend has ended the session itself.
    pub code: Option<Code>,
}

/// A session is over whose link was lost before. Sent to the pool by a [`Lease`] that is dropped: the
/// backend may have other links of this gateway and still keep the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OwedClose {
    /// The session.
    pub session_id: u64,
    /// The code of the final CLOSE.
    pub code: Code,
}

/// What all leases of one link share, so that a lease itself is small.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) link: CountedAddr<Link>,
    pub(super) pool: SeatRecipient<OwedClose>,
    pub(super) link_id: u64,
    pub(super) endpoint: SocketAddr,
    pub(super) gauge: Arc<Gauge>,
}

/// A session's hold on a link.
#[derive(Debug)]
pub struct Lease {
    anchor: Arc<Anchor>,
    session_id: u64,
    final_code: Code,
    /// No final CLOSE is owed.
    silent: bool,
}

impl Lease {
    pub(super) fn new(anchor: Arc<Anchor>, session_id: u64) -> Lease {
        Lease {
            anchor,
            session_id,
            // What a backend is told when nobody got to say why: the client's actor panicked.
            final_code: Code::INTERNAL,
            silent: false,
        }
    }
}

impl Hold for Lease {
    fn link_id(&self) -> u64 {
        self.anchor.link_id
    }

    fn endpoint(&self) -> SocketAddr {
        self.anchor.endpoint
    }

    #[inline]
    fn forward(&self, bytes: Vec<u8>, frames: u32) {
        self.anchor.gauge.add(bytes.len());
        self.anchor.link.do_send(Forward { bytes, frames });
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.anchor.gauge.is_full()
    }

    fn await_room(&self) {
        let session_id = self.session_id;
        self.anchor.link.do_send(AwaitRoom { session_id });
    }

    fn retag(&self, realm_id: u32) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Retag {
            session_id,
            realm_id,
        });
    }

    fn reopen(&self, open: Vec<u8>) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Reopen { session_id, open });
    }

    fn suspend(&self, window_ms: u32) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Suspend {
            session_id,
            window_ms,
        });
    }

    fn confirm(&self) {
        let session_id = self.session_id;
        self.anchor.link.do_send(Confirm { session_id });
    }

    fn leave(&mut self) {
        self.silent = true;
        let session_id = self.session_id;
        self.anchor.link.do_send(Leave { session_id });
    }

    fn silence(&mut self) {
        self.silent = true;
    }

    fn set_final_code(&mut self, code: Code) {
        self.final_code = code;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session_id = self.session_id;
        let code = (!self.silent).then_some(self.final_code);
        if self.anchor.link.connected() {
            self.anchor.link.do_send(Release { session_id, code });
        } else if let Some(code) = code {
            // Lost where the pool is just being rebuilt; then the backend ends the session by itself
            // when its resume window is over.
            self.anchor.pool.do_send(OwedClose { session_id, code });
        }
    }
}
