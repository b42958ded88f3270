//! SUPERSEDEs, as `actors::peers::superseding` has them: owed until they are answered.

use game_gateway::codec::peer::wire::Said;
use game_gateway::codec::peer::{PeerGateway, ToClaimant, ToOwner};

use super::peers::TICK;
use crate::wire::{Millis, Side};
use crate::world::{Event, World};

/// How long one is owed.
const OWED_FOR: Millis = 120_000;

/// One that is not answered yet.
#[derive(Debug)]
pub(super) struct Owed {
    to: PeerGateway,
    session_id: u64,
    epoch: u32,
    until: Millis,
    on: Option<usize>,
}

impl World {
    pub(super) fn owe(
        &mut self,
        gateway: usize,
        call: u64,
        session_id: u64,
        epoch: u32,
        to: &PeerGateway,
    ) {
        let owed = Owed {
            to: to.clone(),
            session_id,
            epoch,
            until: self.now + OWED_FOR,
            on: None,
        };
        self.gateways[gateway].calls.owed.insert(call, owed);
        self.say_owed(gateway);
    }

    /// Says each one once on each connection, and looks again until all are answered.
    pub(super) fn say_owed(&mut self, gateway: usize) {
        let now = self.now;
        let calls = &mut self.gateways[gateway].calls;
        calls.owed.retain(|_, owed| owed.until > now);
        let mut all = std::mem::take(&mut calls.owed);
        if !all.is_empty() && calls.looks_at <= now {
            calls.looks_at = now + TICK;
            self.after(TICK, Event::PeersTick(gateway));
        }
        for (call, owed) in &mut all {
            if owed.on.is_some_and(|on| self.peers[on].near) {
                continue;
            }
            if let Some(peer) = self.connection_to(gateway, &owed.to)
                && self.peers[peer].far
            {
                owed.on = Some(peer);
                let said = Said::ToOwner(ToOwner::Supersede { epoch: owed.epoch });
                self.say(peer, Side::Remote, *call, owed.session_id, said);
            }
        }
        self.gateways[gateway].calls.owed = all;
    }

    /// Handles the answer to one; tells whether it was.
    pub(super) fn hear_owed(&mut self, gateway: usize, call: u64, say: &ToClaimant) -> bool {
        let owed = &mut self.gateways[gateway].calls.owed;
        let Some(its) = owed.get_mut(&call) else {
            return false;
        };
        its.on = None;
        if *say != ToClaimant::Busy {
            owed.remove(&call);
        }
        true
    }
}
