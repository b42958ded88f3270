//! Addresses that count the messages sent to them.
//!
//! Hot path: [`CountedRecipient::do_send`] carries every [`Deliver`](crate::actors::link::LinkEvent::Deliver).

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix::{MailboxError, WeakAddr, WeakRecipient};

use super::inspect::Inspectable;
use super::mail::Mail;
use super::mail_counter::MailCounter;
use super::pumped::{Pump, Pumped};

/// Address of one actor. Cloning allocates, so it has no place on the path of a frame.
pub struct CountedAddr<A: Actor> {
    addr: Addr<A>,
    mail: Arc<MailCounter>,
}

/// Address of an actor of any type that receives one type of message.
pub struct CountedRecipient<M: Message + Send>
where
    M::Result: Send,
{
    recipient: Recipient<Mail<M>>,
    mail: Arc<MailCounter>,
}

/// A [`CountedRecipient`] that does not keep the actor's mailbox alive.
pub struct WeakCountedRecipient<M: Message + Send>
where
    M::Result: Send,
{
    recipient: WeakRecipient<Mail<M>>,
    mail: Arc<MailCounter>,
}

/// A [`CountedAddr`] that does not keep the actor's mailbox alive.
pub struct WeakCountedAddr<A: Actor> {
    addr: WeakAddr<A>,
    mail: Arc<MailCounter>,
}

impl<A: Actor> CountedAddr<A> {
    pub(super) fn new(addr: Addr<A>, mail: Arc<MailCounter>) -> CountedAddr<A> {
        CountedAddr { addr, mail }
    }

    /// Sends without waiting for room or an answer. The mailbox does not bound this; each flow has a
    /// bound of its own.
    #[inline]
    pub fn do_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        self.addr.do_send(Mail::post(message, &self.mail));
    }

    /// Sends a message and resolves to the answer.
    ///
    /// # Errors
    /// The actor is gone, or panicked before it answered.
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
        self.addr.send(Mail::post(message, &self.mail))
    }

    /// Returns whether the actor still takes messages.
    #[inline]
    pub fn connected(&self) -> bool {
        self.addr.connected()
    }

    /// Returns this address for one type of message.
    pub fn recipient<M>(&self) -> CountedRecipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        CountedRecipient {
            recipient: self.addr.clone().recipient(),
            mail: Arc::clone(&self.mail),
        }
    }

    /// This address for one kind of message, without keeping the mailbox alive.
    pub fn weak_recipient<M>(&self) -> WeakCountedRecipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        WeakCountedRecipient {
            recipient: self.addr.downgrade().recipient(),
            mail: Arc::clone(&self.mail),
        }
    }
}

impl<A: Actor> Clone for CountedAddr<A> {
    fn clone(&self) -> Self {
        CountedAddr::new(self.addr.clone(), Arc::clone(&self.mail))
    }
}

impl<A: Actor> std::fmt::Debug for CountedAddr<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CountedAddr").finish_non_exhaustive()
    }
}

impl<M: Message + Send + 'static> CountedRecipient<M>
where
    M::Result: Send,
{
    /// Sends without waiting for room or an answer. The mailbox does not bound this; each flow has a
    /// bound of its own.
    #[inline]
    pub fn do_send(&self, message: M) {
        self.recipient.do_send(Mail::post(message, &self.mail));
    }

    /// Returns whether the actor still takes messages.
    pub fn connected(&self) -> bool {
        self.recipient.connected()
    }

    /// Sends a message and resolves to the answer.
    ///
    /// # Errors
    /// The actor is gone, or panicked before it answered.
    pub fn send(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, MailboxError>> + use<M> {
        self.recipient.send(Mail::post(message, &self.mail))
    }
}

impl<M: Message + Send> Clone for CountedRecipient<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        CountedRecipient {
            recipient: self.recipient.clone(),
            mail: Arc::clone(&self.mail),
        }
    }
}

impl<M: Message + Send> PartialEq for CountedRecipient<M>
where
    M::Result: Send,
{
    /// Tells whether both are of one actor.
    fn eq(&self, other: &Self) -> bool {
        self.recipient == other.recipient
    }
}

impl<M: Message + Send> std::fmt::Debug for CountedRecipient<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CountedRecipient").finish_non_exhaustive()
    }
}

impl<M: Message + Send + 'static> WeakCountedRecipient<M>
where
    M::Result: Send,
{
    /// Returns the recipient while its actor lives.
    pub fn upgrade(&self) -> Option<CountedRecipient<M>> {
        let recipient = self.recipient.upgrade().filter(Recipient::connected)?;
        Some(CountedRecipient {
            recipient,
            mail: Arc::clone(&self.mail),
        })
    }
}

impl<M: Message + Send> std::fmt::Debug for WeakCountedRecipient<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakCountedRecipient")
            .finish_non_exhaustive()
    }
}

impl<A: Pump + Inspectable> WeakCountedAddr<A> {
    /// Starts an actor that its parent lists itself.
    pub fn start(actor: A) -> WeakCountedAddr<A> {
        let mail = Arc::clone(actor.registration().mail());
        let addr = Pumped::start(actor).downgrade();
        WeakCountedAddr { addr, mail }
    }
}

impl<A: Actor> WeakCountedAddr<A> {
    /// Sends without waiting for room or an answer. A message to an actor that is gone is dropped.
    pub fn do_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        if let Some(addr) = self.addr.upgrade() {
            addr.do_send(Mail::post(message, &self.mail));
        }
    }

    /// Returns whether the actor still takes messages.
    pub fn connected(&self) -> bool {
        self.addr.upgrade().is_some_and(|addr| addr.connected())
    }

    /// Returns the counter of its mail.
    pub fn mail(&self) -> &MailCounter {
        &self.mail
    }
}

impl<A: Actor> std::fmt::Debug for WeakCountedAddr<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakCountedAddr").finish_non_exhaustive()
    }
}
