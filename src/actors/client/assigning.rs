//! A service of the session goes where an operator says (protocol 2.5, ASSIGN).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Assign, Client};
use crate::codec::code::Code;
use crate::session::core::MoveAnswer;
use crate::supervision::{Pumped, Receive};

/// What has become of an operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assigned {
    /// The service is not open: it goes there with the player's next frame.
    Noted,
    /// It is open there already.
    There,
    /// It is being moved there, with its state; where that fails it stays where it was.
    Moving,
    /// Its backend does not hand sessions over: it was closed there, and is opened anew with the player's next frame.
    Replaced,
}

impl Receive<Assign> for Client {
    type Result = ();

    fn receive(&mut self, msg: Assign, ctx: &mut Pumped<Self>) {
        if self.stats.session_id() != Some(msg.session_id) {
            return;
        }
        let was_open = self.is_open(&msg.service);
        let mut answer = MoveAnswer::Later;
        self.at_core(ctx, |core, step| {
            // In the service's own name, so that no other backend hears MOVED.
            answer = core.assign(&msg.service, &msg.service, &msg.endpoint, step);
        });
        let outcome = match answer {
            MoveAnswer::Later => Ok(Assigned::Moving),
            MoveAnswer::Now(Code::NORMAL) if !was_open => Ok(Assigned::Noted),
            MoveAnswer::Now(Code::NORMAL) if self.is_open(&msg.service) => Ok(Assigned::There),
            MoveAnswer::Now(Code::NORMAL) => Ok(Assigned::Replaced),
            MoveAnswer::Now(code) => Err(code),
        };
        // An operator who does not wait any more finds it in the session.
        let _ = msg.answer.send(outcome);
    }
}

impl Client {
    fn is_open(&self, service: &str) -> bool {
        self.core.endpoints().any(|(name, _)| **name == *service)
    }
}
