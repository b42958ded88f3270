use super::*;

const TTL: Duration = Duration::from_secs(10);
const NEGATIVE: Duration = Duration::from_secs(1);

struct Scene {
    cache: Assignments,
    service: Arc<str>,
    now: Instant,
}

fn scene(entries: usize) -> Scene {
    Scene {
        cache: Assignments::new(Limits {
            entries,
            ttl: TTL,
            negative_ttl: NEGATIVE,
        }),
        service: "battle".into(),
        now: Instant::now(),
    }
}

impl Scene {
    fn look(&mut self, user_id: u64) -> Look {
        self.cache.look(&self.service, user_id, false, self.now)
    }

    fn ask(&mut self, user_id: u64) -> Question {
        match self.look(user_id) {
            Look::Ask(question) => question,
            known => panic!("{known:?}"),
        }
    }

    fn answered(&mut self, question: Question, endpoint: Option<&str>) {
        let endpoint = endpoint.map(Arc::from);
        self.cache.answered(question, endpoint, self.now);
    }

    fn read(&mut self, user_id: u64, endpoint: Option<&str>) {
        let question = self.ask(user_id);
        self.answered(question, endpoint);
    }

    /// What is known without asking; none: nothing.
    fn known(&mut self, user_id: u64) -> Option<Option<String>> {
        match self.look(user_id) {
            Look::Known(endpoint) => Some(endpoint.map(|it| it.to_string())),
            Look::Ask(question) => {
                self.cache.end(&question.key);
                None
            }
        }
    }
}

fn at(endpoint: &str) -> Option<Option<String>> {
    Some(Some(endpoint.to_owned()))
}

#[test]
fn an_answer_lives_its_time() {
    let mut scene = scene(16);
    scene.read(1, Some("a:1"));
    scene.read(2, None);
    assert_eq!(scene.known(1), at("a:1"));
    assert_eq!(scene.known(2), Some(None));
    scene.now += NEGATIVE;
    assert_eq!((scene.known(1), scene.known(2)), (at("a:1"), None));
    scene.now += TTL - NEGATIVE;
    assert_eq!(scene.known(1), None);
    assert!(matches!(
        scene.cache.look(&scene.service, 1, true, scene.now),
        Look::Ask(_)
    ));
}

#[test]
fn what_has_changed_is_read_again() {
    let mut scene = scene(16);
    let service = Arc::clone(&scene.service);
    for user_id in 1..=3 {
        scene.read(user_id, Some("a:1"));
    }
    scene.cache.changed(&service, Some(2));
    assert_eq!(scene.known(2), None);
    assert_eq!(scene.known(1), at("a:1"));
    scene.read(2, None);
    assert_eq!(scene.known(2), Some(None), "not the assignment from before");
    scene.cache.changed(&"chat".into(), None);
    assert_eq!(scene.known(3), at("a:1"), "another service");
    scene.cache.changed(&service, None);
    assert_eq!((scene.known(1), scene.known(3)), (None, None));
    scene.read(1, Some("b:1"));
    assert_eq!(scene.known(1), at("b:1"));
    scene.cache.all_changed();
    assert_eq!(scene.known(1), None);
}

#[test]
fn an_answer_that_a_change_has_overtaken_is_not_kept_as_good() {
    for user_id in [Some(1), None] {
        let mut scene = scene(16);
        let service = Arc::clone(&scene.service);
        let before = scene.ask(1);
        scene.cache.changed(&service, user_id);
        let after = scene.ask(1);
        scene.answered(before.clone(), Some("old:1"));
        assert_eq!(scene.known(1), None, "{user_id:?}");
        scene.answered(after, Some("new:1"));
        assert_eq!(scene.known(1), at("new:1"), "{user_id:?}");
        assert!(scene.cache.reading.is_empty());
        // It was on a connection that is slow to end.
        scene.answered(before, Some("old:1"));
        assert_eq!(scene.known(1), at("new:1"), "{user_id:?}");
    }
}

#[test]
fn without_redis_the_last_assignment_counts() {
    let mut scene = scene(16);
    scene.read(1, Some("a:1"));
    scene.read(2, None);
    scene.now += 100 * TTL;
    scene.cache.all_changed();
    let [one, two, three] = [1, 2, 3].map(|user_id| scene.ask(user_id));
    assert_eq!(scene.cache.failed(&one).as_deref(), Some("a:1"));
    assert_eq!(scene.cache.failed(&two), None, "he may have been assigned");
    assert_eq!(scene.cache.failed(&three), None);
    assert_eq!(scene.known(1), None, "it is asked for again");
    assert!(scene.cache.reading.is_empty());
}

#[test]
fn strangers_cost_nobody_an_entry_and_have_a_bound() {
    let mut scene = scene(64);
    for user_id in 1..=24 {
        scene.read(user_id, Some("a:1"));
    }
    for user_id in 1000..100_000 {
        scene.read(user_id, None);
        assert!(scene.cache.len() <= 64, "{}", scene.cache.len());
    }
    for user_id in 1..=24 {
        assert_eq!(scene.known(user_id), at("a:1"), "{user_id}");
    }
    for user_id in 1..=10_000 {
        scene.read_unless_known(user_id);
        // He plays on.
        assert_eq!(scene.known(1), at("a:1"), "{user_id}");
        assert!(scene.cache.len() <= 64, "{}", scene.cache.len());
    }
}

impl Scene {
    fn read_unless_known(&mut self, user_id: u64) {
        if self.known(user_id).is_none() {
            self.read(user_id, Some("a:1"));
        }
    }
}

#[test]
fn nothing_is_kept_of_questions_that_nobody_ends() {
    let mut scene = scene(16);
    let lost = scene.ask(1);
    scene.cache.begin_anew();
    assert!(scene.cache.reading.is_empty());
    scene.answered(lost, Some("a:1"));
    assert_eq!(scene.known(1), None, "notifications may have been missed");
    scene.cache.changed(&"gone".into(), None);
    scene
        .cache
        .keep(&BTreeSet::from([Arc::clone(&scene.service)]));
    assert!(scene.cache.services.is_empty());
}

#[test]
fn what_is_known_is_counted_and_goes() {
    let mut scene = scene(1000);
    assert_eq!(scene.cache.bytes(), 0);
    let endpoint = "a-host-with-a-name:7100";
    for user_id in 1..=300 {
        let (before, growth) = (scene.cache.bytes(), scene.cache.growth(Some(endpoint)));
        scene.read(user_id, Some(endpoint));
        // The questions' table aside.
        let reading = table_bytes::<Key, Reading>(scene.cache.reading.capacity());
        assert!(
            scene.cache.bytes() <= before + growth + reading,
            "{user_id}"
        );
    }
    let each = size_of::<(Key, Entry)>() + endpoint.len();
    assert!(scene.cache.bytes() >= 300 * each);
    // Of those that were read one is used.
    for _ in 0..2 {
        scene.cache.forget_unused();
        assert_eq!(scene.known(1), at(endpoint));
    }
    assert_eq!(scene.cache.len(), 1);
    assert!(scene.cache.bytes() < 10 * each, "{}", scene.cache.bytes());
    scene.cache.all_changed();
    let question = scene.ask(1);
    scene.cache.passed(&question);
    assert_eq!((scene.known(1), scene.cache.len()), (None, 0));
    scene.cache.forget_unused();
    scene.cache.forget_unused();
    assert_eq!(scene.cache.bytes(), 0);
}
