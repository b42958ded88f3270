//! One HTTP connection: its requests one after the other, and its deadlines.
//!
//! ```text
//!          first byte        head whole            answer written
//!   Idle ─────────────▶ Head ──────────▶ Answering ──────────────▶ Idle
//!     │ keep-alive over   │ too slow: 408    │ close, refused body, drain
//!     └───────────────────┴──────────────────┴──▶ shut down, read on for a while, closed
//! ```
//!
//! A request is read when the answer to the one before it is written, so no request can change another
//! one's answer, and a client that does not read holds one answer at most.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Body, Broken, Mistake, READ_BYTES, read_head};
use super::one_shot;
use super::request::{Asked, Manner, Target};
use super::response::Reply;
use super::stream::Stream;
use super::upgrade::Accept;
use crate::memory::Evictable;
use crate::net::entry_host::EntryParams;
use crate::net::socket::Socket;
use crate::net::websocket::WebSocket;

/// Idle timeout between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Time in which a response must be read.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);
/// Timeout of a draining connection for the pending request, and of any for the rest of a body that
/// nobody wants.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which input is discarded behind a response that ends the connection.
const LINGER: Duration = Duration::from_secs(1);
/// A body that has not come in time.
const SLOW_BODY: Mistake = Mistake {
    status: 408,
    text: "the body came too slowly",
};
/// Asks for the body of a request that waits for it.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection that speaks HTTP.
pub(super) struct Connection {
    stream: Stream,
    params: EntryParams,
    end: End,
}

/// The end of a connection that is drained.
struct End {
    drain: Rc<Notify>,
    /// The connection ends behind the next response.
    due: Cell<bool>,
}

impl End {
    /// Waits for `work`, at most `limit`, and at most `grace` once the connection is drained. Returns
    /// `None` if that is over.
    async fn within<T>(
        &self,
        limit: Option<Duration>,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(work);
        let limit = match limit {
            _ if !self.due.get() => limit,
            None => Some(grace),
            Some(limit) => Some(limit.min(grace)),
        };
        let mut until = limit.map(|limit| Instant::now() + limit);
        loop {
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = over => return None,
                () = self.drain.notified(), if !self.due.get() => {
                    self.due.set(true);
                    let end = Instant::now() + grace;
                    until = Some(until.map_or(end, |until| until.min(end)));
                }
            }
        }
    }
}

/// Whether a connection goes on behind a response.
enum Then {
    Next,
    /// It ends, and is read for so long.
    Part(Duration),
    Upgrade(Accept),
    Failed,
}

impl Connection {
    pub(super) fn new(socket: Socket, read: BytesMut, params: EntryParams) -> Connection {
        Connection {
            stream: Stream::new(socket, read),
            end: End {
                drain: Rc::clone(&params.drain),
                due: Cell::new(false),
            },
            params,
        }
    }

    /// Answers one request after the other; returns the WebSocket that the connection becomes.
    pub(super) async fn serve(mut self) -> Option<Socket> {
        let sniff_timeout = self.params.config.listen.sniff_timeout;
        let (mut idle, mut head) = (self.params.timeout, self.params.timeout);
        loop {
            let begins = self.stream.begins(READ_BYTES);
            let then = match self.end.within(Some(idle), Duration::ZERO, begins).await {
                // What it takes to answer goes when it is answered.
                Some(Ok(true)) => Box::pin(self.evictable_request(head)).await,
                Some(Ok(false)) | None => Then::Part(LINGER),
                Some(Err(_)) => Then::Failed,
            };
            (idle, head) = (KEEP_ALIVE, sniff_timeout);
            match then {
                Then::Next => {}
                Then::Part(linger) => {
                    self.stream.part(linger).await;
                    return None;
                }
                Then::Upgrade(accept) => return Box::pin(self.upgrade(accept)).await,
                Then::Failed => return None,
            }
        }
    }

    /// Waits `timeout` for the rest of a request's head, and answers it, unless the memory that this takes is
    /// wanted back meanwhile.
    async fn evictable_request(&mut self, timeout: Duration) -> Then {
        let evicted = Rc::new(Notify::new());
        let end = Rc::clone(&evicted);
        let request = Evictable::new(move || end.notify_one());
        self.stream.begin_request(request);
        let then = tokio::select! {
            biased;
            then = self.request(timeout) => then,
            () = evicted.notified() => Then::Failed,
        };
        self.stream.end_request();
        then
    }

    /// Waits `timeout` for the rest of a request's head, and answers it.
    async fn request(&mut self, timeout: Duration) -> Then {
        let reading = read_head(&mut self.stream);
        let read = self
            .end
            .within(Some(timeout), Duration::ZERO, reading)
            .await;
        let (asked, mut body) = match read {
            Some(Ok((request, body))) => match Asked::new(request.head(), &self.params) {
                Some(asked) => (asked, body),
                None => return Then::Failed,
            },
            Some(Err(Broken::Refused(mistake))) => return self.refuse(mistake.into()).await,
            Some(Err(Broken::Ended)) => return Then::Part(LINGER),
            None if self.end.due.get() => return Then::Part(LINGER),
            None => {
                let slow = Reply::refusal(408, "the request came too slowly");
                return self.refuse(slow).await;
            }
        };
        self.stream.free();
        self.answer(asked, &mut body).await
    }

    /// Answers a request that cannot be understood, and ends the connection.
    async fn refuse(&mut self, reply: Reply) -> Then {
        self.note_refusal(&reply);
        match self.respond(reply, None, Manner::REFUSAL).await {
            true => Then::Part(LINGER),
            false => Then::Failed,
        }
    }

    fn note_refusal(&self, reply: &Reply) {
        let host = &self.params.host;
        host.refused(reply.status(), reply.text(), "", 0, 0);
    }

    async fn answer(&mut self, asked: Asked, body: &mut Body) -> Then {
        let Asked {
            target,
            origin,
            expects,
            mut manner,
        } = asked;
        let waits = expects && !body.is_done();
        let target = match self.params.host.short_of_memory() {
            Some(reason) if matches!(target, Target::Post(_)) => {
                Target::Refused(Reply::refused(&reason))
            }
            _ => target,
        };
        let reply = match target {
            Target::WebSocket(accept) => return Then::Upgrade(accept),
            Target::Refused(reply) => {
                self.note_refusal(&reply);
                match waits {
                    true => reply.closing(),
                    false => reply,
                }
            }
            Target::Preflight => Reply::preflight(),
            Target::Health => match self.params.host.not_ready() {
                Some(reason) => Reply::refused(&reason),
                None => Reply::health(),
            },
            Target::Post(post) => {
                let limit = self.params.config.listen.max_payload as usize;
                let work = exchange(&mut self.stream, &self.params, &post, body, waits, limit);
                match self.end.within(None, DRAIN_TIMEOUT, work).await {
                    Some(Ok(reply)) => reply,
                    Some(Err(Broken::Refused(mistake))) => {
                        let reply = mistake.into();
                        self.note_refusal(&reply);
                        reply
                    }
                    Some(Err(Broken::Ended)) => return Then::Failed,
                    None => return Then::Part(LINGER),
                }
            }
        };
        let limit = u64::from(self.params.config.listen.max_payload);
        manner.closes |= reply.is_closing()
            || body.is_over(limit)
            || self.end.due.get()
            || self.params.host.refusal().is_some();
        if !self.respond(reply, origin.as_deref(), manner).await {
            return Then::Failed;
        }
        if manner.closes {
            // A client that goes on with its upload reads the response when it has ended.
            let linger = if body.is_done() {
                LINGER
            } else {
                DRAIN_TIMEOUT
            };
            return Then::Part(linger);
        }
        self.skip(body).await
    }

    /// Skips what is left of a body, so that the next request can be found.
    async fn skip(&mut self, body: &mut Body) -> Then {
        if body.is_done() {
            return Then::Next;
        }
        let limit = self.params.config.listen.max_payload as usize;
        let skipping = body.discard(&mut self.stream, limit);
        let grace = DRAIN_TIMEOUT;
        match self.end.within(Some(grace), grace, skipping).await {
            Some(Ok(())) => Then::Next,
            Some(Err(_)) | None => Then::Part(LINGER),
        }
    }

    /// Writes a response and counts it. Returns false if the connection has failed.
    async fn respond(&mut self, reply: Reply, origin: Option<&str>, manner: Manner) -> bool {
        self.params.host.answered(reply.status());
        let http = &self.params.config.listen.http;
        let (head, body) = reply.into_response(origin, manner, http);
        let writing = self.stream.write(head.as_bytes(), body);
        let written = self
            .end
            .within(Some(RESPONSE_TIMEOUT), DRAIN_TIMEOUT, writing);
        matches!(written.await, Some(Ok(())))
    }

    async fn upgrade(mut self, accept: Accept) -> Option<Socket> {
        self.params.host.answered(101);
        let response = accept.response();
        let writing = self.stream.write(response.as_bytes(), Bytes::new());
        let written = self
            .end
            .within(Some(RESPONSE_TIMEOUT), DRAIN_TIMEOUT, writing);
        let Some(Ok(())) = written.await else {
            return None;
        };
        let (read, socket) = self.stream.into_parts();
        let limit = self.params.config.listen.max_payload;
        let socket = WebSocket::new(socket, read.to_vec(), limit).await;
        Some(Socket::WebSocket(Box::new(socket)))
    }
}

/// Reads a POST's body and exchanges it for an answer.
async fn exchange(
    stream: &mut Stream,
    params: &EntryParams,
    post: &super::request::Post,
    body: &mut Body,
    waits: bool,
    limit: usize,
) -> Result<Reply, Broken> {
    let reading = async {
        if waits {
            stream.write(CONTINUE, Bytes::new()).await?;
        }
        let is_short = || params.host.short_of_memory().is_some();
        body.read(stream, limit, is_short).await
    };
    let read = timeout(params.config.listen.http.timeout, reading).await;
    let payload = read.unwrap_or(Err(Broken::Refused(SLOW_BODY)))?;
    stream.free();
    let request = stream.request();
    tokio::select! {
        biased;
        reply = one_shot::exchange(params, post, payload, request) => Ok(reply),
        () = stream.fails() => Err(Broken::Ended),
    }
}
