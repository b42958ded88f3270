//! A link's connecting and greeting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::Link;
use super::pump::Pump;
use crate::codec::link::{Hello, Kind};
use crate::net::path::{bound_unsent, fail_when_dead};
use crate::net::socket::Socket;
use crate::net::tls;
use crate::scope::Scope;
use crate::session::link::LinkEnd;

/// Connects to a backend, with TLS where that is configured.
pub(super) async fn dial(scope: Arc<Scope>, endpoint: SocketAddr) -> io::Result<Socket> {
    let socket = TcpStream::connect(endpoint).await?;
    socket.set_nodelay(true)?;
    bound_unsent(&SockRef::from(&socket))?;
    fail_when_dead(SockRef::from(&socket), scope.config.listen.dead_after)?;
    let Some(config) = scope.tls.client() else {
        return Ok(Socket::Tcp(socket));
    };
    let table = scope.routes.load_full();
    let host = match table.and_then(|table| table.host(endpoint).cloned()) {
        Some(host) => host,
        None => endpoint.ip().to_string().into(),
    };
    let socket = tls::connect(config, &host, socket).await;
    let socket = socket.map_err(|error| io::Error::other(format!("TLS with {host}: {error}")))?;
    Ok(Socket::Tls(Box::new(socket)))
}

impl Link {
    /// Sends HELLO and the first PING over a new connection, or ends the link if that failed.
    pub(super) fn connected(&mut self, socket: io::Result<Socket>, ctx: &mut Context<Self>) {
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(service = %self.service, endpoint = %self.endpoint, %error, "cannot connect");
                self.error = Some(error.to_string().into());
                return self.end(LinkEnd::ConnectFailed, ctx);
            }
        };
        self.socket = Some(socket);
        self.lifecycle.connected(Instant::now());
        let config = &self.scope.config;
        let hello = Hello {
            protocol: 1,
            gateway_id: config.gateway.id.clone(),
            service_type: self.service.to_string(),
            resume_window_ms: config.session.resume_window.as_millis() as u64,
            ping_interval_ms: config.backend.ping_interval.as_millis() as u64,
            token: config.backend.token.as_ref().map(|t| t.expose().to_owned()),
            trace_threshold: self.scope.spans.told_to_backends(),
        };
        match serde_json::to_vec(&hello) {
            Ok(json) => self.enqueue(Kind::Hello, 0, &json),
            Err(error) => {
                tracing::error!(%error, "HELLO cannot be written as JSON");
                return self.end(LinkEnd::ProtocolError, ctx);
            }
        }
        // Behind HELLO.
        self.enqueue(Kind::Ping, 0, &[]);
        self.gauge.show_ping(self.lifecycle.oldest_ping());
        ctx.spawn(Pump);
    }
}
