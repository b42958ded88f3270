//! The one question that every actor answers.

use std::any::Any;
#[cfg(feature = "fault-injection")]
use std::sync::Arc;

use actix::prelude::*;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::mail::{Mail, Receive};
use super::registration::Registration;

/// Asks an actor for the details that only it knows: its counters and state.
#[derive(Debug, Default, Message)]
#[rtype(result = "Box<dyn Account>")]
pub struct Inspect {
    /// Injected by tests: they see that an actor which panics comes back.
    #[cfg(feature = "fault-injection")]
    pub fault: Option<Fault>,
}

/// Injected fault.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone)]
pub enum Fault {
    /// It panics with this text.
    Panic(String),
    /// It holds its thread until somebody else waits at this barrier of two.
    Stall(Arc<std::sync::Barrier>),
}

impl Inspect {
    /// Carries an injected fault out.
    fn inject(&self) {
        #[cfg(feature = "fault-injection")]
        match &self.fault {
            Some(Fault::Panic(text)) => panic!("{text}"),
            Some(Fault::Stall(barrier)) => drop(barrier.wait()),
            None => {}
        }
    }
}

/// An actor's details: JSON for operators, and still the value that they are for a reader who knows
/// the type and downcasts it from [`Any`].
pub trait Account: Any + Send {
    /// Returns the details as JSON.
    fn to_json(&self) -> Box<RawValue>;
}

impl<T: Serialize + Any + Send> Account for T {
    fn to_json(&self) -> Box<RawValue> {
        // No account has maps whose keys are not strings, the one thing that JSON cannot have.
        to_raw_value(self).unwrap_or_default()
    }
}

/// An actor that is registered and can be asked how it is.
pub trait Inspectable {
    /// Type of its details.
    type Detail: Account;

    /// Returns its registration.
    fn registration(&self) -> &Registration;
    /// Returns its counters and state.
    fn detail(&self) -> Self::Detail;
}

impl<A: Inspectable + Actor> Receive<Inspect> for A {
    type Result = MessageResult<Mail<Inspect>>;

    fn receive(&mut self, msg: Inspect, _: &mut Self::Context) -> Self::Result {
        msg.inject();
        let account: Box<dyn Account> = Box::new(self.detail());
        MessageResult(account)
    }
}
