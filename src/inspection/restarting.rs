//! Restarts by hand.

use std::time::Duration;

use actix::clock::timeout;

use super::{Inspector, detail};
use crate::supervision::{ActorId, ActorSnapshot, NotRestarted};

/// Timeout of a restart: the actor has a second for what was sent to it before.
const RESTART_TIMEOUT: Duration = Duration::from_secs(3);

impl Inspector {
    /// Has an actor restarted by its supervisor, and returns how the next one is; `None` if there is no such actor.
    ///
    /// # Errors
    /// It is not restarted: something would be lost, or it does not answer.
    pub async fn restart(&self, id: &str) -> Option<Result<ActorSnapshot, NotRestarted>> {
        let actor: ActorId = id.parse().ok()?;
        let Some(entry) = self.actors.find(actor) else {
            // A client is not in the registry.
            self.actor(id).await?;
            let why = actor.kind.restart_refused().unwrap_or_default();
            return Some(Err(NotRestarted::Refused(why.to_owned())));
        };
        let restarted = match entry.restart() {
            Ok(restarted) => timeout(RESTART_TIMEOUT, restarted).await,
            Err(refused) => return Some(Err(refused)),
        };
        Some(match restarted {
            Ok(Ok(Ok(()))) => Ok(detail(&entry).await),
            Ok(Ok(Err(refused))) => Err(refused),
            // It ended for good at the same time, or is stuck.
            Ok(Err(_)) | Err(_) => Err(NotRestarted::Silent),
        })
    }
}
