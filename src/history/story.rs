//! What has happened to one session, beside its frames.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::codec::code::Code;
use crate::labels::labels;
use crate::memory::{Held, Part};
use crate::session::closing::ClosingLabel;

/// The most events of a session; the oldest gives way.
const MAX_EVENTS: usize = 16;
/// Bytes that an event's texts count as.
const TEXTS: usize = 64;
/// The longest last words that are kept, in bytes.
const MAX_WORDS: usize = 256;

/// One thing that happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Its connection ended, and the session went on.
    Disconnected(ClosingLabel),
    /// It was resumed on another connection of this gateway.
    Resumed {
        /// Frames may be missing.
        gap: bool,
        /// The player's address.
        from: SocketAddr,
    },
    /// It came from this gateway.
    TakenUp(Box<str>),
    /// It went to this gateway.
    HandedOver(Box<str>),
    /// A service is not at this endpoint any more.
    Left(Arc<str>, SocketAddr),
    /// A service is at another endpoint: it was moved.
    Moved(Box<ServiceMove>),
    /// The player was asked to go elsewhere.
    AskedAway,
    /// The player was told ERROR.
    Refused {
        /// Its code.
        code: Code,
        /// Its text.
        reason: Box<str>,
        /// Its service.
        service: Box<str>,
    },
    /// Frames were dropped because they were over a rate.
    OverRate,
    /// The player was not read because a backend's link was full.
    LinkFull,
    /// The player was not read because memory was short.
    HeldBack,
    /// The replay ring was cut down because memory was short.
    RingCut,
}

/// A service of a session that is at another endpoint now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceMove {
    /// The service.
    pub service: Arc<str>,
    /// Where it was.
    pub from: SocketAddr,
    /// Where it is.
    pub to: SocketAddr,
}

/// The same thing, once or more often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: Happening,
    /// Its number.
    pub count: u32,
    /// The first time, in the worker's seconds.
    pub first_s: u32,
    /// The last time, likewise.
    pub last_s: u32,
}

/// Who has ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum Speaker {
    Player,
    Backend,
    Gateway,
}

labels!(Speaker {
    Player => "player",
    Backend => "backend",
    Gateway => "gateway",
});

/// The CLOSE that has ended a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWords {
    /// Whose.
    pub by: Speaker,
    /// Its code.
    pub code: Code,
    /// The beginning of its text.
    pub text: Box<str>,
}

impl LastWords {
    /// The words with as much of their text as is kept.
    pub fn new(by: Speaker, code: Code, text: &str) -> LastWords {
        let mut ends = (0..=MAX_WORDS.min(text.len())).rev();
        let end = ends.find(|end| text.is_char_boundary(*end));
        LastWords {
            by,
            code,
            text: text[..end.unwrap_or(0)].into(),
        }
    }
}

/// The events of a session. There is none as long as nothing happens.
#[derive(Debug)]
pub struct Story {
    events: Vec<Event>,
    omitted: u32,
    resumes: u32,
    /// Seconds that the session had lived at other gateways before it came; `None`: they have not told.
    before_s: Option<u32>,
    held: Held,
}

impl Default for Story {
    fn default() -> Story {
        Story {
            events: Vec::new(),
            omitted: 0,
            resumes: 0,
            before_s: Some(0),
            held: Held::new(Part::History, size_of::<Story>()),
        }
    }
}

impl Story {
    /// Adds something that has happened so many times now. The same again makes no other event.
    pub fn add(&mut self, what: Happening, count: u32, now_s: u32) {
        if matches!(what, Happening::TakenUp(_)) {
            self.before_s = None;
        }
        if let Some(event) = self.events.iter_mut().find(|event| event.what == what) {
            event.count = event.count.saturating_add(count);
            event.last_s = now_s;
            return;
        }
        if self.events.len() == MAX_EVENTS {
            let oldest = self.events.remove(0);
            self.omitted = self.omitted.saturating_add(oldest.count);
        }
        // Most sessions have one event or two, and those that wait for their players all have one.
        self.events.reserve_exact(1);
        self.events.push(Event {
            what,
            count,
            first_s: now_s,
            last_s: now_s,
        });
        let each = size_of::<Event>() + TEXTS;
        self.held
            .set(size_of::<Story>() + self.events.capacity() * each);
    }

    /// Sets how often the session was resumed.
    pub fn set_resumes(&mut self, resumes: u32) {
        self.resumes = resumes;
    }

    /// Returns how often the session was resumed, here and elsewhere.
    pub fn resumes(&self) -> u32 {
        self.resumes
    }

    /// Sets how many seconds the session had lived at other gateways before it came.
    pub fn set_before_s(&mut self, before_s: u32) {
        self.before_s = Some(before_s);
    }

    /// Returns how many seconds the session had lived at other gateways before it came; `None`: they have not told.
    pub fn before_s(&self) -> Option<u32> {
        self.before_s
    }

    /// The events, those that began first first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The gateway that the session went to last, if it went to one.
    pub fn handed_over_to(&self) -> Option<&str> {
        let mut newest_first = self.events.iter().rev();
        newest_first.find_map(|event| match &event.what {
            Happening::HandedOver(to) => Some(&**to),
            _ => None,
        })
    }

    /// Returns how much has given way to newer events.
    pub fn omitted(&self) -> u32 {
        self.omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_one_event() {
        let mut story = Story::default();
        story.add(Happening::LinkFull, 1, 7);
        story.add(Happening::OverRate, 3, 8);
        story.add(Happening::OverRate, 4, 9);
        let event = |what, count, first_s, last_s| Event {
            what,
            count,
            first_s,
            last_s,
        };
        assert_eq!(
            story.events(),
            [
                event(Happening::LinkFull, 1, 7, 7),
                event(Happening::OverRate, 7, 8, 9)
            ]
        );
    }

    #[test]
    fn a_session_that_has_come_is_as_old_as_its_gateway_before_has_told() {
        let mut story = Story::default();
        story.add(Happening::LinkFull, 1, 7);
        assert_eq!(story.before_s(), Some(0));
        story.add(Happening::TakenUp("gw-a".into()), 1, 8);
        assert_eq!(story.before_s(), None);
        story.set_before_s(86_400);
        story.add(Happening::OverRate, 1, 9);
        assert_eq!(story.before_s(), Some(86_400));
    }

    #[test]
    fn a_player_who_provokes_events_fills_no_memory() {
        let mut story = Story::default();
        for n in 0..10_000_u32 {
            let what = Happening::Refused {
                code: Code::NO_ROUTE,
                reason: "no such service".into(),
                service: n.to_string().into(),
            };
            story.add(what, 1, n);
        }
        assert_eq!(story.events().len(), MAX_EVENTS);
        assert_eq!(story.omitted(), 10_000 - MAX_EVENTS as u32);
        assert_eq!(story.events()[MAX_EVENTS - 1].first_s, 9_999);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let words = LastWords::new(Speaker::Backend, Code::KICKED, &"ä".repeat(4_000));
        assert_eq!(words.text.len(), MAX_WORDS);
        let words = LastWords::new(Speaker::Backend, Code::KICKED, &format!("a{words:?}ä"));
        assert!(words.text.len() <= MAX_WORDS);
    }
}
