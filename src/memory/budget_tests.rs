use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::memory::{SMALL, STEP, UNASKED};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Move {
    thread: usize,
    part: usize,
    holder: usize,
    after: usize,
}

const THREADS: usize = 3;
const HOLDERS: usize = 4;
const LIMIT: usize = 64 * STEP as usize;

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (
        0..THREADS,
        0..Part::ALL.len(),
        0..HOLDERS,
        prop_oneof![0_usize..100, 0..LIMIT / 4],
    );
    let one = one.prop_map(|(thread, part, holder, after)| Move {
        thread,
        part,
        holder,
        after,
    });
    proptest::collection::vec(one, 0..200)
}

proptest! {
    /// The model: a table of holders, each with a part and a size, whichever thread speaks of it.
    #[test]
    fn the_sums_are_those_of_all_holders(moves in moves()) {
        let budget = MemoryBudget::new(LIMIT, THREADS);
        let mut model = [[0_usize; HOLDERS]; 16];
        for Move { thread, part, holder, after } in moves {
            let before = std::mem::replace(&mut model[part][holder], after);
            budget.worker(thread).moves(Part::ALL[part], before, after);
            let all: usize = model.iter().flatten().sum();
            let known = budget.shared.sum.load(Relaxed);
            let ahead = known - all as i64;
            prop_assert!((0..=2 * THREADS as i64 * STEP).contains(&ahead), "{known} for {all}");
        }
        let snapshot = budget.snapshot();
        for (index, (_, bytes)) in snapshot.parts.iter().enumerate() {
            prop_assert_eq!(*bytes, model[index].iter().sum::<usize>() as u64);
        }
        (0..THREADS).for_each(|thread| budget.worker(thread).publish());
        let all: usize = model.iter().flatten().sum();
        prop_assert_eq!(budget.shared.sum.load(Relaxed), all as i64);
        prop_assert_eq!(snapshot.held, all as u64);
        prop_assert!(budget.pressure() >= Pressure::of(all as i64, LIMIT as i64, Pressure::None));
    }

    /// The model: what each thread holds. Whoever asks first, and takes no more than was let to it, never takes the
    /// sum past the limit, and is refused only where it would, but for what others have drawn ahead.
    #[test]
    fn who_asks_keeps_within_the_limit(asks in proptest::collection::vec(
        (0..THREADS, prop_oneof![1_usize..100, 0..LIMIT / 8], any::<bool>()), 0..200
    )) {
        let budget = MemoryBudget::new(LIMIT, THREADS);
        let mut model = [0_usize; THREADS];
        for (thread, bytes, grows) in asks {
            let meter = budget.worker(thread);
            let all: usize = model.iter().sum();
            let before = model[thread];
            if !grows {
                model[thread] = before / 2;
            } else if meter.admits(bytes) {
                model[thread] += bytes;
            } else {
                let ahead = 2 * THREADS * STEP as usize + LIMIT / 32;
                prop_assert!(all + bytes + ahead > LIMIT, "{bytes} beside {all}");
                prop_assert!(meter.is_scarce());
            }
            meter.moves(Part::Http, before, model[thread]);
            let sum = budget.shared.sum.load(Relaxed);
            let all: usize = model.iter().sum();
            prop_assert!(all as i64 <= sum && sum <= LIMIT as i64, "{sum} for {all}");
        }
    }

    /// Each thread may take something without a question between two questions whether it must ask.
    #[test]
    fn what_is_taken_without_a_question_fits(fills in proptest::collection::vec(0..LIMIT / 8, 0..60)) {
        let budget = MemoryBudget::new(LIMIT, THREADS);
        let mut model = [0_usize; THREADS];
        for (turn, bytes) in fills.into_iter().enumerate() {
            let may: Vec<bool> = (0..THREADS).map(|t| !budget.worker(t).is_scarce()).collect();
            for thread in (0..THREADS).filter(|thread| may[*thread]) {
                let bytes = bytes.min(UNASKED as usize);
                budget.worker(thread).moves(Part::Http, model[thread], model[thread] + bytes);
                model[thread] += bytes;
            }
            let (thread, meter) = (turn % THREADS, budget.worker(turn % THREADS));
            if meter.admits(bytes) {
                meter.moves(Part::Http, model[thread], model[thread] + bytes);
                model[thread] += bytes;
            }
            let all: usize = model.iter().sum();
            prop_assert!(all <= LIMIT, "{all} of {LIMIT}");
        }
    }

    /// What every thread gives back is enough together.
    #[test]
    fn the_shares_come_to_the_excess(held in proptest::collection::vec(0..LIMIT, THREADS)) {
        let budget = MemoryBudget::new(LIMIT, THREADS);
        for (thread, bytes) in held.iter().enumerate() {
            budget.worker(thread).moves(Part::Replay, 0, *bytes);
        }
        (0..THREADS).for_each(|thread| budget.worker(thread).publish());
        let all: usize = held.iter().sum();
        let target = Pressure::Rings.threshold(LIMIT as i64) as usize;
        let shares: usize = (0..THREADS).map(|t| budget.worker(t).share_over(Pressure::Rings)).sum();
        let excess = all.saturating_sub(target);
        prop_assert!(shares <= excess && excess - shares < THREADS, "{shares} of {excess}");
    }

    #[test]
    fn pressure_rises_with_what_is_held_and_wavers_nowhere(held in 0_i64..2000, before in 0_u8..5) {
        let before = Pressure::from_byte(before);
        let now = Pressure::of(held, 1600, before);
        prop_assert!(now >= Pressure::of(held, 1600, Pressure::None));
        prop_assert_eq!(Pressure::of(held, 1600, now), now, "it stays where nothing changes");
        prop_assert!(Pressure::of(held + 1, 1600, before) >= now);
    }
}

#[test]
fn thresholds_and_ways_back() {
    use Pressure::*;
    let of = |held, before| Pressure::of(held, 1600, before);
    assert_eq!(
        [1199, 1200, 1300, 1400, 1500, 9999].map(|held| of(held, None)),
        [None, Rings, Reading, Sessions, Queues, Queues]
    );
    assert_eq!(
        [1450, 1449, 1349, 1249, 1149].map(|held| of(held, Queues)),
        [Queues, Sessions, Reading, Rings, None]
    );
}

#[test]
fn an_alarm_is_given_once_for_every_growth() {
    let budget = MemoryBudget::new(LIMIT, 1);
    let meter = budget.worker(0);
    meter.moves(Part::Replay, 0, LIMIT / 2);
    assert!(!meter.take_alarm());
    meter.moves(Part::Replay, LIMIT / 2, LIMIT);
    assert!(meter.take_alarm() && !meter.take_alarm());
    assert_eq!(meter.look(), Pressure::Queues);
    assert_eq!(meter.share_over(Pressure::Rings), LIMIT / 4);
    meter.moves(Part::Replay, LIMIT, LIMIT + LIMIT / 64);
    assert!(!meter.take_alarm());
    meter.moves(Part::Replay, LIMIT, LIMIT + STEP as usize);
    assert!(meter.take_alarm());
}

/// Threads that ask at the same time are not let more than there is.
#[test]
fn the_last_room_is_given_once() {
    let budget = MemoryBudget::new(LIMIT, THREADS);
    let piece = STEP as usize;
    let taken: usize = std::thread::scope(|scope| {
        let takers = [0, 1, 2].map(|thread| {
            let meter = Arc::clone(budget.worker(thread));
            scope.spawn(move || {
                let mut held = 0;
                while meter.admits(piece) {
                    meter.moves(Part::Http, held, held + piece);
                    held += piece;
                }
                held
            })
        });
        takers.map(|taker| taker.join().unwrap()).iter().sum()
    });
    // What is set aside for those who cannot wait is left.
    let most = LIMIT - LIMIT / 32;
    assert!(
        taken <= most && taken + THREADS * piece > most,
        "{taken} of {most}"
    );
}

/// What cannot be taken back must not stop those who hold nothing, on whatever threads it is.
#[test]
fn small_questions_pass_where_nothing_can_be_taken_back() {
    let budget = MemoryBudget::new(LIMIT, 2);
    let (one, other) = (budget.worker(0), budget.worker(1));
    one.moves(Part::Sockets, 0, LIMIT);
    assert!(!other.admits(1));
    one.set_idle(LIMIT / 2);
    // The rest of it may come back, and nobody is let past the bound meanwhile.
    assert!(!one.admits(1) && !other.admits(1));
    other.set_idle(LIMIT / 2);
    assert!(one.admits(SMALL) && !one.admits(SMALL + 1));
    one.set_idle(0);
    assert!(!other.admits(1));
}

/// In an exchange nobody else gets what one holder gives back; behind it, what no other has taken is free.
#[test]
fn what_an_exchange_has_freed_is_free_for_others_behind_it() {
    let budget = MemoryBudget::new(LIMIT, 2);
    let (one, other) = (budget.worker(0), budget.worker(1));
    let most = LIMIT - LIMIT / 32;
    one.moves(Part::ClientInput, 0, most);
    one.exchange(|| {
        one.moves(Part::ClientInput, most, 0);
        assert!(!other.admits(LIMIT / 2));
    });
    assert!(other.admits(LIMIT / 2));
}
