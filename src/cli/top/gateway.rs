//! What is known of one gateway.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lists::View;
use super::scrape::Scrape;

/// Looks that are kept: percentiles are of what came between the first and the last of them, at most.
const MAX_SCRAPES: usize = 16;
/// Percentiles are of this time.
pub(super) const WINDOW: Duration = Duration::from_secs(30);
/// Points of the lines of the past.
const MAX_HISTORY: usize = 240;

/// What has come from a gateway.
#[derive(Debug)]
pub(super) enum News {
    /// Its figures, and what it says of itself.
    Figures(Box<Figures>),
    /// The answer to what a view wants.
    List(View, Value),
    /// It did not answer, or not as it should; in one line.
    Failed(String),
}

/// One look at a gateway.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) info: Value,
    pub(super) memory: Value,
    pub(super) drain: Value,
    pub(super) scrape: Scrape,
}

/// Whether a gateway answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contact {
    /// It was not heard yet.
    Connecting,
    Answers,
    /// It does not, since then, and why.
    Away {
        since: Instant,
        why: String,
    },
}

/// One gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) url: String,
    pub(super) contact: Contact,
    /// When something was heard of it; at first, when it was first asked.
    pub(super) heard: Instant,
    pub(super) figures: Option<Box<Figures>>,
    /// Looks before the last one, the oldest first.
    scrapes: VecDeque<Scrape>,
    /// Frames a second from and to players, the newest last.
    pub(super) traffic: VecDeque<u64>,
    /// Players, the newest last.
    pub(super) players: VecDeque<u64>,
    lists: [Option<Value>; View::ALL.len()],
}

impl Gateway {
    pub(super) fn new(url: String, now: Instant) -> Gateway {
        Gateway {
            url,
            contact: Contact::Connecting,
            heard: now,
            figures: None,
            scrapes: VecDeque::new(),
            traffic: VecDeque::new(),
            players: VecDeque::new(),
            lists: std::array::from_fn(|_| None),
        }
    }

    pub(super) fn heard(&mut self, news: News, now: Instant) {
        match news {
            News::Figures(figures) => self.looked(figures),
            News::List(view, answer) => self.lists[view as usize] = Some(answer),
            News::Failed(why) => {
                let since = match &self.contact {
                    Contact::Away { since, .. } => *since,
                    Contact::Connecting | Contact::Answers => now,
                };
                self.contact = Contact::Away { since, why };
                return;
            }
        }
        self.contact = Contact::Answers;
        self.heard = now;
    }

    fn looked(&mut self, figures: Box<Figures>) {
        let last = self.figures.replace(figures);
        let Some(now) = self.figures.as_ref().map(|figures| &figures.scrape) else {
            return;
        };
        if let Some(last) = last {
            // Counters of a gateway that was started again have begun at 0: nothing before is comparable.
            let began = "process_start_time_seconds";
            if last.scrape.sum(began) != now.sum(began) {
                self.scrapes.clear();
            } else {
                self.scrapes.push_back(last.scrape);
            }
        }
        while self.scrapes.len() > MAX_SCRAPES
            || (self.scrapes.len() > 1
                && self
                    .scrapes
                    .front()
                    .is_some_and(|old| now.at.saturating_duration_since(old.at) > WINDOW))
        {
            self.scrapes.pop_front();
        }
        if let Some(before) = self.scrapes.back() {
            let frames = now.rate(before, "client_in_frames_total")
                + now.rate(before, "client_out_frames_total");
            push(&mut self.traffic, frames.round() as u64);
        }
        push(&mut self.players, now.sum("connections").max(0.0) as u64);
    }

    /// Returns the newest look and the one before it.
    pub(super) fn last_two(&self) -> Option<(&Scrape, &Scrape)> {
        Some((&self.figures.as_ref()?.scrape, self.scrapes.back()?))
    }

    /// Returns the newest look and the oldest one within the window.
    pub(super) fn window(&self) -> Option<(&Scrape, &Scrape)> {
        Some((&self.figures.as_ref()?.scrape, self.scrapes.front()?))
    }

    /// Returns the newest answer for a view.
    pub(super) fn list(&self, view: View) -> Option<&Value> {
        match view {
            View::Drain => self.figures.as_ref().map(|figures| &figures.drain),
            view => self.lists[view as usize].as_ref(),
        }
    }

    /// Returns whether all is there that a frame of a view can show, or nothing will be.
    pub(super) fn is_full(&self, view: View) -> bool {
        let rates = self.last_two().is_some();
        let list = !view.is_table() || self.list(view).is_some();
        matches!(self.contact, Contact::Away { .. }) || (rates && list)
    }

    /// Returns its id, or its URL until that is known.
    pub(super) fn name(&self) -> &str {
        let id = self
            .figures
            .as_ref()
            .and_then(|figures| figures.info["gateway_id"].as_str());
        id.unwrap_or_else(|| self.url.trim_start_matches("http://"))
    }

    /// Returns a member of what the gateway says of itself.
    pub(super) fn info(&self, member: &str) -> &Value {
        static NOTHING: Value = Value::Null;
        let figures = self.figures.as_ref();
        figures.map_or(&NOTHING, |figures| &figures.info[member])
    }
}

fn push(past: &mut VecDeque<u64>, point: u64) {
    if past.len() == MAX_HISTORY {
        past.pop_front();
    }
    past.push_back(point);
}
