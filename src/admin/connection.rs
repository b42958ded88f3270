//! One connection of the admin API: its requests one after the other, each with its answer alone.
//!
//! actix-web's own server decodes requests ahead of their answers, so a later one changes an earlier answer,
//! and a client that does not read has them decoded without a bound. So the gateway reads requests and
//! writes responses itself, as at the players' port ([`crate::net::http`]), and the application is a
//! service that it calls between the two.

use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{Request, RequestHead};
use actix_service::boxed::BoxService;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::access::Certified;
use super::errors::ApiError;
use super::params::{MAX_BODY, Upload};
use super::turns::Turns;
use super::visitors::Visit;
use crate::config::source_key;
use crate::net::http::{
    Body, Broken, CONTINUE, Head, MALFORMED_HOST, Manner, READ_BYTES, Stream, is_host, read_head,
};
use crate::net::socket::Socket;
use crate::net::tls::{self, ServerConfig, TlsSocket};

/// Idle timeout between two requests, and before the first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Timeout of a TLS handshake, of a request's head, and of its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of one piece of a response.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of such a piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Time for which input is discarded behind the last response; longer where an upload may go on.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_AFTER_UPLOAD: Duration = Duration::from_secs(5);

/// The application, and the turns of those who ask it.
pub(super) struct Application {
    service: BoxService<Request, ServiceResponse, Error>,
    turns: Turns,
}

impl Application {
    pub(super) fn new(service: BoxService<Request, ServiceResponse, Error>) -> Application {
        Application {
            service,
            turns: Turns::new(),
        }
    }

    async fn answer(&self, request: Request) -> HttpResponse {
        let _turn = match self.turns.take(request.head()).await {
            Ok(turn) => turn,
            Err(error) => return error.error_response(),
        };
        self.answer_at_once(request).await
    }

    /// Answers without a turn: those who ask for other gateways have turns of their own, so that no two gateways
    /// wait for each other's.
    pub(super) async fn answer_at_once(&self, request: Request) -> HttpResponse {
        let answer = match poll_fn(|cx| self.service.poll_ready(cx)).await {
            Ok(()) => self.service.call(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => answer.into_parts().1,
            Err(error) => error.error_response(),
        }
    }
}

/// A connection.
struct Connection {
    stream: Stream,
    remote: SocketAddr,
    visit: Visit,
    application: Rc<Application>,
    certified: Certified,
}

/// What a connection comes to.
pub(super) struct Entrance {
    pub(super) application: Rc<Application>,
    /// None: the port is plain.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Serves a connection until it ends or is to give way, the handshake included, in which nobody else waits for it.
pub(super) async fn serve(socket: TcpStream, remote: SocketAddr, visit: Visit, to: Entrance) {
    let ended = visit.ended();
    let serving = async move {
        let (socket, certified) = match to.tls {
            None => (Socket::Tcp(socket), Certified(false)),
            Some(config) => match shake_hands(config, socket, remote).await {
                None => return,
                Some(socket) => {
                    let certified = Certified(socket.is_certified());
                    (Socket::Tls(Box::new(socket)), certified)
                }
            },
        };
        let connection = Connection {
            stream: Stream::new(socket, BytesMut::new()),
            remote,
            visit,
            application: to.application,
            certified,
        };
        connection.requests().await;
    };
    tokio::select! {
        biased;
        () = ended => {}
        () = serving => {}
    }
}

/// Returns the socket behind the handshake; none where it has failed or taken too long.
async fn shake_hands(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    remote: SocketAddr,
) -> Option<TlsSocket> {
    let source = source_key(remote.ip(), 64);
    let accepted = tls::accept(config, socket, BytesMut::new(), source, |_| true);
    let handshake = Box::pin(accepted);
    match timeout(REQUEST_TIMEOUT, handshake).await {
        Ok(Ok(socket)) => Some(socket),
        Ok(Err(failed)) => {
            tracing::debug!(%remote, error = %failed.error, "a TLS handshake with the admin API has failed");
            failed.part().await;
            None
        }
        Err(_) => None,
    }
}

/// Whether a connection goes on behind a response.
enum Then {
    Next,
    /// It ends, and is read for so long.
    Part(Duration),
    Failed,
}

impl Connection {
    /// Answers one request after the other, until the connection ends.
    async fn requests(mut self) {
        loop {
            self.visit.is_served(false);
            let begins = timeout(KEEP_ALIVE, self.stream.begins(READ_BYTES));
            let then = match begins.await {
                // What it takes to answer goes when it is answered.
                Ok(Ok(true)) => Box::pin(self.request()).await,
                Ok(Ok(false)) | Err(_) => Then::Part(LINGER),
                Ok(Err(_)) => Then::Failed,
            };
            match then {
                Then::Next => {}
                Then::Part(linger) => return self.stream.part(linger).await,
                Then::Failed => return,
            }
        }
    }

    async fn request(&mut self) -> Then {
        let read = timeout(REQUEST_TIMEOUT, read_head(&mut self.stream, || false)).await;
        let (mut request, mut body) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(Broken::Refused(mistake))) => return self.refuse(mistake.into()).await,
            Ok(Err(Broken::Ended)) => return Then::Part(LINGER),
            Err(_) => return self.refuse(ApiError::slow_head()).await,
        };
        self.stream.free();
        if !is_host(request.headers()) {
            return self.refuse(MALFORMED_HOST.into()).await;
        }
        let mut manner = Manner::of(request.head());
        // Bytes of a tunnel would follow.
        manner.closes |= request.method() == Method::CONNECT;
        let Some(upload) = self.upload(&request, &mut body).await else {
            return Then::Failed;
        };
        manner.closes |= !body.is_done();
        request.extensions_mut().insert(upload);
        request.extensions_mut().insert(self.certified);
        request.head_mut().peer_addr = Some(self.remote);
        self.visit.is_served(true);
        let response = self.application.answer(request).await;
        self.visit.is_served(false);
        manner.closes |= response.body().size() == BodySize::Stream;
        if !self.respond(response, manner).await {
            return Then::Failed;
        }
        match (manner.closes, body.is_done()) {
            (false, _) => Then::Next,
            (true, true) => Then::Part(LINGER),
            (true, false) => Then::Part(LINGER_AFTER_UPLOAD),
        }
    }

    /// Reads a request's body, if it is not too large. Returns `None` if the connection has ended.
    async fn upload(&mut self, request: &Request, body: &mut Body) -> Option<Upload> {
        if body.is_over(MAX_BODY as u64) {
            return Some(Upload(Err(ApiError::too_large(MAX_BODY))));
        }
        let waits = RequestHead::expect(request.head()) && !body.is_done();
        let reading = async {
            if waits {
                self.stream.write(CONTINUE, Bytes::new()).await?;
            }
            body.read(&mut self.stream, MAX_BODY, || false).await
        };
        let upload = match timeout(REQUEST_TIMEOUT, reading).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(Broken::Refused(mistake))) => Err(mistake.into()),
            Ok(Err(Broken::Ended)) => return None,
            Err(_) => Err(ApiError::too_slow()),
        };
        self.stream.free();
        Some(Upload(upload))
    }

    /// Answers a request that cannot be understood, and ends the connection.
    async fn refuse(&mut self, error: ApiError) -> Then {
        match self.respond(error.error_response(), Manner::REFUSAL).await {
            true => Then::Part(LINGER),
            false => Then::Failed,
        }
    }

    /// Writes a response. Returns false if the connection has failed.
    async fn respond(&mut self, response: HttpResponse, manner: Manner) -> bool {
        let (response, body) = response.into_parts();
        let status = response.status();
        let mut head = Head::new(status.as_u16(), manner);
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                head.line(name, value);
            }
        }
        match body.size() {
            BodySize::Sized(length) => head.line(&header::CONTENT_LENGTH, length),
            // Of 304 it would be the length of what has not changed.
            BodySize::None
                if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) =>
            {
                head.line(&header::CONTENT_LENGTH, 0);
            }
            // The end of the connection ends a stream.
            BodySize::None | BodySize::Stream => {}
        }
        let head = head.end(manner);
        if manner.head_only {
            return self.write(head.as_bytes(), Bytes::new()).await;
        }
        match body.try_into_bytes() {
            Ok(body) => {
                // What is part of the program costs no memory, however many have it.
                let held = if body.is_unique() { body.len() } else { 0 };
                self.visit.holds(held);
                let written = self.write(head.as_bytes(), body).await;
                self.visit.holds(0);
                written
            }
            Err(body) => {
                // It is the gateway that works; so many streams are bounded on their own.
                self.visit.is_served(true);
                self.write(head.as_bytes(), Bytes::new()).await && self.pass_on(body).await
            }
        }
    }

    /// Writes a stream to its end.
    async fn pass_on(&mut self, body: BoxBody) -> bool {
        let mut body = pin!(body);
        loop {
            let piece = tokio::select! {
                biased;
                piece = poll_fn(|cx| body.as_mut().poll_next(cx)) => piece,
                () = self.stream.is_left() => return false,
            };
            let written = match piece {
                None => return true,
                Some(Ok(piece)) => self.write(&[], piece).await,
                Some(Err(_)) => false,
            };
            if !written {
                return false;
            }
        }
    }

    /// Writes bytes piece by piece, each in time. Returns false if the connection has failed.
    async fn write(&mut self, mut head: &[u8], mut body: Bytes) -> bool {
        loop {
            let piece = body.split_to(body.len().min(PIECE_BYTES));
            let writing = self.stream.write(mem::take(&mut head), piece);
            if !matches!(timeout(PIECE_TIMEOUT, writing).await, Ok(Ok(()))) {
                return false;
            }
            if body.is_empty() {
                return true;
            }
        }
    }
}
