//! A connection on its way to the client that has its session, which may stop before it reads its mail.

use std::sync::Arc;

use actix::prelude::*;

use super::ResumeConnection;
use crate::metrics::WorkerMetrics;
use crate::session::closing::ClosingLabel;
use crate::supervision::SeatRecipient;

/// A [`ResumeConnection`] that is answered whatever happens: one that nobody takes, as in the mailbox of a client that has
/// stopped, goes back to the worker that it came from. Where that one panics too, it is counted.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forwarded {
    connection: Option<Box<ResumeConnection>>,
    /// None on the way back.
    back: Option<SeatRecipient<Forwarded>>,
    metrics: Arc<WorkerMetrics>,
}

impl Forwarded {
    /// Sends a connection on its way. `metrics` are those of its worker, which `back` leads to.
    pub fn new(
        connection: ResumeConnection,
        back: SeatRecipient<Forwarded>,
        metrics: Arc<WorkerMetrics>,
    ) -> Forwarded {
        Forwarded {
            connection: Some(Box::new(connection)),
            back: Some(back),
            metrics,
        }
    }

    /// Returns the connection to look at; none once it is taken.
    pub fn connection(&mut self) -> Option<&mut ResumeConnection> {
        self.connection.as_deref_mut()
    }

    /// Takes the connection, which the caller answers from now on.
    pub fn take(mut self) -> Option<ResumeConnection> {
        self.connection.take().map(|connection| *connection)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        match self.back.take() {
            Some(back) => {
                back.do_send(Forwarded {
                    connection: Some(connection),
                    back: None,
                    metrics: Arc::clone(&self.metrics),
                });
            }
            None => self.metrics.closings.add_shared(ClosingLabel::Lost, 1),
        }
    }
}
