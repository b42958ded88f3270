//! Asks the gateways, each on a thread of its own: one that hangs delays nobody, the screen least.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use serde_json::Value;

use super::gateway::{Figures, News};
use super::lists::View;
use super::scrape::Scrape;
use super::state::Wanted;
use crate::cli::admin::api::{Api, Failure};

/// The most rows that are asked for.
const MAX_ROWS: &str = "1000";

/// What is heard, and of which gateway.
pub(super) type Heard = (usize, News);

/// The threads that ask.
#[derive(Debug)]
pub(super) struct Pollers {
    asks: Vec<Sender<Wanted>>,
    news: Receiver<Heard>,
}

impl Pollers {
    /// Starts a thread for each gateway.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(apis: Vec<Api>, wanted: Wanted) -> std::io::Result<Pollers> {
        let (tell, news) = mpsc::channel();
        let mut asks = Vec::new();
        for (place, api) in apis.into_iter().enumerate() {
            let (ask, asked) = mpsc::channel();
            let tell = tell.clone();
            std::thread::Builder::new()
                .name(format!("gateway-{place}"))
                .spawn(move || poll(&api, place, wanted, &asked, &tell))?;
            asks.push(ask);
        }
        Ok(Pollers { asks, news })
    }

    /// Says what is wanted from now on.
    pub(super) fn want(&self, wanted: Wanted) {
        for ask in &self.asks {
            // A thread ends only with the process, or by a panic that the terminal has shown.
            let _ = ask.send(wanted);
        }
    }

    /// Returns what has come, without waiting.
    pub(super) fn news(&self) -> impl Iterator<Item = Heard> {
        self.news.try_iter()
    }

    /// Waits for something until then.
    pub(super) fn wait(&self, until: Instant) -> Option<Heard> {
        let left = until.saturating_duration_since(Instant::now());
        self.news.recv_timeout(left).ok()
    }
}

fn poll(
    api: &Api,
    place: usize,
    mut wanted: Wanted,
    asked: &Receiver<Wanted>,
    tell: &Sender<Heard>,
) {
    loop {
        if !wanted.paused && !look(api, place, wanted, tell) {
            return;
        }
        let next = Instant::now() + wanted.every;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            match asked.recv_timeout(left) {
                Ok(now) => {
                    // What was wanted meanwhile, in a long look, counts no more.
                    let now = asked.try_iter().last().unwrap_or(now);
                    if std::mem::replace(&mut wanted, now) != now {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Looks once. Returns false if nobody listens any more.
fn look(api: &Api, place: usize, wanted: Wanted, tell: &Sender<Heard>) -> bool {
    let news = match figures(api) {
        Ok(figures) => News::Figures(Box::new(figures)),
        Err(failure) => News::Failed(failure.to_string()),
    };
    let failed = matches!(news, News::Failed(_));
    if tell.send((place, news)).is_err() {
        return false;
    }
    if failed {
        return true;
    }
    let news = match list(api, wanted) {
        None => return true,
        Some(Ok(answer)) => News::List(wanted.view, answer),
        Some(Err(failure)) => News::Failed(failure.to_string()),
    };
    tell.send((place, news)).is_ok()
}

fn figures(api: &Api) -> Result<Figures, Failure> {
    let info = api.get(&["info"], &[])?;
    let text = api.text("/metrics")?;
    let scrape = Scrape::parse(&text, Instant::now());
    Ok(Figures {
        info,
        memory: api.get(&["memory"], &[])?,
        drain: api.get(&["drain"], &[])?,
        scrape,
    })
}

/// Asks for the list of a view; none if it has none.
fn list(api: &Api, wanted: Wanted) -> Option<Result<Value, Failure>> {
    let rows = ("limit", MAX_ROWS.to_owned());
    Some(match wanted.view {
        View::Overview | View::Drain => return None,
        View::Backends => api.get(&["backends"], &[]),
        View::Sessions => api.get(&["sessions"], &[rows]),
        View::Talkers => {
            let by = ("by", wanted.by.name().to_owned());
            api.get(&["top-talkers"], &[by, rows])
        }
        View::Actors => api.get(&["actors"], &[]),
        View::Refusals => api.get(&["refusals"], &[rows]),
    })
}
