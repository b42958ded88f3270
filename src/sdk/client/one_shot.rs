//! One-shot sessions over HTTP, in sequence on a keep-alive connection.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::ToSocketAddrs;
use tokio::time::timeout;

use super::http::{Response, request_head};
use super::line::dial;
use super::{ClientError, Options, Outgoing};
use crate::codec::code::Code;
use crate::net::dial::Stream;

/// Answer to a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// [`Code::NORMAL`]: the backend answered. Else the HTTP status, which is the code of an ERROR
    /// or CLOSE (protocol 1.6).
    pub code: Code,
    /// The one-shot session; 0 where there was none.
    pub session_id: u64,
    /// When to try again; zero gives no advice.
    pub retry_after: Duration,
    /// The answer, or a text for people.
    pub payload: Bytes,
}

/// A connection for one-shot sessions. Once a call has failed it is of no use any more.
#[derive(Debug)]
pub struct HttpClient {
    stream: Stream,
    host: String,
    options: Options,
    input: BytesMut,
    closes: bool,
}

impl HttpClient {
    /// Connects; `options.transport` has no meaning here.
    ///
    /// # Errors
    /// As [`Client::connect`](super::Client::connect).
    pub async fn connect(
        address: impl ToSocketAddrs,
        options: Options,
    ) -> Result<HttpClient, ClientError> {
        let limit = options.connect_timeout;
        let (stream, address) = timeout(limit, dial(address, &options))
            .await
            .map_err(|_| ClientError::ConnectTimeout(limit))??;
        Ok(HttpClient {
            stream,
            host: address.to_string(),
            options,
            input: BytesMut::new(),
            closes: false,
        })
    }

    /// Tells whether the gateway ends the connection behind its last answer.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Runs a session of one request and at most one answer.
    ///
    /// # Errors
    /// The connection failed or ended; no response came in time, or an invalid or too long one.
    pub async fn post(&mut self, to: &Outgoing, payload: &[u8]) -> Result<Reply, ClientError> {
        let wait = self.options.wait_timeout;
        timeout(wait, self.exchange(to, payload))
            .await
            .map_err(|_| ClientError::WaitTimeout(wait))?
    }

    async fn exchange(&mut self, to: &Outgoing, payload: &[u8]) -> Result<Reply, ClientError> {
        let (realm_id, user_id) = (to.realm_id, to.user_id);
        let head = request_head(&self.host, &to.service, realm_id, user_id, payload.len());
        self.stream
            .write_all(&[head.as_bytes(), payload].concat())
            .await?;
        self.stream.flush().await?;
        loop {
            if let Some((response, used)) = Response::parse(&self.input, self.options.max_payload)?
            {
                let code = match response.status {
                    200 => Code::NORMAL,
                    status => Code(status),
                };
                let reply = Reply {
                    code,
                    session_id: response.session_id,
                    retry_after: response.retry_after,
                    payload: Bytes::copy_from_slice(response.body),
                };
                self.closes = response.closes;
                self.input.advance(used);
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ClientError::Ended);
            }
        }
    }
}
