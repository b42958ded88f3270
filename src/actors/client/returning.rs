//! A connection whose first frame is RESUME: it is brought to the client that has the session.

use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;

use super::{Changed, Client, Closing, Hold};
use crate::actors::comeback::Comeback;
use crate::actors::session_registry::{Errand, FindClient};
use crate::codec::client::Frame;
use crate::session::token::TokenBody;

impl Client {
    /// RESUME as the first frame. Nothing more is read here: the session's client reads on.
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
        let home = self.shared.scope.home(token.session_id).clone();
        let session_id = token.session_id;
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        ctx.spawn(answer.into_actor(self).map(move |answer, client, ctx| {
            match answer {
                Ok(Some(holder)) => {
                    let comeback = client.comeback(&token, count);
                    holder.do_send(Errand::Comeback(Box::new(comeback)));
                    ctx.stop();
                }
                Ok(None) => client.close(Closing::NotResumable, ctx),
                Err(_) => client.close(Closing::ResumeElsewhere, ctx),
            }
            ctx.notify(Changed);
        }));
        Ok(())
    }

    /// Takes the connection out of this client, which is nothing without it.
    fn comeback(&mut self, token: &TokenBody, count: u64) -> Comeback {
        Comeback {
            token_epoch: token.epoch,
            count,
            socket: self.socket.take(),
            inbox: std::mem::take(&mut self.inbox),
            permit: self.permit.take(),
            peer: self.card.peer(),
            transport: self.card.transport.get(),
        }
    }
}
