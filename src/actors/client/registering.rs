//! The session's entry in the registry: a new id, or the client that has a session already.

use actix::prelude::*;

use super::{Changed, Client};
use crate::actors::session_registry::{
    ClientMessage, FindClient, Found, IdInUse, OpenSession, ResumeConnection,
};
use crate::session::core::RegisterFailed;
use crate::supervision::Pumped;

/// Session ids that are drawn before the gateway gives up; the first is free for all practical sizes.
const MAX_DRAWS: u32 = 4;

impl Client {
    /// Enters a session under the client's own choice, or an id that is drawn.
    pub(super) fn register(&mut self, chosen: Option<u64>, ctx: &mut Pumped<Self>) {
        let (id, draws) = match chosen {
            Some(id) => (id, 1),
            None => (self.draw(), MAX_DRAWS),
        };
        self.enter(id, draws, ctx);
    }

    /// Enters a session that is to come here.
    pub(super) fn enlist(&mut self, session_id: u64, ctx: &mut Pumped<Self>) {
        self.enter(session_id, 1, ctx);
        self.span_claim(session_id);
        self.look_for_traces();
    }

    fn draw(&self) -> u64 {
        self.shared.shards.homes().draw(self.shared.scope.worker)
    }

    fn enter(&mut self, id: u64, draws: u32, ctx: &mut Pumped<Self>) {
        self.registered_id = id;
        let (client_number, address) = (self.stats.client_number, self.registration.address(ctx));
        let home = self.shared.shards.home(id).clone();
        let answer = async move {
            let open = || OpenSession {
                session_id: id,
                client_number,
                client: address.weak_recipient(),
            };
            home.ask(open).await
        };
        let answer = answer.into_actor(self);
        ctx.spawn(answer.map(move |result, client, ctx| {
            let result = match result {
                Ok(Ok(())) => Ok(id),
                Ok(Err(IdInUse)) => {
                    // It is another client's; there is nothing to take back.
                    client.registered_id = 0;
                    if draws > 1 && !client.core.is_over() {
                        return client.enter(client.draw(), draws - 1, ctx);
                    }
                    Err(RegisterFailed::InUse)
                }
                Err(_) => Err(RegisterFailed::Unreachable),
            };
            client.at_core(ctx, |core, step| core.registered(result, step));
            ctx.notify(Changed);
        }));
    }

    /// Asks who has the session that this connection wants back.
    pub(super) fn locate(&mut self, session_id: u64, ctx: &mut Pumped<Self>) {
        self.span_connect(session_id);
        let home = self.shared.shards.home(session_id).clone();
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Some(Found::Client(its_client))) => {
                    if let Some(connection) = client.take_out_connection() {
                        let forwarded = client.shared.forward(connection);
                        its_client.do_send(ClientMessage::Resume(forwarded));
                        ctx.stop();
                    }
                }
                Ok(Some(Found::Moved(to))) => {
                    client.at_core(ctx, |core, step| core.located_elsewhere(Some(to), step));
                }
                Ok(None) => client.at_core(ctx, |core, step| core.located_elsewhere(None, step)),
                Err(_) => client.at_core(ctx, |core, step| core.located_nowhere(step)),
            }
            ctx.notify(Changed);
        }));
    }

    /// Takes the connection out of this client, which is nothing without it.
    fn take_out_connection(&mut self) -> Option<ResumeConnection> {
        Some(ResumeConnection {
            request: self.core.located_here()?,
            socket: self.socket.take(),
            inbox: std::mem::take(&mut self.inbox),
            permit: self.permit.take(),
            remote: self.stats.remote(),
            source: self.stats.source(),
            transport: self.stats.transport(),
        })
    }
}
