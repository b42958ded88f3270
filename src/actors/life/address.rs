//! Addresses that count what is sent to them.
//!
//! Hot path: [`Port::do_send`] carries every [`Deliver`](crate::actors::link::LinkEvent::Deliver).

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix::{MailboxError, WeakRecipient};

use super::meter::Meter;

/// Where one actor is reached. Cloning it allocates: not for the way of a frame.
pub struct Address<A: Actor> {
    addr: Addr<A>,
    meter: Arc<Meter>,
}

/// Where one kind of message is taken, whoever takes it.
pub struct Port<M: Message + Send>
where
    M::Result: Send,
{
    recipient: Recipient<M>,
    meter: Arc<Meter>,
}

/// A [`Port`] that does not keep the actor's mailbox alive.
pub struct WeakPort<M: Message + Send>
where
    M::Result: Send,
{
    recipient: WeakRecipient<M>,
    meter: Arc<Meter>,
}

impl<A: Actor> Address<A> {
    pub(super) fn new(addr: Addr<A>, meter: Arc<Meter>) -> Address<A> {
        Address { addr, meter }
    }

    /// Sends without waiting for room or an answer; the message bounds itself.
    #[inline]
    pub fn do_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.meter.sent();
        self.addr.do_send(message);
    }

    /// Sends, and resolves to the answer.
    ///
    /// # Errors
    /// The actor is gone, or died before it answered.
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
        self.meter.sent();
        self.addr.send(message)
    }

    /// Whether the actor still takes messages.
    #[inline]
    pub fn connected(&self) -> bool {
        self.addr.connected()
    }

    /// This address for one kind of message.
    pub fn port<M>(&self) -> Port<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Port {
            recipient: self.addr.clone().recipient(),
            meter: Arc::clone(&self.meter),
        }
    }

    /// This address for one kind of message, not keeping the mailbox alive.
    pub fn weak_port<M>(&self) -> WeakPort<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        WeakPort {
            recipient: self.addr.downgrade().recipient(),
            meter: Arc::clone(&self.meter),
        }
    }
}

impl<A: Actor> Clone for Address<A> {
    fn clone(&self) -> Self {
        Address::new(self.addr.clone(), Arc::clone(&self.meter))
    }
}

impl<A: Actor> std::fmt::Debug for Address<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

impl<M: Message + Send + 'static> Port<M>
where
    M::Result: Send,
{
    /// Sends without waiting for room or an answer; the message bounds itself.
    #[inline]
    pub fn do_send(&self, message: M) {
        self.meter.sent();
        self.recipient.do_send(message);
    }

    /// Whether the actor still takes messages.
    pub fn connected(&self) -> bool {
        self.recipient.connected()
    }

    /// Sends, and resolves to the answer.
    ///
    /// # Errors
    /// The actor is gone, or died before it answered.
    pub fn send(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, MailboxError>> + use<M> {
        self.meter.sent();
        self.recipient.send(message)
    }
}

impl<M: Message + Send> Clone for Port<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Port {
            recipient: self.recipient.clone(),
            meter: Arc::clone(&self.meter),
        }
    }
}

impl<M: Message + Send> std::fmt::Debug for Port<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}

impl<M: Message + Send + 'static> WeakPort<M>
where
    M::Result: Send,
{
    /// The port, while its actor lives.
    pub fn upgrade(&self) -> Option<Port<M>> {
        let recipient = self.recipient.upgrade().filter(Recipient::connected)?;
        Some(Port {
            recipient,
            meter: Arc::clone(&self.meter),
        })
    }
}

impl<M: Message + Send> std::fmt::Debug for WeakPort<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakPort").finish_non_exhaustive()
    }
}
