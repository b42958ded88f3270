//! Polls `/health` of a gateway for as long as a test runs.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::wire::{get, soon};

/// Pause between an answer and the next question.
const PACE: Duration = Duration::from_millis(20);

/// Asks again and again, beside the test.
pub(crate) struct Health {
    end: oneshot::Sender<()>,
    asked: JoinHandle<(usize, Duration)>,
}

impl Health {
    pub(crate) fn watch(admin: SocketAddr) -> Health {
        let (end, mut ended) = oneshot::channel();
        let asked = tokio::spawn(async move {
            let (mut answers, mut longest) = (0, Duration::ZERO);
            let mut pace = tokio::time::interval(PACE);
            while ended.try_recv().is_err() {
                let begin = Instant::now();
                let (status, body) = get(admin, "/health").await;
                assert_eq!(status, 200, "after {answers} answers: {body}");
                longest = longest.max(begin.elapsed());
                answers += 1;
                pace.tick().await;
            }
            (answers, longest)
        });
        Health { end, asked }
    }

    /// Returns how many answers there were, and after how long the slowest came.
    ///
    /// # Panics
    /// One of them was not 200.
    pub(crate) async fn end(self) -> (usize, Duration) {
        // It is gone already where an answer was wrong.
        let _ = self.end.send(());
        soon(self.asked).await.expect("every answer is 200")
    }
}
