//! OPENED and the tokens in it: whatever a player needs to come back (protocol 3.4).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;

use super::{Client, Stage};
use crate::actors::link::Lease;
use crate::codec::buffers;
use crate::codec::client::{self, FLAG_GAP, Header, Kind, Opened};
use crate::session::state::Session;
use crate::session::token::{Binding, LIFETIME_SECONDS, TokenBody};

impl Client {
    /// Tells the player a newer token, where it has one.
    pub(super) fn renew_token(&mut self, ctx: &mut Context<Self>) {
        if self.resumable.is_some() && self.is_connected() && matches!(self.stage, Stage::Talking) {
            let received = self.received();
            self.tell_opened(received, false, ctx);
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.session.as_ref().map_or(0, Session::received)
    }

    /// Renews the token at half its life.
    pub(super) fn renew_old_token(&mut self, ctx: &mut Context<Self>) {
        let now_ms = self.shared.now_ms();
        let half = LIFETIME_SECONDS * 1000 / 2;
        let made = self.resumable.as_ref().map(|r| r.token_ms);
        if made.is_some_and(|made| now_ms.saturating_sub(made) >= half) {
            self.renew_token(ctx);
        }
    }

    /// Sends OPENED with a fresh token. `received`: DATA frames that the session has taken.
    pub(super) fn tell_opened(&mut self, received: u64, gap: bool, ctx: &mut Context<Self>) {
        let token = self.token().unwrap_or_default();
        let Some(session) = &self.session else { return };
        let idle_timeout = self.shared.scope.config.session.idle_timeout;
        let opened = Opened {
            received,
            idle_timeout_ms: idle_timeout.as_millis() as u32,
            token: &token,
        };
        let header = Header {
            kind: Kind::Opened as u8,
            flags: if gap { FLAG_GAP } else { 0 },
            session_id: session.id(),
            ..Header::default()
        };
        let (mut payload, mut frame) = (Vec::new(), buffers::take());
        opened.encode(&mut payload);
        client::encode(&mut frame, &header, "", &payload);
        self.send(frame, None, 1, ctx);
        if let Some(resumable) = &mut self.resumable {
            resumable.token_ms = self.shared.now_ms();
        }
    }

    /// None: the session cannot be resumed.
    fn token(&self) -> Option<Vec<u8>> {
        let (Some(session), Some(resumable)) = (&self.session, &self.resumable) else {
            return None;
        };
        let binding = |(service, lease): (&Arc<str>, &Lease)| Binding {
            service: service.to_string(),
            endpoint: lease.endpoint(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let own = self.shared.peers.own();
        let body = TokenBody {
            session_id: session.id(),
            epoch: resumable.holder.as_ref()?.epoch(),
            bound: session.bound(),
            newest: session.newest(),
            bindings: session.open().map(binding).collect(),
            holder: self.shared.scope.config.gateway.id.clone(),
            peer: own.map(|own| own.address.clone()).unwrap_or_default(),
            expires: now.unwrap_or_default().as_secs() + LIFETIME_SECONDS,
        };
        Some(self.shared.scope.tokens.load().seal(&body))
    }
}
