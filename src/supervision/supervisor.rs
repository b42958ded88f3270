//! Starts actors that must not be missing, and starts them again when they have panicked, or somebody asks for it.
//!
//! actix's own supervisor is the same task as its actor and does not survive its panic. Here a small
//! task beside each supervised actor holds the factory, learns of the end from the actor's
//! [`Registration`], waits, and seats the next one. The state of the dead one is in its
//! [`Rescued`](super::Rescued). Others hold the [`Seat`], never the actor's address.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rand::Rng;
use tokio::sync::{mpsc, oneshot};

use super::actor_registry::ActorRegistry;
use super::budget::{BUDGET_WINDOW, Budget};
use super::entry::Entry;
use super::inspect::Inspect;
use super::mail::Mail;
use super::registration::{Exit, Registration};
use super::restart::{self, Answer, NotRestarted, Restart};
use super::seat::Seat;

/// The wait before the second restart in a row; the first is at once. It doubles up to
/// [`MAX_BACKOFF`], less up to half at random.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Starts the actor that `make` builds, on this thread, and builds another when it has panicked.
/// It is seated when this returns.
pub fn supervise<A>(
    seat: Seat<A>,
    entry: Arc<Entry>,
    budget: Arc<Budget>,
    mut make: impl FnMut(Registration) -> A + 'static,
) where
    A: Actor<Context = Context<A>> + Handler<Mail<Inspect>> + Handler<Mail<Restart>>,
{
    let (supervisor, mut requests) = mpsc::channel(1);
    entry.supervised_by(supervisor);
    let mut start = {
        let (seat, entry) = (seat.clone(), Arc::clone(&entry));
        move || {
            let (exit, ended) = oneshot::channel();
            let registration = Registration::listed(Arc::clone(&entry), Some(exit));
            seat.take(entry.start_with(registration, &mut make));
            ended
        }
    };
    let mut ended = start();
    actix::spawn(async move {
        let (mut deaths, mut asked) = (Deaths::default(), None);
        loop {
            let exit = tokio::select! {
                exit = &mut ended => exit,
                Some(answer) = requests.recv() => {
                    asked = end_for(&seat, answer).await;
                    continue;
                }
            };
            match exit {
                Ok(Exit::Panicked) => {
                    budget.death();
                    actix::clock::sleep(deaths.next_wait(Instant::now())).await;
                }
                Ok(Exit::Restarted) => {}
                Ok(Exit::Stopped) | Err(_) => break,
            }
            ended = start();
            if let Some(answer) = asked.take() {
                tell(answer, Ok(()));
            }
        }
        seat.leave();
        ActorRegistry::deregister(&entry);
    });
}

/// Has the actor end, as somebody has asked for; returns whom to tell when the next one is there.
async fn end_for<A>(seat: &Seat<A>, answer: Answer) -> Option<Answer>
where
    A: Actor<Context = Context<A>> + Handler<Mail<Restart>>,
{
    if answer.is_closed() {
        // Whoever has asked has given up.
        return None;
    }
    match restart::end(seat).await {
        Ok(()) => Some(answer),
        Err(refused) => {
            tell(answer, Err(refused));
            None
        }
    }
}

fn tell(answer: Answer, result: Result<(), NotRestarted>) {
    // Whoever has asked may have given up.
    let _ = answer.send(result);
}

/// The deaths on one seat.
#[derive(Debug, Default)]
struct Deaths {
    newest: Option<Instant>,
    in_a_row: u32,
}

impl Deaths {
    /// Counts one more death, and returns the time that the seat stays empty.
    fn next_wait(&mut self, now: Instant) -> Duration {
        let quiet = |newest| now.duration_since(newest) >= BUDGET_WINDOW;
        if self.newest.replace(now).is_none_or(quiet) {
            self.in_a_row = 0;
            return Duration::ZERO;
        }
        self.in_a_row += 1;
        let doubled = FIRST_BACKOFF.saturating_mul(1 << (self.in_a_row - 1).min(16));
        doubled
            .min(MAX_BACKOFF)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_wait_longer() {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        assert_eq!(deaths.next_wait(start), Duration::ZERO);
        for most in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = deaths.next_wait(start);
            let most = Duration::from_millis(most);
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
        }
        assert_eq!(deaths.next_wait(start + BUDGET_WINDOW), Duration::ZERO);
    }
}
