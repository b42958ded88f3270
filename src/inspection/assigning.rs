//! Sessions whose services operators send elsewhere.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, InspectError, Inspector};
use crate::actors::client::{Assign, Assigned, worker_of};
use crate::actors::worker::AssignSession;
use crate::codec::code::Code;

impl Inspector {
    /// Says where a service of a session goes; the inner error is the code of MOVED. `None`: there is no such session.
    ///
    /// # Errors
    /// Its worker or its client does not answer.
    pub async fn assign(
        &self,
        session_id: u64,
        service: &str,
        endpoint: &str,
    ) -> Result<Option<Result<Assigned, Code>>, InspectError> {
        let Some((client_number, worker)) = self.client_number(session_id).await? else {
            return Ok(None);
        };
        let (answer, outcome) = oneshot::channel();
        let assign = Assign {
            session_id,
            service: service.into(),
            endpoint: endpoint.into(),
            answer,
        };
        let command = AssignSession {
            client_number,
            assign,
        };
        let silent = || InspectError::Silent(worker_of(client_number));
        match timeout(ANSWER_TIMEOUT, worker.send(command)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(None),
            _ => return Err(silent()),
        }
        match timeout(ANSWER_TIMEOUT, outcome).await {
            Ok(outcome) => Ok(outcome.ok()),
            Err(_) => Err(silent()),
        }
    }
}
