//! Memory of a client that resumes without losing, doubling or reordering anything (protocol 3.2): the
//! frames that the gateway may not have taken, and the count of those that it has sent. No I/O, no
//! clock.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::client::Opened;

/// Counts and frames of one session, both ways.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    session_id: u64,
    /// The newest; empty while the session cannot be resumed.
    token: Bytes,
    /// DATA frames taken from the gateway, since the session began or since its last gap.
    taken: u64,
    /// DATA frames that the gateway is known to have taken, counted alike.
    acknowledged: u64,
    /// Whole DATA frames that it may not have, in order.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// Count of those that have been written to a connection, this one or one before.
    written: usize,
    /// Count of those that have been written to this connection.
    current: usize,
}

/// Meaning of the answer to a RESUME for the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// Nothing is lost, doubled or reordered.
    Exactly,
    /// Frames in either direction may be missing: this many were sent and may not have arrived.
    WithGap(usize),
    /// The gateway says that it has taken more than was ever sent, or forgets what it had taken.
    Nonsense,
}

impl Ledger {
    pub(super) fn session_id(&self) -> u64 {
        self.session_id
    }

    pub(super) fn token(&self) -> &Bytes {
        &self.token
    }

    /// Tells whether a lost connection can be followed by a RESUME.
    pub(super) fn resumable(&self) -> bool {
        !self.token.is_empty()
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn took_data(&mut self) {
        self.taken += 1;
    }

    /// Bytes that are kept until the gateway is known to have them.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Tells whether anything was ever written.
    pub(super) fn has_begun(&self) -> bool {
        self.acknowledged > 0 || self.written > 0
    }

    /// Appends a DATA frame to send.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.kept_bytes += frame.len();
        self.kept.push_back(frame);
    }

    /// Tells whether this connection has been given all.
    pub(super) fn all_is_written(&self) -> bool {
        self.current == self.kept.len()
    }

    /// Returns the next frame for the connection in use.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let frame = self.kept.get(self.current)?.clone();
        self.current += 1;
        self.written = self.written.max(self.current);
        Some(frame)
    }

    /// Counts the DATA frames written to this connection and before: those that the PONG for a PING
    /// sent now acknowledges.
    pub(super) fn mark(&self) -> u64 {
        self.acknowledged + self.current as u64
    }

    /// Tells whether frames were written to this connection that are not acknowledged.
    pub(super) fn awaits(&self) -> bool {
        self.current > 0
    }

    /// Drops the frames that the gateway has acknowledged.
    pub(super) fn acknowledge(&mut self, count: u64) {
        let known = count.saturating_sub(self.acknowledged);
        let known = usize::try_from(known).map_or(self.written, |n| n.min(self.written));
        for frame in self.kept.drain(..known) {
            self.kept_bytes -= frame.len();
        }
        self.acknowledged += known as u64;
        self.written -= known;
        self.current = self.current.saturating_sub(known);
    }

    /// Starts over: no frame of the session was taken or written, so all are sent again.
    pub(super) fn begin(&mut self) {
        (self.written, self.current) = (0, 0);
    }

    /// Applies an OPENED that answers no RESUME.
    pub(super) fn opened(&mut self, session_id: u64, opened: &Opened<'_>) {
        self.session_id = session_id;
        self.token = Bytes::copy_from_slice(opened.token);
        self.acknowledge(opened.received);
    }

    /// Applies an OPENED that answers a RESUME; afterwards [`next`](Self::next) gives what the gateway lacks.
    pub(super) fn resumed(&mut self, opened: &Opened<'_>, gap: bool) -> Resumed {
        self.token = Bytes::copy_from_slice(opened.token);
        if gap {
            let unknown = self.written;
            for frame in self.kept.drain(..unknown) {
                self.kept_bytes -= frame.len();
            }
            (self.written, self.current) = (0, 0);
            (self.acknowledged, self.taken) = (0, 0);
            return Resumed::WithGap(unknown);
        }
        let sent = self.acknowledged + self.written as u64;
        if opened.received < self.acknowledged || opened.received > sent {
            return Resumed::Nonsense;
        }
        self.acknowledge(opened.received);
        self.current = 0;
        Resumed::Exactly
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(received: u64, token: &[u8]) -> Opened<'_> {
        Opened {
            received,
            idle_timeout_ms: 0,
            token,
        }
    }

    fn frame(number: u64) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    fn drain(ledger: &mut Ledger) -> Vec<u64> {
        std::iter::from_fn(|| ledger.next())
            .map(|frame| u64::from_be_bytes(frame[..].try_into().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_acknowledged_is_not_kept() {
        let mut ledger = Ledger::default();
        (1..=3).for_each(|n| ledger.push(frame(n)));
        assert_eq!(drain(&mut ledger), [1, 2, 3]);
        let mark = ledger.mark();
        ledger.push(frame(4));
        ledger.acknowledge(mark);
        assert_eq!((ledger.kept_bytes(), ledger.mark()), (8, 3));
        assert_eq!(drain(&mut ledger), [4]);
        // More than was sent acknowledges what was.
        ledger.acknowledge(u64::MAX);
        assert_eq!((ledger.kept_bytes(), ledger.mark()), (0, 4));
    }

    #[test]
    fn a_gap_drops_what_was_sent_and_nothing_else() {
        let mut ledger = Ledger::default();
        (1..=2).for_each(|n| ledger.push(frame(n)));
        drain(&mut ledger);
        ledger.opened(7, &opened(1, b"t"));
        ledger.took_data();
        ledger.push(frame(3));
        let resumed = ledger.resumed(&opened(0, b"u"), true);
        assert_eq!(resumed, Resumed::WithGap(1));
        assert_eq!((ledger.taken(), drain(&mut ledger)), (0, vec![3]));
        assert_eq!(ledger.mark(), 1);
    }

    #[test]
    fn a_gateway_that_counts_wrong_is_noticed() {
        for received in [0, 4] {
            let mut ledger = Ledger::default();
            (1..=3).for_each(|n| ledger.push(frame(n)));
            drain(&mut ledger);
            ledger.opened(7, &opened(1, b"t"));
            let resumed = ledger.resumed(&opened(received, b"u"), false);
            assert_eq!(resumed, Resumed::Nonsense, "{received}");
        }
    }

    proptest! {
        /// A gateway takes some of what each connection carries before it is cut.
        #[test]
        fn every_frame_arrives_once_and_in_order(
            cuts in proptest::collection::vec((0_usize..6, 0_usize..6, any::<bool>()), 0..40),
        ) {
            let (mut ledger, mut arrived) = (Ledger::default(), Vec::new());
            let (mut pushed, mut first) = (0, true);
            for (more, of_them, marked) in cuts {
                if !first {
                    let answer = ledger.resumed(&opened(arrived.len() as u64, b"t"), false);
                    prop_assert_eq!(answer, Resumed::Exactly);
                }
                for _ in 0..=more {
                    pushed += 1;
                    ledger.push(frame(pushed));
                }
                let carried = drain(&mut ledger);
                let taken = carried.len().min(of_them.max(usize::from(first)));
                arrived.extend_from_slice(&carried[..taken]);
                if first || marked {
                    ledger.opened(7, &opened(arrived.len() as u64, b"t"));
                }
                first = false;
            }
            if !first {
                ledger.resumed(&opened(arrived.len() as u64, b"t"), false);
                arrived.extend(drain(&mut ledger));
            }
            prop_assert_eq!(arrived, (1..=pushed).collect::<Vec<_>>());
        }
    }
}
