//! Handshakes take turns: in each turn of a thread's event loop one of them goes one step. A step may sign, which takes
//! a millisecond with RSA; a crowd of handshakes would otherwise have them all in one turn, with the thread's players
//! behind it. Addresses take turns too, so that a crowd from one of them does not hold up others' handshakes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

thread_local! {
    static TURNS: Turns = Turns::default();
}

/// Those of one thread.
#[derive(Default)]
struct Turns {
    /// This turn has had its step.
    under_way: Cell<bool>,
    /// Steps for later turns; at most one for each handshake (`listen.tls.max_handshakes`).
    waiting: RefCell<Lines<Rc<Ticket>>>,
}

/// A line for each source, which take turns.
struct Lines<T> {
    by_source: HashMap<u128, VecDeque<T>>,
    /// Each source that has a line once, the next one first.
    order: VecDeque<u128>,
}

impl<T> Default for Lines<T> {
    fn default() -> Lines<T> {
        Lines {
            by_source: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Lines<T> {
    fn push(&mut self, source: u128, item: T) {
        let line = self.by_source.entry(source).or_default();
        if line.is_empty() {
            self.order.push_back(source);
        }
        line.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        let source = self.order.pop_front()?;
        let line = self.by_source.get_mut(&source)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.order.push_back(source);
        }
        item
    }
}

/// A place among those who wait.
#[derive(Default)]
struct Ticket {
    is_due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Polls `work` in turns with the other handshakes of this thread, which runs in a `LocalSet`. `source`: whose it is,
/// [`source_key`](crate::config::Limits::source_key).
pub(super) async fn in_turns<F: Future>(source: u128, work: F) -> F::Output {
    let mut work = pin!(work);
    let mut ticket = None;
    std::future::poll_fn(|cx| match poll_turn(source, &mut ticket, cx) {
        Poll::Ready(()) => work.as_mut().poll(cx),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Ready when a step may be made; the next one needs a turn of its own.
fn poll_turn(source: u128, ticket: &mut Option<Rc<Ticket>>, cx: &mut Context<'_>) -> Poll<()> {
    TURNS.with(|turns| {
        if let Some(waits) = ticket.take() {
            if waits.is_due.get() {
                return Poll::Ready(());
            }
            waits.waker.replace(Some(cx.waker().clone()));
            *ticket = Some(waits);
            return Poll::Pending;
        }
        if !turns.under_way.replace(true) {
            tokio::task::spawn_local(next_turns());
            return Poll::Ready(());
        }
        let waits = Rc::new(Ticket::default());
        waits.waker.replace(Some(cx.waker().clone()));
        turns.waiting.borrow_mut().push(source, Rc::clone(&waits));
        *ticket = Some(waits);
        Poll::Pending
    })
}

/// Gives each turn to the next one, until nobody waits.
async fn next_turns() {
    loop {
        // The others on this thread, and its sockets, go first.
        tokio::task::yield_now().await;
        if TURNS.with(|turns| !turns.give()) {
            return;
        }
    }
}

impl Turns {
    /// Lets the next one go. Returns whether there was one.
    fn give(&self) -> bool {
        loop {
            let Some(next) = self.waiting.borrow_mut().pop() else {
                self.under_way.set(false);
                return false;
            };
            // Nobody else has it where its handshake is over.
            if Rc::strong_count(&next) > 1 {
                next.is_due.set(true);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its polls, of which it needs `steps`.
    async fn steps(steps: u32, made: Rc<Cell<u32>>) {
        let mut left = steps;
        std::future::poll_fn(move |cx| {
            made.set(made.get() + 1);
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_crowd_makes_one_step_a_turn() {
        let made = Rc::new(Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let all = Rc::clone(&made);
        local
            .run_until(async move {
                for _ in 0..50 {
                    tokio::task::spawn_local(in_turns(1, steps(2, Rc::clone(&all))));
                }
                // One that is given up holds nobody up.
                tokio::task::spawn_local(in_turns(1, std::future::pending::<()>())).abort();
                let (mut before, mut turns) = (0, 0);
                while all.get() < 100 {
                    tokio::task::yield_now().await;
                    assert!(
                        all.get() <= before + 2,
                        "{} steps in a turn",
                        all.get() - before
                    );
                    before = all.get();
                    turns += 1;
                }
                assert!(turns >= 50, "{turns}");
            })
            .await;
        assert_eq!(made.get(), 100);
    }

    #[tokio::test]
    async fn a_crowd_of_one_address_does_not_hold_up_another_one() {
        let crowd = Rc::new(Cell::new(0));
        let all = Rc::clone(&crowd);
        tokio::task::LocalSet::new()
            .run_until(async move {
                for _ in 0..50 {
                    tokio::task::spawn_local(in_turns(1, steps(2, Rc::clone(&all))));
                }
                tokio::task::yield_now().await;
                in_turns(2, steps(3, Rc::default())).await;
            })
            .await;
        assert!(crowd.get() < 20, "{} steps of the crowd", crowd.get());
    }

    #[test]
    fn each_source_has_every_other_turn() {
        let mut lines = Lines::default();
        for (source, item) in [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (2, "e"), (3, "f")] {
            lines.push(source, item);
        }
        let order: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(order, ["a", "d", "f", "b", "e", "c"]);
        assert!(lines.by_source.is_empty() && lines.order.is_empty());
    }
}
