//! How connections to peer gateways end.

use game_gateway::codec::peer::{Caller, ToOwner};

use super::mail::ClientMail;
use crate::wire::{Millis, Side};
use crate::world::World;

impl World {
    /// The connection is over for the one that has dialled.
    pub(super) fn near_lost(&mut self, peer: usize) {
        let p = &mut self.peers[peer];
        if !std::mem::replace(&mut p.near, false) {
            return;
        }
        let (gateway, to, wire) = (p.from, p.to, p.wire);
        self.cut_from(wire, Side::Gateway, self.plan.cut_noticed);
        let calls = &mut self.gateways[gateway].calls;
        if calls.dialled.get(&to) == Some(&peer) {
            calls.dialled.remove(&to);
        }
        let lost: Vec<(u64, usize)> = calls
            .made
            .iter()
            .filter(|(_, (on, _))| *on == peer)
            .map(|(call, (_, client))| (*call, *client))
            .collect();
        for (call, client) in lost {
            self.gateways[gateway].calls.made.remove(&call);
            self.mail_client(client, ClientMail::Heard { call, said: None });
        }
    }

    /// The connection is over for the one that was dialled.
    pub(super) fn far_lost(&mut self, peer: usize) {
        let p = &mut self.peers[peer];
        if !std::mem::replace(&mut p.far, false) {
            return;
        }
        let (from, gateway, wire) = (p.from, p.to, p.wire);
        self.cut_from(wire, Side::Remote, self.plan.cut_noticed);
        let at = self.peer_gateway(from);
        let keys: Vec<(usize, u64)> = self.gateways[gateway]
            .calls
            .served
            .range((peer, 0)..=(peer, u64::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let served = self.gateways[gateway].calls.served.remove(&key);
            if let Some(served) = served
                && let Some(client) = served.client
            {
                let caller = Caller {
                    connection: peer as u64,
                    call: key.1,
                    at: at.clone(),
                };
                let session_id = served.session_id;
                let said = (!served.promised).then_some(ToOwner::Withdraw);
                self.mail_client(
                    client,
                    ClientMail::Called {
                        caller,
                        session_id,
                        said,
                    },
                );
            }
        }
    }

    /// Connections of a gateway that is gone.
    pub(crate) fn peers_of_the_dead(&mut self, gateway: usize, noticed_within: Millis) {
        for peer in 0..self.peers.len() {
            let (from, to, wire) = {
                let p = &self.peers[peer];
                (p.from, p.to, p.wire)
            };
            if from == gateway && std::mem::replace(&mut self.peers[peer].near, false) {
                self.cut_from(wire, Side::Gateway, noticed_within);
            }
            if to == gateway && std::mem::replace(&mut self.peers[peer].far, false) {
                self.cut_from(wire, Side::Remote, noticed_within);
            }
        }
    }

    /// Two gateways lose each other.
    pub(crate) fn part_peers(&mut self, a: usize, b: usize, millis: Millis, within: Millis) {
        let until = self.now + millis;
        (self.parted[a][b], self.parted[b][a]) = (until, until);
        for peer in 0..self.peers.len() {
            let p = &self.peers[peer];
            if (p.from, p.to) == (a, b) || (p.from, p.to) == (b, a) {
                let wire = p.wire;
                self.cut(wire, within);
            }
        }
    }
}
