use std::net::SocketAddr;

use super::*;
use crate::memory::{self, MemoryBudget};

fn subject(session_id: u64, user_id: u64, client: &str) -> Subject {
    Subject {
        worker: 0,
        connection: 1,
        session_id,
        user_id,
        client: SocketAddr::new(client.parse().expect("an address"), 4711),
    }
}

fn what() -> What {
    Decision::new(Name::Connected).into()
}

fn trace(traces: &Traces, id: u64, target: TraceTarget) -> Arc<Trace> {
    let length = Duration::from_secs(600);
    let trace = Trace::new(
        TraceKey(id),
        target,
        (traces.now(), 0),
        length,
        "a test".into(),
    );
    traces.begin(trace).expect("room")
}

fn numbers(page: &Page) -> Vec<u64> {
    page.events.iter().map(|(number, _)| *number).collect()
}

#[test]
fn events_go_to_the_traces_that_they_concern() {
    let traces = Traces::default();
    let network = "192.0.2.0/24".parse().expect("a network");
    let all = [
        TraceTarget::User(7),
        TraceTarget::Network(network),
        TraceTarget::Session(9),
    ];
    let all = [0, 1, 2].map(|n| trace(&traces, n as u64, all[n]));
    for (subject, expected) in [
        (subject(1, 7, "198.51.100.1"), [1, 0, 0]),
        (subject(1, 0, "192.0.2.9"), [0, 1, 0]),
        (subject(1, 0, "::ffff:192.0.2.9"), [0, 1, 0]),
        (subject(9, 0, "198.51.100.1"), [0, 0, 1]),
        (subject(9, 7, "192.0.2.9"), [1, 1, 1]),
        (subject(8, 6, "192.0.3.9"), [0, 0, 0]),
    ] {
        let before = [0, 1, 2].map(|n: usize| all[n].counts().0);
        let concerned = expected != [0; 3];
        assert_eq!(traces.concern(&subject), concerned, "{subject:?}");
        assert_eq!(traces.record(&subject, false, what), concerned);
        let after = [0, 1, 2].map(|n: usize| all[n].counts().0 - before[n]);
        assert_eq!(after, expected, "{subject:?}");
    }
}

#[test]
fn a_reader_learns_what_it_has_missed() {
    let traces = Traces::default();
    let trace = trace(&traces, 1, TraceTarget::User(7));
    let (subject, now) = (subject(1, 7, "192.0.2.9"), traces.now());
    let event = Arc::new(Event::new(subject, what()));
    for n in 0..MOST_EVENTS as u64 + 10 {
        // A thousandth of a second for each, so none is over the rate.
        assert!(trace.push(&event, now + n * 1_000_000, false));
    }
    let first = trace.read(0, 3, now);
    assert_eq!(
        (numbers(&first), first.lost, first.next),
        (vec![11, 12, 13], 10, 13)
    );
    assert!(!first.is_end);
    let rest = trace.read(first.next, usize::MAX, now);
    assert_eq!(rest.events.len(), MOST_EVENTS - 3);
    assert_eq!((rest.lost, rest.next), (0, MOST_EVENTS as u64 + 10));
    // Beyond its end, as of another gateway's trace.
    let beyond = trace.read(u64::MAX, 3, now);
    assert_eq!(
        (numbers(&beyond), beyond.lost, beyond.next),
        (vec![], 0, rest.next)
    );
}

#[test]
fn too_many_events_are_counted_and_told() {
    let traces = Traces::default();
    let trace = trace(&traces, 1, TraceTarget::User(7));
    let (subject, now) = (subject(1, 7, "192.0.2.9"), traces.now());
    let event = Arc::new(Event::new(subject, what()));
    let kept = (0..EVENTS_PER_SECOND + 5).filter(|_| trace.push(&event, now, false));
    assert_eq!(kept.count() as u64, EVENTS_PER_SECOND);
    assert!(!trace.push(&event, now + 1_000_000_000, true));
    let lost = Lost {
        over_rate: 5,
        short_of_memory: 1,
    };
    assert_eq!(trace.counts(), (EVENTS_PER_SECOND + 6, lost));
    let page = trace.read(0, usize::MAX, now);
    assert_eq!((page.lost, page.next), (6, EVENTS_PER_SECOND + 6));
}

#[test]
fn long_events_are_bounded_by_their_bytes() {
    let traces = Traces::default();
    let trace = trace(&traces, 1, TraceTarget::User(7));
    let subject = subject(1, 7, "192.0.2.9");
    let long = || Decision::new(Name::Routed).detail("ä".repeat(9_000)).into();
    let event = Arc::new(Event::new(subject, long()));
    assert!(event.bytes() < 600, "{}", event.bytes());
    for n in 0..10_000_u64 {
        assert!(trace.push(&event, n * 1_000_000_000, false));
    }
    let kept = || trace.read(0, usize::MAX, 0).events.len() * event.bytes();
    assert!(kept() <= 512 * 1024, "{}", kept());
    // Where that is much of what all may hold, it is less.
    let (limit, parts) = (8 << 20, 8 * MOST);
    let budget = MemoryBudget::new(limit, 1);
    memory::count_on_this_thread(budget.worker(0));
    assert!(trace.push(&event, 10_001 * 1_000_000_000, false));
    assert!(kept() <= limit / parts, "{}", kept());
}

#[test]
fn a_trace_ends_by_itself_and_is_kept_for_its_readers() {
    let traces = Traces::default();
    let (user, subject) = (TraceTarget::User(7), subject(1, 7, "192.0.2.9"));
    let new = |id, length| Trace::new(TraceKey(id), user, (traces.now(), 0), length, String::new());
    let short = traces.begin(new(1, Duration::ZERO)).expect("room");
    assert!(!traces.record(&subject, false, what), "it is over");
    let now = traces.now();
    assert!(short.read(0, 1, now).is_end);
    traces.sweep();
    assert!(!traces.any() && traces.find(TraceKey(1)).is_some());
    assert!(!short.is_forgotten(now) && short.is_forgotten(now + KEPT.as_nanos() as u64));
    for id in 2..=MOST as u64 {
        traces.begin(new(id, LONGEST)).expect("room");
    }
    // The one that is over gives way.
    traces.begin(new(99, LONGEST)).expect("room");
    assert!(traces.find(TraceKey(1)).is_none());
    let one_more = traces.begin(new(100, LONGEST));
    assert_eq!(one_more.err(), Some(BeginFailed::TooMany));
    let known = traces.begin(new(99, LONGEST));
    assert_eq!(known.err(), Some(BeginFailed::Known(TraceKey(99))));
    let last = traces.remove(TraceKey(99)).expect("it is there");
    assert!(last.is_over(traces.now()) && traces.count() == MOST - 1);
    assert!(traces.begin(new(101, LONGEST)).is_ok());
}
