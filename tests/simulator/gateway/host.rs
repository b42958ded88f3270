//! The gateway as the core sees it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use game_gateway::codec::code::Code;
use game_gateway::codec::link::Transport;
use game_gateway::session::core::{Host, Limits};
use game_gateway::session::token::{Keyring, TokenBody, TokenError};

use super::lease::Endpoint;
use super::pool;
use crate::wire::Millis;
use crate::world::SERVICES;

/// Seconds since 1970 at the run's beginning.
const EPOCH_SECONDS: u64 = 1_700_000_000;

pub(crate) struct SimHost<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) id: &'a str,
    pub(crate) address: Option<&'a str>,
    pub(crate) refuses: bool,
    pub(crate) drain_left: Option<Millis>,
    pub(crate) remote: SocketAddr,
    pub(crate) keyring: &'a Keyring,
    pub(crate) now: Millis,
    pub(crate) calls: &'a Cell<u64>,
    pub(crate) backends: usize,
    pub(crate) known: &'a BTreeMap<(usize, usize), Rc<Endpoint>>,
    pub(crate) banned: &'a BTreeSet<u64>,
    /// No memory is left.
    pub(crate) short: bool,
}

/// Seconds since 1970 at a moment of the run.
pub(crate) fn unix_seconds(now: Millis) -> u64 {
    EPOCH_SECONDS + now / 1000
}

impl Host for SimHost<'_> {
    fn limits(&self) -> &Limits {
        self.limits
    }

    fn gateway_id(&self) -> &str {
        self.id
    }

    fn peer_address(&self) -> Option<&str> {
        self.address
    }

    fn short_of_memory(&self) -> bool {
        self.short
    }

    fn has_room(&self, _: usize) -> bool {
        !self.short
    }

    fn bans_user(&self, user_id: u64) -> bool {
        self.banned.contains(&user_id)
    }

    fn refuses_sessions(&self) -> bool {
        self.refuses
    }

    fn drain_left(&self) -> Option<Duration> {
        self.drain_left.map(Duration::from_millis)
    }

    fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn open_token(&self, token: &[u8]) -> Result<TokenBody, TokenError> {
        self.keyring.open(token, unix_seconds(self.now))
    }

    fn endpoint_allowed(&self, service: &str, endpoint: &str) -> Result<SocketAddr, Code> {
        let asked: Result<SocketAddr, _> = endpoint.parse();
        let service = SERVICES.iter().position(|known| *known == service);
        let mut those =
            (0..self.backends).filter_map(|backend| Some(pool::endpoint(backend, service?)));
        let named = those.find(|endpoint| asked == Ok(*endpoint));
        named.ok_or(Code::NO_ROUTE)
    }

    fn takes_sessions(&self, service: &str, endpoint: SocketAddr) -> bool {
        let key = (pool::service_at(service), pool::backend_at(endpoint));
        let known = self.known.get(&key);
        known.is_none_or(|known| known.takes_sessions())
    }

    fn unix_seconds(&self) -> u64 {
        unix_seconds(self.now)
    }

    fn session_age_s(&self) -> Option<u32> {
        None
    }

    fn next_call(&self) -> u64 {
        self.calls.set(self.calls.get() + 1);
        self.calls.get()
    }
}
