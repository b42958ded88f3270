//! One HTTP/1.1 connection: actix-http reads requests and writes responses, keep-alive and
//! pipelining included; what a request means is here.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::error::{DispatchError, ParseError};
use actix_http::{HttpServiceBuilder, Method, Request, Response, h1};
use actix_service::{Service, ServiceFactory, fn_service};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::request::{self, Post};
use super::response::Reply;
use super::{Entered, Replay, Terms, one_shot, upgrade};
use crate::net::socket::Socket;

/// How long a connection may be idle between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a connection may take, beyond [`KEEP_ALIVE`], to bring the next request's head and to
/// take the last response.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(15);
/// What a connection gets at least for its first head: none would be no limit.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);
/// How long input is discarded behind a response that ends the connection.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection that is to end may take for what is under way, and for the rest of a body
/// that nobody wants.
const LEAVING_PATIENCE: Duration = Duration::from_secs(5);

/// What the requests of one connection share.
pub(super) struct House {
    pub(super) terms: Terms,
    /// A WebSocket that a request has become.
    pub(super) upgraded: RefCell<Option<Socket>>,
    /// Whether a request is being answered.
    busy: Cell<bool>,
    /// Whether a request ever was, if only to be refused.
    begun: Cell<bool>,
    /// When the last request began or ended.
    active: Cell<Instant>,
    /// Whether the connection ends behind the next response.
    leaving: Cell<bool>,
    /// Told when a request begins or ends.
    stirred: Notify,
}

impl House {
    /// Counts a response on its way out, and ends the connection behind it where it must.
    pub(super) fn finish<B>(&self, mut response: Response<B>) -> Response<B> {
        self.begun.set(true);
        self.terms.reception.answered(response.status().as_u16());
        let close = actix_http::ConnectionType::Close;
        if self.terms.reception.refusal().is_some() || response.head().connection_type() == close {
            self.leaving.set(true);
        }
        if self.leaving.get() {
            response.head_mut().set_connection_type(close);
        }
        response
    }

    /// A request begins or ends.
    fn stir(&self, busy: bool) {
        self.busy.set(busy);
        self.begun.set(true);
        self.active.set(Instant::now());
        self.stirred.notify_one();
    }

    async fn answer(&self, request: Request) -> Response<BoxBody> {
        self.stir(true);
        let origin = request::origin(request.head());
        let reply = self.reply(request).await;
        self.stir(false);
        self.finish(reply.into_response(origin.as_deref(), &self.terms.config.listen.http))
    }

    async fn reply(&self, mut request: Request) -> Reply {
        if let Some(reply) = request::refusal(request.head(), &self.terms) {
            return reply;
        }
        let listen = &self.terms.config.listen;
        if *request.method() == Method::OPTIONS {
            return Reply::preflight();
        }
        let post = match Post::of(request.head()) {
            Ok(Some(post)) => post,
            // What is neither refused nor a POST asks for our health.
            Ok(None) => {
                let refusal = self.terms.reception.refusal();
                return refusal.map_or_else(Reply::health, |refusal| Reply::refused(&refusal));
            }
            Err(reply) => return reply,
        };
        let body = request::body(request.take_payload(), listen.max_payload as usize);
        match tokio::time::timeout(listen.http.timeout, body).await {
            Ok(Ok(body)) => one_shot::exchange(&self.terms, &post, &body).await,
            Ok(Err(reply)) => reply,
            Err(_) => Reply::refusal(408, "the body came too slowly").closing(),
        }
    }

    /// Counts what the library has answered by itself at the connection's end.
    fn count_end(&self, result: Result<(), DispatchError>, written: bool) {
        match result {
            Err(DispatchError::Parse(ParseError::TooLarge)) => self.terms.reception.answered(431),
            Err(DispatchError::Parse(_)) => self.terms.reception.answered(400),
            // To a head that took too long.
            Ok(()) if written && !self.begun.get() => self.terms.reception.answered(408),
            Ok(()) | Err(_) => {}
        }
    }

    /// Ends when the connection has been of no use for too long, or is to leave and has.
    async fn watch(&self) {
        loop {
            // A request that is being answered has a deadline of its own.
            let end = match (self.leaving.get(), self.busy.get()) {
                (true, _) => Some(self.active.get() + LEAVING_PATIENCE),
                (false, true) => None,
                (false, false) => Some(self.active.get() + KEEP_ALIVE + TRANSFER_PATIENCE),
            };
            let patience = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = patience => return,
                () = self.stirred.notified() => {}
                () = self.terms.leaving.notified() => {
                    self.leaving.set(true);
                    if !self.busy.get() {
                        return;
                    }
                    self.active.set(Instant::now());
                }
            }
        }
    }
}

/// Shuts the connection down and reads on for a moment, so that no reset overtakes what was said.
async fn part(mut socket: Socket) {
    if socket.shutdown().await.is_ok() {
        let mut sink = tokio::io::sink();
        // The end of this is the end of the connection, whether the peer has ended or not.
        let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut socket, &mut sink)).await;
    }
}

/// Serves the connection until it ends or has become a WebSocket.
pub(super) async fn serve(socket: Socket, read: BytesMut, terms: Terms) -> Entered {
    terms.reception.serving_http();
    let (peer, patience) = (terms.peer, terms.patience);
    let house = Rc::new(House {
        terms,
        upgraded: RefCell::default(),
        busy: Cell::new(false),
        begun: Cell::new(false),
        active: Cell::new(Instant::now()),
        leaving: Cell::new(false),
        stirred: Notify::new(),
    });
    let (answering, expecting, upgrading) = (house.clone(), house.clone(), house.clone());
    let continuing = fn_service(move |request: Request| {
        let refusal = expected(&expecting, &request);
        std::future::ready(refusal.map_or(Ok(request), Err))
    });
    let builder = HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(patience.max(LEAST_PATIENCE))
        .client_disconnect_timeout(LINGER);
    let factory = HttpServiceBuilder::expect(builder, continuing)
        .upgrade(fn_service(
            move |(request, framed): (Request, Framed<Replay, h1::Codec>)| {
                let house = upgrading.clone();
                async move {
                    // A connection that fails meanwhile has nobody to be told.
                    let _ = upgrade::upgrade(&house, &request, framed).await;
                    Ok::<(), Infallible>(())
                }
            },
        ))
        .h1(fn_service(move |request: Request| {
            let house = answering.clone();
            async move { Ok::<_, Infallible>(house.answer(request).await) }
        }));
    let Ok(service) = factory.new_service(()).await else {
        return Entered::Served;
    };
    let replay = Replay::new(read, socket);
    let home = replay.home();
    let connection = service.call((replay, Some(peer)));
    tokio::select! {
        result = connection => house.count_end(result, home.is_written()),
        () = house.watch() => {}
    }
    if let Some(socket) = house.upgraded.take() {
        return Entered::WebSocket(socket);
    }
    part(home.take()).await;
    Entered::Served
}

/// What is said instead of 100 to a request that waits for it, if it is to be refused.
fn expected(house: &House, request: &Request) -> Option<Response<BoxBody>> {
    let head = request.head();
    let early = request::refusal(head, &house.terms);
    let reply = early.or_else(|| Post::of(head).err())?;
    let origin = request::origin(head);
    let http = &house.terms.config.listen.http;
    Some(house.finish(reply.closing().into_response(origin.as_deref(), http)))
}
