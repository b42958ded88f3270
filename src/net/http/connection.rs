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
//!
//! A trusted proxy's connection has requests of many players, and none of them ends it for the others: the rest of
//! an unwanted body is read before the answer. It ends only where the next request cannot be found, where what
//! follows may be no HTTP, or where the answer cannot be written.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Body, Broken, Mistake, READ_BYTES, SHORT_OF_MEMORY, read_head};
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
/// Requests that are answered in a row before others get their turn: thousands fit into one read, and an answer that
/// nobody has to wait for is written at once.
const REQUESTS_A_TURN: u64 = 8;
/// Timeout of a draining connection for the pending request, and of any for the rest of a body that
/// nobody wants.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which input is discarded behind a response that ends the connection.
const LINGER: Duration = Duration::from_secs(1);
/// A body that has not come in time.
const SLOW_BODY: Mistake = Mistake {
    status: 408,
    text: "the body came too slowly",
    is_lost: true,
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
    /// Notified when memory that the request under way takes is wanted back.
    evicted: Rc<Notify>,
    is_evicted: Cell<bool>,
}

impl End {
    /// Waits for `work`, at most `limit`, and at most `grace` once the connection is drained. Returns
    /// `None` if that is over, or its memory is wanted back.
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
                () = self.evicted.notified() => {
                    self.is_evicted.set(true);
                    return None;
                }
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
                evicted: Rc::default(),
                is_evicted: Cell::new(false),
            },
            params,
        }
    }

    /// Answers one request after the other; returns the WebSocket that the connection becomes.
    pub(super) async fn serve(mut self) -> Option<Socket> {
        let sniff_timeout = self.params.config.listen.sniff_timeout;
        let (mut idle, mut head) = (self.params.timeout, self.params.timeout);
        let mut served = 0_u64;
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
                Then::Next => {
                    served += 1;
                    if served.is_multiple_of(REQUESTS_A_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
                Then::Part(linger) => {
                    self.stream.part(linger).await;
                    return None;
                }
                Then::Upgrade(accept) => return Box::pin(self.upgrade(accept)).await,
                Then::Failed => return None,
            }
        }
    }

    /// Waits `timeout` for the rest of a request's head, and answers it. The memory that this takes can be wanted
    /// back meanwhile.
    async fn evictable_request(&mut self, timeout: Duration) -> Then {
        self.end.evicted = Rc::default();
        self.end.is_evicted.set(false);
        let evicted = Rc::clone(&self.end.evicted);
        let request = Evictable::new(move || evicted.notify_one());
        self.stream.begin_request(request);
        let then = self.request(timeout).await;
        self.stream.end_request();
        then
    }

    /// Waits `timeout` for the rest of a request's head, and answers it.
    async fn request(&mut self, timeout: Duration) -> Then {
        let host = Rc::clone(&self.params.host);
        let reading = read_head(&mut self.stream, || host.short_of_memory().is_some());
        let read = self
            .end
            .within(Some(timeout), Duration::ZERO, reading)
            .await;
        let (asked, mut body) = match read {
            Some(Ok((request, body))) => (Asked::new(request.head(), &self.params), body),
            Some(Err(Broken::Refused(mistake))) => return self.refuse(mistake.into()).await,
            Some(Err(Broken::Ended)) => return Then::Part(LINGER),
            None if self.end.is_evicted.get() => return Then::Failed,
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
        let reply = self.noted(reply);
        match self.respond(reply, None, Manner::REFUSAL).await {
            true => Then::Part(LINGER),
            false => Then::Failed,
        }
    }

    /// Notes a refusal for operators.
    fn noted(&self, reply: Reply) -> Reply {
        let host = &self.params.host;
        host.refused(reply.status(), reply.text(), "", 0, 0);
        reply
    }

    async fn answer(&mut self, asked: Asked, body: &mut Body) -> Then {
        let (host, limit) = (Rc::clone(&self.params.host), self.most_payload());
        let is_shared = host.is_trusted_proxy(None);
        let mut manner = asked.manner;
        let mut waits = asked.expects && !body.is_done();
        let target = match host.short_of_memory() {
            Some(reason) if matches!(asked.target, Target::Post(_)) => {
                Target::Refused(Reply::refused(&reason))
            }
            _ => asked.target,
        };
        let reply = match target {
            Target::WebSocket(accept) => return Then::Upgrade(accept),
            Target::Refused(reply) => self.noted(reply),
            Target::Preflight => Reply::preflight(),
            Target::Health => match host.not_ready() {
                Some(reason) => Reply::refused(&reason),
                None => Reply::health(),
            },
            Target::Post(post) => {
                let work = exchange(&mut self.stream, &self.params, &post, body, waits, limit);
                waits = false;
                match self.end.within(None, DRAIN_TIMEOUT, work).await {
                    Some(Ok(reply)) => reply,
                    Some(Err(Broken::Refused(mistake))) => {
                        manner.closes |= mistake.is_lost;
                        self.noted(mistake.into())
                    }
                    Some(Err(Broken::Ended)) => return Then::Failed,
                    None if self.end.is_evicted.get() => self.noted(SHORT_OF_MEMORY.into()),
                    // Drained, or no longer served, while the body or the answer was to come.
                    None => match host.refusal() {
                        Some(reason) => self.noted(Reply::refused(&reason)),
                        None => return Then::Part(LINGER),
                    },
                }
            }
        };
        manner.closes |= self.end.due.get() || host.is_ending();
        if is_shared && !manner.closes {
            // First: proxies give a connection up over which an answer has come before the request's end.
            manner.closes = !self.skip(body, waits, usize::MAX).await;
        } else {
            // Whether a body comes that was waited for is not known.
            manner.closes |= waits || reply.is_closing() || host.refusal().is_some();
            manner.closes |= body.is_over(limit as u64);
        }
        if !self.respond(reply, asked.origin.as_deref(), manner).await {
            return Then::Failed;
        }
        if !manner.closes && self.skip(body, false, limit).await {
            return Then::Next;
        }
        // A client that goes on with its upload reads the response when it has ended.
        Then::Part(match body.is_done() || !manner.closes {
            true => LINGER,
            false => DRAIN_TIMEOUT,
        })
    }

    fn most_payload(&self) -> usize {
        self.params.config.listen.max_payload as usize
    }

    /// Skips what is left of a body, at most `limit` bytes, and asks for it first where the client waits. Returns false if
    /// the next request cannot be found.
    async fn skip(&mut self, body: &mut Body, waits: bool, limit: usize) -> bool {
        if body.is_done() {
            return true;
        }
        let stream = &mut self.stream;
        let skipping = async {
            if waits {
                stream.write(CONTINUE, Bytes::new()).await?;
            }
            body.discard(stream, limit).await
        };
        let grace = DRAIN_TIMEOUT;
        let skipped = self.end.within(Some(grace), grace, skipping).await;
        matches!(skipped, Some(Ok(())))
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
        let socket = WebSocket::new(socket, &read, limit);
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
    let is_counted = !body.is_chunked();
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
    let over = || params.host.body_over_rate(payload.len() as u64);
    if let Some(refusal) = (!is_counted).then(over).flatten() {
        let (reply, who) = (Reply::refused(&refusal), (post.realm_id, post.user_id));
        let host = &params.host;
        host.refused(reply.status(), reply.text(), &post.service, who.0, who.1);
        return Ok(reply);
    }
    let request = stream.request();
    tokio::select! {
        biased;
        reply = one_shot::exchange(params, post, payload, request) => Ok(reply),
        () = stream.fails() => Err(Broken::Ended),
    }
}
