//! The gateway as a client's session core sees it.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{ClientStats, WorkerScope};
use crate::codec::code::Code;
use crate::codec::link::{Bind, Transport};
use crate::history::{Happening, Refusal};
use crate::memory::{self, Pressure};
use crate::routing::StrategyKind;
use crate::session::core::{Host, Limits};
use crate::session::token::{TokenBody, TokenError};

/// The gateway around one client's core.
pub(super) struct View<'a> {
    shared: &'a WorkerScope,
    stats: &'a ClientStats,
    /// The connection that wants the session, if one does: OPENs speak of that one.
    pub(super) resuming: Option<(SocketAddr, Transport)>,
}

impl<'a> View<'a> {
    pub(super) fn new(shared: &'a WorkerScope, stats: &'a ClientStats) -> View<'a> {
        View {
            shared,
            stats,
            resuming: None,
        }
    }
}

impl Host for View<'_> {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn gateway_id(&self) -> &str {
        &self.shared.scope.config.gateway.id
    }

    fn peer_address(&self) -> Option<&str> {
        self.shared.peers.own().map(|own| &*own.address)
    }

    fn refuses_sessions(&self) -> bool {
        self.shared.scope.gate.refuses_sessions()
    }

    fn admits_session(&self) -> bool {
        self.shared.scope.doors.admit_session()
    }

    fn bans_user(&self, user_id: u64) -> bool {
        // This is also the moment from which a trace of the user concerns the client.
        self.shared.meet_user(self.stats, user_id);
        self.shared.scope.doors.bans_user(user_id)
    }

    fn refused(&self, code: Code, text: &str, service: &str, who: Bind) {
        self.shared.refused(&Refusal {
            code: Some(code),
            reason: text,
            service,
            realm_id: who.realm_id,
            user_id: who.user_id,
            client: self.remote_address(),
        });
        let told = Happening::Refused {
            code,
            reason: text.into(),
            service: service.into(),
        };
        self.shared.happened(self.stats, told, 1);
    }

    fn has_routes(&self) -> bool {
        self.shared.scope.routes.load().is_some()
    }

    fn short_of_memory(&self) -> bool {
        self.shared.scope.meter.pressure() >= Pressure::Sessions
    }

    fn has_room(&self, bytes: usize) -> bool {
        let meter = &self.shared.scope.meter;
        bytes <= memory::SMALL && !meter.is_scarce() || meter.admits(bytes)
    }

    fn drain_left(&self) -> Option<std::time::Duration> {
        self.shared.scope.gate.drain_left()
    }

    fn remote_address(&self) -> SocketAddr {
        self.resuming
            .map_or_else(|| self.stats.remote(), |(at, _)| at)
    }

    fn transport(&self) -> Transport {
        let own = || self.stats.transport();
        self.resuming.map_or_else(own, |(_, transport)| transport)
    }

    fn open_token(&self, token: &[u8]) -> Result<TokenBody, TokenError> {
        let now = self.unix_seconds();
        self.shared.scope.tokens.load().open(token, now)
    }

    fn endpoint_allowed(&self, service: &str, endpoint: &str) -> Result<SocketAddr, Code> {
        let table = self.shared.scope.routes.load();
        let allowed = table.as_ref().and_then(|t| t.allowed(service, endpoint));
        allowed.ok_or(Code::NO_ROUTE)
    }

    fn takes_sessions(&self, service: &str, endpoint: SocketAddr) -> bool {
        self.shared.takes_sessions(service, endpoint)
    }

    fn is_assigned(&self, service: &str, by_assign: bool) -> bool {
        let table = self.shared.scope.routes.load();
        let rule = table.as_ref().and_then(|table| table.service(service));
        rule.is_some_and(|rule| {
            rule.strategy() == StrategyKind::Assigned && (by_assign || !rule.reads_assignments)
        })
    }

    fn unix_seconds(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    }

    fn session_age_s(&self) -> Option<u32> {
        self.stats.session_age_s(self.shared.now_s())
    }

    fn next_call(&self) -> u64 {
        self.shared.draw_number()
    }
}
