//! When a link is ready and when it is lost (protocol 2.2): a PING directly after HELLO, ready with
//! the first PONG, lost when three PONGs in a row are missing.
//!
//! ```text
//!            first PONG                 3 PINGs unanswered
//!   Greeting ──────────▶ Answering(n) ────────────────────▶ lost
//!                         ▲      │ tick: n + 1
//!                         └──────┘ PONG: n = 0
//! ```

/// How many PONGs in a row may be missing before the link is lost.
pub const MISSING_PONGS: u32 = 3;

/// A link's life sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Answering { unanswered: u32 },
}

/// What a PONG means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ponged {
    /// The first one: the link takes sessions from now on.
    Ready,
    /// The peer is still there.
    Alive,
}

/// What to do when a ping interval has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticked {
    /// Send a PING.
    Ping,
    /// Nothing: the connect timeout watches over the greeting.
    Wait,
    /// The link is lost.
    Lost,
}

impl Default for Liveness {
    fn default() -> Liveness {
        Liveness(State::Greeting)
    }
}

impl Liveness {
    /// A PONG came.
    pub fn pong(&mut self) -> Ponged {
        let first = self.0 == State::Greeting;
        self.0 = State::Answering { unanswered: 0 };
        if first { Ponged::Ready } else { Ponged::Alive }
    }

    /// A ping interval has passed.
    pub fn tick(&mut self) -> Ticked {
        match &mut self.0 {
            State::Greeting => Ticked::Wait,
            State::Answering { unanswered } if *unanswered >= MISSING_PONGS => Ticked::Lost,
            State::Answering { unanswered } => {
                *unanswered += 1;
                Ticked::Ping
            }
        }
    }

    /// Whether the link takes sessions.
    pub fn ready(&self) -> bool {
        match self.0 {
            State::Greeting => false,
            State::Answering { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_answers_lives_and_three_missing_pongs_end_it() {
        let mut link = Liveness::default();
        assert_eq!(link.tick(), Ticked::Wait);
        assert!(!link.ready());
        assert_eq!(link.pong(), Ponged::Ready);
        assert!(link.ready());
        for _ in 0..10 {
            assert_eq!(link.tick(), Ticked::Ping);
            assert_eq!(link.tick(), Ticked::Ping);
            assert_eq!(link.pong(), Ponged::Alive);
        }
        for _ in 0..MISSING_PONGS {
            assert_eq!(link.tick(), Ticked::Ping);
        }
        assert_eq!(link.tick(), Ticked::Lost);
    }
}
