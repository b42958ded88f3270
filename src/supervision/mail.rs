//! Counted mail: messages from outside reach an actor in an envelope that only a counted address can
//! make and that counts when it is opened. A message that is sent by actix's own addresses, and so
//! would go uncounted, does not compile.
//!
//! Hot path: one count per message at each end and a branch, no allocation beside actix's own.

use actix::dev::MessageResponse;
use actix::prelude::*;

use super::mail_counter::MailCounter;
use super::registration::Registration;

/// Envelope of a message that is counted as sent.
#[derive(Debug)]
pub struct Mail<M>(M);

impl<M: Message> Message for Mail<M> {
    type Result = M::Result;
}

impl<M: Message> Mail<M> {
    /// Counts a message as sent and puts it into the envelope.
    #[inline]
    pub(super) fn post(message: M, counter: &MailCounter) -> Mail<M> {
        counter.sent();
        Mail(message)
    }

    /// Counts the message as handled by its receiver and takes it out.
    #[inline]
    pub fn open(self, receiver: &Registration) -> M {
        receiver.mail().handled();
        self.0
    }
}

/// Handler of messages from other actors. Messages that an actor sends itself have a plain
/// [`Handler`] and are not counted.
pub trait Receive<M: Message>: Actor {
    /// Type of the answer, as in [`Handler::Result`].
    type Result: MessageResponse<Self, Mail<M>>;

    /// Handles a message.
    fn receive(&mut self, msg: M, ctx: &mut Self::Context) -> Self::Result;
}

/// Implements [`Handler`] of [`Mail`] for an [`Inspectable`](super::Inspectable) actor, by its
/// [`Receive`]s.
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
                let begun = self.registration().begin_message();
                let result = self.receive(msg, ctx);
                if let Some(begun) = begun {
                    self.registration().end_message::<M>(begun);
                }
                result
            }
        }
    };
}
pub(crate) use mailbox;
