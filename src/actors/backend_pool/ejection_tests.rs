//! Ejection as a whole (book, breakers, shares of sessions, `max_ejected_percent`) against simple models.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{endpoint, service, view};
use super::*;
use crate::actors::backend_pool::BackendHealth::{self, Down, Leaving, Suspect, Unknown, Up};
use crate::routing::health::STABLE;

const S: Duration = Duration::from_secs(1);
const WORKERS: usize = 3;
/// As in the breaker.
const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(300);

/// A book of one service, with the time.
struct Scene {
    book: HealthBook,
    service: Arc<ServiceRoute>,
    endpoints: u8,
    now: Instant,
    /// Sessions so far.
    sessions: Vec<Openings>,
}

impl Scene {
    fn new(endpoints: u8) -> Scene {
        let mut scene = Scene {
            book: HealthBook::default(),
            service: service(endpoints),
            endpoints,
            now: Instant::now(),
            sessions: vec![Openings::default(); endpoints.into()],
        };
        scene.all_up();
        scene.look();
        scene
    }

    fn say(&self, of: u8, worker: usize, health: BackendHealth) {
        let (name, view) = (&self.service.name, view(worker, health));
        self.book.report(name, endpoint(of), view, self.now);
    }

    fn all_up(&mut self) {
        for of in 0..self.endpoints {
            (0..WORKERS).for_each(|worker| self.say(of, worker, Up));
        }
    }

    /// All pools look at what sessions have found.
    fn look(&self) {
        for of in 0..self.endpoints {
            let so_far = self.sessions[usize::from(of)];
            self.book
                .look(&self.service.name, endpoint(of), so_far, self.now);
        }
    }

    /// Sessions come everywhere, and this endpoint alone fails its own.
    fn fails_sessions(&mut self, of: u8) {
        for (number, so_far) in self.sessions.iter_mut().enumerate() {
            so_far.opened += 20;
            so_far.failed += 20 * u64::from(number == usize::from(of));
        }
        // A window ends.
        self.now += 10 * S;
        self.look();
    }

    fn breaker_at(&self, of: u8, at: Instant) -> Breaker {
        self.book.breaker("game", endpoint(of), at)
    }

    fn avoided_at(&self, worker: usize, percent: u8, at: Instant) -> BTreeSet<SocketAddr> {
        let mut avoided = BTreeSet::new();
        let book = &self.book;
        book.add_avoided(&self.service, worker, percent, at, &mut avoided);
        avoided
    }

    /// Returns for how long the breaker stays open.
    fn open_for(&self, of: u8) -> Duration {
        let mut time = Duration::ZERO;
        while self.breaker_at(of, self.now + time) == Breaker::Open {
            time += S;
        }
        time
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Endpoint, worker, and how that one finds it.
    Says(u8, usize, BackendHealth),
    FailsSessions(u8),
    /// In milliseconds.
    Passes(u64),
}

fn events(endpoints: u8) -> impl Strategy<Value = Vec<Event>> {
    let health = prop_oneof![
        Just(Unknown),
        Just(Up),
        Just(Suspect),
        Just(Down),
        Just(Leaving)
    ];
    let flap = (0..endpoints, 0..WORKERS).prop_map(|(of, worker)| {
        let pass = Event::Passes(1500);
        vec![
            Event::Says(of, worker, Down),
            Event::Says(of, worker, Up),
            pass,
        ]
    });
    let event = prop_oneof![
        6 => flap,
        4 => (0..endpoints, 0..WORKERS, health).prop_map(|(of, by, is)| vec![Event::Says(of, by, is)]),
        1 => (0..endpoints).prop_map(|of| vec![Event::FailsSessions(of)]),
        2 => (0_u64..20_000).prop_map(|ms| vec![Event::Passes(ms)]),
    ];
    proptest::collection::vec(event, 0..60).prop_map(|lists| lists.concat())
}

/// How each worker finds each endpoint: the newest that it said.
type Views = HashMap<(u8, usize), BackendHealth>;

fn play(scene: &mut Scene, event: Event, views: &mut Views) {
    match event {
        Event::Says(of, worker, health) => {
            scene.say(of, worker, health);
            views.insert((of, worker), health);
        }
        Event::FailsSessions(of) => scene.fails_sessions(of),
        Event::Passes(milliseconds) => scene.now += Duration::from_millis(milliseconds),
    }
}

/// Tells whether a worker cannot send sessions to an endpoint, whatever breakers say.
fn is_gone(views: &Views, of: u8, worker: usize) -> bool {
    let bad = |health: BackendHealth| matches!(health, Suspect | Down | Leaving);
    let view = |by: usize| views.get(&(of, by)).copied().unwrap_or(Up);
    match view(worker) {
        Unknown => {
            let mut known = (0..WORKERS).map(view).filter(|health| *health != Unknown);
            known.clone().next().is_some() && known.all(bad)
        }
        own => bad(own),
    }
}

proptest! {
    /// Breakers take exactly as many of a service's endpoints as are open, as long as these and those that are gone
    /// are not more than the percentage.
    #[test]
    fn no_more_than_the_percentage_is_ejected(
        endpoints in 1_u8..9, percent in 0_u8..=100, events in events(8),
    ) {
        let (mut scene, mut views) = (Scene::new(endpoints), Views::new());
        for event in events {
            match event {
                Event::Says(of, ..) | Event::FailsSessions(of) if of >= endpoints => continue,
                _ => play(&mut scene, event, &mut views),
            }
            for worker in 0..WORKERS {
                let all = 0..endpoints;
                let gone: BTreeSet<_> =
                    all.clone().filter(|of| is_gone(&views, *of, worker)).map(endpoint).collect();
                let open = all.filter(|of| scene.breaker_at(*of, scene.now) == Breaker::Open).map(endpoint);
                let open: BTreeSet<_> = open.filter(|of| !gone.contains(of)).collect();
                let avoided = scene.avoided_at(worker, percent, scene.now);
                prop_assert!(gone.is_subset(&avoided));
                let ejected: BTreeSet<_> = avoided.difference(&gone).copied().collect();
                prop_assert!(ejected.is_subset(&open));
                let most = usize::from(endpoints) * usize::from(percent) / 100;
                prop_assert_eq!(ejected.len(), open.len().min(most.saturating_sub(gone.len())));
            }
        }
    }

    /// Whatever was before: who is well for STABLE, while sessions may come, is avoided no more and gets its whole share.
    #[test]
    fn whoever_is_well_for_long_enough_is_back(events in events(3)) {
        let (mut scene, mut views) = (Scene::new(3), Views::new());
        for event in events {
            play(&mut scene, event, &mut views);
        }
        scene.all_up();
        for of in 0..3 {
            let waits = scene.open_for(of);
            prop_assert!(waits <= MOST);
            let back = scene.now + waits + STABLE;
            prop_assert_eq!(scene.breaker_at(of, back), Breaker::Closed);
            for worker in 0..WORKERS {
                prop_assert!(!scene.avoided_at(worker, 100, back).contains(&endpoint(of)));
            }
            let mut avoided = BTreeSet::new();
            let shares = scene.book.add_avoided(&scene.service, 0, 100, back, &mut avoided);
            prop_assert!(shares.get(&endpoint(of)).is_none_or(|share| *share == 100));
        }
    }

    /// Each time that it opens is twice as long as the one before, up to the most; after as long a calm it is the first
    /// again.
    #[test]
    fn its_time_grows_and_is_capped(
        troubles in proptest::collection::vec((any::<bool>(), 2_u32..40), 1..60),
        calm in 300_u32..400,
    ) {
        let (mut scene, mut last, mut opened) = (Scene::new(3), None::<Duration>, 0);
        for (by_sessions, seconds) in troubles {
            scene.now += seconds * S;
            if by_sessions {
                scene.fails_sessions(1);
            } else {
                scene.say(1, 0, Down);
            }
            let time = scene.open_for(1);
            scene.say(1, 0, Up);
            if time > Duration::ZERO {
                opened += 1;
                prop_assert_eq!(time, last.map_or(FIRST, |last| (2 * last).min(MOST)), "{}", opened);
                last = Some(time);
                // The next trouble comes when it may be met again.
                scene.now += time;
            }
        }
        scene.now += calm * S;
        scene.fails_sessions(1);
        prop_assert_eq!(scene.open_for(1), FIRST);
    }

    /// What all workers notice of one failure is one failure, in whatever order they notice it: spread over any time
    /// while nobody reaches the endpoint, or within a moment where some do.
    #[test]
    fn the_order_of_reports_does_not_matter(
        failures in proptest::collection::vec(
            (
                proptest::collection::vec(0_usize..4, WORKERS),
                any::<bool>(),
                Just((0..WORKERS * 3).map(|n| n % WORKERS).collect::<Vec<_>>()).prop_shuffle(),
                Just((0..WORKERS * 3).map(|n| n % WORKERS).collect::<Vec<_>>()).prop_shuffle(),
                2_u32..30,
            ),
            1..12,
        ),
    ) {
        const SEEN: [&[BackendHealth]; 4] = [&[Down], &[Suspect], &[Suspect, Down], &[]];
        let mut scenes = [Scene::new(3), Scene::new(3)];
        for (seen, recover, one, other, seconds) in failures {
            for (scene, order) in scenes.iter_mut().zip([one, other]) {
                scene.now += seconds * S;
                let (begin, mut next) = (scene.now, [0; WORKERS]);
                for worker in order {
                    let mut steps = SEEN[seen[worker]].to_vec();
                    if recover && !steps.is_empty() {
                        steps.push(Up);
                    }
                    if let Some(health) = steps.get(next[worker]) {
                        next[worker] += 1;
                        scene.say(1, worker, *health);
                        // Within the moment that counts as one, or far beyond it.
                        scene.now += if recover { S / 10 } else { S };
                    }
                }
                // How long it took says nothing either.
                scene.now = begin + 10 * S;
                scene.all_up();
            }
            let [one, other] = &scenes;
            for seconds in [0, 1, 5, 9, 10, 15, 20, 100, 300, 310] {
                let (at, same) = (one.now + seconds * S, other.now + seconds * S);
                prop_assert_eq!(one.breaker_at(1, at), other.breaker_at(1, same));
                for worker in 0..WORKERS {
                    prop_assert_eq!(one.avoided_at(worker, 50, at), other.avoided_at(worker, 50, same));
                }
            }
        }
    }
}
