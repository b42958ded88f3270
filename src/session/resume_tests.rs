use super::*;

fn names<'a>(names: &'a [&'a str]) -> impl Iterator<Item = Arc<str>> + 'a {
    names.iter().map(|name| Arc::from(*name))
}

fn exactly(count: u64) -> Option<Answer> {
    Some(Answer { count, gap: false })
}

#[test]
fn a_session_is_opened_again_at_each_backend() {
    let mut session = Resumption::new();
    session.suspend();
    assert_eq!(session.judge(1, false), Judgement::Take);
    assert_eq!(session.begin(1, 7, names(&["a", "b"])), Some(2));
    assert_eq!(session.finish(), None);
    assert!(!session.accepted("a", 1), "of an epoch before");
    assert!(session.accepted("a", 2));
    assert!(!session.accepted("a", 2), "once");
    assert_eq!(session.finish(), None);
    assert!(session.answered("b"));
    assert_eq!(session.finish(), exactly(7));
    assert!(session.is_connected());
    assert_eq!(session.finish(), None);
}

#[test]
fn without_services_there_is_nothing_to_wait_for() {
    let mut session = Resumption::new();
    assert_eq!(session.begin(1, 0, names(&[])), Some(2));
    assert_eq!(session.finish(), exactly(0));
}

#[test]
fn a_token_is_good_until_the_connection_that_it_opened_has_spoken() {
    let mut session = Resumption::new();
    session.begin(1, 0, names(&[]));
    session.finish();
    for token in [1, 2] {
        assert_eq!(session.judge(token, false), Judgement::Take, "{token}");
    }
    assert_eq!(session.judge(3, false), Judgement::Used, "of the future");
    session.heard();
    assert_eq!(session.judge(1, false), Judgement::Used);
    assert_eq!(session.judge(2, false), Judgement::Take);
}

#[test]
fn connections_that_are_lost_before_opened_use_no_token() {
    let mut session = Resumption::new();
    for attempt in 0..3 {
        assert_eq!(session.judge(1, false), Judgement::Take);
        assert_eq!(session.begin(1, 4, names(&["a"])), Some(attempt + 2));
        session.suspend();
        assert!(!session.answered("a"));
    }
}

#[test]
fn a_newer_resume_takes_the_place_of_one_under_way() {
    let mut session = Resumption::new();
    assert_eq!(session.begin(1, 4, names(&["a"])), Some(2));
    assert_eq!(session.begin(1, 5, names(&["a"])), None);
    assert!(session.accepted("a", 2));
    assert_eq!(session.finish(), exactly(5));
}

#[test]
fn a_gap_is_told_again_until_it_is_heard_of() {
    let mut session = Resumption::new();
    session.begin(1, 900, names(&[]));
    session.finish();
    session.told_gap();
    // OPENED was lost: the client comes with what it had.
    session.begin(1, 900, names(&[]));
    let answer = Answer {
        count: 0,
        gap: true,
    };
    assert_eq!(session.finish(), Some(answer));
    // The first one came after all, and three frames behind it.
    session.begin(2, 3, names(&[]));
    assert_eq!(session.finish(), exactly(3));
}

#[test]
fn a_session_that_nobody_has_is_taken_up_with_a_gap() {
    let mut session = Resumption::by_token(4, names(&["a"])).unwrap();
    assert!(session.accepted("a", 5));
    let gap = Some(Answer {
        count: 0,
        gap: true,
    });
    assert_eq!(session.finish(), gap);
    // Again, for whoever has not heard of it; exactly, for whoever has.
    assert_eq!(session.judge(4, false), Judgement::Take);
    assert_eq!(session.begin(4, 9, names(&[])), Some(6));
    assert_eq!(session.finish(), gap);
    session.begin(5, 2, names(&[]));
    assert_eq!(session.finish(), exactly(2));
    assert!(Resumption::by_token(u32::MAX, names(&[])).is_none());
}

#[test]
fn a_gateway_that_is_left_keeps_no_connection_from_going() {
    let mut session = Resumption::new();
    assert_eq!(session.judge(1, true), Judgement::ElsewherePlease);
    session.suspend();
    assert_eq!(session.judge(1, true), Judgement::Take);
}
