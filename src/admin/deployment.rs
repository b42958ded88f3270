//! The other gateways of the deployment, and questions to all of them at once. A gateway that hangs costs its own
//! answer and nobody else's.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::rt;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::access::Caller;
use super::errors::ApiError;
use super::gateways::INFO;
use super::question_families::QuestionTimes;
use super::shared_reads::SharedReads;
use super::silences::{Missing, Silences};
use crate::actors::peers::{AskGateway, NoAnswer, PeerAnswer, Peering};
use crate::codec::peer::{Answer, MAX_ANSWER_BODY, MAX_PATH, Question};
use crate::config::Config;
use crate::config::admin::Role;
use crate::memory::Held;
use crate::metrics::HistogramSnapshot;

/// Different reads of the whole deployment, or of one gateway of it, that are under way; others wait.
const MAX_ROUNDS: usize = 4;
/// Bytes of all answers of one of them.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The same of a change.
const MAX_CHANGE_BYTES: usize = 1024 * 1024;
/// Bytes that each gateway may answer, however many there are.
const LEAST_BYTES: usize = 32 * 1024;
/// The longest name of whoever asks, in bytes.
const MAX_BY: usize = 255;
/// Time after which a silent gateway is asked again. It answers the first question as soon as it is back.
const WATCH_PATIENCE: Duration = Duration::from_secs(10);

/// The way to the other gateways.
pub(super) struct Deployment(Rc<Asker>);

struct Asker {
    peering: Peering,
    is_configured: bool,
    /// Time for one gateway's answer.
    patience: Duration,
    /// The gateway_ids that have answered at these addresses.
    names: RefCell<HashMap<SocketAddr, String>>,
    /// Addresses at which this gateway itself has answered.
    own: RefCell<HashSet<SocketAddr>>,
    silences: Silences,
    /// How long gateways took to answer, or not to.
    times: QuestionTimes,
    rounds: Semaphore,
    rounds_under_way: SharedReads<Subject, Round>,
    questions_under_way: SharedReads<(SocketAddr, Subject), Option<Reply>>,
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

/// What is asked, by which reads are the same: how, for which path, and for whom.
type Subject = (Method, String, bool);

/// A question that outlives its request.
struct Asked {
    by: String,
    may_change: bool,
    method: Method,
    path: String,
    body: Bytes,
    takes: Duration,
}

impl Asked {
    fn of(ask: &Ask<'_>) -> Asked {
        Asked {
            by: shortened(&ask.caller.to_string()),
            may_change: ask.caller.role() == Role::Operate,
            method: ask.method.clone(),
            path: ask.path.to_owned(),
            body: ask.body.clone(),
            takes: ask.takes,
        }
    }

    fn is_change(&self) -> bool {
        !self.method.is_safe()
    }

    fn subject(&self) -> Subject {
        (self.method.clone(), self.path.clone(), self.may_change)
    }

    fn question(&self, most: usize) -> Question {
        Question {
            by: self.by.clone(),
            may_change: self.may_change,
            method: self.method.to_string(),
            path: self.path.clone(),
            body: self.body.to_vec(),
            most: most as u32,
        }
    }
}

/// What has come of a question to one gateway.
pub(super) struct Reply {
    /// Its gateway_id, or the last one that answered at this address; `None`: nobody has.
    pub(super) gateway: Option<String>,
    pub(super) address: SocketAddr,
    pub(super) outcome: Result<Answered, Missing>,
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
        Deployment(Rc::new(Asker {
            peering,
            patience: config.peer.channel.patience,
            is_configured: !config.peer.gateways.as_slice().is_empty(),
            names: RefCell::default(),
            own: RefCell::default(),
            silences: Silences::default(),
            times: QuestionTimes::default(),
            rounds: Semaphore::new(MAX_ROUNDS),
            rounds_under_way: SharedReads::default(),
            questions_under_way: SharedReads::default(),
        }))
    }

    /// Returns true if this gateway knows where others are.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_configured && self.0.peering.own().is_some()
    }

    /// Returns how long gateways took to answer questions, or not to.
    pub(super) fn times(&self) -> Vec<(&'static str, HistogramSnapshot)> {
        self.0.times.snapshots()
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
    pub(super) async fn ask_others(&self, ask: Ask<'_>) -> Rc<Round> {
        let (asker, asked) = (Rc::clone(&self.0), Asked::of(&ask));
        if asked.is_change() {
            let round = asker.ask_others(&asked).await;
            // Whoever reads behind it is to see it.
            asker.rounds_under_way.part();
            asker.questions_under_way.part();
            return Rc::new(round);
        }
        let subject = asked.subject();
        let read = async move {
            // Nobody closes it.
            let _turn = asker.rounds.acquire().await;
            asker.ask_others(&asked).await
        };
        self.0.rounds_under_way.join(subject, read).await
    }

    /// Reads from the gateway at one address; `None`: it is this one.
    pub(super) async fn ask_one(&self, at: SocketAddr, ask: Ask<'_>) -> Rc<Option<Reply>> {
        let (asker, asked) = (Rc::clone(&self.0), Asked::of(&ask));
        let subject = (at, asked.subject());
        let read = async move {
            let _turn = asker.rounds.acquire().await;
            asker.ask(at, &asked, MAX_ANSWER_BODY).await
        };
        self.0.questions_under_way.join(subject, read).await
    }
}

impl Asker {
    async fn ask_others(self: &Rc<Self>, asked: &Asked) -> Round {
        let known = self.peering.neighbours();
        self.names
            .borrow_mut()
            .retain(|address, _| known.addresses.contains(address));
        let own = self.own.borrow().clone();
        let others = known.addresses.iter().filter(|at| !own.contains(at));
        let others: Vec<SocketAddr> = others.copied().collect();
        let all = match asked.is_change() {
            true => MAX_CHANGE_BYTES,
            false => MAX_BYTES,
        };
        let most = (all / others.len().max(1)).clamp(LEAST_BYTES, MAX_ANSWER_BODY);
        let replies = others.into_iter().map(|at| self.ask(at, asked, most));
        let mut replies: Vec<Reply> = join_all(replies).await.into_iter().flatten().collect();
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

    /// Asks the gateway at one address; `None`: it is this one. A read does not wait for one that is known to be silent.
    async fn ask(self: &Rc<Self>, at: SocketAddr, asked: &Asked, most: usize) -> Option<Reply> {
        let silence = self.silences.of(at).filter(|_| !asked.is_change());
        let outcome = match silence {
            Some(missing) => Err(missing),
            None => {
                let begun = Instant::now();
                let patience = self.patience + asked.takes;
                match self.put(at, asked.question(most), patience).await {
                    Err(NoAnswer::Own) => {
                        self.own.borrow_mut().insert(at);
                        return None;
                    }
                    Err(why) => {
                        if self.is_silent(why, begun) && self.silences.begin(at, why, begun) {
                            rt::spawn(Rc::clone(self).wait_for(at));
                        }
                        Err(Missing::Now(why))
                    }
                    Ok(answered) => Ok(answered),
                }
            }
        };
        Some(Reply {
            gateway: self.names.borrow().get(&at).cloned(),
            address: at,
            outcome,
        })
    }

    async fn put(
        &self,
        at: SocketAddr,
        question: Question,
        patience: Duration,
    ) -> Result<Answered, NoAnswer> {
        let ask = AskGateway {
            address: at.to_string(),
            question,
            patience,
        };
        let begun = Instant::now();
        let asked = self.peering.ask(ask).await;
        self.times.count(&asked, begun.elapsed());
        let PeerAnswer {
            gateway,
            answer,
            held,
        } = asked?;
        self.names.borrow_mut().insert(at, gateway);
        Ok(Answered {
            answer,
            _held: held,
        })
    }

    /// Returns true if a gateway has kept whoever asked waiting. One that refuses connections does not.
    fn is_silent(&self, why: NoAnswer, begun: Instant) -> bool {
        let no_answer = matches!(why, NoAnswer::Timeout | NoAnswer::Unreachable);
        no_answer && begun.elapsed() >= self.patience / 4
    }

    /// Asks a silent gateway until it is silent no more, so that nobody else has to wait for that.
    async fn wait_for(self: Rc<Self>, at: SocketAddr) {
        let question = Question {
            by: self
                .peering
                .own()
                .map_or_else(String::new, |own| own.gateway.clone()),
            may_change: false,
            method: Method::GET.to_string(),
            path: INFO.to_owned(),
            body: Vec::new(),
            most: LEAST_BYTES as u32,
        };
        loop {
            let begun = Instant::now();
            let asked = self.put(at, question.clone(), WATCH_PATIENCE).await;
            let is_known = self.peering.neighbours().addresses.contains(&at);
            match asked {
                Err(NoAnswer::Busy) => rt::time::sleep(self.patience).await,
                Err(why) if is_known && self.is_silent(why, begun) => {}
                _ => return self.silences.end(at),
            }
        }
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
