//! Seats: the ways to supervised actors. A seat outlives the actors that take it in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::MailboxError;
use actix::dev::ToEnvelope;
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::address::CountedAddr;
use super::mail::Mail;

/// Attempts at a question whose receiver dies. Two, so that a question that kills each receiver cannot
/// exhaust the budget.
const ASK_ATTEMPTS: u32 = 2;
/// Longest wait of a question for an empty seat to be taken.
const ASK_PATIENCE: Duration = Duration::from_secs(2);

/// Address of a supervised actor that stays valid over restarts.
pub struct Seat<A: Actor>(Arc<Place<A>>);

struct Place<A: Actor> {
    occupant: ArcSwapOption<CountedAddr<A>>,
    taken: Notify,
    /// The last actor has stopped in order; no other will come.
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
    /// Sends without waiting for room or an answer. Returns `false` if the seat is empty.
    pub fn do_send<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        let occupant = self.0.occupant.load();
        let occupant = occupant.as_deref().filter(|o| o.connected());
        occupant.inspect(|o| o.do_send(message)).is_some()
    }

    /// Sends to the present actor and resolves to the answer.
    ///
    /// # Errors
    /// The seat is empty, or the actor dies before it answers.
    pub fn send<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, MailboxError>> + use<A, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
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

    /// Sends a question, and if the actor dies over it once more to the next one. An empty seat has killed nobody.
    ///
    /// # Errors
    /// Both died, or the seat was not taken in time.
    pub async fn ask<M>(&self, question: impl Fn() -> M) -> Result<M::Result, MailboxError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        for _ in 0..ASK_ATTEMPTS {
            if !self.is_occupied().await {
                break;
            }
            if let Ok(answer) = self.send(question()).await {
                return Ok(answer);
            }
            if self.is_over() {
                break;
            }
        }
        Err(MailboxError::Closed)
    }

    /// Waits until somebody has the seat, for some time; returns whether somebody has.
    async fn is_occupied(&self) -> bool {
        let mut taken = std::pin::pin!(self.0.taken.notified());
        taken.as_mut().enable();
        if self.is_over() {
            return false;
        }
        let occupant = self.0.occupant.load_full();
        occupant.is_some_and(|o| o.connected())
            || actix::clock::timeout(ASK_PATIENCE, taken).await.is_ok()
    }

    /// Returns whether the last actor has stopped in order, and no other will come.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    pub(super) fn take(&self, address: CountedAddr<A>) {
        self.0.occupant.store(Some(Arc::new(address)));
        self.0.taken.notify_waiters();
    }

    /// Empties the seat; returns who had it.
    pub(super) fn vacate(&self) -> Option<Arc<CountedAddr<A>>> {
        self.0.occupant.swap(None)
    }

    /// Gives the seat back, unless another one has it.
    pub(super) fn restore(&self, occupant: Arc<CountedAddr<A>>) {
        let nobody: Option<Arc<CountedAddr<A>>> = None;
        self.0.occupant.compare_and_swap(&nobody, Some(occupant));
        self.0.taken.notify_waiters();
    }

    pub(super) fn leave(&self) {
        self.0.over.store(true, Ordering::Release);
        self.0.occupant.store(None);
        self.0.taken.notify_waiters();
    }

    /// Returns this seat for one type of message.
    pub fn recipient<M>(&self) -> SeatRecipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        let seat = self.clone();
        SeatRecipient(Arc::new(move |message| seat.do_send(message)))
    }
}

/// A [`Seat`] of an actor of any type that receives one type of message.
pub struct SeatRecipient<M>(Arc<dyn Fn(M) -> bool + Send + Sync>);

impl<M> SeatRecipient<M> {
    /// Sends without waiting for room or an answer. Returns `false` if the seat is empty.
    pub fn do_send(&self, message: M) -> bool {
        (self.0)(message)
    }
}

impl<M: 'static> SeatRecipient<M> {
    /// Returns the same seat for another type of message, of which `wrap` makes its own.
    pub fn wrapping<N: 'static>(&self, wrap: fn(N) -> M) -> SeatRecipient<N> {
        let recipient = self.clone();
        SeatRecipient(Arc::new(move |message| recipient.do_send(wrap(message))))
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
