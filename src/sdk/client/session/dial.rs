//! Connections to the deployment, over whatever transport.

use std::io;
use std::net::SocketAddr;

use actix_codec::Framed;
use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;

use super::{Connect, Io};
use crate::codec::framed::ClientCodec;
use crate::net::dial::Stream;
use crate::sdk::client::line::Line;
use crate::sdk::client::{Options, Transport};

/// Bytes that wait between a WebSocket and its session, each way.
const BRIDGE_BYTES: usize = 64 * 1024;

/// Connects as `options` say: over TCP or WebSocket, inside TLS or not.
pub fn dial(address: SocketAddr, options: Options) -> Connect {
    Box::new(move || Box::pin(connect(address, options.clone())))
}

async fn connect(address: SocketAddr, options: Options) -> io::Result<Box<dyn Io>> {
    let stream = Stream::connect(address, options.tls.as_ref()).await?;
    match options.transport {
        Transport::Tcp => Ok(Box::new(stream)),
        Transport::Websocket => {
            let codec = ClientCodec {
                max_payload: options.max_payload,
            };
            let line = Line::messages(stream, &address.to_string(), codec).await?;
            let (near, far) = tokio::io::duplex(BRIDGE_BYTES);
            tokio::spawn(bridge(line, Framed::new(far, codec)));
            Ok(Box::new(near))
        }
    }
}

/// Carries frames between a WebSocket and a stream of bytes, until either ends.
async fn bridge(mut socket: Line, mut stream: Framed<DuplexStream, ClientCodec>) {
    loop {
        // What fails is dropped on both sides: each notices the end of the other.
        let carried = tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(frame)) => stream.send(frame).await,
                Some(Err(_)) | None => return,
            },
            frame = stream.next() => match frame {
                Some(Ok(frame)) => socket.send(frame).await,
                Some(Err(_)) | None => return,
            },
        };
        if carried.is_err() {
            return;
        }
    }
}
