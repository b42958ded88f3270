//! A player who comes back: the connection, on its way to the client that has the session.

use std::net::SocketAddr;

use bytes::BytesMut;

use crate::admission::Permit;
use crate::codec::link::Transport;
use crate::net::socket::Socket;
use crate::session::token::TokenBody;

/// A connection whose first frame was RESUME, with a genuine token.
#[derive(Debug)]
pub struct ResumeRequest {
    /// What the token says.
    pub token: TokenBody,
    /// DATA frames that the player has taken.
    pub count: u64,
    /// The connection; it may come from another thread.
    pub socket: Socket,
    /// What was read behind the RESUME.
    pub inbox: BytesMut,
    /// Counts the connection.
    pub permit: Option<Permit>,
    /// The player's address.
    pub peer: SocketAddr,
    /// How the player is connected now.
    pub transport: Transport,
}
