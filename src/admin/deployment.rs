//! The other gateways of the deployment, and questions to all of them at once. A gateway that hangs costs its own
//! answer and nobody else's.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::Method;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::access::Caller;
use super::errors::ApiError;
use crate::actors::peers::{AskGateway, NoAnswer, PeerAnswer, Peering};
use crate::codec::peer::{Answer, MAX_ANSWER_BODY, MAX_PATH, Question};
use crate::config::Config;
use crate::config::admin::Role;
use crate::memory::Held;

/// Questions to the whole deployment that are under way; others wait.
const MAX_ROUNDS: usize = 4;
/// Bytes of all answers of one of them.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that each gateway may answer, however many there are.
const LEAST_BYTES: usize = 32 * 1024;
/// The longest name of whoever asks, in bytes.
const MAX_BY: usize = 255;

/// The way to the other gateways.
pub(super) struct Deployment {
    peering: Peering,
    is_configured: bool,
    /// Time for one gateway's answer.
    patience: Duration,
    /// The gateway_ids that have answered at these addresses.
    names: RefCell<HashMap<SocketAddr, String>>,
    /// Addresses at which this gateway itself has answered.
    own: RefCell<HashSet<SocketAddr>>,
    rounds: Semaphore,
}

/// A question to other gateways.
pub(super) struct Ask<'a> {
    /// For whom.
    pub(super) caller: &'a Caller,
    pub(super) method: Method,
    /// The path with its query.
    pub(super) path: &'a str,
    pub(super) body: Bytes,
    /// Time that the answer itself takes, beside that of any question.
    pub(super) takes: Duration,
}

impl<'a> Ask<'a> {
    /// A question that changes nothing.
    pub(super) fn get(caller: &'a Caller, path: &'a str) -> Ask<'a> {
        Ask {
            caller,
            method: Method::GET,
            path,
            body: Bytes::new(),
            takes: Duration::ZERO,
        }
    }
}

/// What has come of a question to one gateway.
pub(super) struct Reply {
    /// Its gateway_id, or the last one that answered at this address; `None`: nobody has.
    pub(super) gateway: Option<String>,
    pub(super) address: SocketAddr,
    pub(super) outcome: Result<Answered, NoAnswer>,
}

impl Reply {
    /// Returns the gateway's id, or where it was asked if that is not known.
    pub(super) fn name(&self) -> String {
        let named = self.gateway.clone();
        named.unwrap_or_else(|| self.address.to_string())
    }
}

/// An answer, and the count of its bytes.
pub(super) struct Answered {
    pub(super) answer: Answer,
    _held: Held,
}

/// The replies of all other gateways, by gateway_id; those that nobody knows last.
pub(super) struct Round {
    pub(super) replies: Vec<Reply>,
    /// Names that cannot be looked up, and why.
    pub(super) unresolved: Vec<String>,
    /// Addresses that were not asked because there are too many.
    pub(super) left_out: usize,
}

impl Deployment {
    pub(super) fn new(peering: Peering, config: &Config) -> Deployment {
        Deployment {
            peering,
            patience: config.peer.channel.patience,
            is_configured: !config.peer.gateways.as_slice().is_empty(),
            names: RefCell::default(),
            own: RefCell::default(),
            rounds: Semaphore::new(MAX_ROUNDS),
        }
    }

    /// Returns true if this gateway knows where others are.
    pub(super) fn is_on(&self) -> bool {
        self.is_configured && self.peering.own().is_some()
    }

    /// Checks that others can be asked.
    ///
    /// # Errors
    /// The configuration does not say where they are, or they ask themselves.
    pub(super) fn check(&self, caller: &Caller) -> Result<(), ApiError> {
        if caller.is_through_a_gateway() {
            let message = "deployment: only the gateway that an operator asks asks the others";
            return Err(ApiError::bad_request(message));
        }
        if !self.is_on() {
            let message = "deployment: peer.gateways does not say where the other gateways are";
            return Err(ApiError::conflict(message));
        }
        Ok(())
    }

    /// Asks all other gateways at once.
    pub(super) async fn ask_others(&self, ask: Ask<'_>) -> Round {
        // Nobody closes it.
        let _turn = self.rounds.acquire().await;
        let known = self.peering.neighbours();
        self.names
            .borrow_mut()
            .retain(|address, _| known.addresses.contains(address));
        let own = self.own.borrow().clone();
        let others = known.addresses.iter().filter(|at| !own.contains(at));
        let others: Vec<SocketAddr> = others.copied().collect();
        let most = (MAX_BYTES / others.len().max(1)).clamp(LEAST_BYTES, MAX_ANSWER_BODY);
        let asked = others.into_iter().map(|at| self.ask_for(at, &ask, most));
        let mut replies: Vec<Reply> = join_all(asked).await.into_iter().flatten().collect();
        replies.sort_by_cached_key(|reply| {
            let silent = reply.outcome.is_err();
            (
                reply.gateway.is_none(),
                reply.gateway.clone(),
                silent,
                reply.address,
            )
        });
        // One that has several addresses answers once; an address that does not answer may be anybody's.
        replies.dedup_by(|later, first| {
            later.gateway == first.gateway && later.outcome.is_ok() && first.outcome.is_ok()
        });
        let unresolved = known.errors.iter();
        Round {
            replies,
            unresolved: unresolved
                .map(|(name, why)| format!("{name}: {why}"))
                .collect(),
            left_out: known.left_out,
        }
    }

    /// Asks the gateway at one address; `None`: it is this one.
    pub(super) async fn ask_one(&self, at: SocketAddr, ask: Ask<'_>) -> Option<Reply> {
        self.ask_for(at, &ask, MAX_ANSWER_BODY).await
    }

    async fn ask_for(&self, at: SocketAddr, ask: &Ask<'_>, most: usize) -> Option<Reply> {
        let question = Question {
            by: shortened(&ask.caller.to_string()),
            may_change: ask.caller.role() == Role::Operate,
            method: ask.method.to_string(),
            path: ask.path.to_owned(),
            body: ask.body.to_vec(),
            most: most as u32,
        };
        let ask = AskGateway {
            address: at.to_string(),
            question,
            patience: self.patience + ask.takes,
        };
        let outcome = match self.peering.ask(ask).await {
            Err(NoAnswer::Own) => {
                self.own.borrow_mut().insert(at);
                return None;
            }
            Err(why) => Err(why),
            Ok(PeerAnswer {
                gateway,
                answer,
                held,
            }) => {
                self.names.borrow_mut().insert(at, gateway);
                Ok(Answered {
                    answer,
                    _held: held,
                })
            }
        };
        Some(Reply {
            gateway: self.names.borrow().get(&at).cloned(),
            address: at,
            outcome,
        })
    }
}

/// Checks that a path with its query can be asked for.
///
/// # Errors
/// It is too long.
pub(super) fn check_path(path: &str) -> Result<(), ApiError> {
    if path.len() <= MAX_PATH {
        return Ok(());
    }
    let message = format!("deployment: the path with its query is over {MAX_PATH} bytes");
    Err(ApiError::bad_request(message))
}

/// Makes a name fit for the wire: nothing that ends a line, and not too long.
fn shortened(by: &str) -> String {
    let mut text = String::new();
    for c in by.chars().map(|c| if c.is_control() { '?' } else { c }) {
        if text.len() + c.len_utf8() > MAX_BY {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_wire() {
        assert_eq!(shortened("alice\n at ::1"), "alice? at ::1");
        let long = shortened(&"ä".repeat(200));
        assert_eq!(long.len(), 254);
    }
}
