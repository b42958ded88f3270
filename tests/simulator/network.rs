//! Wires: two queues of bytes with delays, first in, first out, that can be cut.

use std::collections::VecDeque;

use crate::dice::Dice;
use crate::wire::{Millis, Side};

/// What is on its way.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Bytes(Vec<u8>),
    /// The sender has ended in order.
    End,
    /// The wire is cut; nothing comes behind it.
    Lost,
}

/// What a wire is for. The numbers are indices of the world's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Client {
        gateway: usize,
        player: usize,
    },
    Link {
        gateway: usize,
        backend: usize,
        service: usize,
    },
    /// From the one that has dialled (its near side) to another.
    Peer {
        from: usize,
        to: usize,
    },
}

#[derive(Debug, Default)]
struct Way {
    queue: VecDeque<(u64, Item)>,
    /// Nothing is delivered earlier.
    not_before: Millis,
    /// A number for each item, so that items of a cut wire are told apart.
    next: u64,
    ended: bool,
    /// Range of delays beside the wire's own.
    late: (Millis, Millis),
    /// Its sender knows that the wire is lost, and says nothing any more.
    silent: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) purpose: Purpose,
    pub(crate) dice: Dice,
    /// Range of delays.
    pub(crate) delay: (Millis, Millis),
    up: Way,
    down: Way,
    cut: bool,
    /// Who reads at the gateway.
    pub(crate) near: Option<usize>,
    /// The player's life and its number of the connection, or a backend's number of the link.
    pub(crate) far: Option<(u32, u64)>,
    /// What has come while nobody read at the gateway.
    pub(crate) unread: Vec<u8>,
    pub(crate) unread_end: bool,
}

/// Towards which side.
pub(crate) type To = Side;

impl Wire {
    pub(crate) fn new(purpose: Purpose, dice: Dice, delay: (Millis, Millis)) -> Wire {
        Wire {
            purpose,
            dice,
            delay,
            up: Way::default(),
            down: Way::default(),
            cut: false,
            near: None,
            far: None,
            unread: Vec::new(),
            unread_end: false,
        }
    }

    fn way(&mut self, to: To) -> &mut Way {
        match to {
            Side::Gateway => &mut self.up,
            Side::Remote => &mut self.down,
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Tells whether something may be said in this direction: its sender has not ended it in order, and
    /// does not know yet that the wire is cut, if it is.
    pub(crate) fn is_used(&self, to: To) -> bool {
        let way = match to {
            Side::Gateway => &self.up,
            Side::Remote => &self.down,
        };
        !way.ended && !way.silent
    }

    /// Tells whether this direction still takes bytes.
    pub(crate) fn takes(&self, to: To) -> bool {
        !self.cut && self.is_used(to)
    }

    /// One side knows that the wire is lost.
    pub(crate) fn is_lost_to(&mut self, side: Side) {
        match side {
            Side::Gateway => self.down.silent = true,
            Side::Remote => self.up.silent = true,
        }
    }

    /// Makes one direction slow, which is drawn from the wire's `dice`; `(0, 0)` draws nothing.
    pub(crate) fn be_late(&mut self, to: To, late: (Millis, Millis)) {
        self.way(to).late = late;
    }

    /// Forgets all delays.
    pub(crate) fn calm(&mut self) {
        self.delay = (0, 3);
        (self.up.late, self.down.late) = ((0, 0), (0, 0));
    }

    /// Queues an item; returns when it is due and its number. Nothing follows an end.
    pub(crate) fn push(&mut self, to: To, item: Item, now: Millis) -> Option<(Millis, u64)> {
        if !self.takes(to) {
            return None;
        }
        let mut delay = self.dice.between(self.delay.0, self.delay.1);
        let (least, most) = self.way(to).late;
        if most > 0 {
            delay += self.dice.between(least, most);
        }
        let way = self.way(to);
        way.ended = matches!(item, Item::End);
        let at = way.not_before.max(now + delay);
        (way.not_before, way.next) = (at, way.next + 1);
        way.queue.push_back((way.next, item));
        Some((at, way.next))
    }

    /// Takes out the item with this number, if it still is to be delivered.
    pub(crate) fn pop(&mut self, to: To, number: u64) -> Option<Item> {
        let way = self.way(to);
        match way.queue.front() {
            Some((first, _)) if *first == number => way.queue.pop_front().map(|(_, item)| item),
            _ => None,
        }
    }

    /// Cuts the wire towards one side: of what is on its way a random part still arrives, then the loss.
    /// Returns when the loss is due, and its number; nothing is lost where the sender has ended in order.
    pub(crate) fn cut(&mut self, to: To, now: Millis, within: Millis) -> Option<(Millis, u64)> {
        self.cut = true;
        if self.way(to).ended {
            return None;
        }
        let (kept, within) = {
            let len = match to {
                Side::Gateway => self.up.queue.len(),
                Side::Remote => self.down.queue.len(),
            };
            (self.dice.index(len + 1), self.dice.between(0, within))
        };
        let torn = self.dice.next();
        let way = self.way(to);
        let rest = way.queue.split_off(kept);
        // The first of the rest may come in part.
        if let Some((number, Item::Bytes(mut bytes))) = rest.into_iter().next() {
            bytes.truncate((torn % (bytes.len() as u64 + 1)) as usize);
            if !bytes.is_empty() {
                way.queue.push_back((number, Item::Bytes(bytes)));
            }
        }
        let at = way.not_before.max(now) + within;
        (way.not_before, way.next) = (at, way.next + 1);
        way.queue.push_back((way.next, Item::Lost));
        Some((at, way.next))
    }

    /// Drops what is on its way to a side that is gone.
    pub(crate) fn forget(&mut self, to: To) {
        self.way(to).queue.clear();
    }
}
