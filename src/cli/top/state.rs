//! The state of the view. Pure: a key or news, and the time, make the next state; nothing here reads or waits.
//!
//! ```text
//!            '/'                 Enter, Esc
//!   Browsing ───▶ typing a filter ─────────▶ Browsing
//!      │ '?'  ▲
//!      ▼      │ any key
//!     Help ───┘
//! ```

use std::time::{Duration, Instant};

use super::gateway::{Gateway, News};
use super::lists::{By, View};

/// Intervals between two looks, of which `+` and `-` choose.
const INTERVALS: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// Longest filter, in characters.
const MAX_FILTER: usize = 64;

/// A key, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Interrupt,
}

/// What the keyboard is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Browsing,
    Filtering,
    Help,
}

/// What each table remembers while others are shown.
#[derive(Debug, Clone, Default)]
pub(super) struct TableState {
    /// The column that the rows are ordered by; none: as they came.
    pub(super) sort: Option<usize>,
    pub(super) reverse: bool,
    pub(super) filter: String,
    pub(super) selected: usize,
}

/// What is asked of gateways besides their figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) view: View,
    pub(super) by: By,
    pub(super) every: Duration,
    /// Nothing is asked while it is true.
    pub(super) paused: bool,
    /// Counts the times that somebody wished an answer at once.
    pub(super) refresh: u64,
}

/// All that a frame is made of.
#[derive(Debug)]
pub(super) struct State {
    pub(super) gateways: Vec<Gateway>,
    /// The gateway that is shown.
    pub(super) shown: usize,
    pub(super) mode: Mode,
    pub(super) wanted: Wanted,
    pub(super) tables: [TableState; View::ALL.len()],
    /// Rows that the last frame had room for; a page.
    pub(super) page: usize,
    pub(super) quit: bool,
}

impl State {
    pub(super) fn new(urls: impl Iterator<Item = String>, every: Duration, now: Instant) -> State {
        State {
            gateways: urls.map(|url| Gateway::new(url, now)).collect(),
            shown: 0,
            mode: Mode::Browsing,
            wanted: Wanted {
                view: View::Overview,
                by: By::Session,
                every,
                paused: false,
                refresh: 0,
            },
            tables: std::array::from_fn(|_| TableState::default()),
            page: 1,
            quit: false,
        }
    }

    /// Returns the gateway that is shown.
    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateways[self.shown]
    }

    pub(super) fn table(&self) -> &TableState {
        &self.tables[self.wanted.view as usize]
    }

    fn table_mut(&mut self) -> &mut TableState {
        &mut self.tables[self.wanted.view as usize]
    }

    /// Takes news of a gateway.
    pub(super) fn heard(&mut self, gateway: usize, news: News, now: Instant) {
        if let Some(gateway) = self.gateways.get_mut(gateway) {
            gateway.heard(news, now);
        }
    }

    /// Takes a key.
    pub(super) fn pressed(&mut self, key: Key) {
        if key == Key::Interrupt {
            self.quit = true;
            return;
        }
        match self.mode {
            Mode::Browsing => self.browse(key),
            Mode::Filtering => self.edit_filter(key),
            Mode::Help => self.mode = Mode::Browsing,
        }
    }

    fn browse(&mut self, key: Key) {
        match key {
            Key::Char('q') => self.quit = true,
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('/') if self.wanted.view.is_table() => self.mode = Mode::Filtering,
            Key::Char(digit @ '1'..='9') => {
                let place = digit as usize - '1' as usize;
                if let Some(view) = View::ALL.get(place) {
                    self.wanted.view = *view;
                }
            }
            Key::Right => self.wanted.view = self.wanted.view.step(1),
            Key::Left => self.wanted.view = self.wanted.view.step(View::ALL.len() - 1),
            Key::Tab | Key::Char(']') => self.shown = (self.shown + 1) % self.gateways.len(),
            Key::BackTab | Key::Char('[') => {
                self.shown = (self.shown + self.gateways.len() - 1) % self.gateways.len();
            }
            Key::Char(' ' | 'p') => self.wanted.paused = !self.wanted.paused,
            Key::Char('u') => self.wanted.refresh += 1,
            Key::Char('+') => self.every(|now| INTERVALS.into_iter().find(|every| *every > now)),
            Key::Char('-') => {
                self.every(|now| INTERVALS.into_iter().rev().find(|every| *every < now));
            }
            Key::Char('b') if self.wanted.view == View::Talkers => {
                self.wanted.by = self.wanted.by.next();
            }
            Key::Char('s' | '>' | 'S' | '<' | 'r') => self.order(key),
            Key::Escape => *self.table_mut() = TableState::default(),
            key => self.scroll(key),
        }
    }

    fn every(&mut self, choose: impl Fn(u64) -> Option<u64>) {
        if let Some(seconds) = choose(self.wanted.every.as_secs()) {
            self.wanted.every = Duration::from_secs(seconds);
        }
    }

    /// Chooses the column that the rows are ordered by, or turns the order around.
    fn order(&mut self, key: Key) {
        let columns = self.wanted.view.columns().len();
        let table = self.table_mut();
        match key {
            Key::Char('r') => table.reverse = !table.reverse,
            _ if columns == 0 => {}
            Key::Char('s' | '>') => {
                table.sort = match table.sort {
                    None => Some(0),
                    Some(last) if last + 1 >= columns => None,
                    Some(column) => Some(column + 1),
                };
            }
            _ => {
                table.sort = match table.sort {
                    None => Some(columns - 1),
                    Some(0) => None,
                    Some(column) => Some(column - 1),
                };
            }
        }
    }

    fn scroll(&mut self, key: Key) {
        let page = self.page.max(1);
        let rows = self.rows();
        let table = self.table_mut();
        let at = table.selected;
        table.selected = match key {
            Key::Up | Key::Char('k') => at.saturating_sub(1),
            Key::Down | Key::Char('j') => at + 1,
            Key::PageUp => at.saturating_sub(page),
            Key::PageDown => at + page,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => rows,
            _ => at,
        }
        .min(rows.saturating_sub(1));
    }

    /// Returns how many rows the table has, those that the filter hides left out.
    pub(super) fn rows(&self) -> usize {
        let view = self.wanted.view;
        let answer = self.gateway().list(view);
        answer.map_or(0, |answer| view.rows(answer, self.table()).len())
    }

    fn edit_filter(&mut self, key: Key) {
        let table = self.table_mut();
        match key {
            Key::Char(c) if table.filter.chars().count() < MAX_FILTER => table.filter.push(c),
            Key::Backspace => drop(table.filter.pop()),
            Key::Escape => {
                table.filter.clear();
                self.mode = Mode::Browsing;
            }
            Key::Enter => self.mode = Mode::Browsing,
            _ => {}
        }
        self.table_mut().selected = 0;
    }
}
