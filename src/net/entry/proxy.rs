//! The PROXY header in front of a connection, from which the player's address comes.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};

use super::{Refused, read_more};
use crate::codec::Decoded;
use crate::codec::proxy::{self, Proxied};
use crate::codec::sniff::{Sniffed, sniff};
use crate::config::Config;
use crate::memory::Held;
use crate::net::entry_host::EntryParams;
use crate::net::socket::Socket;

/// Returns true if connections from this address begin with a PROXY header.
pub fn is_due(config: &Config, remote: SocketAddr) -> bool {
    let networks = &config.listen.proxy_protocol_from;
    !networks.is_empty() && networks.contains(remote.ip())
}

/// Takes the PROXY header, which must be there, off `read`.
pub(super) async fn take_header(
    socket: &mut Socket,
    read: &mut BytesMut,
    params: &EntryParams,
    held: &mut Held,
) -> Result<Option<SocketAddr>, Refused> {
    loop {
        match sniff(read) {
            Sniffed::More => read_more(socket, read, params, held).await?,
            Sniffed::Proxy => break,
            Sniffed::Frames | Sniffed::Tls | Sniffed::Http | Sniffed::Unknown => {
                return Err(Refused::ProxyMissing);
            }
        }
    }
    loop {
        match proxy::decode(read).map_err(|_| Refused::ProxyMalformed)? {
            Decoded::Frame(proxied, used) => {
                read.advance(used);
                return match proxied {
                    Proxied::For(remote) if !params.host.proxied(remote) => Err(Refused::Denied),
                    Proxied::For(remote) => Ok(Some(remote)),
                    Proxied::Itself => Ok(None),
                };
            }
            Decoded::Need(_) => read_more(socket, read, params, held).await?,
        }
    }
}
