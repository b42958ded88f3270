//! Restarts by hand: the way of a restart after a panic, but that the actor first handles what was sent to it, and
//! that it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use tokio::sync::oneshot;

use super::inspect::Inspectable;
use super::mail::{Mail, Receive};
use super::seat::Seat;

/// Time that an actor has for what was sent to it before. Its seat is empty meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why an actor is not restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRestarted {
    /// Something would be lost.
    #[error("{0}")]
    Refused(String),
    /// Somebody else has just asked for it, or it has just panicked.
    #[error("it is being restarted already")]
    UnderWay,
    /// It does not answer.
    #[error("it has not answered in time")]
    Silent,
}

/// Where the supervisor answers.
pub(super) type Answer = oneshot::Sender<Result<(), NotRestarted>>;

/// Asks an actor to end, so that its supervisor starts the next one.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub struct Restart {
    withdrawn: Arc<AtomicBool>,
}

/// An actor that is started again after a panic.
pub trait Supervised: Inspectable {
    /// Says what would be lost if it were restarted now; `None`: nothing.
    fn restart_refused(&self) -> Option<&'static str> {
        let id = self.registration().id();
        id.and_then(|id| id.kind.restart_refused())
    }

    /// Leaves the state that outlives a panic to the next one.
    fn leave_state(&mut self);
}

impl<A: Supervised + Actor<Context = Context<A>>> Receive<Restart> for A {
    type Result = Result<(), String>;

    fn receive(&mut self, msg: Restart, ctx: &mut Context<A>) -> Self::Result {
        if msg.withdrawn.load(Ordering::Acquire) {
            return Err("it was withdrawn".to_owned());
        }
        if let Some(why) = self.restart_refused() {
            return Err(why.to_owned());
        }
        self.registration().restarts();
        self.leave_state();
        ctx.stop();
        Ok(())
    }
}

/// Has the present actor end. What others send it meanwhile finds the seat empty, as after a panic; so nothing is left
/// in its mailbox.
///
/// # Errors
/// It stays where it is.
pub(super) async fn end<A>(seat: &Seat<A>) -> Result<(), NotRestarted>
where
    A: Actor<Context = Context<A>> + Handler<Mail<Restart>>,
    A::Context: ToEnvelope<A, Mail<Restart>>,
{
    let Some(occupant) = seat.vacate() else {
        return Err(NotRestarted::UnderWay);
    };
    let withdrawn = Arc::new(AtomicBool::new(false));
    let request = Restart {
        withdrawn: Arc::clone(&withdrawn),
    };
    let refused = match actix::clock::timeout(PATIENCE, occupant.send(request)).await {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(why))) => NotRestarted::Refused(why),
        Ok(Err(_)) => NotRestarted::UnderWay,
        Err(_) => NotRestarted::Silent,
    };
    withdrawn.store(true, Ordering::Release);
    seat.restore(occupant);
    Err(refused)
}
