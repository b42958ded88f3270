//! A connection whose first frame is RESUME: it is brought to the client that has the session. Where
//! nobody here has it, this client looks for it elsewhere (protocol 3.2).

use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;

use super::closing::part;
use super::{Changed, Client, Closing, Hold, Stage};
use crate::actors::session_registry::{
    ClientMessage, FindClient, Found, OpenSession, ResumeRequest,
};
use crate::codec::client::Frame;
use crate::codec::peer::PeerGateway;
use crate::net::outbox::Outbox;
use crate::session::token::TokenBody;

impl Client {
    /// RESUME as the first frame. Nothing more is read until it is answered.
    pub(super) fn resume(
        &mut self,
        frame: &Frame<'_>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Closing> {
        let Some((count, token)) = frame.payload.split_first_chunk() else {
            return Err(Closing::NotResumable);
        };
        let count = u64::from_be_bytes(*count);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let opened = self.shared.scope.tokens.load().open(token, now);
        let token = match opened {
            Ok(token) if token.session_id == frame.header.session_id => token,
            Ok(_) => return Err(Closing::NotResumable),
            Err(error) => {
                tracing::debug!(session_id = frame.header.session_id, %error, "RESUME with a bad token");
                return Err(Closing::NotResumable);
            }
        };
        self.hold = Hold::Returning;
        let home = self.shared.shards.home(token.session_id).clone();
        let session_id = token.session_id;
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Some(Found::Client(holder))) => {
                    let comeback = client.comeback(token, count);
                    holder.do_send(ClientMessage::ResumeRequest(Box::new(comeback)));
                    ctx.stop();
                }
                Ok(Some(Found::Moved(to))) => client.take_up(token, count, Some(to), ctx),
                Ok(None) => client.take_up(token, count, None, ctx),
                Err(_) => client.close(Closing::ResumeElsewhere, ctx),
            }
            ctx.notify(Changed);
        }));
        Ok(())
    }

    /// Takes the connection out of this client, which is nothing without it.
    fn comeback(&mut self, token: TokenBody, count: u64) -> ResumeRequest {
        ResumeRequest {
            token,
            count,
            socket: self.socket.take(),
            inbox: std::mem::take(&mut self.inbox),
            permit: self.permit.take(),
            peer: self.stats.peer(),
            transport: self.stats.transport.get(),
        }
    }

    /// The player is there again, on another connection.
    pub(super) fn come_back(&mut self, comeback: ResumeRequest, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ending(_)) {
            return self.refuse(comeback, &Closing::NotResumable);
        }
        let Some(resumable) = &self.resumable else {
            return self.refuse(comeback, &Closing::NotResumable);
        };
        let epoch = comeback.token.epoch;
        if let Some(arriving) = &resumable.arriving {
            // The player has given up the connection before, while its resume was under way.
            if arriving.token_epoch() == epoch {
                return self.take_connection(comeback, ctx);
            }
            return self.refuse(comeback, &Closing::ResumeElsewhere);
        }
        let Some(holder) = &resumable.holder else {
            return self.refuse(comeback, &Closing::NotResumable);
        };
        if epoch > holder.epoch() {
            // It has gone on elsewhere, and nobody has said so here: the player is to ask again.
            let now = self.shared.elapsed_ms();
            self.at_holder(None, |holder| holder.superseded(now), ctx);
            return self.refuse(comeback, &Closing::ResumeElsewhere);
        }
        match self.arrive_here(comeback.token.clone(), comeback.count) {
            Err(closing) => self.refuse(comeback, &closing),
            Ok(actions) => {
                self.take_connection(comeback, ctx);
                self.keep_up_to(self.shared.scope.config.session.outbound_queue);
                self.arrive_by(actions, ctx);
            }
        }
    }

    /// Tells a connection that it does not get the session. It still counts while it is told.
    fn refuse(&self, comeback: ResumeRequest, closing: &Closing) {
        self.shared
            .scope
            .metrics
            .closings
            .add(closing.outcome().label, 1);
        let ResumeRequest {
            mut socket, permit, ..
        } = comeback;
        let mut outbox = Outbox::default();
        if let Some(frame) = self.close_frame(closing) {
            self.shared.scope.metrics.client_frames_out.one();
            outbox.push(frame);
        }
        socket.set_close_code(closing.outcome().websocket);
        actix::spawn(part(socket, outbox, permit));
    }

    /// From now on this is the session's connection; nothing is read from it until the resume under
    /// way is done.
    fn take_connection(&mut self, comeback: ResumeRequest, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Talking) {
            self.leave_connection(&Closing::Replaced);
        }
        // One that is gone is noticed when it is written to.
        let mut socket = comeback.socket;
        let _ = socket.move_here();
        (self.socket, self.inbox, self.permit) = (socket, comeback.inbox, comeback.permit);
        self.stats.peer.set(comeback.peer);
        self.stats.transport.set(comeback.transport);
        self.stats.suspended.set(false);
        (self.stage, self.talked) = (Stage::Talking, true);
        if self.session.is_some() {
            self.hold = Hold::Returning;
        }
        self.alive_ms = self.shared.now_ms();
        self.arm(self.shared.scope.config.session.idle_timeout);
        if let Some(session) = &mut self.session {
            session.on_another_connection();
        }
        if let Some(resumable) = &mut self.resumable {
            resumable.suspension = None;
            if let Some(arriving) = &mut resumable.arriving {
                arriving.count = comeback.count;
            }
        }
        ctx.notify(Changed);
    }

    /// Nobody here has the session: another gateway may, or its backends know it.
    fn take_up(
        &mut self,
        token: TokenBody,
        count: u64,
        moved: Option<PeerGateway>,
        ctx: &mut Context<Self>,
    ) {
        if self.shared.scope.gate.refuses_sessions() {
            return self.close(Closing::ResumeElsewhere, ctx);
        }
        if !matches!(self.hold, Hold::Returning) {
            return;
        }
        let (id, owner, address) = (
            token.session_id,
            self.stats.owner,
            self.registration.address(ctx),
        );
        self.hold = Hold::Registering(id);
        let home = self.shared.shards.home(id).clone();
        let answer = async move {
            let open = || OpenSession {
                session_id: id,
                owner,
                client: address.weak_recipient(),
            };
            home.ask(open).await
        };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Ok(())) => client.arrive(token, count, moved, ctx),
                // Somebody else came with the token at the same time, or the registry is gone.
                Ok(Err(_)) | Err(_) => {
                    client.hold = Hold::None;
                    client.close(Closing::ResumeElsewhere, ctx);
                }
            }
            ctx.notify(Changed);
        }));
    }
}
