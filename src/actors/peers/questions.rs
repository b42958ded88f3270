//! Questions of one gateway's admin API to another's: an operator asks one gateway, and it asks the others.
//!
//! They travel on connections of their own, dialled by address alone: who is there is known when the handshake is
//! over. The actor carries them; the admin API's thread answers, by the functions that answer HTTP.

use std::time::{Duration, Instant};

use actix::clock::timeout;
use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::{Connection, Peers, Side};
use crate::codec::peer::wire::{PeerFrame, Said};
use crate::codec::peer::{Answer, PeerGateway, Question};
use crate::memory::{Held, Part};
use crate::net::peer::FIRST_WITH_QUESTIONS;
use crate::supervision::Receive;

use super::NO_SESSION;

/// Questions of this gateway that are under way; more are not asked.
pub(super) const MAX_ASKED: usize = 2048;
/// Questions of one gateway that are being answered at a time; more are answered 503.
const MAX_OF_ONE: usize = 16;
/// The same, of all gateways.
pub const MAX_ANSWERING: usize = 64;

/// Asks the gateway at an address.
#[derive(Debug, Message)]
#[rtype(result = "Result<PeerAnswer, NoAnswer>")]
pub struct AskGateway {
    /// Where its peer channel is, `ip:port`.
    pub address: String,
    /// The question.
    pub question: Question,
    /// Time for everything, dialling included.
    pub patience: Duration,
}

/// What another gateway has answered.
#[derive(Debug)]
pub struct PeerAnswer {
    /// Its gateway_id.
    pub gateway: String,
    /// Its answer.
    pub answer: Answer,
    /// Counts the bytes.
    pub held: Held,
}

/// Reason for which there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The address is this gateway's own.
    #[error("it is this gateway")]
    Own,
    /// Another gateway has this one's gateway_id.
    #[error("another gateway has the gateway_id of this one")]
    SameId,
    /// It speaks an earlier version of the peer channel.
    #[error("it is too old: it does not know questions of other gateways")]
    TooOld,
    /// Nothing came in time.
    #[error("it has not answered in time")]
    Timeout,
    /// It cannot be connected to, is not of this deployment, or the connection was lost.
    #[error("it cannot be reached, or its connection was lost")]
    Unreachable,
    /// Too much is asked already.
    #[error("too many questions are under way")]
    Busy,
}

/// A question of another gateway, on its way to what answers.
#[derive(Debug)]
pub struct AskedByPeer {
    /// The gateway that asks, by its gateway_id.
    pub gateway: String,
    /// What it asks.
    pub question: Question,
    /// A change that has not begun by then is not made; `None`: it is none.
    pub until: Option<Instant>,
    /// Takes the answer.
    pub answer: oneshot::Sender<Answer>,
}

/// A question that this gateway has asked.
pub(super) struct Asked {
    connection: u64,
    /// Until the handshake is over.
    unsaid: Option<Question>,
    answer: oneshot::Sender<Result<PeerAnswer, NoAnswer>>,
}

/// The way to what answers the questions of other gateways.
pub type Answering = mpsc::Sender<AskedByPeer>;

impl Peers {
    /// Says what has waited for the end of a handshake, or why it cannot be said.
    pub(super) fn say_questions(&mut self, connection: u64, at: &PeerGateway, version: u8) {
        let own = &self.shared.own;
        let refusal = match () {
            () if *at == **own => Some(NoAnswer::Own),
            () if at.gateway == own.gateway => Some(NoAnswer::SameId),
            () if version < FIRST_WITH_QUESTIONS => Some(NoAnswer::TooOld),
            () => None,
        };
        if let Some(refusal) = refusal {
            return self.fail_questions(connection, refusal);
        }
        self.forget_questions();
        let its = self.asked.iter_mut();
        let its = its.filter(|(_, asked)| asked.connection == connection);
        let its = its.filter_map(|(call, asked)| Some((*call, asked.unsaid.take()?)));
        let mut unsaid: Vec<(u64, Question)> = its.collect();
        // In the order in which they were asked.
        unsaid.sort_unstable_by_key(|(call, _)| *call);
        for (call, asked) in unsaid {
            self.write(connection, &frame(call, Said::Question(Box::new(asked))));
        }
    }

    /// Tells those who wait for an answer on a connection that there is none.
    pub(super) fn fail_questions(&mut self, connection: u64, why: NoAnswer) {
        let its = |_: &u64, asked: &mut Asked| asked.connection == connection;
        for (_, asked) in self.asked.extract_if(its) {
            // Who has waited for too long is gone.
            let _ = asked.answer.send(Err(why));
        }
    }

    /// Forgets questions whose answers nobody waits for any more.
    pub(super) fn forget_questions(&mut self) {
        self.asked.retain(|_, asked| !asked.answer.is_closed());
    }

    /// Another gateway is about to make a change: it is told to while somebody waits for that, and only then. So one
    /// that has hung does not make, when it is back, what was taken for not done and perhaps changed again since.
    pub(super) fn proceed(&mut self, connection: u64, call: u64) {
        let its = |asked: &&Asked| asked.connection == connection && asked.unsaid.is_none();
        let asked = self.asked.get(&call).filter(its);
        if asked.is_some_and(|asked| !asked.answer.is_closed()) {
            self.write(connection, &frame(call, Said::Proceed));
        }
    }

    /// Another gateway has answered.
    pub(super) fn answered(&mut self, connection: u64, call: u64, answer: Answer) {
        let its = |asked: &Asked| asked.connection == connection && asked.unsaid.is_none();
        if !self.asked.get(&call).is_some_and(its) {
            return self.shared.counts.skipped();
        }
        let Some(asked) = self.asked.remove(&call) else {
            return;
        };
        let gateway = match self.connections.get(&connection) {
            Some(Connection {
                kind: Side::Dialled { at: Some(at), .. },
                ..
            }) => at.gateway.clone(),
            _ => return,
        };
        let held = Held::new(Part::Peers, answer.body.capacity());
        let answer = PeerAnswer {
            gateway,
            answer,
            held,
        };
        let _ = asked.answer.send(Ok(answer));
    }

    /// Has a question of another gateway answered, if not too many are; a change when its asker has confirmed it.
    pub(super) fn take_question(
        &mut self,
        connection: u64,
        call: u64,
        question: Question,
        ctx: &mut Context<Self>,
    ) {
        let Some(Connection {
            kind:
                Side::Accepted {
                    answering,
                    unconfirmed,
                    ..
                },
            ..
        }) = self.connections.get_mut(&connection)
        else {
            return;
        };
        if *answering + unconfirmed.len() >= MAX_OF_ONE {
            self.write_answer(connection, call, unavailable("too many questions"));
        } else if question.is_change() {
            unconfirmed.insert(call, (question, Instant::now()));
            self.write(connection, &frame(call, Said::Ready));
        } else {
            self.have_answered(connection, call, question, None, ctx);
        }
    }

    /// Has a change made that its asker still waits for.
    pub(super) fn take_confirmed(&mut self, connection: u64, call: u64, ctx: &mut Context<Self>) {
        let confirmed = match self.connections.get_mut(&connection) {
            Some(Connection {
                kind: Side::Accepted { unconfirmed, .. },
                ..
            }) => unconfirmed.remove(&call),
            _ => None,
        };
        // The word may be as old as the time for which this gateway has hung.
        let until = |at: Instant| at + self.shared.config.peer.channel.patience;
        match confirmed {
            Some((question, at)) => {
                self.have_answered(connection, call, question, Some(until(at)), ctx);
            }
            None => self.shared.counts.skipped(),
        }
    }

    /// Forgets changes that nobody has confirmed in time.
    pub(super) fn forget_unconfirmed(&mut self) {
        let patience = self.shared.config.peer.channel.patience;
        for connection in self.connections.values_mut() {
            if let Side::Accepted {
                at, unconfirmed, ..
            } = &mut connection.kind
            {
                let late =
                    |_: &u64, (_, since): &mut (Question, Instant)| since.elapsed() >= patience;
                for (_, (question, _)) in unconfirmed.extract_if(late) {
                    let gateway = at.as_ref().map_or("", |at| &at.gateway);
                    tell_not_made(gateway, &question);
                }
            }
        }
    }

    fn have_answered(
        &mut self,
        connection: u64,
        call: u64,
        question: Question,
        until: Option<Instant>,
        ctx: &mut Context<Self>,
    ) {
        let Some(Connection {
            kind:
                Side::Accepted {
                    at: Some(at),
                    answering,
                    ..
                },
            ..
        }) = self.connections.get_mut(&connection)
        else {
            return;
        };
        let (answer, coming) = oneshot::channel();
        let asked = AskedByPeer {
            gateway: at.gateway.clone(),
            question,
            until,
            answer,
        };
        if self.shared.answering.try_send(asked).is_err() {
            return self.write_answer(connection, call, unavailable("too many questions"));
        }
        *answering += 1;
        let coming = actix::fut::wrap_future::<_, Self>(coming);
        ctx.spawn(coming.map(move |answer, peers, _| {
            if let Some(Connection {
                kind: Side::Accepted { answering, .. },
                ..
            }) = peers.connections.get_mut(&connection)
            {
                *answering -= 1;
            }
            let answer = answer.unwrap_or_else(|_| unavailable("the admin API does not answer"));
            peers.write_answer(connection, call, answer);
        }));
    }

    fn write_answer(&mut self, connection: u64, call: u64, answer: Answer) {
        self.write(connection, &frame(call, Said::Answer(answer)));
    }
}

/// Says that a change is not made, for the gateway through which it was asked no longer waits for it.
pub fn tell_not_made(gateway: &str, question: &Question) {
    let Question {
        by, method, path, ..
    } = question;
    let path = format_args!("{path:.256}");
    tracing::warn!(gateway, by, method, %path, "a change is not made: who asked for it no longer waits");
}

fn frame(call: u64, said: Said) -> PeerFrame {
    PeerFrame {
        call,
        session_id: NO_SESSION,
        said,
    }
}

fn unavailable(why: &str) -> Answer {
    let body = serde_json::json!({"error": {"code": "busy", "message": why}});
    Answer {
        status: 503,
        cut: false,
        body: body.to_string().into_bytes(),
    }
}

impl Receive<AskGateway> for Peers {
    type Result = ResponseFuture<Result<PeerAnswer, NoAnswer>>;

    fn receive(&mut self, msg: AskGateway, ctx: &mut Context<Self>) -> Self::Result {
        let refuse = |why| -> Self::Result { Box::pin(async move { Err(why) }) };
        if self.asked.len() >= MAX_ASKED {
            self.forget_questions();
            if self.asked.len() >= MAX_ASKED {
                return refuse(NoAnswer::Busy);
            }
        }
        let to = PeerGateway {
            gateway: String::new(),
            address: msg.address,
        };
        let Some(connection) = self.connection_to(&to, ctx) else {
            return refuse(NoAnswer::Busy);
        };
        let call = self.number();
        let (answer, coming) = oneshot::channel();
        let asked = Asked {
            connection,
            unsaid: Some(msg.question),
            answer,
        };
        self.asked.insert(call, asked);
        if let Some((at, version)) = self.dialled_and_joined(connection) {
            self.say_questions(connection, &at, version);
        }
        let patience = msg.patience;
        Box::pin(async move {
            match timeout(patience, coming).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(NoAnswer::Unreachable),
                Err(_) => Err(NoAnswer::Timeout),
            }
        })
    }
}
