//! Where a service may go, and who may speak of it behind that (protocol 2.3, 2.5).

use super::moves::{NEW, OLD, TO};
use super::*;
use crate::codec::peer::Handover;

impl Play {
    fn assigns(&mut self, service: &str, to: &str) -> MoveAnswer {
        self.at(|core, step| core.assign("game", service, to, step))
    }
}

#[test]
fn nobody_goes_where_no_new_sessions_are_taken() {
    let mut play = Play::with_session(0);
    play.around.closed.set(Some(TO.parse().unwrap()));
    let refused = MoveAnswer::Now(Code::UNAVAILABLE);
    assert_eq!(play.transfers(), refused);
    assert_eq!(play.assigns("game", TO), refused);
    assert_eq!(play.assigns("battle", TO), refused);
    play.says(&data("battle", 0));
    play.check(&["route battle OPEN epoch 1"]);
    // What is there stays there.
    play.around.closed.set(Some(endpoint("game")));
    let here = endpoint("game").to_string();
    assert_eq!(play.assigns("game", &here), MoveAnswer::Now(Code::NORMAL));
    play.says(&data("game", 0));
    play.check(&["game.1: forward 1"]);
}

#[test]
fn a_refusal_is_never_taken_for_a_move() {
    for (refusal, told) in [(0, 502), (205, 502), (399, 502), (400, 400), (1000, 1000)] {
        let mut play = Play::arriving(0);
        play.closes("game", refusal);
        play.check(&[
            "game.2: released",
            "game.1: OPEN resumed epoch 3 from a",
            &format!("game.1: MOVED {told}"),
        ]);
    }
}

#[test]
fn who_has_handed_over_has_no_say() {
    let (old, new) = (endpoint("game"), TO.parse().unwrap());
    let speaks = |play: &Play| [old, new].map(|from| play.core.uses(7, "game", from));
    let mut play = Play::with_session(0);
    assert_eq!(speaks(&play), [true, false]);
    play.transfers();
    assert_eq!(speaks(&play), [true, false]);
    play.parts(b"");
    // The new one has not been asked yet.
    assert_eq!(speaks(&play), [true, false]);
    play.arrives();
    // Each of them may have the session.
    assert_eq!(speaks(&play), [true, true]);
    play.accepts(2);
    assert_eq!(speaks(&play), [false, true]);
    assert!(!play.core.uses(8, "game", new) && !play.core.uses(7, "chat", new));
    // Behind the loss of its link on another one too.
    play.loses(NEW);
    assert_eq!(speaks(&play), [false, true]);
    play.says(&data("game", 0));
    play.opens("game", OLD);
    assert_eq!(speaks(&play), [true, false]);
}

#[test]
fn who_was_given_up_has_no_say() {
    let (old, new) = (endpoint("game"), TO.parse().unwrap());
    let speaks = |play: &Play| [old, new].map(|from| play.core.uses(7, "game", from));
    let mut play = Play::arriving(0);
    play.closes("game", 503);
    assert_eq!(speaks(&play), [true, false]);
    play.accepts(3);
    assert_eq!(speaks(&play), [true, false]);
    // What it said of the OPEN before may come while it is to get the session again.
    play.transfers();
    play.parts(b"");
    assert_eq!(speaks(&play), [true, false]);
}

#[test]
fn no_state_is_taken_while_memory_is_short() {
    let mut play = Play::with_session(0);
    play.transfers();
    play.heard();
    play.around.short.set(true);
    play.parts(b"a match");
    play.check(&["game.1: OPEN resumed epoch 2 from a", "game.1: MOVED 503"]);
    // It is tried again: where its backend goes to maintenance, it does not end for this.
    let waits = "game.1: stays for now".to_owned();
    play.accepts(2);
    assert!(play.heard().contains(&waits));
    let (from, to) = (endpoint("game"), TO.parse().unwrap());
    let answer = play.at(|core, step| core.transfer("game", from, TO, step));
    assert_eq!(answer, MoveAnswer::Now(Code::UNAVAILABLE));
    play.at(|core, step| core.found_elsewhere("game", from, false, Ok(to), step));
    play.check(&[&waits]);
    play.around.short.set(false);
    assert_eq!(play.transfers(), MoveAnswer::Later);
}

#[test]
fn an_assignment_waits_for_who_must_be_bound_first() {
    let mut play = Play::with_session(0);
    play.assigns("battle", TO);
    let not_bound = RouteFailed {
        code: Code::NOT_BOUND,
        text: "",
        retry_after_ms: 0,
    };
    let route = format!("route battle to {TO} OPEN epoch 1");
    for _ in 0..2 {
        play.says(&data("battle", 0));
        play.at(|core, step| core.service_failed("battle", not_bound, step));
        play.check(&[&route, "ERROR 401 battle"]);
    }
    // Where that one cannot be reached, the rules decide.
    play.says(&data("battle", 0));
    let code = Code::BAD_GATEWAY;
    let lost = RouteFailed { code, ..not_bound };
    play.at(|core, step| core.service_failed("battle", lost, step));
    play.heard();
    play.says(&data("battle", 0));
    play.check(&["route battle OPEN epoch 1"]);
}

#[test]
fn behind_a_lost_link_only_a_word_in_the_session_counts() {
    let (here, again) = (endpoint("game").to_string(), "route game OPEN epoch 1");
    let assigned = format!("route game to {here} OPEN epoch 1");
    for by_assign in [false, true] {
        let mut play = Play::with_session(0);
        play.around.assigns.set(true);
        if by_assign {
            assert_eq!(play.assigns("game", &here), MoveAnswer::Now(Code::NORMAL));
        }
        for link in [OLD, NEW] {
            play.loses(link);
            play.heard();
            play.says(&data("game", 0));
            play.check(&[if by_assign { &assigned } else { again }]);
            play.opens("game", NEW);
        }
    }
    // Where its own backend gives it away, other words count again.
    let mut play = Play::with_session(0);
    play.around.assigns.set(true);
    play.assigns("game", &here);
    let to = TO.parse().unwrap();
    play.at(|core, step| core.found_elsewhere("game", endpoint("game"), false, Ok(to), step));
    play.parts(b"");
    play.arrives();
    play.accepts(2);
    play.loses(NEW);
    play.heard();
    play.says(&data("game", 0));
    play.check(&["route game OPEN epoch 2"]);
}

#[test]
fn an_assignment_outlives_its_gateway_where_the_rules_still_allow_it() {
    let mut play = Play::new();
    let assigned = |service: &str, to: SocketAddr| Binding {
        service: service.into(),
        endpoint: to,
    };
    let (to, dropped) = (TO.parse().unwrap(), endpoint("dropped"));
    play.around.forbidden.set(Some(dropped));
    play.around.token_assigned = vec![assigned("battle", to), assigned("chat", dropped)];
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(None, step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.answers(1, ToClaimant::Unknown);
    play.reaches("game", 1);
    play.accepts(2);
    play.heard();
    play.says(&data("battle", 0));
    play.says(&data("chat", 0));
    play.check(&[
        &format!("route battle to {TO} OPEN epoch 2"),
        "route chat OPEN epoch 2",
    ]);
}

#[test]
fn a_client_that_resumes_gets_a_token_with_the_assignment() {
    let mut play = Play::with_resumable();
    for (to, told) in [(TO, true), (TO, false), ("10.8.8.8:1", true)] {
        assert_eq!(play.assigns("battle", to), MoveAnswer::Now(Code::NORMAL));
        let opened = format!("OPENED 1 epoch 1 battle at {to}");
        let heard = play.heard();
        assert_eq!(heard, Vec::from_iter(told.then_some(opened)));
    }
}

#[test]
fn an_assignment_goes_with_the_session_to_another_gateway() {
    let mut play = Play::with_resumable();
    play.assigns("battle", TO);
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.at(|core, step| core.confirmed("game", step));
    let (count, places) = (0, vec![("game".into(), true)]);
    play.peer("b", ToOwner::Claim { count, places });
    play.at(|core, step| core.confirmed("game", step));
    play.heard();
    play.at(|core, step| core.left("game", OLD, &[], step));
    let handed = format!("to b: hand over received 1 battle at {TO}");
    assert!(play.heard().contains(&handed));

    let mut play = super::claims::claiming();
    let assigned = |service: &str| Binding {
        service: service.into(),
        endpoint: TO.parse().unwrap(),
    };
    let handed = Handover {
        received: 1,
        starts: vec![(1, 0)],
        last_service: "game".into(),
        // One that is open here says nothing.
        assigned: vec![assigned("battle"), assigned("game")],
        ..Handover::default()
    };
    play.answers(1, ToClaimant::Handover(Box::new(handed)));
    play.heard();
    play.says(&data("", 0));
    play.says(&data("battle", 0));
    play.check(&[
        "game.1: forward 1",
        &format!("route battle to {TO} OPEN epoch 4"),
    ]);
}
