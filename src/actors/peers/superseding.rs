//! SUPERSEDE stays owed until it is answered: whoever it is for could not be asked, and may be stopped or cut off
//! for a while yet. When it is back it drops the player's old connection at once.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::peering::CallEnd;
use super::{MAX_CALLS, Peers};
use crate::codec::peer::wire::{PeerFrame, Said};
use crate::codec::peer::{PeerGateway, ToClaimant, ToOwner};

/// Time after which a gateway that cannot be reached is not told any more: whoever is gone for longer is hardly
/// back with its sessions.
const OWED_FOR: Duration = Duration::from_secs(120);

/// A SUPERSEDE that is not answered yet; its call is the key.
pub(super) struct Owed {
    session_id: u64,
    epoch: u32,
    until: Instant,
    /// The connection on which it was said last.
    on: Option<u64>,
}

impl Peers {
    /// Owes a SUPERSEDE to another gateway, and says it if that can be reached.
    pub(super) fn owe(
        &mut self,
        (call, session_id, epoch): (u64, u64, u32),
        to: PeerGateway,
        ctx: &mut Context<Self>,
    ) {
        self.shared.counts.made();
        let all: usize = self.owed.values().map(|owed| owed.len()).sum();
        if all >= MAX_CALLS {
            return self.shared.counts.ended(CallEnd::Lost);
        }
        let owed = Owed {
            session_id,
            epoch,
            until: Instant::now() + OWED_FOR,
            on: None,
        };
        self.owed.entry(to.clone()).or_default().insert(call, owed);
        self.say_owed(&to, ctx);
    }

    /// Says what is owed to a gateway once on each connection to it; dials where there is none.
    pub(super) fn say_owed(&mut self, to: &PeerGateway, ctx: &mut Context<Self>) {
        let Some(connection) = self.connection_to(to, ctx) else {
            return;
        };
        if !self.is_joined(connection) {
            return; // It is said when the handshake is over.
        }
        let mut frames = Vec::new();
        for (call, owed) in self.owed.get_mut(to).into_iter().flatten() {
            if owed.on.replace(connection) != Some(connection) {
                let said = ToOwner::Supersede { epoch: owed.epoch };
                frames.push(PeerFrame {
                    call: *call,
                    session_id: owed.session_id,
                    said: Said::ToOwner(said),
                });
            }
        }
        for frame in &frames {
            self.write(connection, frame);
        }
    }

    /// Forgets what is owed for too long, and says the rest again where a connection was lost before the answer.
    pub(super) fn renew_owed(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let counts = &self.shared.counts;
        self.owed.retain(|_, owed| {
            owed.retain(|_, owed| {
                let lasts = owed.until > now;
                if !lasts {
                    counts.ended(CallEnd::Lost);
                }
                lasts
            });
            !owed.is_empty()
        });
        let connections = &self.connections;
        let unsaid = |owed: &Owed| owed.on.is_none_or(|on| !connections.contains_key(&on));
        let to = self.owed.iter().filter(|(_, all)| all.values().any(unsaid));
        let to: Vec<PeerGateway> = to.map(|(to, _)| to.clone()).collect();
        for to in to {
            self.say_owed(&to, ctx);
        }
    }

    /// Handles the answer to a SUPERSEDE; tells whether it was one.
    pub(super) fn hear_owed(&mut self, connection: u64, call: u64, say: &ToClaimant) -> bool {
        let Some(to) = self.dialled_to(connection).cloned() else {
            return false;
        };
        let Some(all) = self.owed.get_mut(&to) else {
            return false;
        };
        let Some(owed) = all.get_mut(&call) else {
            return false;
        };
        if *say == ToClaimant::Busy {
            owed.on = None;
            return true;
        }
        all.remove(&call);
        if all.is_empty() {
            self.owed.remove(&to);
        }
        self.shared.counts.ended(super::calls::how_it_ended(say));
        true
    }
}
