//! Handshakes take turns: in each turn of a thread's event loop one of them goes one step. A step may sign, which takes
//! a millisecond with RSA; a crowd of handshakes would otherwise have them all in one turn, with the thread's players
//! behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

thread_local! {
    static TURNS: Turns = const { Turns { under_way: Cell::new(false), waiting: RefCell::new(VecDeque::new()) } };
}

/// Those of one thread.
struct Turns {
    /// This turn has had its step.
    under_way: Cell<bool>,
    /// Steps for later turns, oldest first; at most one for each handshake (`listen.tls.max_handshakes`).
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

/// A place among those who wait.
#[derive(Default)]
struct Ticket {
    is_due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Polls `work` in turns with the other handshakes of this thread, which runs in a `LocalSet`.
pub(super) async fn in_turns<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let mut ticket = None;
    std::future::poll_fn(|cx| match poll_turn(&mut ticket, cx) {
        Poll::Ready(()) => work.as_mut().poll(cx),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Ready when a step may be made; the next one needs a turn of its own.
fn poll_turn(ticket: &mut Option<Rc<Ticket>>, cx: &mut Context<'_>) -> Poll<()> {
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
        turns.waiting.borrow_mut().push_back(Rc::clone(&waits));
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
            let Some(next) = self.waiting.borrow_mut().pop_front() else {
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
                    tokio::task::spawn_local(in_turns(steps(2, Rc::clone(&all))));
                }
                // One that is given up holds nobody up.
                tokio::task::spawn_local(in_turns(std::future::pending::<()>())).abort();
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
}
