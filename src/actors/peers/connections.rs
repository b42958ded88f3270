//! Which connections there are, and when they end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::calls::On;
use super::connection::{self, Accepted, Arrived, Joined, Lost};
use super::peering::CallEnd;
use super::wire::Wire;
use super::{
    Connection, Flush, NO_SESSION, NoAnswer, PeerResponse, Peers, Side, refusals, tell_not_made,
};
use crate::actors::session_registry::{ClientMessage, PeerRequest};
use crate::codec::peer::wire::{PeerFrame, Said};
use crate::codec::peer::{Caller, PeerGateway, ToOwner};
use crate::memory::{self, Pressure};
use crate::net::peer::HandshakeFailure;
use crate::supervision::Receive;

/// Connections of others who have not proved anything yet; the oldest gives way.
pub(super) const MAX_STRANGERS: usize = 128;
/// No client draws this one.
const PROBE_CALL: u64 = u64::MAX;

impl Peers {
    /// Closes what nobody uses, and what does not answer; answers calls whose client is gone.
    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.answer_for_the_gone();
        self.tell_refusals();
        let idle = self.shared.config.peer.channel.idle;
        let patience = self.shared.config.backend.connect_timeout * 4;
        let asked_for = |c: &Connection| c.asked.map_or(Duration::ZERO, |at| at.elapsed());
        let those = |wanted: &dyn Fn(&Connection) -> bool| -> Vec<u64> {
            let wanted = self.connections.iter().filter(|(_, c)| wanted(c));
            wanted.map(|(number, _)| *number).collect()
        };
        let silent = those(&|c| asked_for(c) > patience);
        // A question may have been taken back, or its session may have ended: that says nothing of the
        // gateway.
        let unsure = those(&|c| asked_for(c) > patience / 2);
        let mut unused =
            those(&|c| matches!(c.kind, Side::Dialled { .. }) && c.used.elapsed() > idle);
        unused.retain(|number| !self.calls.values().any(|(on, _)| on == number));
        self.forget_questions();
        self.forget_unconfirmed();
        for connection in silent {
            self.lose(connection, Some("it does not answer".to_owned()));
        }
        let probe = PeerFrame {
            call: PROBE_CALL,
            session_id: NO_SESSION,
            said: Said::ToOwner(ToOwner::Ask { token_epoch: 0 }),
        };
        for connection in unsure {
            self.write(connection, &probe);
        }
        // At once: no call may get in between.
        for connection in unused {
            self.lose(connection, None);
        }
        self.renew_owed(ctx);
        // What a peer gateway that reads has not taken by now is more than it will take soon, and nobody else pays for it.
        let input: usize = self.connections.values().map(Connection::input).sum();
        self.bound_queues(input, Pressure::Sessions);
    }

    /// Writes a frame; what does not fit costs the connection.
    pub(super) fn write(&mut self, connection: u64, frame: &PeerFrame) {
        let Some(place) = self.connections.get_mut(&connection) else {
            return;
        };
        place.used = Instant::now();
        if let Said::Question(_)
        | Said::ToOwner(
            ToOwner::Ask { .. } | ToOwner::Claim { .. } | ToOwner::Supersede { .. },
        ) = frame.said
        {
            place.asked.get_or_insert_with(Instant::now);
        }
        if !place.wire.write(frame.encode()) {
            let error = "it does not take what is said to it".to_owned();
            return self.lose(connection, Some(error));
        }
        self.bound_queues(0, Pressure::Queues);
    }

    /// Loses the connections that hold the most while all together hold too much: what waits to be written, and
    /// `input` bytes of frames that have begun.
    fn bound_queues(&mut self, input: usize, least: Pressure) {
        let most = self.shared.config.peer.channel.all_queued_bytes;
        let is_much = |held| held > most || memory::is_too_much(held, least);
        if !is_much(self.shared.counts.queued_bytes() + input) {
            return;
        }
        // What those hold that are lost already comes back when their tasks end, and is nobody else's fault.
        let mut held: usize = self.connections.values().map(Connection::held).sum();
        while held > 0 && is_much(held) {
            let largest = self.connections.iter().max_by_key(|(_, c)| c.held());
            let Some((number, connection)) = largest else {
                return;
            };
            if memory::is_too_much(held, least) {
                self.shared.counts.ended_for_memory();
            }
            held = held.saturating_sub(connection.held());
            let error = "too much waits for other gateways, or for the rest of their frames, most of it here";
            self.lose(*number, Some(error.to_owned()));
        }
    }

    /// The connection to a gateway: the one that is there, or a new one.
    pub(super) fn connection_to(
        &mut self,
        to: &PeerGateway,
        ctx: &mut Context<Self>,
    ) -> Option<u64> {
        if let Some(connection) = self.dialled.get(to) {
            return Some(*connection);
        }
        if self.neighbours() >= self.shared.config.peer.channel.connections || to.address.is_empty()
        {
            return None;
        }
        let number = self.number();
        let wire = connection::dial(
            number,
            to.clone(),
            &self.shared,
            self.registration.address(ctx),
        );
        let side = Side::Dialled {
            to: to.clone(),
            at: None,
        };
        self.admit(number, wire, side);
        self.dialled.insert(to.clone(), number);
        Some(number)
    }

    /// Returns the gateway to which a connection was dialled.
    pub(super) fn dialled_to(&self, connection: u64) -> Option<&PeerGateway> {
        match &self.connections.get(&connection)?.kind {
            Side::Dialled { to, .. } => Some(to),
            Side::Accepted { .. } => None,
        }
    }

    /// Tells whether the handshake of a connection is over.
    pub(super) fn is_joined(&self, connection: u64) -> bool {
        let connection = self.connections.get(&connection);
        connection.is_some_and(|connection| match &connection.kind {
            Side::Dialled { at, .. } | Side::Accepted { at, .. } => at.is_some(),
        })
    }

    /// Returns who is at the other end of a connection that was dialled, and its version; none before the
    /// handshake is over.
    pub(super) fn dialled_and_joined(&self, connection: u64) -> Option<(PeerGateway, u8)> {
        let connection = self.connections.get(&connection)?;
        match &connection.kind {
            Side::Dialled { at, .. } => Some((at.clone()?, connection.version)),
            Side::Accepted { .. } => None,
        }
    }

    /// A number that no other connection of the process has, also not of an actor before this one. A
    /// later connection has a higher one.
    pub(super) fn number(&mut self) -> u64 {
        self.next = self.next.max(self.shared.counts.generation() << 32) + 1;
        self.next
    }

    fn admit(&mut self, number: u64, wire: Wire, kind: Side) {
        let connection = Connection {
            wire,
            kind,
            version: 0,
            used: Instant::now(),
            asked: None,
            input: Arc::default(),
        };
        self.connections.insert(number, connection);
        self.shared.counts.connections(self.connections.len());
    }

    /// Connections of others who have not proved anything, by number.
    fn strangers(&self) -> impl Iterator<Item = u64> {
        let strange = |c: &Connection| matches!(c.kind, Side::Accepted { at: None, .. });
        let strangers = self.connections.iter().filter(move |(_, c)| strange(c));
        strangers.map(|(number, _)| *number)
    }

    fn neighbours(&self) -> usize {
        self.connections.len() - self.strangers().count()
    }

    fn turn_away(&mut self, connection: u64) {
        self.shared.counts.failed(HandshakeFailure::Crowded);
        self.lose(
            connection,
            Some("there are too many connections".to_owned()),
        );
    }

    /// Removes a connection that is over, and tells the clients with calls on it, on either side.
    fn lose(&mut self, connection: u64, error: Option<String>) {
        let Some(lost) = self.connections.remove(&connection) else {
            return;
        };
        self.shared.counts.connections(self.connections.len());
        if let Side::Dialled { to, .. } = &lost.kind {
            self.dialled.remove(to);
            if let Some(error) = &error {
                tracing::debug!(gateway = %to.gateway, address = %to.address, error, "the way to a gateway is lost");
            }
            let counts = &self.shared.counts;
            self.calls.retain(|call, (on, client)| {
                let its = *on == connection;
                if its {
                    let (call, said) = (*call, None);
                    counts.ended(CallEnd::Lost);
                    let held = None;
                    client.do_send(PeerResponse { call, said, held });
                }
                !its
            });
        }
        self.fail_questions(connection, NoAnswer::Unreachable);
        tell_lost(connection, lost.kind);
        self.last_error = error.or(self.last_error.take());
    }
}

/// The clients whose sessions a connection has asked for hear that it is lost.
pub(super) fn tell_lost(connection: u64, side: Side) {
    let Side::Accepted {
        at: Some(at),
        calls,
        unconfirmed,
        ..
    } = side
    else {
        return;
    };
    for (question, _) in unconfirmed.values() {
        tell_not_made(&at.gateway, question);
    }
    for (call, served) in calls {
        if let Some(client) = served.client {
            client.do_send(ClientMessage::Peer(Box::new(PeerRequest {
                caller: Caller {
                    connection,
                    call,
                    at: at.clone(),
                },
                session_id: served.session_id,
                // Where HOLDS was not said yet, nobody can have opened anything for it.
                said: (!served.promised).then_some(ToOwner::Withdraw),
            })));
        }
    }
}

impl Receive<Accepted> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Accepted, ctx: &mut Context<Self>) {
        let strangers = self.strangers().count();
        if strangers >= MAX_STRANGERS
            && let Some(oldest) = self.strangers().min()
        {
            self.turn_away(oldest);
        }
        let number = self.number();
        let own = self.registration.address(ctx);
        let wire = connection::answer(number, msg.0, &self.shared, own);
        let side = Side::Accepted {
            from: msg.1,
            at: None,
            calls: HashMap::new(),
            answering: 0,
            unconfirmed: HashMap::new(),
        };
        self.admit(number, wire, side);
    }
}

impl Receive<Joined> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Joined, ctx: &mut Context<Self>) {
        let full = self.neighbours() >= self.shared.config.peer.channel.connections;
        let Some(connection) = self.connections.get_mut(&msg.connection) else {
            return;
        };
        connection.version = msg.version;
        connection.input = msg.input;
        match &mut connection.kind {
            Side::Dialled { to, at } => {
                let to = to.clone();
                *at = Some(msg.at.clone());
                self.say_owed(&to, ctx);
                self.say_questions(msg.connection, &msg.at, msg.version);
            }
            Side::Accepted { .. } if full => self.turn_away(msg.connection),
            Side::Accepted { at, .. } => *at = Some(msg.at),
        }
    }
}

impl Receive<Arrived> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Arrived, ctx: &mut Context<Self>) {
        let Some(place) = self.connections.get_mut(&msg.connection) else {
            return;
        };
        (place.used, place.asked) = (Instant::now(), None);
        let dialled = matches!(place.kind, Side::Dialled { .. });
        let PeerFrame {
            call,
            session_id,
            said,
        } = msg.frame;
        let connection = msg.connection;
        match (dialled, said) {
            (true, Said::ToClaimant(say)) => {
                let said = On {
                    connection,
                    call,
                    session_id,
                    say,
                };
                self.hear(said, msg.held);
            }
            (false, Said::ToOwner(say)) => {
                let said = On {
                    connection,
                    call,
                    session_id,
                    say,
                };
                self.serve(said, ctx);
            }
            (false, Said::Question(asked)) => self.take_question(connection, call, *asked, ctx),
            (true, Said::Answer(answer)) => self.answered(connection, call, answer),
            (true, Said::Ready) => self.proceed(connection, call),
            (false, Said::Proceed) => self.take_confirmed(connection, call, ctx),
            // Of a later version, or from the wrong end: nothing that this end has to do.
            (true, Said::ToOwner(_) | Said::Question(_) | Said::Proceed)
            | (false, Said::ToClaimant(_) | Said::Answer(_) | Said::Ready)
            | (_, Said::Unknown(_)) => {
                self.shared.counts.skipped();
            }
        }
    }
}

impl Receive<Lost> for Peers {
    type Result = ();

    fn receive(&mut self, msg: Lost, _: &mut Context<Self>) {
        if let Some(place) = self.connections.get(&msg.connection)
            && let Some(error) = &msg.error
            && msg.failure.is_some_and(refusals::is_news)
        {
            let whom = match &place.kind {
                Side::Dialled { to, .. } => format!("{} at {}", to.gateway, to.address),
                Side::Accepted { from, .. } => from.to_string(),
            };
            self.refusals.count(format!("{whom}: {error}"));
            self.tell_refusals();
        }
        self.lose(msg.connection, msg.error);
    }
}

impl Receive<Flush> for Peers {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, _: Flush, _: &mut Context<Self>) -> ResponseFuture<()> {
        let wires = self.connections.values_mut().map(|c| c.wire.finish());
        let wires: Vec<_> = wires.collect();
        Box::pin(async move {
            let all = futures_util::future::join_all(wires);
            let _ = actix::clock::timeout(super::FLUSH_TIMEOUT, all).await;
        })
    }
}
