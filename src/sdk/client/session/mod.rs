//! A session that outlives its connections: it resumes after a broken one, moves when a gateway
//! asks it to, and tells the application what it must know and nothing else (protocol 3.2, 3.3).
//!
//! ```no_run
//! # async fn play() {
//! use game_gateway::sdk::client::Outgoing;
//! use game_gateway::sdk::client::session::{Event, Session, SessionOptions, tcp};
//!
//! let mut session = Session::start(tcp("gateway.example:7000"), SessionOptions::default());
//! session.send(&Outgoing::to("game"), b"north".as_slice()).await;
//! while let Some(event) = session.next().await {
//!     match event {
//!         Event::Data(answer) => println!("{} bytes", answer.payload.len()),
//!         Event::Resumed { gap: true, .. } => println!("ask the game where I am"),
//!         Event::Ended(end) => println!("over: {end}"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # }
//! ```
//!
//! * [`ledger`]: which frames the gateway may not have, and how many were taken. Pure.
//! * [`mod@line`]: one connection.
//! * [`mod@dial`]: how connections are made.
//! * [`drive`]: the task that a session is: the connection in use, the one to come, and the clock.
//!
//! The gateway acknowledges frames only when a connection begins. So that what is kept stays small,
//! the session sends a PING when much is kept: gateways take frames in order, and its PONG says that
//! all before it were taken.

mod dial;
mod drive;
mod ledger;
mod line;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Data, MAX_PAYLOAD, Outgoing, Told};
use drive::Drive;

pub use dial::dial;
pub use line::{Connect, Connecting, Io, tcp};

/// Longer than a gateway waits for another one and its backends, at its defaults.
const RESUME_TIMEOUT: Duration = Duration::from_secs(12);
/// Events that may wait for the application; beyond it nothing is read.
const MAX_EVENTS: usize = 256;
/// Calls that may wait to be taken.
const MAX_COMMANDS: usize = 64;

/// Bounds of a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// For a connection to be made, and for a RESUME to be answered: a gateway may wait six seconds for
    /// another one, and two for each backend (protocol 3.2).
    pub connect_timeout: Duration,
    /// The longest random wait before the first attempt to come back, where the gateway said
    /// nothing; it doubles up to `longest_wait` (protocol 1.4).
    pub first_wait: Duration,
    /// The longest random wait between attempts.
    pub longest_wait: Duration,
    /// How long the session tries to come back before it gives up.
    pub give_up_after: Duration,
    /// How long a PING may stay unanswered before the connection counts as broken.
    pub pong_timeout: Duration,
    /// Bytes that are kept until the gateway is known to have them; beyond it
    /// [`send`](Session::send) waits.
    pub max_kept: usize,
    /// The longest payload that is taken, in bytes.
    pub max_payload: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            connect_timeout: RESUME_TIMEOUT,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(30),
            give_up_after: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(10),
            max_kept: 1 << 20,
            max_payload: MAX_PAYLOAD,
        }
    }
}

/// What an application hears of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The gateway has the session; it has this id.
    Started(u64),
    /// The application's bytes, in order, none lost or doubled since the last gap.
    Data(Data),
    /// Something was refused; the session goes on.
    Error(Told),
    /// The connection is lost; the session comes back or ends.
    Interrupted,
    /// The session goes on over another connection.
    Resumed {
        /// Frames in either direction may be missing.
        gap: bool,
        /// How many of those that were sent may be missing.
        unknown: usize,
    },
    /// The session is over; nothing follows.
    Ended(End),
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The gateway or a backend has ended it.
    #[error("closed with {}: {}", .0.code, .0.text)]
    Closed(Told),
    /// The connection was lost before the session could be resumed.
    #[error("the connection was lost before the session could be resumed")]
    Lost,
    /// No gateway took it back in time.
    #[error("no gateway took the session back in time")]
    GaveUp,
    /// The gateway broke the protocol.
    #[error("the gateway broke the protocol: {0}")]
    Broken(String),
    /// [`Session::close`].
    #[error("closed by the application")]
    Local,
}

enum Command {
    Send(Bytes),
    Close,
}

/// A session. Dropping it ends its connection without a word.
#[derive(Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    /// The service that the frame before named.
    last: String,
    begun: bool,
}

impl Session {
    /// Starts a session over connections that `connect` makes, on the current tokio runtime. The
    /// gateway learns of it with the first [`send`](Self::send).
    pub fn start(connect: Connect, options: SessionOptions) -> Session {
        let (commands, to_do) = mpsc::channel(MAX_COMMANDS);
        let (told, events) = mpsc::channel(MAX_EVENTS);
        tokio::spawn(Drive::new(connect, options, to_do, told).run());
        Session {
            commands,
            events,
            last: String::new(),
            begun: false,
        }
    }

    /// Sends one DATA frame: now, or when the session has come back. Waits while too much is kept.
    /// Returns whether the session still stands; why not says [`Event::Ended`].
    pub async fn send(&mut self, to: &Outgoing, payload: impl AsRef<[u8]>) -> bool {
        if !to.service.is_empty() {
            self.last.clone_from(&to.service);
        }
        let frame = drive::data_frame(&self.last, to, payload.as_ref(), !self.begun);
        self.begun = true;
        self.commands.send(Command::Send(frame)).await.is_ok()
    }

    /// Waits for the next event; `None` after the end. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Ends the session: what was sent before is written, then CLOSE 0. [`next`](Self::next) gives
    /// what was still on its way, and the end.
    pub async fn close(&mut self) {
        // One that is over already needs no end.
        let _ = self.commands.send(Command::Close).await;
    }
}
