//! The environment of a connection that is still at the [`entry`](super::entry): the gateway behind it,
//! and what it is held to.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::Notify;

use crate::codec::code::Code;
use crate::config::Config;
use crate::net::tls::Tls;
use crate::session::rate::Nanos;

/// The gateway, as far as an entry needs it.
pub trait EntryHost {
    /// Counts bytes that were read.
    fn read(&self, bytes: usize);
    /// Returns the time, in nanoseconds of a clock that never goes back.
    fn now(&self) -> Nanos;
    /// Takes the player's address from a PROXY header. Returns false if the connection is to be closed with
    /// nothing sent; a refusal is told by [`refusal`](Self::refusal).
    fn proxied(&self, remote: SocketAddr) -> bool;
    /// Returns true if this address, or the connection's own, is a proxy's that names its clients in HTTP.
    fn is_trusted_proxy(&self, address: Option<IpAddr>) -> bool;
    /// Takes the address of the player whose request a trusted proxy passes on, until the request is answered.
    /// Returns why it is refused, or none if it is served.
    fn forwarded(&self, client: SocketAddr) -> Option<Refusal>;
    /// Notes that everything from here on is inside TLS, whose handshake took so long.
    fn encrypted(&self, took: Duration);
    /// Notes that the connection speaks HTTP; from now on the entry keeps its own deadlines.
    fn serving_http(&self);
    /// Returns why no session may start, or none if one may.
    fn refusal(&self) -> Option<Refusal>;
    /// Returns why there is no WebSocket, or none if there may be one. While memory is short a session that waits here
    /// can be resumed: the first frame tells. In a drain a balancer takes the request elsewhere.
    fn upgrade_refusal(&self) -> Option<Refusal>;
    /// Returns true if the connection is to end behind the next answer, whatever is asked for: it is only told
    /// why it is not served, or the gateway drains.
    fn is_ending(&self) -> bool;
    /// Returns why nothing may be kept for a new session, or none if there is memory for it.
    fn short_of_memory(&self) -> Option<Refusal>;
    /// Tells whether memory is so short that there is none for a handshake.
    fn refuses_handshakes(&self) -> bool;
    /// Returns why no session should be sent here, or none if the gateway is ready for some.
    fn not_ready(&self) -> Option<Refusal>;
    /// Counts a request that is to start a session, and these bytes of its body. Returns why it may not, or none if
    /// it may; then nothing is counted.
    fn over_rate(&self, _bytes: u64) -> Option<Refusal> {
        None
    }
    /// Counts bytes of a body whose length its head has not said. Returns as [`over_rate`](Self::over_rate) does.
    fn body_over_rate(&self, _bytes: u64) -> Option<Refusal> {
        None
    }
    /// Starts a session whose frames come from `socket`.
    fn begin_session(&self, socket: DuplexStream);
    /// Notes for operators that a request was refused with this status, by HTTP's own rules or before a session had
    /// begun.
    fn refused(&self, _status: u16, _reason: &str, _service: &str, _realm_id: u32, _user_id: u64) {}
    /// Counts an HTTP response by its status; a request that it ends counts for its address no longer.
    fn answered(&self, status: u16);
}

/// The reason that no session may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code of protocol 1.4.
    pub code: Code,
    /// Delay before another attempt, in milliseconds; 0: no advice.
    pub retry_after_ms: u32,
    /// For people.
    pub text: String,
}

/// The parameters of one entry.
#[derive(Clone)]
pub struct EntryParams {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Remote address of the connection, which may be a balancer's.
    pub remote: SocketAddr,
    /// The rest of `listen.sniff_timeout`. The caller enforces it until the connection speaks HTTP,
    /// for then the entry has deadlines of its own.
    pub timeout: Duration,
    /// Certificates and keys.
    pub tls: Arc<Tls>,
    /// The gateway behind.
    pub host: Rc<dyn EntryHost>,
    /// Notified when the connection is to end as soon as the request under way is answered.
    pub drain: Rc<Notify>,
}
