//! The task that a session is: it executes the effects of the core, and tells it of the sockets, the
//! application and the time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_codec::Framed;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::core::{ConnId, Effect, Event, SessionCore};
use super::dial::{Connect, Connecting};
use super::{Command, SessionOptions};
use crate::codec::framed::{ClientCodec, ClientFrame, StreamError};
use crate::sdk::client::line::{Io, Line};

/// Connections at a time: the one in use, and the one to come.
const MAX_CONNECTIONS: usize = 2;

/// A connection, or the attempt to make it.
enum Connection {
    Connecting(Connecting),
    Open(Open),
}

struct Open {
    line: Line,
    /// Bytes that are queued and not flushed.
    queued: usize,
    /// A write has failed. What the gateway said before is still to be read: why it ends, perhaps.
    read_only: bool,
}

type Slot = Option<(ConnId, Connection)>;

/// News of a connection.
enum News {
    Connected(io::Result<Box<dyn Io>>),
    Frame(ClientFrame),
    /// So many bytes were written: all that were queued.
    Wrote(usize),
    Failed(StreamError),
    End,
}

/// An occasion to go on.
enum Turn {
    Command(Option<Command>),
    Told,
    Unheard,
    News(ConnId, News),
    Time,
}

pub(super) struct Drive {
    core: SessionCore,
    /// The moment that the core's milliseconds count from.
    start: Instant,
    max_payload: u32,
    connect: Connect,
    connections: [Slot; MAX_CONNECTIONS],
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that wait for room at the application.
    told: VecDeque<Event>,
    closing: bool,
}

/// Waits for news of a connection; cancelling it loses nothing.
async fn news(slot: &mut Slot, core: &SessionCore, may_read: bool) -> (ConnId, News) {
    match slot {
        None => std::future::pending().await,
        Some((conn, Connection::Connecting(connecting))) => {
            (*conn, News::Connected(connecting.await))
        }
        Some((conn, Connection::Open(open))) => {
            let may_read = may_read && core.takes_frames(*conn);
            let news = std::future::poll_fn(|cx| open.poll_news(cx, may_read)).await;
            (*conn, news)
        }
    }
}

impl Open {
    fn push(&mut self, frames: Bytes) -> Result<(), StreamError> {
        if self.read_only {
            return Ok(());
        }
        self.queued += frames.len();
        Pin::new(&mut self.line).write(frames)
    }

    /// Writes what is queued, and reads unless `may_read` is false. A connection that cannot be written
    /// ends when it is read out.
    fn poll_news(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<News> {
        let mut line = Pin::new(&mut self.line);
        if self.queued > 0 && !self.read_only {
            match line.as_mut().flush::<Bytes>(cx) {
                Poll::Ready(Ok(())) => {
                    return Poll::Ready(News::Wrote(std::mem::take(&mut self.queued)));
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "cannot be written");
                    self.read_only = true;
                }
                Poll::Pending => {}
            }
        }
        if !may_read {
            return Poll::Pending;
        }
        line.poll_next(cx).map(|item| match item {
            Some(Ok(frame)) => News::Frame(frame),
            Some(Err(error)) => News::Failed(error),
            None => News::End,
        })
    }
}

impl Drive {
    pub(super) fn new(
        connect: Connect,
        options: SessionOptions,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Drive {
        Drive {
            max_payload: options.max_payload,
            core: SessionCore::new(options, rand::random(), 0),
            start: Instant::now(),
            connect,
            connections: [None, None],
            commands,
            events,
            told: VecDeque::new(),
            closing: false,
        }
    }

    /// Runs until the session is over and the application was told, or has gone away.
    pub(super) async fn run(mut self) {
        loop {
            self.execute();
            if self.core.is_over() {
                break;
            }
            let turn = self.turn().await;
            let now = self.now();
            match turn {
                Turn::Command(Some(Command::Send(to, payload))) => {
                    self.core.send(now, &to, &payload);
                }
                Turn::Command(Some(Command::Close)) => {
                    self.closing = true;
                    self.core.close(now);
                }
                // A session that closes says so, even if nobody waits for its end.
                Turn::Unheard if self.closing => self.told.clear(),
                Turn::Command(None) | Turn::Unheard => return,
                Turn::Told => {
                    if self.told.is_empty() {
                        self.core.was_deaf(now);
                    }
                }
                Turn::News(conn, news) => self.take_news(now, conn, news),
                Turn::Time => {
                    if !self.told.is_empty() {
                        self.core.was_deaf(now);
                    }
                    self.core.timer(now);
                }
            }
        }
        while let Some(event) = self.told.pop_front() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    async fn turn(&mut self) -> Turn {
        let core = &self.core;
        let may_read = self.told.is_empty();
        let deadline = core.deadline().map(Duration::from_millis);
        let [first, second] = &mut self.connections;
        tokio::select! {
            command = self.commands.recv(), if core.takes_data() => Turn::Command(command),
            permit = self.events.reserve(), if !may_read => match permit {
                Err(_) => Turn::Unheard,
                Ok(permit) => {
                    if let Some(event) = self.told.pop_front() {
                        permit.send(event);
                    }
                    Turn::Told
                }
            },
            (conn, news) = news(first, core, may_read) => Turn::News(conn, news),
            (conn, news) = news(second, core, may_read) => Turn::News(conn, news),
            () = async {
                match deadline {
                    Some(deadline) => sleep_until(self.start + deadline).await,
                    None => std::future::pending().await,
                }
            } => Turn::Time,
        }
    }

    fn take_news(&mut self, now: u64, conn: ConnId, news: News) {
        match news {
            News::Connected(Ok(io)) => {
                let codec = ClientCodec {
                    max_payload: self.max_payload,
                };
                if let Some(slot) = self.slot(conn) {
                    let line = Framed::new(io, codec);
                    let open = Open {
                        line,
                        queued: 0,
                        read_only: false,
                    };
                    *slot = Some((conn, Connection::Open(open)));
                }
                self.core.connected(now, conn);
            }
            News::Connected(Err(error)) => {
                tracing::debug!(%error, "no connection");
                self.disconnect(conn);
                self.core.connect_failed(now, conn);
            }
            News::Frame(frame) => self.core.received(now, conn, frame),
            News::Wrote(bytes) => self.core.wrote(now, conn, bytes),
            News::End | News::Failed(StreamError::Io(_)) => {
                self.disconnect(conn);
                self.core.lost(now, conn);
            }
            News::Failed(error) => self.core.broken(conn, error),
        }
    }

    fn execute(&mut self) {
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Connect(conn) => {
                    let connecting = Connection::Connecting((self.connect)());
                    if let Some(free) = self.connections.iter_mut().find(|slot| slot.is_none()) {
                        *free = Some((conn, connecting));
                    }
                }
                Effect::Send(conn, frames) => {
                    if let Some(Some((_, Connection::Open(open)))) = self.slot(conn)
                        && let Err(error) = open.push(frames)
                    {
                        tracing::debug!(%error, "not queued");
                    }
                }
                Effect::Disconnect(conn) => self.disconnect(conn),
                Effect::Tell(event) => self.told.push_back(event),
            }
        }
    }

    fn slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let is = |slot: &&mut Slot| slot.as_ref().is_some_and(|(id, _)| *id == conn);
        self.connections.iter_mut().find(is)
    }

    fn disconnect(&mut self, conn: ConnId) {
        if let Some(slot) = self.slot(conn) {
            *slot = None;
        }
    }
}
