//! The rules of protocol 3.2 that a holder keeps, one by one; `tests/resume_walk` has them together.

use super::leaving::MAX_ROUNDS;
use super::*;
use crate::session::resume::Standing;

const TIMING: Timing = Timing {
    backend: 100,
    window: 1000,
};
const US: &str = "us";
const B: &str = "b";
const C: &str = "c";

fn holder() -> Holder<&'static str> {
    Holder::new(TIMING)
}

fn answer(actions: &[Do<&'static str>]) -> Answer<&'static str> {
    match actions.last() {
        Some(Do::Answer(answer)) => *answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_ends_with_the_code_of_its_connection() {
    let mut holder = holder();
    let lost = holder.connection_lost(5, Code::TIMEOUT);
    assert_eq!(lost, [Do::Suspend(1000)]);
    assert!(holder.is_suspended());
    assert_eq!(holder.on_time(1004), []);
    assert_eq!(holder.on_time(1005), [Do::End(Code::TIMEOUT)]);
    assert!(holder.is_over(1005));
}

#[test]
fn a_session_is_left_in_order_and_handed_over() {
    let mut holder = holder();
    assert_eq!(
        answer(&holder.asked(0, &B, 1, false)),
        Answer::Holds { epoch: 2 }
    );
    // One newcomer at a time.
    assert_eq!(answer(&holder.asked(0, &C, 1, false)), Answer::Busy);
    assert_eq!(holder.claimed(1, &C, 0, &[]), [Do::RefuseClaim]);
    let services = [
        Standing::Taken,
        Standing::Here,
        Standing::Dropped,
        Standing::Lost,
    ];
    let claimed = holder.claimed(1, &B, 7, &services);
    let expected = [
        Do::StopReading,
        Do::LeaveLink(0),
        Do::Forget(1),
        Do::LeaveLink(2),
        Do::Forget(3),
    ];
    assert_eq!(claimed, expected);
    assert_eq!(holder.left(2, 2), []);
    let handed = [
        Do::HandOver {
            to: B,
            gap: false,
            has: 7,
        },
        Do::CloseClient(Code::REPLACED),
    ];
    assert_eq!(holder.left(2, 0), handed);
    // "Who has handed a session over remembers to whom for the resume window".
    assert_eq!(answer(&holder.asked(3, &C, 1, false)), Answer::Moved(B));
    assert!(!holder.is_over(1001) && holder.is_over(1002));
}

#[test]
fn a_link_that_is_not_left_is_a_gap() {
    let claimed = || {
        let mut holder = holder();
        holder.asked(0, &B, 1, false);
        holder.claimed(0, &B, 0, &[Standing::Taken]);
        holder
    };
    let gap = |actions: Vec<Do<_>>| matches!(actions[..], [Do::HandOver { gap: true, .. }, _]);
    assert!(gap(claimed().link_lost(1, 0)));
    assert_eq!(claimed().on_time(99), []);
    assert!(gap(claimed().on_time(100)));
}

#[test]
fn a_claim_waits_for_what_is_opened_and_tells_what_is_new() {
    let mut holder = holder();
    holder.asked(0, &B, 1, false);
    let opening = [Standing::Taken, Standing::Opening];
    assert_eq!(holder.claimed(0, &B, 0, &opening), [Do::StopReading]);
    let unasked = [Standing::Taken, Standing::Unasked];
    for _ in 0..MAX_ROUNDS {
        assert_eq!(
            holder.claimed(0, &B, 0, &unasked),
            [Do::StopReading, Do::HoldsMore]
        );
    }
    holder.claimed(0, &B, 0, &unasked);
    let handed = holder.left(0, 0);
    assert!(matches!(handed[..], [Do::HandOver { gap: true, .. }, _]));
}

#[test]
fn a_token_is_used_by_the_first_frame() {
    let mut numbering = Numbering::default();
    numbering.restart(4, 10);
    let mut holder: Holder<&str> = Holder::resumed(TIMING, 4, 3, numbering);
    assert_eq!(answer(&holder.asked(0, &B, 2, false)), Answer::NotGood);
    assert_eq!(
        answer(&holder.asked(0, &B, 3, false)),
        Answer::Holds { epoch: 5 }
    );
    // "until the token is used, a repeated RESUME is answered with GAP again".
    let again = holder.claimed(0, &B, 10, &[]);
    assert_eq!(
        again[1],
        Do::HandOver {
            to: B,
            gap: true,
            has: 10
        }
    );
    let mut holder: Holder<&str> = Holder::resumed(TIMING, 4, 3, Numbering::default());
    holder.client_frame();
    assert_eq!(answer(&holder.asked(0, &B, 3, false)), Answer::NotGood);
    assert_eq!(
        answer(&holder.asked(0, &B, 4, false)),
        Answer::Holds { epoch: 5 }
    );
}

#[test]
fn a_promise_that_is_not_kept() {
    let mut holder = holder();
    holder.asked(0, &B, 1, false);
    assert_eq!(holder.given_up(1, &C, false), []);
    let broken = [Do::Suspend(1000), Do::CloseClient(Code::UNAVAILABLE)];
    assert_eq!(holder.on_time(300), broken);
    holder.asked(301, &C, 1, false);
    let handed = holder.claimed(302, &C, 0, &[]);
    assert_eq!(
        handed[1],
        Do::HandOver {
            to: C,
            gap: true,
            has: 0
        }
    );
}

#[test]
fn a_session_that_ends_while_it_is_promised() {
    let mut holder = holder();
    holder.asked(0, &B, 1, false);
    let ended = [Do::CloseClient(Code::KICKED), Do::End(Code::KICKED)];
    assert_eq!(holder.ended(1, Code::KICKED), ended);
    assert_eq!(
        holder.claimed(2, &B, 0, &[]),
        [Do::ClaimEnded(B, Code::KICKED)]
    );
}

#[test]
fn a_session_that_has_gone_on_elsewhere() {
    for stale in [false, true] {
        let mut holder = holder();
        let actions = if stale {
            holder.asked(0, &B, 1, false);
            holder.given_up(1, &B, true)
        } else {
            holder.asked(1, &B, 2, false)
        };
        assert_eq!(
            actions[..2],
            [Do::LeaveAll, Do::CloseClient(Code::REPLACED)]
        );
        assert!(!holder.has_session());
    }
}

#[test]
fn who_drains_keeps_connections_that_stand() {
    let mut holder = holder();
    assert_eq!(answer(&holder.asked(0, &US, 1, true)), Answer::Busy);
    holder.connection_lost(0, Code::NORMAL);
    assert_eq!(
        answer(&holder.asked(0, &US, 1, true)),
        Answer::Holds { epoch: 2 }
    );
}
