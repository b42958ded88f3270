//! The rules of protocol 3.2 that a newcomer keeps, one by one; `tests/resume_walk` has them together.

use super::*;

const TIMING: Timing = Timing {
    backend: 100,
    window: 1000,
};
const US: &str = "us";
const A: &str = "a";

fn newcomer(bindings: usize) -> Newcomer<&'static str> {
    let (mut newcomer, asked) = Newcomer::new(0, TIMING, 3, bindings, US, A);
    assert_eq!(asked, [Do::Ask(US)]);
    let asked = newcomer.answered(0, &US, Answer::Unknown, 0);
    assert_eq!(asked, [Do::Ask(A)]);
    newcomer
}

fn holds(bindings: usize) -> Newcomer<&'static str> {
    let mut newcomer = newcomer(bindings);
    let opened = newcomer.answered(0, &A, Answer::Holds { epoch: 4 }, bindings);
    assert_eq!(opened, (0..bindings).map(Do::Open).collect::<Vec<_>>());
    newcomer
}

#[test]
fn a_session_is_opened_claimed_and_adopted() {
    let mut newcomer = holds(2);
    assert_eq!(newcomer.accepted(1, 1), []);
    assert_eq!(newcomer.accepted(1, 0), [Do::Claim(A)]);
    assert_eq!(newcomer.holds_more(1, &A, 3), [Do::Open(2)]);
    assert_eq!(newcomer.accepted(1, 2), [Do::Claim(A)]);
    assert_eq!(newcomer.handed_over(&A, false), [Do::Adopt { gap: false }]);
    assert_eq!(
        newcomer
            .into_holder::<u8>(Numbering::default(), 0)
            .unwrap()
            .epoch(),
        4
    );
}

#[test]
fn nobody_has_it() {
    let mut newcomer = newcomer(2);
    let opened = newcomer.on_time(300);
    assert_eq!(opened, [Do::Open(0), Do::Open(1)]);
    assert_eq!(newcomer.epoch(), 4);
    assert_eq!(newcomer.accepted(301, 0), []);
    // "or nothing within the connect timeout: its binding is dropped".
    let late = [
        Do::Release(1, Code::BAD_GATEWAY),
        Do::Error502(1),
        Do::Adopt { gap: true },
    ];
    assert_eq!(newcomer.on_time(400), late);
    // Who promises it now is told.
    let answer = Answer::Holds { epoch: 4 };
    assert_eq!(newcomer.answered(500, &A, answer, 2), [Do::Supersede(A)]);
}

#[test]
fn nobody_has_it_and_nothing_is_left() {
    let closed = [Do::Close(Code::GONE)];
    assert_eq!(newcomer(0).answered(0, &A, Answer::Unknown, 0), closed);
    let mut newcomer = newcomer(1);
    newcomer.peer_lost(0, &A);
    let refused = [Do::Forget(0), Do::Error502(0), Do::Close(Code::GONE)];
    assert_eq!(newcomer.closed(0, 0, Code::NO_ROUTE), refused);
}

#[test]
fn a_backend_that_refuses_ends_the_resume() {
    let mut newcomer = holds(3);
    newcomer.accepted(0, 0);
    let failed = [
        Do::Forget(1),
        Do::Leave(0),
        Do::Leave(2),
        Do::GiveUp { to: A, stale: true },
        Do::Close(Code::GONE),
    ];
    assert_eq!(newcomer.closed(0, 1, Code::GONE), failed);
}

#[test]
fn a_backend_that_ends_the_session() {
    let mut newcomer = holds(2);
    newcomer.accepted(0, 0);
    let ended = [
        Do::Forget(0),
        Do::EndHolder(A, Code::KICKED),
        Do::Release(1, Code::KICKED),
        Do::Close(Code::KICKED),
    ];
    assert_eq!(newcomer.closed(0, 0, Code::KICKED), ended);
}

#[test]
fn a_holder_that_does_not_hand_over() {
    let claims = || {
        let mut newcomer = holds(1);
        newcomer.accepted(0, 0);
        newcomer
    };
    assert_eq!(claims().on_time(300), [Do::Adopt { gap: true }]);
    assert_eq!(claims().peer_lost(1, &A), [Do::Adopt { gap: true }]);
    let end = [Do::Release(0, Code::KICKED), Do::Close(Code::KICKED)];
    assert_eq!(claims().claim_ended(&A, Code::KICKED), end);
    let refused = [
        Do::Leave(0),
        Do::GiveUp {
            to: A,
            stale: false,
        },
        Do::Close(Code::UNAVAILABLE),
    ];
    assert_eq!(claims().claim_refused(&A), refused);
}

#[test]
fn a_session_that_has_moved_is_followed_so_often() {
    let mut newcomer = newcomer(1);
    let (mut here, mut next) = (A, "b");
    for _ in 0..MAX_MOVES {
        let moved = newcomer.answered(0, &here, Answer::Moved(next), 0);
        assert_eq!(moved, [Do::Ask(next)]);
        (here, next) = (next, here);
    }
    assert_eq!(
        newcomer.answered(0, &here, Answer::Moved(next), 0),
        [Do::Open(0)]
    );
}

#[test]
fn refusals_are_passed_on() {
    let answered = |answer| newcomer(1).answered(0, &A, answer, 0);
    assert_eq!(answered(Answer::Busy), [Do::Close(Code::UNAVAILABLE)]);
    assert_eq!(answered(Answer::NotGood), [Do::Close(Code::GONE)]);
}
