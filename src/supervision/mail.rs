//! Counted mail. What is sent to an actor from outside travels in an envelope that only a counted
//! address can close and that counts when it is opened; so no message goes uncounted, and actix's own
//! addresses do not carry it.
//!
//! Hot path: one count for each message at either end, no allocation beside actix's own.

use actix::dev::MessageResponse;
use actix::prelude::*;

use super::mail_counter::MailCounter;
use super::registration::Registration;

/// A message on its way, counted as sent.
#[derive(Debug)]
pub struct Mail<M>(M);

impl<M: Message> Message for Mail<M> {
    type Result = M::Result;
}

impl<M: Message> Mail<M> {
    /// Counts a message as sent.
    #[inline]
    pub(super) fn post(message: M, counter: &MailCounter) -> Mail<M> {
        counter.sent();
        Mail(message)
    }

    /// Counts the message as handled by its receiver.
    #[inline]
    pub fn open(self, receiver: &Registration) -> M {
        receiver.mail().handled();
        self.0
    }
}

/// An actor that takes `M` from others. What an actor sends itself is a plain [`Handler`]'s matter
/// and is not counted.
pub trait Receive<M: Message>: Actor {
    /// Answer, as [`Handler::Result`].
    type Result: MessageResponse<Self, Mail<M>>;

    /// Takes a message.
    fn receive(&mut self, msg: M, ctx: &mut Self::Context) -> Self::Result;
}

/// Has an [`Inspectable`](super::Inspectable) actor take the mail that it [`Receive`]s.
macro_rules! mailbox {
    ($actor:ty) => {
        impl<M> actix::Handler<$crate::supervision::Mail<M>> for $actor
        where
            M: actix::Message + 'static,
            $actor: $crate::supervision::Receive<M>,
        {
            type Result = <$actor as $crate::supervision::Receive<M>>::Result;

            #[inline]
            fn handle(
                &mut self,
                mail: $crate::supervision::Mail<M>,
                ctx: &mut Self::Context,
            ) -> Self::Result {
                use $crate::supervision::{Inspectable, Receive};
                let msg = mail.open(self.registration());
                self.receive(msg, ctx)
            }
        }
    };
}
pub(crate) use mailbox;
