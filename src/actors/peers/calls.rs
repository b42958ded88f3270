//! What is said on calls, either way.

use std::collections::HashMap;
use std::time::Instant;

use actix::prelude::*;

use super::connection::{self, Arrived, Joined, Lost, Wire};
use super::{
    Call, Called, Caller, Connection, Flush, HangUp, Heard, MAX_CALLS, MAX_CONNECTIONS, PeerAt,
    Peers, Reply, Served, Side,
};
use crate::actors::session_registry::{Errand, FindClient, Found};
use crate::codec::peer::wire::{PeerFrame, Said};
use crate::codec::peer::{ToHolder, ToNewcomer};

/// Whether nothing more is said on the call behind it.
fn is_last(say: &ToNewcomer) -> bool {
    !matches!(say, ToNewcomer::Holds { .. } | ToNewcomer::HoldsMore { .. })
}

/// Whether nothing more is said on the call behind it.
fn ends(say: &ToHolder) -> bool {
    match say {
        ToHolder::Ask { .. } | ToHolder::Claim { .. } => false,
        ToHolder::GiveUp { .. } | ToHolder::Supersede | ToHolder::End { .. } => true,
    }
}

/// The clients whose sessions a connection has asked for hear that it is lost.
pub(super) fn tell_lost(connection: u64, side: Side) {
    let Side::Accepted {
        at: Some(at),
        calls,
    } = side
    else {
        return;
    };
    for (call, served) in calls {
        if let Some(client) = served.client {
            client.do_send(Errand::Called(Box::new(Called {
                caller: Caller {
                    connection,
                    call,
                    at: at.clone(),
                },
                session_id: served.session_id,
                said: None,
            })));
        }
    }
}

impl Peers {
    /// Writes a frame; what does not fit costs the connection.
    fn write(&mut self, connection: u64, frame: &PeerFrame, ctx: &mut Context<Self>) {
        let Some(place) = self.connections.get_mut(&connection) else {
            return;
        };
        place.used = Instant::now();
        if let Said::ToHolder(ToHolder::Ask { .. } | ToHolder::Claim { .. }) = frame.said {
            place.asked.get_or_insert_with(Instant::now);
        }
        if !place.wire.write(frame.encode()) {
            let error = Some("it does not take what is said to it".to_owned());
            ctx.notify(Lost { connection, error });
        }
    }

    /// The connection to a gateway: the one that is there, or a new one.
    fn connection_to(&mut self, to: &PeerAt, ctx: &mut Context<Self>) -> Option<u64> {
        if let Some(connection) = self.dialled.get(to) {
            return Some(*connection);
        }
        if self.connections.len() >= MAX_CONNECTIONS || to.address.is_empty() {
            return None;
        }
        let number = self.number();
        let wire = connection::dial(number, to.clone(), &self.shared, self.vitals.address(ctx));
        self.admit(number, wire, Side::Dialled(to.clone()));
        self.dialled.insert(to.clone(), number);
        Some(number)
    }

    fn admit(&mut self, number: u64, wire: Wire, kind: Side) {
        let connection = Connection {
            wire,
            kind,
            used: Instant::now(),
            asked: None,
        };
        self.connections.insert(number, connection);
        self.shared.counts.connections(self.connections.len());
    }

    /// Another gateway answers a call that was made here.
    fn hear(&mut self, frame: PeerFrame, say: ToNewcomer, from: u64, ctx: &mut Context<Self>) {
        let last = is_last(&say);
        let its = self.calls.get(&frame.call).filter(|(on, _)| *on == from);
        match its {
            Some((_, client)) if client.connected() => {
                client.do_send(Heard {
                    call: frame.call,
                    said: Some(say),
                });
                if last {
                    self.calls.remove(&frame.call);
                }
            }
            // Whoever asked is gone: nothing comes of the promise.
            _ if !last => {
                self.calls.remove(&frame.call);
                let said = Said::ToHolder(ToHolder::GiveUp { stale: false });
                self.write(from, &PeerFrame { said, ..frame }, ctx);
            }
            _ => {}
        }
    }

    /// Another gateway calls.
    fn serve(&mut self, frame: PeerFrame, say: ToHolder, from: u64, ctx: &mut Context<Self>) {
        let Some(Connection {
            kind:
                Side::Accepted {
                    at: Some(at),
                    calls,
                },
            ..
        }) = self.connections.get_mut(&from)
        else {
            return;
        };
        let (call, session_id) = (frame.call, frame.session_id);
        let caller = Caller {
            connection: from,
            call,
            at: at.clone(),
        };
        if let ToHolder::Ask { .. } = say {
            if calls.len() >= MAX_CALLS {
                return self.answer(&caller, session_id, ToNewcomer::Busy, ctx);
            }
            let served = Served {
                session_id,
                client: None,
            };
            calls.insert(call, served);
            self.shared.counts.served();
            return self.find(caller, session_id, say, ctx);
        }
        let served = match ends(&say) {
            true => calls.remove(&call),
            false => calls.get(&call).map(|served| Served {
                session_id: served.session_id,
                client: served.client.clone(),
            }),
        };
        let client = served
            .filter(|served| served.session_id == session_id)
            .and_then(|served| served.client)
            .filter(|client| client.connected());
        match client {
            Some(client) => client.do_send(Errand::Called(Box::new(Called {
                caller,
                session_id,
                said: Some(say),
            }))),
            None if ends(&say) => {}
            None => self.answer(&caller, session_id, ToNewcomer::Refused, ctx),
        }
    }

    /// Passes a question on to the client that has the session, if one has.
    fn find(&mut self, caller: Caller, session_id: u64, say: ToHolder, ctx: &mut Context<Self>) {
        let home = self.shared.registries[self.shared.homes.home(session_id)].clone();
        let answer = async move { home.ask(|| FindClient { session_id }).await };
        let answer = actix::fut::wrap_future::<_, Self>(answer);
        ctx.spawn(answer.map(move |found, peers, ctx| {
            let say = match found {
                Ok(Some(Found::Client(client))) => {
                    peers.remember(&caller, &client);
                    return client.do_send(Errand::Called(Box::new(Called {
                        caller,
                        session_id,
                        said: Some(say),
                    })));
                }
                Ok(Some(Found::Moved(to))) => ToNewcomer::Moved {
                    gateway: to.gateway,
                    address: to.address,
                },
                Ok(None) => ToNewcomer::Unknown,
                Err(_) => ToNewcomer::Busy,
            };
            peers.answer(&caller, session_id, say, ctx);
        }));
    }

    fn served(&mut self, caller: &Caller) -> Option<&mut HashMap<u64, Served>> {
        match &mut self.connections.get_mut(&caller.connection)?.kind {
            Side::Accepted { calls, .. } => Some(calls),
            Side::Dialled(_) => None,
        }
    }

    fn remember(&mut self, caller: &Caller, client: &super::Port<Errand>) {
        let served = self.served(caller).and_then(|c| c.get_mut(&caller.call));
        if let Some(served) = served {
            served.client = Some(client.clone());
        }
    }

    fn answer(&mut self, to: &Caller, session_id: u64, say: ToNewcomer, ctx: &mut Context<Self>) {
        if is_last(&say)
            && let Some(calls) = self.served(to)
        {
            calls.remove(&to.call);
        }
        let frame = PeerFrame {
            call: to.call,
            session_id,
            said: Said::ToNewcomer(say),
        };
        self.write(to.connection, &frame, ctx);
    }
}

impl Handler<Call> for Peers {
    type Result = ();

    fn handle(&mut self, msg: Call, ctx: &mut Context<Self>) {
        self.vitals.handled();
        let call = msg.call;
        if let ToHolder::Ask { .. } = msg.say {
            let connection = self.connection_to(&msg.to, ctx);
            let Some(connection) = connection.filter(|_| self.calls.len() < MAX_CALLS) else {
                return msg.client.do_send(Heard { call, said: None });
            };
            self.shared.counts.made();
            self.calls.insert(call, (connection, msg.client));
        }
        let Some((connection, _)) = self.calls.get(&call) else {
            return; // Its connection is lost, of which the client is told.
        };
        let connection = *connection;
        if ends(&msg.say) {
            self.calls.remove(&call);
        }
        let frame = PeerFrame {
            call,
            session_id: msg.session_id,
            said: Said::ToHolder(msg.say),
        };
        self.write(connection, &frame, ctx);
    }
}

impl Handler<HangUp> for Peers {
    type Result = ();

    fn handle(&mut self, msg: HangUp, _: &mut Context<Self>) {
        self.vitals.handled();
        self.calls.remove(&msg.call);
    }
}

impl Handler<Reply> for Peers {
    type Result = ();

    fn handle(&mut self, msg: Reply, ctx: &mut Context<Self>) {
        self.vitals.handled();
        let served = self.served(&msg.to).and_then(|c| c.get(&msg.to.call));
        // Where it has given up, nobody waits for the answer.
        if let Some(session_id) = served.map(|served| served.session_id) {
            self.answer(&msg.to, session_id, msg.say, ctx);
        }
    }
}

impl Handler<connection::Accepted> for Peers {
    type Result = ();

    fn handle(&mut self, msg: connection::Accepted, ctx: &mut Context<Self>) {
        self.vitals.handled();
        if self.connections.len() >= MAX_CONNECTIONS {
            self.shared.counts.failed("crowded");
            return;
        }
        let number = self.number();
        let own = self.vitals.address(ctx);
        let wire = connection::answer(number, msg.0, &self.shared, own);
        let (at, calls) = (None, HashMap::new());
        self.admit(number, wire, Side::Accepted { at, calls });
    }
}

impl Handler<Joined> for Peers {
    type Result = ();

    fn handle(&mut self, msg: Joined, _: &mut Context<Self>) {
        self.vitals.handled();
        if let Some(connection) = self.connections.get_mut(&msg.connection)
            && let Side::Accepted { at, .. } = &mut connection.kind
        {
            *at = Some(msg.at);
        }
    }
}

impl Handler<Arrived> for Peers {
    type Result = ();

    fn handle(&mut self, msg: Arrived, ctx: &mut Context<Self>) {
        self.vitals.handled();
        let Arrived {
            connection, frame, ..
        } = msg;
        let Some(place) = self.connections.get_mut(&connection) else {
            return;
        };
        (place.used, place.asked) = (Instant::now(), None);
        let dialled = matches!(place.kind, Side::Dialled(_));
        match (dialled, frame.said.clone()) {
            (true, Said::ToNewcomer(say)) => self.hear(frame, say, connection, ctx),
            (false, Said::ToHolder(say)) => self.serve(frame, say, connection, ctx),
            // Of a later version, or from the wrong end: nothing that this end has to do.
            (true, Said::ToHolder(_)) | (false, Said::ToNewcomer(_)) | (_, Said::Unknown(_)) => {
                self.shared.counts.skipped();
            }
        }
    }
}

impl Handler<Lost> for Peers {
    type Result = ();

    fn handle(&mut self, msg: Lost, _: &mut Context<Self>) {
        self.vitals.handled();
        let Some(lost) = self.connections.remove(&msg.connection) else {
            return;
        };
        self.shared.counts.connections(self.connections.len());
        if let Side::Dialled(to) = &lost.kind {
            self.dialled.remove(to);
            if let Some(error) = &msg.error {
                tracing::debug!(gateway = %to.gateway, address = %to.address, error, "the way to a gateway is lost");
            }
            self.calls.retain(|call, (on, client)| {
                let its = *on == msg.connection;
                if its {
                    let (call, said) = (*call, None);
                    client.do_send(Heard { call, said });
                }
                !its
            });
        }
        tell_lost(msg.connection, lost.kind);
        self.last_error = msg.error.or(self.last_error.take());
    }
}

impl Handler<Flush> for Peers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> ResponseFuture<()> {
        self.vitals.handled();
        let wires = self.connections.values_mut().map(|c| c.wire.finish());
        let wires: Vec<_> = wires.collect();
        Box::pin(async move {
            let all = futures_util::future::join_all(wires);
            let _ = actix::clock::timeout(super::FLUSH_TIMEOUT, all).await;
        })
    }
}
