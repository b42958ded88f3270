//! The writing end of a connection, and what waits for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::PeerCounts;

/// Bytes that a frame takes beside its own: its place in the queue and its allocation's.
const FRAME_OVERHEAD: usize = 64;

/// The writing end of a connection. Dropped, it ends the connection.
pub(super) struct Wire {
    frames: Option<mpsc::UnboundedSender<Vec<u8>>>,
    queued: Arc<Queued>,
    /// The most bytes that may wait.
    limit: usize,
    ended: Option<oneshot::Receiver<()>>,
    /// Dropped, it ends the connection whatever it is at.
    _alive: oneshot::Sender<()>,
}

/// The end of a connection's own task.
pub(super) struct TaskEnd {
    pub(super) frames: Frames,
    /// Resolves when the writing end is dropped.
    pub(super) gone: oneshot::Receiver<()>,
    /// Dropped when everything is written.
    pub(super) ended: oneshot::Sender<()>,
}

/// Frames that wait to be written.
pub(super) struct Frames {
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<Queued>,
    /// Bytes of the frame that is being written.
    under_way: usize,
}

impl Frames {
    /// Returns the next frame; none when the other end writes no more. It counts until the one after it is asked for.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.queued.remove(std::mem::take(&mut self.under_way));
        let frame = self.frames.recv().await?;
        self.under_way = frame.capacity() + FRAME_OVERHEAD;
        Some(frame)
    }
}

impl Wire {
    /// Makes both ends of a queue of `limit` bytes.
    pub(super) fn new(limit: usize, counts: &Arc<PeerCounts>) -> (Wire, TaskEnd) {
        let (sender, frames) = mpsc::unbounded_channel();
        let (alive, gone) = oneshot::channel();
        let (ended, ends) = oneshot::channel();
        let queued = Arc::new(Queued {
            own: AtomicUsize::new(0),
            all: Arc::clone(counts),
        });
        let wire = Wire {
            frames: Some(sender),
            queued: Arc::clone(&queued),
            limit,
            ended: Some(ends),
            _alive: alive,
        };
        let frames = Frames {
            frames,
            queued,
            under_way: 0,
        };
        let task = TaskEnd {
            frames,
            gone,
            ended,
        };
        (wire, task)
    }

    /// Queues a frame; `false`: too much waits already.
    pub(super) fn write(&self, frame: Vec<u8>) -> bool {
        let Some(frames) = &self.frames else {
            return true; // The process ends; those who wait learn it from the lost connection.
        };
        if self.queued() >= self.limit {
            return false;
        }
        self.queued.add(frame.capacity() + FRAME_OVERHEAD);
        frames.send(frame).is_ok()
    }

    /// Bytes that wait to be written.
    pub(super) fn queued(&self) -> usize {
        self.queued.own.load(Ordering::Relaxed)
    }

    /// Nothing more is written. Resolves when all that was is.
    pub(super) fn finish(&mut self) -> impl Future<Output = ()> + use<> {
        self.frames = None;
        let ended = self.ended.take();
        async move {
            if let Some(ended) = ended {
                let _ = ended.await;
            }
        }
    }
}

/// Bytes that wait on a connection, which count among those of all.
struct Queued {
    own: AtomicUsize,
    all: Arc<PeerCounts>,
}

impl Queued {
    fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.queue(bytes);
    }

    fn remove(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.unqueue(bytes);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.all.unqueue(self.own.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, MemoryBudget, Part};

    #[actix::test]
    async fn what_waits_is_bounded_and_forgotten_with_the_connection() {
        let budget = MemoryBudget::new(1 << 20, 1);
        memory::count_on_this_thread(budget.gateway());
        let held = || budget.gateway().part(Part::Peers);
        let counts = Arc::<PeerCounts>::default();
        let (wire, mut task) = Wire::new(100 + FRAME_OVERHEAD, &counts);
        // A last frame may go over it.
        assert!(wire.write(vec![0; 99]) && wire.write(vec![0; 50]));
        assert!(!wire.write(vec![0; 1]));
        let both = 149 + 2 * FRAME_OVERHEAD;
        assert_eq!((counts.queued_bytes(), held()), (both, both as i64));
        // What is being written still counts.
        assert_eq!(task.frames.next().await, Some(vec![0; 99]));
        assert_eq!(counts.queued_bytes(), both);
        assert_eq!(task.frames.next().await, Some(vec![0; 50]));
        assert!(wire.write(vec![0; 1]));
        assert_eq!(counts.queued_bytes(), 51 + 2 * FRAME_OVERHEAD);
        drop(wire);
        drop(task);
        assert_eq!((counts.queued_bytes(), held()), (0, 0));
    }
}
