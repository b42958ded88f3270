//! The memory that a client holds, and what it does when memory is short.
//!
//! Hot path: [`Client::count_memory`] runs behind every poll.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{Client, ClientEvent, Connection, Squeeze, WorkerScope};
use crate::codec::buffers;
use crate::codec::peer::Handover;
use crate::codec::{Decoded, client};
use crate::history::Happening;
use crate::memory::{self, Held, Meter, Part, Pressure};
use crate::session::closing::Closing;
use crate::supervision::{Pumped, Receive};

/// Interval of the signs of life to a player who is held back (protocol 1.2).
const HELD_BACK: Duration = Duration::from_secs(5);

/// Bounds that the clients of a worker keep while memory is short, in bytes.
#[derive(Debug)]
pub struct Caps {
    /// A replay ring.
    pub ring: Cell<u32>,
    /// What a client may hold and still be read.
    pub reading: Cell<u32>,
    /// The second in which clients last looked for parts of frames.
    pub parts_looked_at: Cell<u64>,
    /// Queues were ended at the last look.
    pub queues_ended: Cell<bool>,
    /// There was no room for what a client would have read.
    pub refused: Cell<bool>,
    /// How many clients are passed over by those who may ask again next.
    pub turn: Cell<usize>,
}

/// Whoever holds no more than this is read, in bytes.
pub const LEAST_READING: u32 = 64 * 1024;
/// The same while queues are ended.
pub const LEAST_WHILE_QUEUES_END: u32 = 4 * 1024;
/// Bytes by which a buffer for a frame grows while memory is scarce, or an eighth of what it has.
const SCARCE_STEP: usize = 64 * 1024;
/// A cut of a replay ring by fewer bytes is not remembered: that would take more memory than it gives back.
const LEAST_NOTED: usize = 1024;
/// There is no bound.
pub const UNCAPPED: u32 = u32::MAX;

impl Default for Caps {
    fn default() -> Caps {
        let uncapped = || Cell::new(UNCAPPED);
        Caps {
            ring: uncapped(),
            reading: uncapped(),
            parts_looked_at: Cell::new(0),
            queues_ended: Cell::new(false),
            refused: Cell::new(false),
            turn: Cell::new(0),
        }
    }
}

#[inline]
fn count(meter: &Meter, part: Part, figure: &Cell<u32>, bytes: usize) -> u32 {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    meter.moves(part, figure.replace(bytes) as usize, bytes as usize);
    bytes
}

impl Client {
    /// Counts what the client holds, its replay ring aside.
    #[inline]
    pub(super) fn count_memory(&mut self) {
        let input = self.inbox.capacity() + self.core.waiting_bytes();
        let (queue, socket) = (self.outbox.held(), self.socket.buffers());
        // Most polls leave nothing behind.
        if !self.stats.held.is(queue, input, socket) {
            let (meter, held) = (&self.shared.scope.meter, &self.stats.held);
            count(meter, Part::ClientQueues, &held.queue, queue);
            count(meter, Part::ClientInput, &held.input, input);
            count(meter, Part::Sockets, &held.socket, socket);
            held.idle_kib.set(self.socket.idle_kib());
        }
        if self.shared.scope.meter.take_alarm() {
            self.shared.tell_worker(ClientEvent::ShortOfMemory);
        }
    }

    /// Performs `work`, in which what has come from the player may become a link's. It is counted there before this
    /// client counts again: meanwhile it must neither count twice nor be another thread's.
    pub(super) fn passing_on<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let meter = Arc::clone(&self.shared.scope.meter);
        meter.exchange(|| {
            count(&meter, Part::ClientInput, &self.stats.held.input, 0);
            let result = work(self);
            self.count_memory();
            result
        })
    }

    /// Performs `work`, in which what was queued for the player becomes another holder's, and is counted there.
    pub(super) fn passing_queue<R>(&self, work: impl FnOnce(&Rc<WorkerScope>) -> R) -> R {
        let meter = &self.shared.scope.meter;
        meter.exchange(|| {
            count(meter, Part::ClientQueues, &self.stats.held.queue, 0);
            work(&self.shared)
        })
    }

    /// Counts what the session's replay ring has gained or lost.
    #[inline]
    pub(super) fn count_replay(&mut self) {
        let bytes = self.core.replay_bytes();
        let (meter, replay) = (&self.shared.scope.meter, &self.stats.held.replay);
        let before = replay.get();
        if bytes != before as usize {
            let bytes = count(meter, Part::Replay, replay, bytes);
            let cap = self.shared.caps.ring.get();
            if bytes > cap {
                self.squeeze_ring(cap);
            }
        }
    }

    /// Lets the replay ring, which is to take so many bytes more, not grow where there is no room for that.
    #[cold]
    pub(super) fn bound_ring(&mut self, bytes: usize) {
        let has = self.core.replay_bytes();
        // It doubles.
        let growth = bytes.max(has);
        if self.core.has_ring() && !self.shared.scope.meter.admits(growth) {
            self.squeeze_ring(u32::try_from(has).unwrap_or(u32::MAX));
        }
    }

    /// Takes a session that is handed over without its ring where there is no room for that: in the ring of this
    /// client, and on the way to its player.
    pub(super) fn bound_handover(&self, handed: &mut Handover) {
        let (bytes, meter) = (3 * handed.ring.len(), &self.shared.scope.meter);
        let asks = bytes > memory::SMALL || meter.is_scarce();
        if asks && !meter.admits(bytes) {
            handed.ring = Vec::new();
            handed.gap = true;
        }
    }

    /// Counts what a link has delivered as this client's own, once what is queued keeps no buffer much larger.
    #[inline]
    pub(super) fn take_over(&mut self, held: Held) {
        let bytes = held.bytes();
        if bytes > memory::STEP as usize || self.shared.scope.meter.is_scarce() {
            self.outbox.compact();
            let meter = Arc::clone(&self.shared.scope.meter);
            meter.exchange(|| {
                held.release(&meter);
                self.count_memory();
            });
        } else {
            held.release(&self.shared.scope.meter);
        }
    }

    #[cold]
    fn squeeze_ring(&mut self, cap: u32) {
        let before = self.core.replay_bytes();
        self.core.squeeze_replay(cap as usize);
        let held = &self.stats.held;
        held.squeezed.set(true);
        self.shared.scope.metrics.rings_squeezed.one();
        let bytes = self.core.replay_bytes();
        if before.saturating_sub(bytes) >= LEAST_NOTED {
            self.happened(Happening::RingCut);
        }
        count(&self.shared.scope.meter, Part::Replay, &held.replay, bytes);
    }

    /// Tells whether the player is not read because of the memory that the client holds, or because there is no
    /// room for what would be read.
    #[inline]
    pub(super) fn is_held_back(&mut self) -> bool {
        self.shared.scope.meter.is_scarce() && self.look_at_cap()
    }

    #[cold]
    fn look_at_cap(&mut self) -> bool {
        // What an earlier read of this poll has brought.
        self.count_memory();
        // Frames wait for links in buffers that double.
        let lacking = memory::SMALL + self.core.waiting_bytes();
        let (meter, reading) = (&self.shared.scope.meter, &self.shared.caps.reading);
        let lacks_rest = self.lacks_rest();
        let queues_end = meter.pressure() == Pressure::Queues;
        if queues_end {
            // At once: before the worker has looked, all of them could read on.
            reading.set(reading.get().min(LEAST_WHILE_QUEUES_END));
        }
        let is_over = match lacks_rest {
            // Only the rest of its frame lets it give back what it holds.
            true => queues_end,
            false => self.holds_now() > reading.get() as usize,
        };
        // Also a TLS record, or the fragments of a message.
        let lacks_room = !is_over && !meter.admits(lacking);
        if lacks_room {
            self.shared.caps.refused.set(true);
        }
        let held_back = is_over || lacks_room;
        let before = self.stats.held.held_back.replace(held_back);
        if held_back && !before {
            self.shared.scope.metrics.held_back.one();
            // To remember it takes memory.
            if !lacks_room {
                self.happened(Happening::HeldBack);
            }
            self.arm(HELD_BACK);
        } else if before && !held_back {
            // It could not go on until now.
            self.core.lives(self.shared.now_ms());
        }
        held_back
    }

    /// What the client holds that counts for whether it is read. Not as it was counted: the queue may have gone
    /// since, and something may have been read in this very poll.
    fn holds_now(&self) -> usize {
        let held = &self.stats.held;
        let counted = held
            .in_flight()
            .saturating_sub(held.queue.get().saturating_add(held.input.get()));
        let now = self.outbox.held() + self.inbox.capacity() + self.core.waiting_bytes();
        now + counted as usize
    }

    /// How much the client may read at once.
    #[inline]
    pub(super) fn most_to_read(&self) -> usize {
        match self.shared.scope.meter.is_scarce() {
            false => buffers::SCRATCH_BYTES,
            true => self.most_while_scarce(),
        }
    }

    #[cold]
    fn most_while_scarce(&self) -> usize {
        let meter = &self.shared.scope.meter;
        // What comes from the pool is not asked for.
        buffers::pool(false);
        // What is read becomes a link's, or stays here.
        match meter.pressure() < Pressure::Queues && meter.admits(2 * buffers::SCRATCH_BYTES) {
            true => buffers::SCRATCH_BYTES,
            false => LEAST_WHILE_QUEUES_END as usize,
        }
    }

    /// Makes room in the inbox for `wanted` bytes more, or as many as there is memory for.
    #[inline]
    pub(super) fn reserve(&mut self, wanted: usize) {
        // It doubles.
        let growth = match self.inbox.capacity() - self.inbox.len() < wanted {
            true => wanted.max(self.inbox.capacity()),
            false => 0,
        };
        let meter = &self.shared.scope.meter;
        let unasked = !meter.is_scarce() && growth <= buffers::SCRATCH_BYTES;
        if unasked || meter.admits(growth) {
            self.inbox.reserve(wanted);
        } else {
            self.reserve_while_scarce(wanted);
        }
        if growth > 0 {
            // Before anything else is asked for.
            self.count_memory();
        }
    }

    #[cold]
    fn reserve_while_scarce(&mut self, wanted: usize) {
        let have = self.inbox.len();
        if self.inbox.capacity() > have {
            return;
        }
        let step = wanted.min(SCARCE_STEP.max(have / 8));
        let step = match self.shared.scope.meter.admits(step) {
            true => step,
            false => wanted.min(LEAST_WHILE_QUEUES_END as usize),
        };
        buffers::grow_exactly(&mut self.inbox, step);
    }

    /// Tells whether a part of a frame, or of a record of TLS, has come, and the rest has not.
    fn lacks_rest(&self) -> bool {
        if self.socket.lacks_rest() {
            return true;
        }
        let limit = self.shared.scope.config.listen.max_payload;
        let decoded = || client::decode(&self.inbox, limit);
        !self.inbox.is_empty() && matches!(decoded(), Ok(Decoded::Need(_)))
    }

    /// Ends the connection where a part of a frame has waited for long in vain for its rest.
    fn end_part(&mut self, ctx: &mut Pumped<Self>) {
        // Whoever is not read waits for the gateway.
        if !matches!(self.connection, Connection::Frames) || !self.may_read() || !self.lacks_rest()
        {
            return;
        }
        let patience = self.shared.scope.config.listen.sniff_timeout;
        let silence = self.core.silence(self.shared.now_ms());
        if u128::from(silence) >= patience.as_millis() {
            self.close(Closing::Idle, ctx);
        }
    }

    /// Tells a player who is held back that the gateway lives, and keeps the idle clock from running.
    pub(super) fn stand_by(&mut self, ctx: &mut Pumped<Self>) {
        if self.stats.held.held_back.get() {
            self.at_core(ctx, |core, step| core.stand_by(step));
            self.arm(HELD_BACK);
        }
    }

    /// Ends the connection. What waits for the player goes at once: a CLOSE behind it would not be read.
    fn give_up_queue(&mut self, ctx: &mut Pumped<Self>) {
        match self.connection {
            Connection::Frames => {
                self.shared.scope.metrics.evicted.one();
                let queued = self.outbox.held();
                let closing = match queued < LEAST_WHILE_QUEUES_END as usize
                    || queued < self.holds_now() / 2
                {
                    true => Closing::InputTooLarge,
                    false => Closing::Evicted,
                };
                self.close(closing, ctx);
            }
            Connection::Ending(_) if self.outbox.queued() > LEAST_WHILE_QUEUES_END as usize => {
                ctx.stop();
            }
            // Little is left, which says why it ends.
            Connection::Ending(_) => {}
            Connection::Sniffing(_) | Connection::Entering(_) | Connection::Absent(_) => {}
        }
    }

    /// The client ends.
    pub(super) fn holds_nothing(&mut self) {
        let (meter, held) = (&self.shared.scope.meter, &self.stats.held);
        count(meter, Part::ClientQueues, &held.queue, 0);
        count(meter, Part::ClientInput, &held.input, 0);
        count(meter, Part::Sockets, &held.socket, 0);
        count(meter, Part::Replay, &held.replay, 0);
    }
}

impl Receive<Squeeze> for Client {
    type Result = ();

    fn receive(&mut self, msg: Squeeze, ctx: &mut Pumped<Self>) {
        match msg {
            Squeeze::Ring(cap) => self.squeeze_ring(cap),
            // Whoever has taken what was queued meanwhile is not too slow.
            Squeeze::Queue(least) if self.holds_now() >= least as usize / 2 => {
                self.give_up_queue(ctx);
            }
            Squeeze::Queue(_) => {}
            Squeeze::Parts => self.end_part(ctx),
            // That it is polled is all.
            Squeeze::Room => {}
            Squeeze::Ease => {
                self.stats.held.held_back.set(false);
                if self.stats.held.squeezed.replace(false) {
                    self.core.ease_replay(&self.shared.limits);
                }
            }
        }
    }
}
