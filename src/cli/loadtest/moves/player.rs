//! One player.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

use super::book::{Book, State};
use crate::cli::loadtest::plan::Plan;
use crate::sdk::backend::matches::{self, ASK_STATE, STATE};
use crate::sdk::client::Outgoing;
use crate::sdk::client::session::{End, Event, Session};

/// Least pause of a player whose frame was refused.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Bytes before the filling: the session's index and the frame's number.
const STAMP_BYTES: usize = 12;

/// When players play.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// Between an answer and the next frame.
    pub(super) think: Duration,
    /// No frame is sent any more.
    pub(super) stop: Instant,
    /// Time at which missing answers count as lost.
    pub(super) end: Instant,
    /// The same for a session that has not begun.
    pub(super) begin_by: Instant,
    /// It knows of an early end.
    pub(super) plan: Arc<Plan>,
}

impl Schedule {
    /// Brings everything forward: the run is ended early.
    fn interrupted(&mut self, at: Instant) {
        let end = at + self.plan.grace;
        self.stop = self.stop.min(at);
        self.end = self.end.min(end);
        self.begin_by = self.begin_by.min(end);
    }
}

/// A player and its book.
pub(super) struct Player {
    index: u32,
    to: Outgoing,
    payload: usize,
    book: Book,
    /// What the backend must know of this player; none where there are no matches.
    part: Option<matches::Player>,
}

impl Player {
    pub(super) fn new(index: u32, plan: &Arc<Plan>) -> Player {
        let user_id = match plan.user_base {
            0 => 0,
            base => base + u64::from(index),
        };
        Player {
            index,
            to: Outgoing {
                realm_id: plan.realm(index),
                user_id,
                ..Outgoing::to(plan.service(index))
            },
            payload: plan.payload,
            book: Book::default(),
            part: (plan.match_size).map(|_| matches::Player::new(plan.realm(index))),
        }
    }

    /// Plays until it is time to stop and everything is answered; returns the book.
    pub(super) async fn play(mut self, mut session: Session, mut schedule: Schedule) -> Book {
        let plan = Arc::clone(&schedule.plan);
        let interrupted = plan.progress.interrupted();
        tokio::pin!(interrupted);
        let mut early = false;
        plan.progress.connected();
        loop {
            if self.book.is_idle() {
                if Instant::now() >= schedule.stop {
                    break;
                }
                let frame = self.next_frame();
                if !session.send(&self.to, frame).await {
                    // Why comes with the last event.
                    tracing::debug!(index = self.index, "the session takes nothing more");
                }
            }
            let end = match self.book.started {
                true => schedule.end,
                false => schedule.begin_by,
            };
            let event = tokio::select! {
                event = timeout_at(end.into(), session.next()) => event,
                at = &mut interrupted, if !early => {
                    early = true;
                    schedule.interrupted(at);
                    continue;
                }
            };
            let Ok(event) = event else { break };
            let pause = match event {
                Some(Event::Data(data)) => {
                    if !self.is_answer(&data.payload) {
                        continue;
                    }
                    schedule.think
                }
                Some(Event::Started(_)) => {
                    self.book.started = true;
                    continue;
                }
                Some(Event::Interrupted) => continue,
                Some(Event::Resumed { gap, .. }) => {
                    self.book.resumed(gap, Instant::now());
                    continue;
                }
                Some(Event::Error(_)) => {
                    self.book.error(Instant::now());
                    schedule.think.max(AFTER_ERROR)
                }
                Some(Event::Ended(End::Local)) | None => break,
                Some(Event::Ended(end)) => {
                    self.book.ended(end.to_string(), Instant::now());
                    break;
                }
            };
            if self.book.is_idle() && !pause.is_zero() {
                sleep(pause).await;
            }
        }
        let answered = self.book.is_idle();
        self.book.close();
        if answered {
            self.compare(&mut session, schedule.end).await;
        }
        session.close().await;
        self.book
    }

    /// Asks the backend for the state that it keeps of this player, and compares it.
    async fn compare(&mut self, session: &mut Session, end: Instant) {
        let exact = self.book.is_exact();
        let Some(part) = self.part.as_mut().filter(|_| exact) else {
            return;
        };
        if !session.send(&self.to, ASK_STATE).await {
            return;
        }
        while let Ok(Some(event)) = timeout_at(end.into(), session.next()).await {
            match event {
                Event::Data(data) => {
                    if let Some(number) = matches::Player::push_number(&data.payload) {
                        self.book.push(number);
                        continue;
                    }
                    part.pushed = self.book.pushes;
                    let is_same = data.payload.strip_prefix(STATE) == Some(&part.encode());
                    self.book.state = Some(match is_same {
                        true => State::Same,
                        false => State::Different,
                    });
                    return;
                }
                Event::Resumed { gap, .. } => {
                    self.book.resumed(gap, Instant::now());
                    if gap {
                        return;
                    }
                }
                Event::Started(_) | Event::Interrupted => {}
                Event::Error(_) => return self.book.error(Instant::now()),
                Event::Ended(end) => return self.book.ended(end.to_string(), Instant::now()),
            }
        }
    }

    /// Makes the next frame, and writes it down.
    fn next_frame(&mut self) -> Vec<u8> {
        let sequence = self.book.send(Instant::now());
        let frame = self.frame(sequence);
        if let Some(part) = &mut self.part {
            part.hear(&frame);
        }
        frame
    }

    fn frame(&self, sequence: u64) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.payload);
        frame.extend_from_slice(&self.index.to_be_bytes());
        frame.extend_from_slice(&sequence.to_be_bytes());
        let filling = self.index ^ sequence as u32;
        frame.resize(self.payload.max(STAMP_BYTES), filling as u8);
        frame
    }

    /// Writes down what came; returns false where the backend has sent it unasked.
    fn is_answer(&mut self, payload: &[u8]) -> bool {
        if let Some(number) = matches::Player::push_number(payload) {
            self.book.push(number);
            return false;
        }
        let sequence = payload
            .get(4..)
            .and_then(|rest| rest.first_chunk())
            .map(|bytes| u64::from_be_bytes(*bytes));
        match sequence.filter(|sequence| self.frame(*sequence) == payload) {
            Some(sequence) => self.book.answer(sequence, Instant::now()),
            None => self.book.corrupted += 1,
        }
        true
    }
}
