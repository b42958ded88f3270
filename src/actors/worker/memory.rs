//! A worker's part in keeping the budget of memory: it looks at what its clients hold, and takes back from the
//! largest.
//!
//! It looks at each tick, and at once when much has been added since; while nothing is short that is one
//! comparison. Each worker gives back its share of what all hold too much.

use super::{Seated, Worker};
use crate::actors::client::{
    HeldByClient, LEAST_READING, LEAST_WHILE_QUEUES_END, Squeeze, UNCAPPED,
};
use crate::admission::SUSPENDED_BYTES;
use crate::codec::buffers;
use crate::memory::shares::Sizes;
use crate::memory::{self, Pressure};

/// Clients that ask again at a tick for the room that they were refused.
const ASK_AGAIN: usize = 1024;

impl Worker {
    pub(super) fn look_at_memory(&mut self) {
        let meter = &self.shared.scope.meter;
        let pressure = meter.look();
        self.look_at_history(pressure);
        let is_short = pressure > Pressure::None;
        // Pooled buffers lie among those of the crowd: as long as they stay, the allocator can give back little
        // of what lies between them.
        buffers::pool(!is_short);
        let over = |least: Pressure| match pressure >= least {
            true => Some(meter.share_over(least)),
            false => None,
        };
        let (rings, reading) = (over(Pressure::Rings), over(Pressure::Reading));
        let from_rings = self.cap_rings(rings);
        self.cap_reading(reading);
        let ends_queues = pressure == Pressure::Queues;
        if self.shared.caps.queues_ended.replace(ends_queues) && !ends_queues {
            self.squeeze(|held| held.held_back.get(), Squeeze::Parts);
        }
        meter.set_idle(if ends_queues { self.idle_bytes() } else { 0 });
        if ends_queues {
            // So much that it is over: nobody with a part of a frame is read as long as it lasts.
            let share = meter.share_to_leave(Pressure::Queues);
            self.cap_queues(share.saturating_sub(from_rings));
        }
        if pressure >= Pressure::Sessions {
            self.end_parts();
        }
        if self.shared.caps.refused.get() {
            self.give_room();
        }
    }

    /// Has clients ask again for the room that they were refused, so many at a time, in turn.
    fn give_room(&self) {
        let caps = &self.shared.caps;
        let mut told = 0;
        let first = caps.turn.take();
        for (index, (_, seated)) in self.state.clients.iter().enumerate().skip(first) {
            if told == ASK_AGAIN {
                caps.turn.set(index);
                return;
            }
            if seated.stats.held.held_back.get() {
                told += 1;
                seated.client.do_send(Squeeze::Room);
            }
        }
        caps.refused.set(first > 0);
    }

    /// Lets replay rings give back `share` bytes, the largest first; `None`: they may grow again. Returns how many are
    /// to come back.
    fn cap_rings(&self, share: Option<usize>) -> usize {
        let caps = &self.shared.caps;
        let before = caps.ring.get();
        let Some(share) = share else {
            if before != UNCAPPED {
                caps.ring.set(UNCAPPED);
                self.squeeze(|held| held.squeezed.get(), Squeeze::Ease);
            }
            return 0;
        };
        if share == 0 {
            return 0;
        }
        let cap = self.sizes(|held| held.replay.get()).cap(share).min(before);
        caps.ring.set(cap);
        let mut back = 0;
        for (_, seated) in &self.state.clients {
            let over = seated.stats.held.replay.get().saturating_sub(cap);
            if over > 0 {
                back += over as usize;
                seated.client.do_send(Squeeze::Ring(cap));
            }
        }
        // Those who were told so before have given back what they could.
        if cap < before { back } else { 0 }
    }

    /// Lets those who hold the most not be read, so many that they hold `share` bytes more than the others.
    fn cap_reading(&self, share: Option<usize>) {
        let caps = &self.shared.caps;
        let before = caps.reading.get();
        let Some(share) = share else {
            if before != UNCAPPED {
                caps.reading.set(UNCAPPED);
                self.squeeze(|held| held.held_back.get(), Squeeze::Ease);
            }
            return;
        };
        let cap = self.sizes(HeldByClient::in_flight).cap(share);
        caps.reading.set(cap.min(before).max(LEAST_READING));
    }

    /// Ends those who hold the most, until `share` bytes have come back: connections of players, HTTP requests, and
    /// links whose backends take nothing. What is still missing then comes from sessions that wait for their players, the one that has waited for longest first.
    fn cap_queues(&mut self, share: usize) {
        if share == 0 {
            return;
        }
        // Nobody is left who would miss these.
        let mut back = self.shared.cut_parting();
        let holds = |seated: &Seated| match seated.stats.is_suspended() {
            true => 0,
            false => seated.stats.held.in_flight(),
        };
        let mut sizes = Sizes::default();
        for (_, seated) in &self.state.clients {
            sizes.add(holds(seated));
        }
        memory::for_each_evictable(|bytes| sizes.add(bytes));
        // Where all that can be taken back does not suffice, everybody would be among the largest.
        let least = sizes.largest(share.saturating_sub(back)).max(self.spared());
        let (others, bytes) = memory::evict(least, share.saturating_sub(back));
        self.shared.scope.metrics.evicted.add(others);
        back += bytes;
        for (_, seated) in &self.state.clients {
            if back >= share {
                return;
            }
            let held = holds(seated);
            if held >= least {
                back += held as usize;
                seated.client.do_send(Squeeze::Queue(least));
            }
        }
        while back < share && self.end_oldest() {
            self.shared.scope.metrics.given_up.one();
            back += SUSPENDED_BYTES;
        }
    }

    /// Whoever holds less does not end: all of them together hold an eighth of the budget, and who reads and is read has
    /// hardly more than a frame in hand.
    fn spared(&self) -> u32 {
        let meter = &self.shared.scope.meter;
        if meter.is_stuck() {
            return LEAST_WHILE_QUEUES_END;
        }
        let part = meter.even_part() / 8 / self.state.clients.len().max(1);
        u32::try_from(part).map_or(LEAST_WHILE_QUEUES_END, |part| {
            part.min(LEAST_WHILE_QUEUES_END)
        })
    }

    /// Bytes that connections have while they are idle, which none of them can give back.
    fn idle_bytes(&self) -> usize {
        let held = self.state.clients.iter().map(|(_, c)| &c.stats.held);
        held.map(|held| usize::from(held.idle_kib.get()) * 1024)
            .sum()
    }

    /// Has clients look once a second whether they wait in vain for the rest of a frame, or of a record of TLS:
    /// newcomers are refused for the memory that it takes.
    fn end_parts(&self) {
        let second = self.shared.now_ms() / 1000;
        if self.shared.caps.parts_looked_at.replace(second) != second {
            self.squeeze(HeldByClient::may_lack_rest, Squeeze::Parts);
        }
    }

    fn sizes(&self, size: impl Fn(&HeldByClient) -> u32) -> Sizes {
        let mut sizes = Sizes::default();
        for (_, seated) in &self.state.clients {
            sizes.add(size(&seated.stats.held));
        }
        sizes
    }

    /// Tells the clients that are concerned.
    fn squeeze(&self, concerns: impl Fn(&HeldByClient) -> bool, word: Squeeze) {
        for (_, seated) in &self.state.clients {
            if concerns(&seated.stats.held) {
                seated.client.do_send(word);
            }
        }
    }
}
