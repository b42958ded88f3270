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
//! * [`core`]: the session as a state machine without I/O.
//! * `drive`: the task that executes what the core orders.
//! * `dial`: how connections are made.

pub mod core;
mod dial;
mod drive;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Outgoing;
use drive::Drive;

pub use self::core::{End, Event, SessionOptions};
pub use super::line::Io;
pub use dial::{Connect, Connecting, dial, tcp};

/// Events that may wait for the application; beyond it nothing is read.
const MAX_EVENTS: usize = 256;
/// Calls that may wait to be taken.
const MAX_COMMANDS: usize = 64;

enum Command {
    Send(Outgoing, Bytes),
    Close,
}

/// A session. Dropping it ends its connection without a word.
#[derive(Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Session {
    /// Starts a session over connections that `connect` makes, on the current tokio runtime. The
    /// gateway learns of it with the first [`send`](Self::send).
    pub fn start(connect: Connect, options: SessionOptions) -> Session {
        let (commands, to_do) = mpsc::channel(MAX_COMMANDS);
        let (told, events) = mpsc::channel(MAX_EVENTS);
        tokio::spawn(Drive::new(connect, options, to_do, told).run());
        Session { commands, events }
    }

    /// Sends one DATA frame: now, or when the session has come back. Waits while too much is kept.
    /// Returns whether the session still stands; why not says [`Event::Ended`].
    pub async fn send(&mut self, to: &Outgoing, payload: impl AsRef<[u8]>) -> bool {
        let payload = Bytes::copy_from_slice(payload.as_ref());
        let command = Command::Send(to.clone(), payload);
        self.commands.send(command).await.is_ok()
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
