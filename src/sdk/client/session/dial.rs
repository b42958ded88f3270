//! Connections to the deployment, over whatever transport.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;

use crate::sdk::client::Options;
use crate::sdk::client::line::{Io, connect};

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Makes connections to the deployment: each call one, to whatever gateway it reaches.
pub type Connect = Box<dyn Fn() -> Connecting + Send>;

/// Connects over TCP to `host:port`.
pub fn tcp(address: impl Into<String>) -> Connect {
    let address = address.into();
    Box::new(move || {
        let address = address.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Io>)
        })
    })
}

/// Connects as `options` say: over TCP or WebSocket, inside TLS or not.
pub fn dial(address: SocketAddr, options: Options) -> Connect {
    Box::new(move || {
        let options = options.clone();
        Box::pin(async move { connect(address, &options).await })
    })
}
