//! What is true or not of a client, one bit each.
//!
//! Hot path: a look for each read and delivery.

use super::ClientStats;

/// Mark of a client: a backend has bound the user.
const BOUND: u8 = 1;
/// Mark of a client: a trace may concern it.
const TRACED: u8 = 2;
/// Mark of a client: it has spans.
const HAS_SPANS: u8 = 4;
/// Mark of a client that has spans: a backend has not answered yet.
const AWAITS_ANSWER: u8 = 8;

impl ClientStats {
    /// Sets or takes off a mark. They share a byte, for one more would cost each client eight.
    #[inline]
    fn mark(&self, mark: u8, is_set: bool) {
        let others = self.marks.get() & !mark;
        self.marks.set(if is_set { others | mark } else { others });
    }

    /// Tells whether a backend has bound the user.
    pub(super) fn is_bound(&self) -> bool {
        self.marks.get() & BOUND != 0
    }

    #[inline]
    pub(super) fn set_bound(&self, is_bound: bool) {
        self.mark(BOUND, is_bound);
    }

    /// Tells whether a trace may concern the client.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.marks.get() & TRACED != 0
    }

    /// Notes whether a trace may concern the client.
    pub fn set_traced(&self, is_traced: bool) {
        self.mark(TRACED, is_traced);
    }

    /// Tells whether the client has spans: its session is sampled.
    pub(super) fn has_spans(&self) -> bool {
        self.marks.get() & HAS_SPANS != 0
    }

    pub(super) fn set_has_spans(&self, has_spans: bool) {
        self.mark(HAS_SPANS, has_spans);
    }

    /// Tells whether a backend's first answer is awaited, for a span.
    pub(super) fn awaits_answer(&self) -> bool {
        self.marks.get() & AWAITS_ANSWER != 0
    }

    pub(super) fn set_awaits_answer(&self, awaits: bool) {
        self.mark(AWAITS_ANSWER, awaits);
    }

    /// Tells whether somebody looks at what comes from backends.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.marks.get() & (TRACED | AWAITS_ANSWER) != 0
    }
}
