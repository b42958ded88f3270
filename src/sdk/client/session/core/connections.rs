//! Connections come into use, are lost, and are replaced.

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng;

use super::{Attempt, ConnId, Effect, End, Event, Life, Line, SessionCore, State, millis};
use crate::codec::framed::ClientFrame;

impl SessionCore {
    pub(super) fn attempt(&self) -> Option<&Attempt> {
        match &self.state {
            State::Away { attempt, .. } => Some(attempt),
            State::InUse { moving, .. } => moving.as_ref(),
            State::Closing { .. } | State::Ended => None,
        }
    }

    /// Tells whether a connection is in use, being made or about to end in order.
    pub(super) fn uses(&self, conn: ConnId) -> bool {
        let used = match &self.state {
            State::InUse { line, .. } => line.conn == conn,
            State::Closing { conn: last, .. } => *last == conn,
            State::Away { .. } | State::Ended => false,
        };
        used || self.attempt().and_then(Attempt::conn) == Some(conn)
    }

    /// Puts `attempt` in the place of the one under way, if any.
    pub(super) fn set_attempt(&mut self, next: Attempt) {
        match &mut self.state {
            State::Away { attempt, .. } => *attempt = next,
            State::InUse { moving, .. } => *moving = Some(next),
            State::Closing { .. } | State::Ended => {}
        }
    }

    /// Takes note that the gateway that was asked for the session lives.
    pub(super) fn attempt_lives(&mut self, now: u64) {
        let next = now + millis(self.options.dead_after);
        let attempt = match &mut self.state {
            State::Away { attempt, .. } => Some(attempt),
            State::InUse { moving, .. } => moving.as_mut(),
            State::Closing { .. } | State::Ended => None,
        };
        if let Some(Attempt::Resuming { dead_at, .. }) = attempt {
            *dead_at = next;
        }
    }

    /// Takes the frames that were held back.
    pub(super) fn take_held(&mut self) -> VecDeque<ClientFrame> {
        let attempt = match &mut self.state {
            State::Away { attempt, .. } => Some(attempt),
            State::InUse { moving, .. } => moving.as_mut(),
            State::Closing { .. } | State::Ended => None,
        };
        match attempt {
            Some(Attempt::Resuming { held, .. }) => std::mem::take(held),
            Some(Attempt::Waiting { .. } | Attempt::Connecting { .. }) | None => VecDeque::new(),
        }
    }

    /// Gives up moving elsewhere.
    pub(super) fn stay(&mut self) {
        if let State::InUse { moving, .. } = &mut self.state {
            *moving = None;
        }
    }

    pub(super) fn take_into_use(&mut self, now: u64, conn: ConnId) {
        if let State::InUse { line, .. } = &self.state {
            self.effects.push_back(Effect::Disconnect(line.conn));
        }
        let line = Line {
            conn,
            queued: 0,
            unmarked: 0,
            ping_at: self.next_ping(now),
            life: Life::new(now),
        };
        let moving = None;
        self.state = State::InUse { line, moving };
    }

    /// Handles the loss of the connection in use.
    pub(super) fn line_lost(&mut self, now: u64) {
        if self.closing {
            return self.end(End::Local);
        }
        if self.ledger.has_begun() && !self.ledger.resumable() {
            return self.end(End::Lost);
        }
        let begun = self.ledger.has_begun();
        match self.drop_line(now, begun) {
            Some(under_way @ (Attempt::Connecting { .. } | Attempt::Resuming { .. })) => {
                self.set_attempt(under_way);
            }
            // A wait for another chance to move ends here: there is nothing left to stay on.
            Some(Attempt::Waiting { .. }) | None => self.try_again(now, None),
        }
    }

    /// Drops the connection in use, and tells the application where a session is `interrupted`. Returns
    /// the attempt to move elsewhere that was under way; the caller sets one.
    pub(super) fn drop_line(&mut self, now: u64, interrupted: bool) -> Option<Attempt> {
        let attempt = Attempt::Waiting { until: now };
        let gives_up = now + millis(self.options.give_up_after);
        match std::mem::replace(&mut self.state, State::Away { attempt, gives_up }) {
            State::InUse { line, moving } => {
                self.effects.push_back(Effect::Disconnect(line.conn));
                if interrupted {
                    self.effects.push_back(Effect::Tell(Event::Interrupted));
                }
                moving
            }
            other @ (State::Away { .. } | State::Closing { .. } | State::Ended) => {
                self.state = other;
                None
            }
        }
    }

    /// Handles an attempt that failed without an answer of the gateway.
    pub(super) fn attempt_failed(&mut self, now: u64) {
        let unanswered = matches!(self.attempt(), Some(Attempt::Resuming { .. }));
        if unanswered && matches!(self.state, State::InUse { .. }) {
            // The gateway may have the session by now. Going on with the old connection would count
            // frames as taken behind those that were held back.
            self.line_lost(now);
        }
        if !self.is_over() {
            self.try_again(now, None);
        }
    }

    /// Tries again: after the time that the gateway said, else after a random one.
    pub(super) fn try_again(&mut self, now: u64, told: Option<Duration>) {
        if let Some(conn) = self.attempt().and_then(Attempt::conn) {
            self.effects.push_back(Effect::Disconnect(conn));
        }
        let wait = match told.map(millis) {
            Some(told) if told > 0 => told,
            Some(_) | None => {
                let longest = self.wait;
                self.wait = (longest * 2).min(millis(self.options.longest_wait));
                self.random.random_range(0..=longest)
            }
        };
        let until = now + wait;
        if let State::InUse { line, .. } = &mut self.state {
            // While RESUME waited, nothing was awaited here.
            line.life.hears(now);
        }
        self.set_attempt(Attempt::Waiting { until });
    }

    /// Moves elsewhere at once: a gateway that drains spreads its clients itself (protocol 3.3).
    pub(super) fn move_on(&mut self, now: u64) {
        if let State::InUse { moving, .. } = &mut self.state
            && moving.is_none()
            && self.ledger.resumable()
        {
            *moving = Some(Attempt::Waiting { until: now });
        }
    }

    pub(super) fn end(&mut self, end: End) {
        let attempt = self.attempt().and_then(Attempt::conn);
        let used = match &self.state {
            State::InUse { line, .. } => Some(line.conn),
            State::Closing { conn, .. } => Some(*conn),
            State::Away { .. } => None,
            State::Ended => return,
        };
        for conn in [used, attempt].into_iter().flatten() {
            self.effects.push_back(Effect::Disconnect(conn));
        }
        self.state = State::Ended;
        self.effects.push_back(Effect::Tell(Event::Ended(end)));
    }
}
