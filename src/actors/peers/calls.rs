//! Messages on calls, either way.

use std::collections::HashMap;

use actix::prelude::*;

use super::peering::CallEnd;
use super::{
    Call, CancelCall, Connection, CountedRecipient, MAX_CALLS, NO_SESSION, PeerResponse, Peers,
    Reply, Served, Side,
};
use crate::actors::session_registry::{ClientMessage, FindClient, Found, PeerRequest};
use crate::codec::peer::wire::{PeerFrame, Said};
use crate::codec::peer::{Caller, ToClaimant, ToOwner};
use crate::memory::Held;
use crate::supervision::Receive;

/// Something that has come.
pub(super) struct On<W> {
    pub(super) connection: u64,
    pub(super) call: u64,
    pub(super) session_id: u64,
    pub(super) say: W,
}

/// The metric label of a call whose last word this is.
pub(super) fn how_it_ended(say: &ToClaimant) -> CallEnd {
    match say {
        ToClaimant::Moved { .. } => CallEnd::Moved,
        ToClaimant::Busy => CallEnd::Busy,
        ToClaimant::NotGood => CallEnd::NotGood,
        ToClaimant::Unknown => CallEnd::Unknown,
        ToClaimant::Handover(_) => CallEnd::HandedOver,
        ToClaimant::Refused => CallEnd::Refused,
        ToClaimant::Ended { .. } => CallEnd::Ended,
        ToClaimant::Holds { .. } | ToClaimant::HoldsMore { .. } => CallEnd::GivenUp,
    }
}

impl Peers {
    /// Another gateway answers a call that was made here.
    pub(super) fn hear(&mut self, said: On<ToClaimant>, held: Held) {
        let On {
            connection,
            call,
            session_id,
            say,
        } = said;
        if self.hear_owed(connection, call, &say) {
            return;
        }
        let its = self.calls.get(&call).filter(|(on, _)| *on == connection);
        let (known, ends, how) = (its.is_some(), say.ends(), how_it_ended(&say));
        match its.map(|(_, client)| client).filter(|c| c.connected()) {
            Some(client) => client.do_send(PeerResponse {
                call,
                said: Some(say),
                held: Some(held),
            }),
            // The client that asked is gone: nothing comes of the promise.
            None if !ends => {
                let said = Said::ToOwner(ToOwner::GiveUp { stale: false });
                let give_up = PeerFrame {
                    call,
                    session_id,
                    said,
                };
                self.write(connection, &give_up);
                if known {
                    self.end(call, CallEnd::GivenUp);
                }
            }
            None => {}
        }
        if known && ends {
            self.end(call, how);
        }
    }

    /// A call that was made here is over, if it was not already.
    fn end(&mut self, call: u64, how: CallEnd) {
        if self.calls.remove(&call).is_some() {
            self.shared.counts.ended(how);
        }
    }

    /// Another gateway calls.
    pub(super) fn serve(&mut self, said: On<ToOwner>, ctx: &mut Context<Self>) {
        let On {
            connection: from,
            call,
            session_id,
            say,
        } = said;
        let Some(Connection {
            kind:
                Side::Accepted {
                    at: Some(at),
                    calls,
                    ..
                },
            ..
        }) = self.connections.get_mut(&from)
        else {
            return;
        };
        let caller = Caller {
            connection: from,
            call,
            at: at.clone(),
        };
        if let ToOwner::Ask { .. } | ToOwner::Supersede { .. } = say {
            if calls.contains_key(&call) {
                // One call, one question: the answer to it is still owed.
                return self.shared.counts.skipped();
            }
            if calls.len() >= MAX_CALLS {
                return self.answer(&caller, session_id, ToClaimant::Busy);
            }
            let served = Served {
                session_id,
                client: None,
                promised: false,
            };
            calls.insert(call, served);
            if session_id != NO_SESSION {
                self.shared.counts.served();
            }
            return self.find(caller, session_id, say, ctx);
        }
        let served = match say.ends() {
            true => calls.remove(&call),
            false => calls.get(&call).map(|served| Served {
                session_id: served.session_id,
                client: served.client.clone(),
                promised: served.promised,
            }),
        };
        let served = served.filter(|served| served.session_id == session_id);
        let promised = served.as_ref().is_some_and(|served| served.promised);
        let client = served
            .and_then(|served| served.client)
            .filter(|client| client.connected());
        let say = match say {
            // Given up before HOLDS was said: nobody can have opened anything for it.
            ToOwner::GiveUp { stale: false } if !promised => ToOwner::Withdraw,
            say => say,
        };
        match client {
            Some(client) => client.do_send(ClientMessage::Peer(Box::new(PeerRequest {
                caller,
                session_id,
                said: Some(say),
            }))),
            None if say.ends() => {}
            None => self.answer(&caller, session_id, ToClaimant::Refused),
        }
    }

    /// Passes the first word of a call on to the client that has the session, if one has.
    fn find(&mut self, caller: Caller, session_id: u64, say: ToOwner, ctx: &mut Context<Self>) {
        let home = self.shared.shards.home(session_id).clone();
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        let answer = actix::fut::wrap_future::<_, Self>(answer);
        ctx.spawn(answer.map(move |found, peers, _| {
            // Given up or lost meanwhile: a promise would be nobody's.
            if !peers.is_open(&caller) {
                return;
            }
            let say = match found {
                Ok(Some(Found::Client(client))) => {
                    let ends = say.ends();
                    client.do_send(ClientMessage::Peer(Box::new(PeerRequest {
                        caller: caller.clone(),
                        session_id,
                        said: Some(say),
                    })));
                    if !ends {
                        return peers.remember(&caller, &client);
                    }
                    // The session is here no longer.
                    ToClaimant::Unknown
                }
                Ok(Some(Found::Moved(to))) => ToClaimant::Moved {
                    gateway: to.gateway,
                    address: to.address,
                },
                Ok(None) => ToClaimant::Unknown,
                Err(_) => ToClaimant::Busy,
            };
            peers.answer(&caller, session_id, say);
        }));
    }

    fn served(&mut self, caller: &Caller) -> Option<&mut HashMap<u64, Served>> {
        match &mut self.connections.get_mut(&caller.connection)?.kind {
            Side::Accepted { calls, .. } => Some(calls),
            Side::Dialled { .. } => None,
        }
    }

    fn is_open(&mut self, caller: &Caller) -> bool {
        let calls = self.served(caller);
        calls.is_some_and(|calls| calls.contains_key(&caller.call))
    }

    fn remember(&mut self, caller: &Caller, client: &CountedRecipient<ClientMessage>) {
        let served = self.served(caller).and_then(|c| c.get_mut(&caller.call));
        if let Some(served) = served {
            served.client = Some(client.clone());
        }
    }

    /// Answers questions whose client has stopped, perhaps before it read them, and forgets its promises: else
    /// they would count among [`MAX_CALLS`] as long as their connection lives. A claim that comes for such a
    /// promise is refused.
    pub(super) fn answer_for_the_gone(&mut self) {
        let mut unanswered = Vec::new();
        for (number, connection) in &mut self.connections {
            let Side::Accepted {
                at: Some(at),
                calls,
                ..
            } = &mut connection.kind
            else {
                continue;
            };
            calls.retain(|call, served| {
                let gone = served.client.as_ref().is_some_and(|c| !c.connected());
                if gone && !served.promised {
                    let caller = Caller {
                        connection: *number,
                        call: *call,
                        at: at.clone(),
                    };
                    unanswered.push((caller, served.session_id));
                }
                !gone
            });
        }
        for (caller, session_id) in unanswered {
            self.answer(&caller, session_id, ToClaimant::Busy);
        }
    }

    fn answer(&mut self, to: &Caller, session_id: u64, say: ToClaimant) {
        if let Some(calls) = self.served(to) {
            if say.ends() {
                calls.remove(&to.call);
            } else if let Some(served) = calls.get_mut(&to.call) {
                served.promised = true;
            }
        }
        let frame = PeerFrame {
            call: to.call,
            session_id,
            said: Said::ToClaimant(say),
        };
        self.write(to.connection, &frame);
    }
}

impl Receive<Call> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Call, ctx: &mut Context<Self>) {
        let call = msg.call;
        if let ToOwner::Supersede { epoch } = msg.say {
            return self.owe((call, msg.session_id, epoch), msg.to, ctx);
        }
        if let ToOwner::Ask { .. } = msg.say {
            self.shared.counts.made();
            let connection = self.connection_to(&msg.to, ctx);
            let Some(connection) = connection.filter(|_| self.calls.len() < MAX_CALLS) else {
                self.shared.counts.ended(CallEnd::Lost);
                let (said, held) = (None, None);
                return msg.client.do_send(PeerResponse { call, said, held });
            };
            self.calls.insert(call, (connection, msg.client));
        }
        let Some((connection, _)) = self.calls.get(&call) else {
            return; // It is over, of which the client is told.
        };
        let connection = *connection;
        if msg.say.ends() {
            self.end(call, CallEnd::GivenUp);
        }
        let frame = PeerFrame {
            call,
            session_id: msg.session_id,
            said: Said::ToOwner(msg.say),
        };
        self.write(connection, &frame);
    }
}

impl Receive<CancelCall> for Peers {
    type Result = ();

    fn receive(&mut self, msg: CancelCall, _: &mut Context<Self>) {
        self.end(msg.call, CallEnd::GivenUp);
    }
}

impl Receive<Reply> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Reply, _: &mut Context<Self>) {
        let served = self.served(&msg.to).and_then(|c| c.get(&msg.to.call));
        // Where it has given up, nobody waits for the answer.
        if let Some(session_id) = served.map(|served| served.session_id) {
            self.answer(&msg.to, session_id, msg.say);
        }
    }
}
