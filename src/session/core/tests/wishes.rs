//! Wishes to have a service elsewhere, granted and not (protocol 2.5).

use super::moves::{OLD, TO};
use super::*;

#[test]
fn transfers_that_cannot_be() {
    let mut play = Play::with_session(0);
    let mut check = |service: &str, from: SocketAddr, to: &str, code: Code| {
        let answer = play.at(|core, step| core.transfer(service, from, to, step));
        assert_eq!(answer, MoveAnswer::Now(code), "{service} {from} {to}");
    };
    let its = endpoint("game");
    check("chat", its, TO, Code::NO_ROUTE);
    check("game", endpoint("other"), TO, Code::NO_ROUTE);
    check("game", its, "nonsense", Code::NO_ROUTE);
    check("game", its, &its.to_string(), Code::NO_ROUTE);
    play.check(&[]);
    play.transfers();
    assert_eq!(play.transfers(), MoveAnswer::Now(Code::CONFLICT));
    // Before its first frame nobody has a session.
    let mut play = Play::new();
    assert_eq!(play.transfers(), MoveAnswer::Now(Code::NO_ROUTE));
}

#[test]
fn by_the_rules() {
    let mut play = Play::with_session(0);
    let from = endpoint("game");
    let answer = play.at(|core, step| core.transfer("game", from, "", step));
    assert_eq!(answer, MoveAnswer::Later);
    play.check(&["elsewhere game"]);
    play.at(|core, step| core.found_elsewhere("game", from, true, Err(Code::NO_ROUTE), step));
    play.check(&["game.1: MOVED 404"]);
    let to = TO.parse().unwrap();
    play.at(|core, step| core.found_elsewhere("game", from, true, Ok(to), step));
    play.check(&["game.1: CLOSE 307 move"]);
    // A second answer, for it had asked twice.
    play.at(|core, step| core.found_elsewhere("game", from, true, Ok(to), step));
    play.check(&["game.1: MOVED 409"]);
}

#[test]
fn no_assign_is_answered_with_0_while_its_backend_is_moved() {
    let mut play = Play::with_session(0);
    play.transfers();
    // The backend could not tell that 0 from the move's.
    let answer = play.at(|core, step| core.assign("game", "battle", TO, step));
    assert_eq!(answer, MoveAnswer::Now(Code::CONFLICT));
}

#[test]
fn assigned_before_its_first_use() {
    let mut play = Play::with_session(0);
    let mut assign =
        |service: &str, to: &str| play.at(|core, step| core.assign("game", service, to, step));
    assert_eq!(
        assign("battle", "nonsense"),
        MoveAnswer::Now(Code::NO_ROUTE)
    );
    assert_eq!(assign("battle", TO), MoveAnswer::Now(Code::NORMAL));
    assert_eq!(
        assign("battle", "10.8.8.8:1"),
        MoveAnswer::Now(Code::NORMAL)
    );
    for service in ["c", "d", "e", "f", "g", "h"] {
        assert_eq!(assign(service, TO), MoveAnswer::Now(Code::NORMAL));
    }
    assert_eq!(assign("i", TO), MoveAnswer::Now(Code::UNAVAILABLE));
    play.check(&[]);
    play.says(&data("battle", 0));
    play.check(&["route battle to 10.8.8.8:1 OPEN epoch 1"]);
    let answer = play.at(|core, step| core.assign("game", "battle", TO, step));
    assert_eq!(
        answer,
        MoveAnswer::Now(Code::CONFLICT),
        "it is being opened"
    );
}

#[test]
fn an_assignment_leaves_what_was_named_last() {
    let mut play = Play::with_session(0);
    play.loses(OLD);
    play.heard();
    // By an operator.
    play.at(|core, step| core.assign("battle", "battle", TO, step));
    play.says(&data("", 0));
    play.check(&["route game OPEN epoch 1"]);
}

#[test]
fn assigned_elsewhere() {
    let mut play = Play::with_session(0);
    play.says(&data("lobby", 0));
    play.opens("lobby", 5);
    play.heard();
    let here = endpoint("game").to_string();
    let answer = play.at(|core, step| core.assign("lobby", "game", &here, step));
    assert_eq!(answer, MoveAnswer::Now(Code::NORMAL));
    let answer = play.at(|core, step| core.assign("lobby", "game", TO, step));
    assert_eq!(answer, MoveAnswer::Later);
    play.parts(b"");
    play.arrives();
    play.heard();
    play.accepts(2);
    play.check(&["game.1: MOVED 0", "game.1: released", "lobby.5: MOVED 0"]);

    // Whoever has asked is elsewhere itself when that ends.
    let mut play = Play::with_session(0);
    play.says(&data("lobby", 0));
    play.opens("lobby", 5);
    play.at(|core, step| core.assign("lobby", "game", TO, step));
    let from = endpoint("lobby");
    play.at(|core, step| core.transfer("lobby", from, "10.8.8.8:1", step));
    play.at(|core, step| core.left("lobby", 5, b"", step));
    let mut lease = play.lease("lobby", 6);
    lease.endpoint = "10.8.8.8:1".parse().unwrap();
    play.at(|core, step| core.service_reached("lobby", Some(lease), step));
    play.accepts_of("lobby", 2);
    play.parts(b"");
    play.arrives();
    play.heard();
    play.accepts(3);
    play.check(&["game.1: MOVED 0", "game.1: released"]);

    // By its own backend.
    let mut play = Play::with_session(0);
    play.at(|core, step| core.assign("game", "game", TO, step));
    play.parts(b"");
    play.arrives();
    play.accepts(2);
    let moved = |said: &&String| said.ends_with("MOVED 0");
    assert_eq!(play.heard().iter().filter(moved).count(), 1);
}

#[test]
fn without_the_feature() {
    let mut play = Play::new();
    play.says(&data("game", 0));
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&data("game", 0));
    let lease = play.lease("game", OLD);
    lease.feature.set(false);
    play.at(|core, step| core.service_opened("game", 1, lease, step));
    play.heard();
    assert_eq!(play.transfers(), MoveAnswer::Now(Code::NOT_IMPLEMENTED));
    let answer = play.at(|core, step| core.assign("game", "game", TO, step));
    assert_eq!(answer, MoveAnswer::Now(Code::NORMAL));
    play.check(&["game.1: final CLOSE 0"]);
    play.says(&data("game", 0));
    play.check(&[&format!("route game to {TO} OPEN epoch 1")]);
}

#[test]
fn a_backend_that_leaves() {
    let mut play = Play::with_session(0);
    let from = endpoint("game");
    play.at(|core, step| core.move_away("game", from, step));
    play.check(&["elsewhere game"]);
    play.at(|core, step| core.found_elsewhere("game", from, false, Err(Code::BAD_GATEWAY), step));
    play.check(&[]);
    let to = TO.parse().unwrap();
    play.at(|core, step| core.found_elsewhere("game", from, false, Ok(to), step));
    play.check(&["game.1: CLOSE 307 move"]);
}
