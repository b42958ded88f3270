//! A worker's part in a ban: those whom it concerns and who are there already are ended.
//!
//! Nobody slips through between the ban and this: it is in force for every worker before any of them looks, and
//! whoever comes, resumes, is moved here or becomes another user behind the look is looked at by itself.

use actix::prelude::*;

use super::queries::MAX_LOOKED_AT;
use super::{Seated, Worker};
use crate::actors::client::GetOut;
use crate::admission::BanTarget;
use crate::supervision::Receive;

/// Clients that one message tells to end: their ends come before the next message, and other players' turns between
/// them.
const MAX_TOLD: usize = 32;

/// Ends connections and sessions that a ban concerns. Looks at a bounded number of clients, and tells fewer.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "BannedEnded")]
pub struct EndBanned {
    /// Whom the ban concerns.
    pub target: BanTarget,
    /// The slot to begin with.
    pub from: usize,
}

/// The outcome for some of a worker's clients.
#[derive(Debug, Clone, Copy, MessageResponse)]
pub struct BannedEnded {
    /// Sessions that end.
    pub sessions: u64,
    /// The slot to go on with; `None`: there are no more.
    pub next: Option<usize>,
}

impl Worker {
    fn is_concerned(&self, target: BanTarget, seated: &Seated) -> bool {
        let (stats, ip) = (&seated.stats, seated.stats.remote().ip());
        match target {
            BanTarget::User(_) => {
                stats.session_id().is_some() && target.concerns(ip, stats.user_id())
            }
            BanTarget::Network(_) => {
                target.concerns(ip, 0) && !self.shared.scope.doors.is_relay(ip, stats.source())
            }
        }
    }
}

impl Worker {
    /// Returns the slots that one message looks at, and where the next one goes on.
    fn looked_at(&self, msg: &EndBanned) -> (Vec<usize>, Option<usize>) {
        match msg.target {
            BanTarget::User(user_id) => {
                let most = MAX_LOOKED_AT + 1;
                let mut slots = self.shared.slots_of_user(user_id, msg.from, most);
                let next = (slots.len() == most).then(|| slots.pop()).flatten();
                (slots, next)
            }
            BanTarget::Network(_) => {
                let end = self.state.clients.capacity();
                let next = end.min(msg.from.saturating_add(MAX_LOOKED_AT));
                ((msg.from..next).collect(), (next < end).then_some(next))
            }
        }
    }
}

impl Receive<EndBanned> for Worker {
    type Result = BannedEnded;

    fn receive(&mut self, msg: EndBanned, _: &mut Context<Self>) -> BannedEnded {
        let clients = &self.state.clients;
        let (slots, mut next) = self.looked_at(&msg);
        let (mut sessions, mut told) = (0, 0);
        for slot in slots {
            let seated = clients.get(slot);
            let Some(seated) = seated.filter(|seated| self.is_concerned(msg.target, seated)) else {
                continue;
            };
            sessions += u64::from(seated.stats.session_id().is_some());
            seated.client.do_send(GetOut);
            told += 1;
            if told == MAX_TOLD {
                next = Some(slot + 1);
                break;
            }
        }
        BannedEnded { sessions, next }
    }
}
