//! The task that a session is.
//!
//! ```text
//!              connected, RESUME sent      OPENED
//!   Waiting ──▶ Connecting ──▶ Resuming ──────────▶ (in use)
//!      ▲            │             │ 503, broken        │ broken, GOAWAY
//!      └────────────┴─────────────┴────────────────────┘
//! ```
//! While an attempt is Resuming, the connection in use is sent nothing, and what it brings is held
//! back: it is thrown away when the session has moved, and delivered when it has not.

mod heard;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::ledger::Ledger;
use super::line::{Connect, Connecting, Io, Line};
use super::{Command, End, Event, Outgoing, SessionOptions};
use crate::codec::client::{self, FLAG_RESUMABLE, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::codec::framed::{ClientFrame, StreamError};
use crate::sdk::client::event::Event as Heard;

/// Frames held back from the connection that is being left; beyond it that one is not read.
const MAX_HELD: usize = 4096;
/// Bytes queued to a connection before more frames are given to it.
const OUTBOX_BYTES: usize = 64 * 1024;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Far enough away to mean never.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// A whole DATA frame. The session's id is left out: 0 means the connection's session.
pub(super) fn data_frame(service: &str, to: &Outgoing, payload: &[u8], first: bool) -> Bytes {
    let header = Header {
        kind: Kind::Data as u8,
        flags: if first { FLAG_RESUMABLE } else { 0 },
        realm_id: to.realm_id,
        user_id: to.user_id,
        session_id: 0,
    };
    let mut frame = Vec::with_capacity(client::HEADER_LEN + service.len() + payload.len());
    client::encode(&mut frame, &header, service, payload);
    frame.into()
}

/// How a new connection comes about.
enum Attempt {
    /// None is needed.
    None,
    /// Not before that.
    Waiting(Instant),
    Connecting(Connecting, Instant),
    /// RESUME is sent.
    Resuming(Box<Line>, Instant),
}

pub(super) struct Drive {
    connect: Connect,
    options: SessionOptions,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    ledger: Ledger,
    /// The connection in use.
    line: Option<Line>,
    attempt: Attempt,
    /// What came on the connection in use since RESUME was sent on another.
    held: VecDeque<ClientFrame>,
    /// What the application is to be told.
    told: VecDeque<Event>,
    /// How long the next random wait may be.
    wait: Duration,
    /// When the session gives up, while it has no connection.
    gives_up: Option<Instant>,
    idle_timeout: Duration,
    /// The next PING of an idle connection.
    ping_at: Instant,
    /// Until when the PING under way must be answered.
    pong_by: Option<Instant>,
    closing: bool,
    ended: bool,
}

/// What a turn of the loop has brought.
enum Turn {
    Command(Option<Command>),
    Told,
    Line(Result<Option<ClientFrame>, StreamError>),
    Connected(std::io::Result<Box<dyn Io>>),
    Answer(Result<Option<ClientFrame>, StreamError>),
    Time,
}

impl Drive {
    pub(super) fn new(
        connect: Connect,
        options: SessionOptions,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Drive {
        let now = Instant::now();
        Drive {
            connect,
            wait: options.first_wait,
            gives_up: Some(now + options.give_up_after),
            options,
            commands,
            events,
            ledger: Ledger::default(),
            line: None,
            attempt: Attempt::Waiting(now),
            held: VecDeque::new(),
            told: VecDeque::new(),
            idle_timeout: Duration::ZERO,
            ping_at: now + NEVER,
            pong_by: None,
            closing: false,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.ended {
            self.feed();
            match self.turn().await {
                Turn::Command(Some(Command::Send(frame))) => self.ledger.push(frame),
                Turn::Command(Some(Command::Close)) => self.closing = true,
                Turn::Command(None) => return, // Nobody is interested any more.
                Turn::Told => {}
                Turn::Line(Ok(Some(frame))) => self.heard(frame),
                Turn::Line(Ok(None) | Err(StreamError::Io(_))) => self.line_lost(),
                Turn::Answer(Ok(Some(frame))) => self.answered(frame),
                Turn::Answer(Ok(None) | Err(StreamError::Io(_))) => self.try_again(None),
                Turn::Line(Err(error)) | Turn::Answer(Err(error)) => {
                    self.end(End::Broken(error.to_string()));
                }
                Turn::Connected(Ok(io)) => self.connected(io),
                Turn::Connected(Err(_)) => self.try_again(None),
                Turn::Time => self.look_at_the_clock(),
            }
            if self.closing && self.nothing_is_unsent() {
                self.say_goodbye().await;
            }
        }
        while let Some(event) = self.told.pop_front() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// Waits until something happens.
    async fn turn(&mut self) -> Turn {
        let room = self.ledger.kept_bytes() < self.options.max_kept;
        let may_read = self.told.is_empty() && self.held.len() < MAX_HELD;
        let alarm = self.alarm();
        tokio::select! {
            command = self.commands.recv(), if room && !self.closing => Turn::Command(command),
            permit = self.events.reserve(), if !self.told.is_empty() => match permit {
                Err(_) => Turn::Command(None),
                Ok(permit) => {
                    if let Some(event) = self.told.pop_front() {
                        permit.send(event);
                    }
                    Turn::Told
                }
            },
            frame = async {
                match &mut self.line {
                    Some(line) => line.next(may_read).await,
                    None => std::future::pending().await,
                }
            } => Turn::Line(frame),
            turn = async {
                match &mut self.attempt {
                    Attempt::Connecting(connecting, _) => Turn::Connected(connecting.await),
                    Attempt::Resuming(line, _) => Turn::Answer(line.next(true).await),
                    Attempt::None | Attempt::Waiting(_) => std::future::pending().await,
                }
            } => turn,
            () = sleep_until(alarm) => Turn::Time,
        }
    }

    /// When something is to be done though nothing happens.
    fn alarm(&self) -> Instant {
        let attempt = match &self.attempt {
            Attempt::None => None,
            Attempt::Waiting(until) => Some(*until),
            Attempt::Connecting(_, by) | Attempt::Resuming(_, by) => Some(*by),
        };
        let ping = self.line.is_some().then_some(self.ping_at);
        let times = [attempt, ping, self.pong_by, self.gives_up];
        let first = times.into_iter().flatten().min();
        first.unwrap_or_else(|| Instant::now() + NEVER)
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.gives_up.is_some_and(|at| at <= now) {
            return self.end(End::GaveUp);
        }
        if self.pong_by.is_some_and(|by| by <= now) {
            return self.line_lost();
        }
        match &self.attempt {
            Attempt::Waiting(until) if *until <= now => {
                let by = now + self.options.connect_timeout;
                self.attempt = Attempt::Connecting((self.connect)(), by);
            }
            Attempt::Connecting(_, by) | Attempt::Resuming(_, by) if *by <= now => {
                self.try_again(None);
            }
            _ => {}
        }
        if self.ping_at <= now {
            self.ping();
        }
    }

    /// Whether the connection in use may be written to.
    fn may_write(&self) -> bool {
        !matches!(self.attempt, Attempt::Resuming(..))
    }

    fn nothing_is_unsent(&self) -> bool {
        match &self.line {
            Some(_) => self.may_write() && self.ledger.all_is_written(),
            // Who never came in has nobody to say goodbye to.
            None => !self.ledger.has_begun() && self.ledger.kept_bytes() == 0,
        }
    }

    /// Gives the connection in use what it lacks.
    fn feed(&mut self) {
        if !self.may_write() {
            return;
        }
        let Some(line) = &mut self.line else { return };
        while line.queued() < OUTBOX_BYTES
            && let Some(frame) = self.ledger.next()
        {
            line.push(&frame);
        }
        if self.ledger.kept_bytes() > self.options.max_kept / 2 && self.pong_by.is_none() {
            self.ping();
        }
    }

    /// Asks for a PONG that acknowledges all that was sent.
    fn ping(&mut self) {
        let now = Instant::now();
        self.ping_at = now + self.ping_interval();
        if !self.may_write() {
            return;
        }
        if let Some(line) = &mut self.line {
            line.push_kind(Kind::Ping, 0, &self.ledger.mark().to_be_bytes());
            self.pong_by.get_or_insert(now + self.options.pong_timeout);
        }
    }

    /// A third of what the gateway tolerates (protocol 1.2).
    fn ping_interval(&self) -> Duration {
        if self.idle_timeout.is_zero() {
            NEVER
        } else {
            self.idle_timeout / 3
        }
    }

    fn connected(&mut self, io: Box<dyn Io>) {
        let mut line = Line::new(io, self.options.max_payload);
        if !self.ledger.resumable() {
            self.ledger.begin();
            self.attempt = Attempt::None;
            self.take_into_use(line);
            return;
        }
        let mut payload = self.ledger.taken().to_be_bytes().to_vec();
        payload.extend_from_slice(self.ledger.token());
        line.push_kind(Kind::Resume, self.ledger.session_id(), &payload);
        self.pong_by = None;
        let by = Instant::now() + self.options.connect_timeout;
        self.attempt = Attempt::Resuming(Box::new(line), by);
    }

    fn take_into_use(&mut self, line: Line) {
        self.line = Some(line);
        self.wait = self.options.first_wait;
        (self.gives_up, self.pong_by) = (None, None);
        self.ping_at = Instant::now() + self.ping_interval();
    }

    /// The connection in use has broken.
    fn line_lost(&mut self) {
        self.line = None;
        self.pong_by = None;
        if self.closing {
            return self.end(End::Local);
        }
        if self.ledger.has_begun() && !self.ledger.resumable() {
            return self.end(End::Lost);
        }
        self.interrupted();
        self.gives_up
            .get_or_insert(Instant::now() + self.options.give_up_after);
        if matches!(self.attempt, Attempt::None) {
            self.try_again(None);
        }
    }

    fn interrupted(&mut self) {
        self.pong_by = None;
        if self.ledger.has_begun() {
            self.told.push_back(Event::Interrupted);
        }
    }

    /// The attempt has failed, or there was none: waits as long as the gateway said, else at random.
    fn try_again(&mut self, told: Option<Duration>) {
        let wait = match told.filter(|wait| !wait.is_zero()) {
            Some(wait) => wait,
            None => {
                let longest = self.wait;
                self.wait = (self.wait * 2).min(self.options.longest_wait);
                longest.mul_f64(rand::rng().random_range(0.0..=1.0))
            }
        };
        self.attempt = Attempt::Waiting(Instant::now() + wait);
        self.feed();
    }

    fn end(&mut self, end: End) {
        self.told.push_back(Event::Ended(end));
        (self.line, self.attempt) = (None, Attempt::None);
        self.ended = true;
    }

    async fn say_goodbye(&mut self) {
        if let Some(mut line) = self.line.take() {
            let mut payload = Vec::new();
            Notice {
                code: Code::NORMAL,
                retry_after_ms: 0,
                text: "",
            }
            .encode(&mut payload);
            line.push_kind(Kind::Close, 0, &payload);
            self.hear_out(&mut line).await;
            line.end(LAST_WORDS).await;
        }
        self.end(End::Local);
    }

    /// What is still on its way to the application when it has said CLOSE.
    async fn hear_out(&mut self, line: &mut Line) {
        let rest = async {
            while let Ok(Some(frame)) = line.next(true).await {
                if frame.header.kind == Kind::Data as u8
                    && let Heard::Data(data) = Heard::from_frame(frame)
                {
                    self.told.push_back(Event::Data(data));
                }
            }
        };
        // The gateway ends the connection in answer; one that does not is left.
        let _ = timeout(LAST_WORDS, rest).await;
    }
}
