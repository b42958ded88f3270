//! The client library: a player's side of the client protocol. The demo and tests play with it; games
//! may.
//!
//! ```no_run
//! # async fn play() -> Result<(), game_gateway::sdk::client::ClientError> {
//! use game_gateway::sdk::client::{Client, Event, Options, Outgoing};
//!
//! let mut client = Client::connect("127.0.0.1:7000", Options::default()).await?;
//! client.send(&Outgoing::to("version"), b"which one?".as_slice()).await?;
//! match client.next().await? {
//!     Event::Data(answer) => println!("{} bytes", answer.payload.len()),
//!     other => println!("{other:?}"),
//! }
//! client.close().await
//! # }
//! ```

mod event;
pub mod http;
mod line;
mod one_shot;
pub mod session;
mod websocket;

use std::time::Duration;

use actix_codec::Framed;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::ToSocketAddrs;
use tokio::time::timeout;

use crate::codec::client::{FLAG_RESUMABLE, Header, Kind, MAX_PING_LEN};
use crate::codec::code::{Code, Notice};
use crate::codec::framed::{ClientCodec, ClientFrame, StreamError};
use line::Line;

pub use crate::net::dial::Tls;
pub use event::{Data, Event, Told};
pub use one_shot::{HttpClient, Reply};

/// Default limit for [`Client::connect`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Default limit for one event or one write.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Default limit of a payload, in bytes: the protocol's ceiling.
pub const MAX_PAYLOAD: u32 = 16 << 20;

/// Carrier of a [`Client`]'s frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP, as they are.
    #[default]
    Tcp,
    /// WebSocket messages.
    Websocket,
}

/// Transport and bounds of a [`Client`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Carrier of the frames.
    pub transport: Transport,
    /// TLS around it, if any.
    pub tls: Option<Tls>,
    /// For the connection to be made, with its handshakes.
    pub connect_timeout: Duration,
    /// For one event to come or one frame to be written.
    pub wait_timeout: Duration,
    /// The longest payload that is taken, in bytes.
    pub max_payload: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            transport: Transport::Tcp,
            tls: None,
            connect_timeout: CONNECT_TIMEOUT,
            wait_timeout: WAIT_TIMEOUT,
            max_payload: MAX_PAYLOAD,
        }
    }
}

/// Failure on a [`Client`]'s own side of the connection. Refusals by the gateway are
/// [`Event`]s.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection was not made in time.
    #[error("connecting timed out after {0:?}")]
    ConnectTimeout(Duration),
    /// Nothing came, or nothing was taken, in time.
    #[error("timed out after {0:?}")]
    WaitTimeout(Duration),
    /// The connection ended without a CLOSE.
    #[error("connection ended without CLOSE")]
    Ended,
    /// A PING payload over [`MAX_PING_LEN`] bytes.
    #[error("PING payload too long: {0} bytes, limit {MAX_PING_LEN}")]
    PingTooLong(usize),
    /// The response is malformed.
    #[error(transparent)]
    Http(#[from] http::Malformed),
    /// The connection failed, or the gateway broke the protocol.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        ClientError::Stream(error.into())
    }
}

/// Where a DATA frame goes, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The service; empty: the one that the frame before named.
    pub service: String,
    /// 0: none.
    pub realm_id: u32,
    /// 0: none, or the one bound to the session.
    pub user_id: u64,
    /// On the frame that starts a session: ask for OPENED.
    pub resumable: bool,
}

impl Outgoing {
    /// Addresses a service, without realm and user.
    pub fn to(service: impl Into<String>) -> Outgoing {
        Outgoing {
            service: service.into(),
            ..Outgoing::default()
        }
    }
}

/// One connection to a gateway and its session.
pub struct Client {
    line: Line,
    options: Options,
    session_id: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects. The session starts with the first [`send`](Self::send).
    ///
    /// # Errors
    /// The connection is refused or not made in time; the gateway is not the one that
    /// `options.tls` wants, or no WebSocket server.
    pub async fn connect(
        address: impl ToSocketAddrs,
        options: Options,
    ) -> Result<Client, ClientError> {
        let limit = options.connect_timeout;
        let io = timeout(limit, line::connect(address, &options))
            .await
            .map_err(|_| ClientError::ConnectTimeout(limit))??;
        let codec = ClientCodec {
            max_payload: options.max_payload,
        };
        let line = Framed::new(io, codec);
        Ok(Client {
            line,
            options,
            session_id: 0,
        })
    }

    /// Returns the session's id; 0 until the gateway has sent it.
    pub fn session_id(&self) -> u64 {
        self.session_id
    }

    /// Sends one DATA frame.
    ///
    /// # Errors
    /// The connection failed or takes nothing in time.
    pub async fn send(
        &mut self,
        to: &Outgoing,
        payload: impl Into<Bytes>,
    ) -> Result<(), ClientError> {
        let header = Header {
            kind: Kind::Data as u8,
            flags: if to.resumable { FLAG_RESUMABLE } else { 0 },
            realm_id: to.realm_id,
            user_id: to.user_id,
            session_id: self.session_id,
        };
        self.write(ClientFrame {
            header,
            service: to.service.clone(),
            payload: payload.into(),
        })
        .await
    }

    /// Sends a PING of at most [`MAX_PING_LEN`] bytes; the answer is [`Event::Pong`].
    ///
    /// # Errors
    /// It is too long, or the connection failed or takes nothing in time.
    pub async fn ping(&mut self, payload: impl Into<Bytes>) -> Result<(), ClientError> {
        let payload = payload.into();
        if payload.len() > MAX_PING_LEN {
            return Err(ClientError::PingTooLong(payload.len()));
        }
        self.write(self.frame(Kind::Ping, payload)).await
    }

    /// Waits for the next event. A PING of the gateway is answered on the way and not
    /// reported.
    /// Cancelling this loses nothing that has come.
    ///
    /// # Errors
    /// Nothing came in time (and one may ask again), or the connection failed, or it ended
    /// without a CLOSE.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        let wait = self.options.wait_timeout;
        timeout(wait, self.next_unbounded())
            .await
            .map_err(|_| ClientError::WaitTimeout(wait))?
    }

    /// Ends the session in order: sends CLOSE 0, then reads what is still on its way until the
    /// gateway ends the connection too.
    ///
    /// # Errors
    /// The connection failed, or the gateway did not end it in time.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let mut payload = Vec::new();
        Notice {
            code: Code::NORMAL,
            retry_after_ms: 0,
            text: "",
        }
        .encode(&mut payload);
        self.write(self.frame(Kind::Close, payload.into())).await?;
        let wait = self.options.wait_timeout;
        let rest = async {
            while let Some(frame) = self.line.next().await {
                frame?;
            }
            Ok(())
        };
        timeout(wait, rest)
            .await
            .map_err(|_| ClientError::WaitTimeout(wait))?
    }

    async fn next_unbounded(&mut self) -> Result<Event, ClientError> {
        loop {
            let frame = self.line.next().await.ok_or(ClientError::Ended)??;
            if frame.header.session_id != 0 {
                self.session_id = frame.header.session_id;
            }
            if frame.header.kind == Kind::Ping as u8 {
                // Where it cannot be written, the end comes behind what is still to be read.
                let _ = self.write(self.frame(Kind::Pong, frame.payload)).await;
                continue;
            }
            return Ok(Event::from_frame(frame));
        }
    }

    fn frame(&self, kind: Kind, payload: Bytes) -> ClientFrame {
        ClientFrame {
            header: Header {
                kind: kind as u8,
                session_id: self.session_id,
                ..Header::default()
            },
            service: String::new(),
            payload,
        }
    }

    async fn write(&mut self, frame: ClientFrame) -> Result<(), ClientError> {
        let wait = self.options.wait_timeout;
        timeout(wait, self.line.send(frame))
            .await
            .map_err(|_| ClientError::WaitTimeout(wait))??;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transport_tests;
