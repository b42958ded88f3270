//! The peer channel of a gateway, as `actors::peers` has it: one call, one question; whoever waits on a
//! connection that is lost hears so.

use std::collections::BTreeMap;

use game_gateway::codec::peer::wire::{PeerFrame, Said};
use game_gateway::codec::peer::{Caller, PeerGateway, ToClaimant, ToOwner};

use super::mail::{ClientMail, Found, PeerMail, RegistryMail};
use super::superseding::Owed;
use crate::network::{Item, Purpose};
use crate::wire::{Millis, Side};
use crate::world::{Event, GATEWAYS, World};

/// The session that nobody has, and a call that nobody draws.
const NO_SESSION: u64 = 0;
const PROBE_CALL: u64 = u64::MAX;
/// How often a gateway looks at its calls.
pub(super) const TICK: Millis = 1000;

/// A connection to a peer gateway; `from` has dialled.
#[derive(Debug)]
pub(crate) struct PeerWire {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) wire: usize,
    /// For each side, whether it still has it.
    pub(super) near: bool,
    pub(super) far: bool,
    /// Since when an answer is owed.
    asked: Option<Millis>,
}

#[derive(Debug)]
pub(crate) struct Served {
    pub(super) session_id: u64,
    pub(super) client: Option<usize>,
    pub(super) promised: bool,
}

/// The calls of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(super) dialled: BTreeMap<usize, usize>,
    /// Made here: on which connection, by which client.
    pub(crate) made: BTreeMap<u64, (usize, usize)>,
    /// SUPERSEDEs that are not answered yet, by call.
    pub(super) owed: BTreeMap<u64, Owed>,
    pub(super) looks_at: Millis,
    /// Served here, by connection and call.
    pub(crate) served: BTreeMap<(usize, u64), Served>,
}

impl World {
    pub(crate) fn peer_mail(&mut self, gateway: usize) {
        let Some(mail) = self.gateways[gateway].peer_mail.queue.pop_front() else {
            return;
        };
        if self.log.prints() {
            let letter = format!("peers {gateway} gets {mail:?}");
            self.log.note(self.now, &letter);
        }
        match mail {
            PeerMail::Call {
                client,
                call,
                to,
                session_id,
                say,
            } => self.make_call(gateway, client, (call, session_id), &to, say),
            PeerMail::Cancel(call) => drop(self.gateways[gateway].calls.made.remove(&call)),
            PeerMail::Reply { to, say } => {
                let served = &self.gateways[gateway].calls.served;
                let key = (to.connection as usize, to.call);
                if let Some(session_id) = served.get(&key).map(|s| s.session_id) {
                    self.answer(gateway, &to, session_id, say);
                }
            }
            PeerMail::Found {
                caller,
                session_id,
                say,
                found,
            } => self.found(gateway, caller, session_id, say, found),
        }
    }

    fn make_call(
        &mut self,
        gateway: usize,
        client: usize,
        (call, session_id): (u64, u64),
        to: &PeerGateway,
        say: ToOwner,
    ) {
        if let ToOwner::Supersede { epoch } = say {
            return self.owe(gateway, call, session_id, epoch, to);
        }
        if let ToOwner::Ask { .. } = say {
            self.counts.asks += 1;
            let Some(peer) = self.connection_to(gateway, to) else {
                return self.mail_client(client, ClientMail::Heard { call, said: None });
            };
            self.gateways[gateway]
                .calls
                .made
                .insert(call, (peer, client));
        }
        let Some((peer, _)) = self.gateways[gateway].calls.made.get(&call).copied() else {
            return;
        };
        if say.ends() {
            self.gateways[gateway].calls.made.remove(&call);
        }
        self.say(peer, Side::Remote, call, session_id, Said::ToOwner(say));
    }

    pub(super) fn connection_to(&mut self, gateway: usize, to: &PeerGateway) -> Option<usize> {
        let target = (0..GATEWAYS)
            .find(|at| self.gateways[*at].peer_address.as_deref() == Some(to.address.as_str()))?;
        if let Some(peer) = self.gateways[gateway].calls.dialled.get(&target) {
            return Some(*peer);
        }
        let number = self.peers.len();
        let wire = self.wire(Purpose::Peer {
            from: gateway,
            to: target,
        });
        self.wires[wire].near = Some(number);
        self.peers.push(PeerWire {
            from: gateway,
            to: target,
            wire,
            near: true,
            far: true,
            asked: None,
        });
        self.gateways[gateway].calls.dialled.insert(target, number);
        let reachable = self.gateways[target].alive && self.parted[gateway][target] <= self.now;
        if !reachable {
            // It is refused at once, or nothing comes at all.
            self.peers[number].far = false;
            self.wires[wire].forget(Side::Remote);
            let silent = self.wires[wire].dice.one_in(2);
            let wait = if silent {
                self.limits.connect_timeout
            } else {
                5
            };
            self.after(wait, Event::PeerDialled(number));
        }
        Some(number)
    }

    /// The way there was not found.
    pub(crate) fn peer_dialled(&mut self, peer: usize) {
        self.near_lost(peer);
    }

    pub(super) fn say(
        &mut self,
        peer: usize,
        towards: Side,
        call: u64,
        session_id: u64,
        said: Said,
    ) {
        if let Said::ToOwner(
            ToOwner::Ask { .. } | ToOwner::Claim { .. } | ToOwner::Supersede { .. },
        ) = said
        {
            let p = &mut self.peers[peer];
            if p.asked.is_none() {
                p.asked = Some(self.now);
                self.after(4 * self.limits.connect_timeout / 2, Event::PeerCheck(peer));
            }
        }
        let wire = self.peers[peer].wire;
        if !self.peers[peer].far && towards == Side::Remote {
            return; // Into nowhere.
        }
        if self.log.prints() {
            let line = format!("peer {peer} {towards:?} call {call}: {said:?}");
            self.log.note(self.now, &line);
        }
        let frame = PeerFrame {
            call,
            session_id,
            said,
        };
        self.send(wire, towards, frame.encode());
    }

    /// Looks for connections that do not answer.
    pub(crate) fn peer_check(&mut self, peer: usize) {
        let patience = 4 * self.limits.connect_timeout;
        let Some(asked) = self.peers[peer].asked.filter(|_| self.peers[peer].near) else {
            return;
        };
        if self.now >= asked + patience {
            self.counts.peers_silent += 1;
            return self.near_lost(peer);
        }
        if self.now >= asked + patience / 2 {
            let probe = Said::ToOwner(ToOwner::Ask { token_epoch: 0 });
            self.say(peer, Side::Remote, PROBE_CALL, NO_SESSION, probe);
        }
        self.at(asked + patience, Event::PeerCheck(peer));
    }

    pub(crate) fn peer_reads(&mut self, wire: usize, side: Side, item: Item) {
        let Some(peer) = self.wires[wire].near else {
            return;
        };
        let Item::Bytes(bytes) = item else {
            return match side {
                Side::Gateway => self.near_lost(peer),
                Side::Remote => self.far_lost(peer),
            };
        };
        let Ok(frame) = PeerFrame::decode(&bytes) else {
            return;
        };
        let PeerFrame {
            call,
            session_id,
            said,
        } = frame;
        match (side, said) {
            (Side::Gateway, Said::ToClaimant(say)) if self.peers[peer].near => {
                self.peers[peer].asked = None;
                self.hear_peer(peer, call, session_id, say);
            }
            (Side::Remote, Said::ToOwner(say)) if self.peers[peer].far => {
                self.serve(peer, call, session_id, say);
            }
            (_, _) => {}
        }
    }

    /// A call that was made here is answered.
    fn hear_peer(&mut self, peer: usize, call: u64, session_id: u64, say: ToClaimant) {
        let gateway = self.peers[peer].from;
        if self.hear_owed(gateway, call, &say) {
            return;
        }
        let its = self.gateways[gateway].calls.made.get(&call).copied();
        let its = its.filter(|(on, _)| *on == peer);
        let ends = say.ends();
        match its
            .map(|(_, client)| client)
            .filter(|client| self.client_lives(*client))
        {
            Some(client) => self.mail_client(
                client,
                ClientMail::Heard {
                    call,
                    said: Some(say),
                },
            ),
            None if !ends => {
                let give_up = Said::ToOwner(ToOwner::GiveUp { stale: false });
                self.say(peer, Side::Remote, call, session_id, give_up);
                self.gateways[gateway].calls.made.remove(&call);
            }
            None => {}
        }
        if its.is_some() && ends {
            self.gateways[gateway].calls.made.remove(&call);
        }
    }

    /// A peer gateway calls.
    fn serve(&mut self, peer: usize, call: u64, session_id: u64, say: ToOwner) {
        let gateway = self.peers[peer].to;
        let caller = Caller {
            connection: peer as u64,
            call,
            at: self.peer_gateway(self.peers[peer].from),
        };
        if let ToOwner::Ask { .. } | ToOwner::Supersede { .. } = say {
            let served = &mut self.gateways[gateway].calls.served;
            if served.contains_key(&(peer, call)) {
                return;
            }
            let served_call = Served {
                session_id,
                client: None,
                promised: false,
            };
            served.insert((peer, call), served_call);
            let find = RegistryMail::FindFor {
                session_id,
                caller,
                say,
            };
            return self.mail_registry(gateway, find);
        }
        let served = &mut self.gateways[gateway].calls.served;
        let its = served.get(&(peer, call));
        let its = its.filter(|served| served.session_id == session_id);
        let client = its.and_then(|served| served.client);
        let promised = its.is_some_and(|served| served.promised);
        if say.ends() {
            served.remove(&(peer, call));
        }
        let say = match say {
            ToOwner::GiveUp { stale: false } if !promised => ToOwner::Withdraw,
            say => say,
        };
        match client.filter(|client| self.client_lives(*client)) {
            Some(client) => {
                let said = Some(say);
                self.mail_client(
                    client,
                    ClientMail::Called {
                        caller,
                        session_id,
                        said,
                    },
                );
            }
            None if say.ends() => {}
            None => self.answer(gateway, &caller, session_id, ToClaimant::Refused),
        }
    }

    fn found(
        &mut self,
        gateway: usize,
        caller: Caller,
        session_id: u64,
        say: ToOwner,
        found: Result<Option<Found>, ()>,
    ) {
        let key = (caller.connection as usize, caller.call);
        let Some(served) = self.gateways[gateway].calls.served.get_mut(&key) else {
            return; // Given up or lost meanwhile.
        };
        let say = match found {
            Ok(Some(Found::Client(client))) if say.ends() => {
                let mail = ClientMail::Called {
                    caller: caller.clone(),
                    session_id,
                    said: Some(say),
                };
                self.counts.supersedes += 1;
                self.mail_client(client, mail);
                ToClaimant::Unknown
            }
            Ok(Some(Found::Client(client))) => {
                served.client = Some(client);
                if !self.client_lives(client) {
                    self.after(TICK, Event::PeersTick(gateway));
                }
                let said = Some(say);
                return self.mail_client(
                    client,
                    ClientMail::Called {
                        caller,
                        session_id,
                        said,
                    },
                );
            }
            Ok(Some(Found::Moved(to))) => ToClaimant::Moved {
                gateway: to.gateway,
                address: to.address,
            },
            Ok(None) => ToClaimant::Unknown,
            Err(()) => ToClaimant::Busy,
        };
        self.answer(gateway, &caller, session_id, say);
    }

    /// Answers questions whose client has stopped before it read them, and forgets its promises, as the shipped
    /// one does each second.
    pub(crate) fn peers_tick(&mut self, gateway: usize) {
        self.say_owed(gateway);
        let served = &self.gateways[gateway].calls.served;
        let gone = served.iter().filter_map(|(key, served)| {
            let client = served.client?;
            (!self.client_lives(client)).then_some((*key, served.session_id, served.promised))
        });
        for ((peer, call), session_id, promised) in gone.collect::<Vec<_>>() {
            self.gateways[gateway].calls.served.remove(&(peer, call));
            let caller = Caller {
                connection: peer as u64,
                call,
                at: self.peer_gateway(self.peers[peer].from),
            };
            if !promised {
                self.answer(gateway, &caller, session_id, ToClaimant::Busy);
            }
        }
    }

    fn answer(&mut self, gateway: usize, to: &Caller, session_id: u64, say: ToClaimant) {
        let peer = to.connection as usize;
        let served = &mut self.gateways[gateway].calls.served;
        if say.ends() {
            served.remove(&(peer, to.call));
        } else if let Some(served) = served.get_mut(&(peer, to.call)) {
            served.promised = true;
        }
        self.say(
            peer,
            Side::Gateway,
            to.call,
            session_id,
            Said::ToClaimant(say),
        );
    }
}
