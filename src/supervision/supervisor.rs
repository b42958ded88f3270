//! Starts actors that must not be missing, and starts them again when they have panicked.
//!
//! actix's own supervisor is the same task as its actor and does not survive its panic. Here each
//! such actor has a seat and a small task beside it: the task holds the factory, hears of the end
//! from the actor's [`Registration`], waits, and seats the next one. What the dead one knew is in its
//! [`Rescued`]. Others hold the seat, never the actor's address.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::MailboxError;
use actix::dev::ToEnvelope;
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use rand::Rng;
use tokio::sync::{Notify, oneshot};

use super::actor_registry::{ActorRegistry, Entry};
use super::address::{CountedAddr, CountedRecipient};
use super::registration::{Exit, Inspect, Registration};

/// Deaths of supervised actors within [`BUDGET_WINDOW`] that end the process.
const BUDGET_DEATHS: usize = 5;
/// See [`BUDGET_DEATHS`].
const BUDGET_WINDOW: Duration = Duration::from_secs(60);
/// The wait before the second restart in a row; the first is at once. It doubles up to
/// [`MAX_BACKOFF`], less up to half at random.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often a question is put whose receiver dies of it or before it: twice, so that a question
/// that kills whoever is asked cannot use up the budget.
const ASK_ATTEMPTS: u32 = 2;
/// How long a question waits for somebody to be seated.
const ASK_PATIENCE: Duration = Duration::from_secs(2);

/// Where one supervised actor is reached, whoever it is by now.
pub struct Seat<A: Actor>(Arc<Place<A>>);

struct Place<A: Actor> {
    occupant: ArcSwapOption<CountedAddr<A>>,
    taken: Notify,
    /// Whoever was there has stopped in order; nobody comes any more.
    over: AtomicBool,
}

impl<A: Actor> Clone for Seat<A> {
    fn clone(&self) -> Self {
        Seat(Arc::clone(&self.0))
    }
}

impl<A: Actor> PartialEq for Seat<A> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<A: Actor> std::fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}

impl<A: Actor> Default for Seat<A> {
    fn default() -> Self {
        Seat(Arc::new(Place {
            occupant: ArcSwapOption::empty(),
            taken: Notify::new(),
            over: AtomicBool::new(false),
        }))
    }
}

impl<A: Actor> Seat<A> {
    /// Sends without waiting for room or an answer. `false`: nobody is there to take it.
    pub fn do_send<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let occupant = self.0.occupant.load();
        let occupant = occupant.as_deref().filter(|o| o.connected());
        occupant.inspect(|o| o.do_send(message)).is_some()
    }

    /// Sends to whoever is there now, and resolves to the answer.
    ///
    /// # Errors
    /// Nobody is there, or whoever is dies before the answer.
    pub fn send<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, MailboxError>> + use<A, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let occupant = self.0.occupant.load();
        let answer = occupant.as_deref().map(|o| o.send(message));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Err(MailboxError::Closed),
            }
        }
    }

    /// Sends a question, and once more to the next one where the first has died over it.
    ///
    /// # Errors
    /// Both have died, or nobody came in time.
    pub async fn ask<M>(&self, question: impl Fn() -> M) -> Result<M::Result, MailboxError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        for _ in 1..ASK_ATTEMPTS {
            let mut taken = std::pin::pin!(self.0.taken.notified());
            taken.as_mut().enable();
            if let Ok(answer) = self.send(question()).await {
                return Ok(answer);
            }
            if self.0.over.load(Ordering::Acquire) {
                return Err(MailboxError::Closed);
            }
            // Whether somebody came or not is seen by the next attempt.
            let _ = actix::clock::timeout(ASK_PATIENCE, taken).await;
        }
        self.send(question()).await
    }

    fn take(&self, address: CountedAddr<A>) {
        self.0.occupant.store(Some(Arc::new(address)));
        self.0.taken.notify_waiters();
    }

    fn leave(&self) {
        self.0.over.store(true, Ordering::Release);
        self.0.occupant.store(None);
        self.0.taken.notify_waiters();
    }

    /// This seat for one kind of message.
    pub fn recipient<M>(&self) -> SeatRecipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let seat = self.clone();
        SeatRecipient(Arc::new(move |message| seat.do_send(message)))
    }
}

/// A seat where one kind of message is taken, whoever sits there.
pub struct SeatRecipient<M>(Arc<dyn Fn(M) -> bool + Send + Sync>);

impl<M> SeatRecipient<M> {
    /// Sends without waiting for room or an answer. `false`: nobody is there to take it.
    pub fn do_send(&self, message: M) -> bool {
        (self.0)(message)
    }
}

impl<M> Clone for SeatRecipient<M> {
    fn clone(&self) -> Self {
        SeatRecipient(Arc::clone(&self.0))
    }
}

impl<M> std::fmt::Debug for SeatRecipient<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeatRecipient").finish_non_exhaustive()
    }
}

/// What an actor that dies leaves to the next one on its seat.
pub struct Rescued<T>(Rc<Cell<Option<T>>>);

impl<T> Default for Rescued<T> {
    fn default() -> Self {
        Rescued(Rc::default())
    }
}

impl<T> Clone for Rescued<T> {
    fn clone(&self) -> Self {
        Rescued(Rc::clone(&self.0))
    }
}

impl<T> Rescued<T> {
    /// What the first one finds.
    pub fn begin_with(&self, estate: T) {
        self.0.set(Some(estate));
    }

    /// To be called when the actor is dropped: keeps what it knew if that is because of a panic.
    pub fn leave(&self, estate: impl FnOnce() -> T) {
        if std::thread::panicking() {
            self.0.set(Some(estate()));
        }
    }

    /// What the one before has left, if there was one.
    pub fn take(&self) -> Option<T> {
        self.0.take()
    }
}

/// Too many supervised actors have died: the process is to end in order, and to say that it failed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Exhausted;

/// How many deaths of supervised actors the process bears.
#[derive(Debug, Default)]
pub struct Budget {
    deaths: Mutex<VecDeque<Instant>>,
    root: OnceLock<CountedRecipient<Exhausted>>,
}

impl Budget {
    /// Who is told when there are too many. Only the first call counts.
    pub fn report_to(&self, root: CountedRecipient<Exhausted>) {
        // Set once, at the start.
        let _ = self.root.set(root);
    }

    fn death(&self) {
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.push_back(Instant::now());
        deaths.retain(|death| death.elapsed() < BUDGET_WINDOW);
        if deaths.len() >= BUDGET_DEATHS
            && let Some(root) = self.root.get()
        {
            tracing::error!(deaths = deaths.len(), within = ?BUDGET_WINDOW,
                "too many actors have died; draining, then exiting with a failure");
            root.do_send(Exhausted);
        }
    }
}

/// Starts the actor that `make` builds, on this thread, and builds another when it has panicked.
/// It is seated when this returns.
pub fn supervise<A>(
    seat: Seat<A>,
    entry: Arc<Entry>,
    budget: Arc<Budget>,
    mut make: impl FnMut(Registration) -> A + 'static,
) where
    A: Actor<Context = Context<A>> + Handler<Inspect>,
{
    let mut start = {
        let (seat, entry) = (seat.clone(), Arc::clone(&entry));
        move || {
            let (exit, ended) = oneshot::channel();
            let registration = Registration::listed(Arc::clone(&entry), Some(exit));
            seat.take(entry.start_with(registration, &mut make));
            ended
        }
    };
    let mut ended = start();
    actix::spawn(async move {
        let mut deaths = Deaths::default();
        while let Ok(Exit::Panicked) = ended.await {
            budget.death();
            actix::clock::sleep(deaths.next_wait(Instant::now())).await;
            ended = start();
        }
        seat.leave();
        ActorRegistry::deregister(&entry);
    });
}

/// The deaths on one seat.
#[derive(Debug, Default)]
struct Deaths {
    newest: Option<Instant>,
    in_a_row: u32,
}

impl Deaths {
    /// How long the seat stays empty after one more.
    fn next_wait(&mut self, now: Instant) -> Duration {
        let quiet = |newest| now.duration_since(newest) >= BUDGET_WINDOW;
        if self.newest.replace(now).is_none_or(quiet) {
            self.in_a_row = 0;
            return Duration::ZERO;
        }
        self.in_a_row += 1;
        let doubled = FIRST_BACKOFF.saturating_mul(1 << (self.in_a_row - 1).min(16));
        doubled
            .min(MAX_BACKOFF)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_wait_longer() {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        assert_eq!(deaths.next_wait(start), Duration::ZERO);
        for most in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = deaths.next_wait(start);
            let most = Duration::from_millis(most);
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
        }
        assert_eq!(deaths.next_wait(start + BUDGET_WINDOW), Duration::ZERO);
    }
}
