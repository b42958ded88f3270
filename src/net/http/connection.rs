//! One HTTP connection: what its requests share, how they are answered, and when it ends.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::{DispatchError, ParseError};
use actix_http::{Method, Request, Response};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::one_shot;
use super::request::{self, Post};
use super::response::Reply;
use crate::net::entry_host::EntryParams;
use crate::net::socket::Socket;

/// Idle timeout between two requests.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Time beyond [`KEEP_ALIVE`] in which the next request's head must arrive and the last response be read.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(15);
/// Timeout of a closing connection, for the pending request and for the rest of a body that nobody reads.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The state that the requests of one connection share.
pub(super) struct Connection {
    pub(super) params: EntryParams,
    /// The WebSocket that a request has turned the connection into.
    pub(super) upgraded: RefCell<Option<Socket>>,
    /// A request is being answered.
    busy: Cell<bool>,
    /// A request was answered or refused before.
    begun: Cell<bool>,
    /// Start or end of the last request.
    active: Cell<Instant>,
    /// The connection ends behind the next response.
    draining: Cell<bool>,
    /// Notified when a request begins or ends.
    stirred: Notify,
}

impl Connection {
    pub(super) fn new(params: EntryParams) -> Connection {
        Connection {
            params,
            upgraded: RefCell::default(),
            busy: Cell::new(false),
            begun: Cell::new(false),
            active: Cell::new(Instant::now()),
            draining: Cell::new(false),
            stirred: Notify::new(),
        }
    }

    /// Counts a response on its way out, and ends the connection behind it where it must.
    pub(super) fn finish<B>(&self, mut response: Response<B>) -> Response<B> {
        self.begun.set(true);
        self.params.host.answered(response.status().as_u16());
        let close = actix_http::ConnectionType::Close;
        if self.params.host.refusal().is_some() || response.head().connection_type() == close {
            self.draining.set(true);
        }
        if self.draining.get() {
            response.head_mut().set_connection_type(close);
        }
        response
    }

    /// Notes that a request begins or ends.
    fn stir(&self, busy: bool) {
        self.busy.set(busy);
        self.begun.set(true);
        self.active.set(Instant::now());
        self.stirred.notify_one();
    }

    pub(super) async fn answer(&self, request: Request) -> Response<BoxBody> {
        self.stir(true);
        let origin = request::origin(request.head());
        let reply = self.reply(request).await;
        self.stir(false);
        self.finish(reply.into_response(origin.as_deref(), &self.params.config.listen.http))
    }

    async fn reply(&self, mut request: Request) -> Reply {
        if let Some(reply) = request::refusal(request.head(), &self.params) {
            return reply;
        }
        let listen = &self.params.config.listen;
        if *request.method() == Method::OPTIONS {
            return Reply::preflight();
        }
        let post = match Post::of(request.head()) {
            Ok(Some(post)) => post,
            // The only other request that is not refused is a health check.
            Ok(None) => {
                let refusal = self.params.host.refusal();
                return refusal.map_or_else(Reply::health, |refusal| Reply::refused(&refusal));
            }
            Err(reply) => return reply,
        };
        let body = request::body(request.take_payload(), listen.max_payload as usize);
        match tokio::time::timeout(listen.http.timeout, body).await {
            Ok(Ok(body)) => one_shot::exchange(&self.params, &post, &body).await,
            Ok(Err(reply)) => reply,
            Err(_) => Reply::refusal(408, "the body came too slowly").closing(),
        }
    }

    /// Counts the response that actix-http has sent by itself at the connection's end.
    pub(super) fn count_end(&self, result: Result<(), DispatchError>, written: bool) {
        match result {
            Err(DispatchError::Parse(ParseError::TooLarge)) => self.params.host.answered(431),
            Err(DispatchError::Parse(_)) => self.params.host.answered(400),
            // The first head did not come in time.
            Ok(()) if written && !self.begun.get() => self.params.host.answered(408),
            Ok(()) | Err(_) => {}
        }
    }

    /// Completes when the connection has been idle for too long, or is drained.
    pub(super) async fn watch(&self) {
        loop {
            // A request that is being answered has a deadline of its own.
            let end = match (self.draining.get(), self.busy.get()) {
                (true, _) => Some(self.active.get() + DRAIN_TIMEOUT),
                (false, true) => None,
                (false, false) => Some(self.active.get() + KEEP_ALIVE + TRANSFER_TIMEOUT),
            };
            let timeout = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timeout => return,
                () = self.stirred.notified() => {}
                () = self.params.drain.notified() => {
                    self.draining.set(true);
                    if !self.busy.get() {
                        return;
                    }
                    self.active.set(Instant::now());
                }
            }
        }
    }
}
