use std::time::Duration;

use super::*;
use crate::actors::backend_pool::BackendHealth;
use crate::routing::health::{IN_A_ROW, LEAST_SHARE};
use crate::routing::{RouteTable, parse_file};

pub(super) fn endpoint(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 9).into()
}

/// A service with that many endpoints.
pub(super) fn service(endpoints: u8) -> Arc<ServiceRoute> {
    let list: Vec<String> = (0..endpoints)
        .map(|n| format!("\"{}\"", endpoint(n)))
        .collect();
    let rules = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":[{}]}}}}}}"#,
        list.join(",")
    );
    let data = parse_file(&rules).unwrap().data;
    let table = RouteTable::build(1, &Arc::new(data), &Default::default(), None);
    Arc::clone(table.service("game").unwrap())
}

pub(super) fn view(worker: usize, health: BackendHealth) -> View<'static> {
    View {
        worker,
        health,
        error: "refused",
    }
}

fn avoided(book: &HealthBook, service: &ServiceRoute, worker: usize) -> Vec<SocketAddr> {
    let mut avoided = BTreeSet::new();
    book.add_avoided(service, worker, 50, Instant::now(), &mut avoided);
    avoided.into_iter().collect()
}

#[test]
fn a_worker_believes_itself_and_else_the_others() {
    let (book, service) = (HealthBook::default(), service(4));
    let say = |worker, health| {
        book.report(
            &service.name,
            endpoint(1),
            view(worker, health),
            Instant::now(),
        );
    };
    say(0, BackendHealth::Down);
    assert_eq!(avoided(&book, &service, 0), [endpoint(1)]);
    assert_eq!(avoided(&book, &service, 1), [endpoint(1)]);
    say(1, BackendHealth::Up);
    assert_eq!(avoided(&book, &service, 0), [endpoint(1)]);
    assert_eq!(avoided(&book, &service, 1), []);
    assert_eq!(avoided(&book, &service, 2), [], "somebody reaches it");
    say(1, BackendHealth::Suspect);
    assert_eq!(avoided(&book, &service, 2), [endpoint(1)]);
    book.forget(&service.name, endpoint(1), 0);
    say(1, BackendHealth::Up);
    assert_eq!(avoided(&book, &service, 0), []);
    book.forget(&service.name, endpoint(1), 1);
    assert!(book.services().is_empty());
}

#[test]
fn what_flaps_is_ejected_but_never_too_many() {
    let (book, service) = (HealthBook::default(), service(4));
    let mut opened = 0;
    let now = Instant::now();
    for number in 0..4 {
        for second in 0..IN_A_ROW {
            let at = now + Duration::from_secs(u64::from(second));
            for health in [BackendHealth::Down, BackendHealth::Up] {
                let news = book.report(&service.name, endpoint(number), view(0, health), at);
                opened += usize::from(news.opened.is_some());
            }
        }
        let breaker = book.breaker("game", endpoint(number), Instant::now());
        assert_eq!(breaker, Breaker::Open);
    }
    assert_eq!(opened, 4);
    assert_eq!(avoided(&book, &service, 0), [endpoint(0), endpoint(1)]);
    // Those that are down count.
    let down = view(0, BackendHealth::Down);
    book.report(&service.name, endpoint(3), down, Instant::now());
    assert_eq!(avoided(&book, &service, 0), [endpoint(0), endpoint(3)]);
    let down = view(0, BackendHealth::Down);
    book.report(&service.name, endpoint(2), down, Instant::now());
    assert_eq!(avoided(&book, &service, 0), [endpoint(2), endpoint(3)]);
}

#[test]
fn those_that_operators_have_taken_out_are_not_counted() {
    let (book, service) = (HealthBook::default(), service(3));
    for number in [0, 1] {
        let down = view(0, BackendHealth::Down);
        book.report(&service.name, endpoint(number), down, Instant::now());
    }
    let down = |wanted: &dyn Fn(SocketAddr) -> bool| book.counts(Instant::now(), wanted).down;
    assert_eq!(down(&|_| true), 2);
    assert_eq!(down(&|address| address != endpoint(1)), 1);
}

/// Each time it is away for much longer than it is there, or one worker of two never reaches it: so it was never well
/// for long, and the third failure is one in a row.
#[test]
fn an_endpoint_is_well_only_while_everybody_finds_it_so() {
    use BackendHealth::{Down, Up};
    let moment = Duration::from_millis(100);
    let away = [(0, Down, moment), (0, Up, moment), (0, Down, 600 * moment)];
    let halves = [(0, Down, moment), (1, Down, moment), (0, Up, 200 * moment)];
    for steps in [away, halves] {
        let (book, service, mut now) = (HealthBook::default(), service(2), Instant::now());
        let say = |worker, health, at| {
            book.report(&service.name, endpoint(1), view(worker, health), at);
            book.breaker("game", endpoint(1), at)
        };
        for time in 1..=IN_A_ROW {
            say(0, Up, now);
            now += 20 * moment;
            for (number, (worker, health, wait)) in steps.into_iter().enumerate() {
                let breaker = say(worker, health, now);
                if number == 0 {
                    assert_eq!(breaker == Breaker::Open, time == IN_A_ROW, "{time}");
                }
                now += wait;
            }
        }
    }
}

#[test]
fn what_several_workers_find_is_told_once() {
    let (book, service, mut now) = (HealthBook::default(), service(2), Instant::now());
    let mut say = |worker, health, wait: u64| {
        now += Duration::from_secs(wait);
        let news = book.report(&service.name, endpoint(1), view(worker, health), now);
        news.says_health
    };
    for worker in [0, 1] {
        assert!(!say(worker, BackendHealth::Up, 0));
    }
    assert!(say(0, BackendHealth::Down, 0));
    assert!(!say(1, BackendHealth::Down, 2));
    assert!(!say(0, BackendHealth::Down, 2), "it still is");
    assert!(!say(0, BackendHealth::Up, 2), "not for everybody");
    assert!(say(1, BackendHealth::Up, 0));
    assert!(say(1, BackendHealth::Leaving, 0));
}

#[test]
fn one_that_returns_begins_slowly() {
    let (book, service, now) = (HealthBook::default(), service(2), Instant::now());
    let say = |health, at| book.report(&service.name, endpoint(1), view(0, health), at);
    let share = |at| {
        let (none, mut avoided) = (Vec::new(), BTreeSet::new());
        let returning = book.add_avoided(&service, 0, 50, at, &mut avoided);
        assert_eq!(Vec::from_iter(avoided), none);
        returning.get(&endpoint(1)).copied()
    };
    say(BackendHealth::Up, now);
    assert_eq!(share(now), None, "it is new, and so is everything");
    say(BackendHealth::Down, now);
    say(BackendHealth::Up, now);
    let after = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(share(now), Some(LEAST_SHARE));
    assert_eq!(share(after(5)), Some(50));
    book.look(&service.name, endpoint(1), Openings::default(), after(10));
    assert_eq!(share(after(10)), None);
    assert!(book.services()["game"].troubled.is_empty());
}
