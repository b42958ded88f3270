use super::*;
use crate::supervision::actor_times::ActorTimes;

struct Ping;
struct Pong;

#[test]
fn one_message_in_so_many_is_timed_and_stands_for_the_others() {
    let dice = Dice::one_of(SAMPLED);
    let messages = 1_000_000;
    let timed: Vec<Begun> = (1..=messages).filter_map(|n| dice.roll(n)).collect();
    let stands_for: u64 = timed.iter().map(|begun| begun.stands_for).sum();
    // All but those since the last one.
    assert!(messages - stands_for < 2 * SAMPLED, "{stands_for}");
    let mean = stands_for / timed.len() as u64;
    assert!((SAMPLED / 2..SAMPLED * 2).contains(&mean), "{mean}");
    let distances: std::collections::HashSet<u64> =
        timed.iter().map(|begun| begun.stands_for).collect();
    assert!(distances.len() > 100, "they have no rhythm");
}

#[test]
fn each_message_is_timed_while_they_are_few() {
    let dice = Dice::each();
    let (mut now, mut count) = (Instant::now(), 0);
    let mut timed = |messages: u64, apart: Duration| {
        let (mut times, mut stand_for) = (0, 0);
        for _ in 0..messages {
            (now, count) = (now + apart, count + 1);
            if count >= dice.due.get() {
                times += 1;
                stand_for += dice.begin(count, now).stands_for;
            }
        }
        (times, stand_for)
    };
    assert_eq!(timed(1000, Duration::from_secs(1)), (1000, 1000));
    assert_eq!(timed(EACH_AT_ONCE, Duration::ZERO).0, EACH_AT_ONCE);
    // A hundred thousand in a second: one of 16, and a hundred more.
    let (times, stand_for) = timed(100_000, Duration::from_micros(10));
    assert!((5000..8000).contains(&times), "{times}");
    assert!((100_000 - stand_for) < 2 * MANY, "{stand_for}");
    // They are few again, the first of them due behind the last of the others.
    let (times, _) = timed(1000, Duration::from_secs(1));
    assert!(times > 1000 - 2 * MANY, "{times}");
}

#[test]
fn times_are_added_up_by_type() {
    let timed = |ms, stands_for| Timed {
        now: Instant::now(),
        took: Duration::from_millis(ms),
        stands_for,
    };
    let (one, other) = (MessageTimes::new(Kind::Link), MessageTimes::new(Kind::Link));
    one.observe(What::message::<Ping>(), timed(1, 1000));
    one.observe(What::message::<Pong>(), timed(5, 1));
    other.observe(What::message::<Pong>(), timed(3, 1));
    let mut sums = Vec::new();
    one.add_to(&mut sums);
    other.add_to(&mut sums);
    let rows = snapshots(&sums);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.message,
                row.handled,
                row.timed,
                row.busy_seconds,
                row.mean_us,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("Ping", 1000, 1, 1.0, 1000.0),
            ("Pong", 2, 2, 0.008, 4000.0)
        ]
    );
    let recent = rows[1].recent.expect("percentiles");
    assert!(recent.count == 2 && recent.max_us >= 5000, "{recent:?}");
    assert_eq!(one.busy_ns.get(), 1_005_000_000);
}

#[test]
fn types_beyond_the_most_are_summed_up() {
    let (times, own) = (MessageTimes::new(Kind::Link), ActorTimes::default());
    fn all<const N: usize>(times: &MessageTimes, own: &ActorTimes) {
        struct Message<const N: usize>;
        let timed = Timed {
            now: Instant::now(),
            took: Duration::from_millis(1),
            stands_for: 1,
        };
        times.observe(What::turn::<Message<N>>("message"), timed);
        own.observe(What::turn::<Message<N>>("message"), timed);
    }
    macro_rules! each {
        ($($n:literal)+) => { $(all::<$n>(&times, &own);)+ };
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
          32 33 34 35 36 37 38 39);
    let mut sums = Vec::new();
    times.add_to(&mut sums);
    assert_eq!((sums.len(), sums[0].timed), (1, 40), "they have one name");
    assert_eq!(own.snapshots().len(), MAX_TYPES);
    let most = own.snapshots().iter().map(|row| row.handled).max();
    assert_eq!(most, Some(40 - MAX_TYPES as u64 + 1));
}
