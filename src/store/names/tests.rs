//! Names in virtual time, against a resolver that answers as each test says.

use super::*;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

fn hosts(names: impl IntoIterator<Item = String>) -> BTreeSet<Host> {
    names.into_iter().map(Host::from).collect()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// A resolver with a thread for each look-up, and the names that ask it.
struct World {
    names: Names,
    now: Instant,
    threads: Vec<(Instant, Host)>,
    most_threads: usize,
    /// How long each name takes to be answered.
    takes: fn(&str) -> Duration,
    address: u8,
    /// When each name was looked up the last time.
    asked: BTreeMap<Host, Instant>,
}

impl World {
    fn new(takes: fn(&str) -> Duration) -> World {
        World {
            names: Names::default(),
            now: Instant::now(),
            threads: Vec::new(),
            most_threads: 0,
            takes,
            address: 1,
            asked: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let (ended, running) = std::mem::take(&mut self.threads)
            .into_iter()
            .partition(|(until, _)| *until <= self.now);
        self.threads = running;
        for (_, host) in ended {
            let found = match host.contains("silent") {
                true => Err(io::Error::other("no server")),
                false => Ok(vec![ip(self.address)]),
            };
            self.names.answered(&host, found, self.now, INTERVAL);
        }
        for host in self.names.begin(self.now) {
            self.asked.insert(Arc::clone(&host), self.now);
            self.threads.push((self.now + (self.takes)(&host), host));
        }
        self.most_threads = self.most_threads.max(self.threads.len());
        let next = self.names.next();
        assert!(
            next.is_none_or(|next| next > self.now),
            "nothing is overlooked"
        );
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn resolved_to(&self, host: &str) -> Option<Vec<IpAddr>> {
        self.names.addresses().get(host).cloned()
    }
}

/// Half a minute for a zone that is silent, as glibc takes with one search domain and two servers.
fn by_zone(host: &str) -> Duration {
    match host.contains("silent") {
        true => Duration::from_secs(30),
        false => Duration::from_millis(5),
    }
}

fn good_and_silent(silent: usize) -> BTreeSet<Host> {
    let silent = (0..silent).map(|n| format!("a{n}.silent.example"));
    hosts(silent.chain((0..10).map(|n| format!("g{n}.good.example"))))
}

#[test]
fn a_silent_zone_delays_no_good_name() {
    let mut world = World::new(by_zone);
    world.names.want(&good_and_silent(1_000));
    // At the start nothing is known of anybody; the good zone has its turn.
    world.run(2 * STEP);
    assert_eq!(world.names.addresses().len(), 10);
    assert!(world.names.is_waiting(), "the silent ones may still answer");
    // From then on every good name has its own clock, whatever the others do.
    for change in 2..30 {
        world.address = change;
        world.run(INTERVAL + 3 * STEP);
        for good in 0..10 {
            let address = world.resolved_to(&format!("g{good}.good.example"));
            assert_eq!(address, Some(vec![ip(change)]), "change {change}");
        }
    }
    assert_eq!(world.names.addresses().len(), 10);
    let bound = MAX_NEW + MAX_PROMPT + MAX_SLOW + MAX_HANGING;
    assert!(
        world.most_threads <= bound,
        "{} threads",
        world.most_threads
    );
}

#[test]
fn new_good_names_pass_those_that_are_known_to_be_slow() {
    let mut world = World::new(by_zone);
    world.names.want(&good_and_silent(1_000));
    world.run(Duration::from_secs(600));
    assert!(!world.names.is_waiting());
    assert_eq!(
        world.names.running(),
        MAX_SLOW,
        "slow ones have their own lane"
    );
    let mut wanted = good_and_silent(1_000);
    // Even in the silent zone.
    wanted.insert("new.silent-no-more.example".into());
    wanted.insert("new.good.example".into());
    world.names.want(&wanted);
    world.run(2 * STEP);
    assert_eq!(world.resolved_to("new.good.example"), Some(vec![ip(1)]));
}

#[test]
fn a_zone_that_falls_silent_gives_its_room_to_others() {
    static SILENT: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let mut world = World::new(|host| {
        let silent = SILENT.load(std::sync::atomic::Ordering::Relaxed);
        match silent && host.starts_with('a') {
            true => Duration::from_secs(30),
            false => Duration::from_millis(5),
        }
    });
    let falling = (0..200).map(|n| format!("a{n}.one.example"));
    let names = hosts(falling.chain((0..10).map(|n| format!("g{n}.two.example"))));
    world.names.want(&names);
    world.run(Duration::from_secs(1));
    assert_eq!(world.names.addresses().len(), 210);
    SILENT.store(true, std::sync::atomic::Ordering::Relaxed);
    for change in 2..20 {
        world.address = change;
        world.run(INTERVAL + 3 * STEP);
        let address = world.resolved_to("g7.two.example");
        assert_eq!(address, Some(vec![ip(change)]), "change {change}");
    }
    SILENT.store(false, std::sync::atomic::Ordering::Relaxed);
    world.run(Duration::from_secs(30) + 2 * INTERVAL);
    assert_eq!(
        world.resolved_to("a199.one.example"),
        Some(vec![ip(19)]),
        "it is back"
    );
}

#[test]
fn a_failure_leaves_the_last_good_answer() {
    let mut names = Names::default();
    let now = Instant::now();
    let host: Host = "a".into();
    names.want(&BTreeSet::from([Arc::clone(&host)]));
    assert_eq!(names.begin(now), [Arc::clone(&host)]);
    assert!(
        names.begin(now).is_empty(),
        "one look-up of a name at a time"
    );
    names.answered(&host, Ok(vec![ip(2), ip(1), ip(2)]), now, INTERVAL);
    assert_eq!((names.version(), names.is_waiting()), (1, false));
    assert_eq!(names.next(), Some(now + INTERVAL));
    let later = now + INTERVAL;
    assert_eq!(names.begin(later).len(), 1);
    names.answered(&host, Ok(vec![ip(1), ip(2)]), later, INTERVAL);
    assert_eq!(names.version(), 1, "the order says nothing");
    for failure in [Ok(Vec::new()), Err(io::Error::other("no server"))] {
        names.hurry();
        assert_eq!(names.begin(later).len(), 1);
        names.answered(&host, failure, later, INTERVAL);
    }
    assert_eq!(names.addresses()[&host], [ip(1), ip(2)]);
    assert_eq!(names.version(), 1);
}

#[test]
fn a_name_that_goes_and_comes_is_looked_up_once_at_a_time() {
    let mut names = Names::default();
    let now = Instant::now();
    let wanted = hosts(["a".to_owned()]);
    names.want(&wanted);
    assert_eq!(names.begin(now).len(), 1);
    names.want(&BTreeSet::new());
    assert!(!names.is_waiting() && names.is_empty());
    names.want(&wanted);
    assert!(names.begin(now).is_empty(), "its thread still runs");
    names.answered(&"a".into(), Ok(vec![ip(1)]), now, INTERVAL);
    assert_eq!(names.addresses().len(), 1);
    names.want(&BTreeSet::new());
    assert_eq!((names.next(), names.len()), (None, 0));
    // The next watcher after a panic hears no answer any more.
    names.want(&wanted);
    names.begin(now);
    names.begin_anew();
    assert_eq!(names.begin(now).len(), 1);
}

#[test]
fn the_system_knows_localhost() {
    let found = look_up("localhost").unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
}

proptest! {
    /// Whatever comes in whatever order: no name is looked up twice at a time, none is forgotten, and the
    /// number of threads is bounded.
    #[test]
    fn no_name_is_forgotten(deeds in proptest::collection::vec((0..6_u8, 0..8_u8), 0..200)) {
        let mut world = World::new(|host| Duration::from_millis(match host.as_bytes()[1] % 4 {
            0 => 5,
            1 => 900,
            2 => 1_500,
            _ => 20_000,
        }));
        let all: Vec<Host> = (0..8).map(|n| Host::from(format!("n{n}.zone{}", n % 3))).collect();
        let mut wanted = BTreeSet::new();
        for (deed, which) in deeds {
            let host = Arc::clone(&all[which as usize]);
            match deed {
                0 | 1 => { wanted.insert(host); world.names.want(&wanted); }
                2 => { wanted.remove(&host); world.names.want(&wanted); }
                3 => world.names.hurry(),
                4 => world.run(Duration::from_millis(500)),
                _ => world.step(),
            }
            let mut running: Vec<_> = world.threads.iter().map(|(_, host)| host).collect();
            running.sort();
            running.dedup();
            prop_assert_eq!(running.len(), world.threads.len());
        }
        world.names.want(&wanted);
        world.run(Duration::from_secs(25));
        let before = world.now;
        world.run(INTERVAL + Duration::from_secs(25));
        for host in &wanted {
            prop_assert!(world.asked[host] >= before, "{} is forgotten", host);
        }
        prop_assert_eq!(world.names.addresses().len(), wanted.len());
    }
}
