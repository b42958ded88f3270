//! Signs of life on one connection (protocol 1.2): when to ask for one, and when silence says that the path
//! is dead.

/// Times of silence in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heartbeat {
    /// Until PING, while something is awaited; 0: never.
    pub(super) awaiting: u64,
    /// Until PING, while nothing is; 0: never.
    pub(super) idle: u64,
    /// Until the connection counts as dead, while something is awaited.
    pub(super) dead: u64,
}

/// What is heard on the connection in use, and what is awaited there.
#[derive(Debug)]
pub(super) struct Life {
    heard: u64,
    /// Since when something is awaited without a break.
    awaits: Option<u64>,
    /// PINGs that are not answered.
    pings: u32,
    /// A PING has been sent since something was heard.
    asked: bool,
}

impl Life {
    /// A connection that comes into use.
    pub(super) fn new(now: u64) -> Life {
        Life {
            heard: now,
            awaits: None,
            pings: 0,
            asked: false,
        }
    }

    /// Something was heard, or there was a reason to hear nothing.
    pub(super) fn hears(&mut self, now: u64) {
        (self.heard, self.asked) = (now, false);
    }

    pub(super) fn pinged(&mut self) {
        self.pings += 1;
        self.asked = true;
    }

    pub(super) fn ponged(&mut self) {
        self.pings = self.pings.saturating_sub(1);
    }

    pub(super) fn awaits_pong(&self) -> bool {
        self.pings > 0
    }

    /// Takes note of whether something is awaited, DATA that is not acknowledged or a PONG.
    pub(super) fn awaits(&mut self, now: u64, data: bool) {
        if data || self.pings > 0 {
            self.awaits.get_or_insert(now);
        } else {
            self.awaits = None;
        }
    }

    /// Returns the time of the PING that asks for a sign of life.
    pub(super) fn ping_at(&self, beat: &Heartbeat) -> Option<u64> {
        let (since, wait) = match self.awaits {
            Some(since) => (since.max(self.heard), beat.awaiting),
            None => (self.heard, beat.idle),
        };
        (wait > 0 && !self.asked).then(|| since + wait)
    }

    /// Returns the time at which the path is dead if nothing is heard.
    pub(super) fn dead_at(&self, beat: &Heartbeat) -> Option<u64> {
        let since = self.awaits?.max(self.heard);
        Some(since + beat.dead)
    }
}
