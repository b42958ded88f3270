//! A session that is elsewhere, or nowhere.

use super::*;
use crate::codec::peer::{Handover, Particulars};

/// A connection with a token that gateway "b" has made.
fn asking() -> Play {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(None, step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.check(&["locate", "enlist", "to b: ask 1"]);
    play
}

fn particulars() -> Particulars {
    Particulars {
        bindings: token_of(1, "b").bindings,
        ..Particulars::default()
    }
}

fn holds(epoch: u32) -> ToClaimant {
    ToClaimant::Holds {
        epoch,
        particulars: particulars(),
    }
}

/// One that "b" has promised and that has its OPEN under way.
fn opening() -> Play {
    let mut play = asking();
    play.answers(1, holds(4));
    play.check(&["reach game OPEN resumed epoch 4 from b"]);
    play
}

/// One that has claimed.
pub(super) fn claiming() -> Play {
    let mut play = opening();
    play.reaches("game", 1);
    play.at(|core, step| core.accepted("game", 4, step));
    play.check(&["to b: claim 0 [(\"game\", true)]"]);
    play
}

fn handed(gap: bool) -> ToClaimant {
    ToClaimant::Handover(Box::new(Handover {
        gap,
        received: 3,
        starts: vec![(1, 0)],
        ring: data("game", 0),
        ..Handover::default()
    }))
}

#[test]
fn a_client_whose_resume_waits_hears_that_its_gateway_lives() {
    let mut play = Play::new();
    play.around.limits.connect_timeout = 60_000;
    play.says(&resume(0, 1, "b"));
    play.check(&["locate"]);
    play.waits(5_000);
    play.check(&["Pong"]);
    play.at(|core, step| core.located_elsewhere(None, step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.check(&["enlist", "to b: ask 1"]);
    play.waits(5_000);
    play.check(&["Pong"]);

    let mut play = Play::with_resumable();
    play.around.limits.connect_timeout = 60_000;
    play.around.limits.resume_window = 60_000;
    play.breaks();
    play.heard();
    play.waits(3_000);
    play.resumes_here(1, 0);
    play.heard();
    play.waits(4_999);
    play.check(&[]);
    play.waits(1);
    play.check(&["Pong"]);
    play.breaks();
    play.heard();
    play.waits(5_000);
    play.check(&[]);
}

#[test]
fn a_session_comes_from_its_owner() {
    let mut play = claiming();
    assert!(!play.delivers("game"), "it waits behind the replay");
    play.answers(1, handed(false));
    play.check(&["OPENED 3 epoch 4", "replay 2"]);
    assert!(play.core.reads());
}

#[test]
fn who_the_session_is_comes_with_it_and_what_is_newer_here_counts() {
    let bind = |user_id, realm_id| Bind { user_id, realm_id };
    let with = |bound| {
        ToClaimant::Handover(Box::new(Handover {
            starts: vec![(1, 0)],
            bound,
            last_service: "game".to_owned(),
            ..Handover::default()
        }))
    };
    // A backend has bound it at the owner since that was asked.
    let mut play = claiming();
    play.answers(1, with(bind(5, 0)));
    play.check(&["game.1: BOUND 5 0", "OPENED 0 epoch 4"]);
    assert_eq!(
        play.says(&data("", 0)).forwards,
        1,
        "the service named last"
    );
    // And here, behind its ACCEPT: newer than whatever the owner knows.
    let mut play = claiming();
    play.at(|core, step| core.bound("game", bind(6, 0), step));
    play.answers(1, with(bind(5, 3)));
    play.check(&["game.1: BOUND 6 3", "OPENED 0 epoch 4"]);
    assert!(play.core.is_bound());
}

#[test]
fn a_client_that_comes_again_behind_the_claim_gets_nothing_twice() {
    for (count, opened) in [(1, "OPENED 3 epoch 4"), (2, "OPENED 0 epoch 4 GAP")] {
        let mut play = claiming();
        play.resumes_here(1, count);
        play.check(&["leave connection: 205", "take connection"]);
        // Handed over for the count of the claim: one frame, which the client has by now.
        play.answers(1, handed(false));
        play.check(&[opened]);
    }
}

#[test]
fn a_bind_that_comes_here_is_newer_than_the_owner_s_word() {
    let bind = Bind {
        user_id: 5,
        realm_id: 9,
    };
    let mut play = claiming();
    play.at(|core, step| core.bound("game", bind, step));
    // The owner hands over what it knows.
    play.answers(1, handed(false));
    assert_eq!(play.core.identity(), Some(bind));
    let mut play = claiming();
    play.at(|core, step| core.bound("game", bind, step));
    let particulars = particulars();
    play.answers(1, ToClaimant::HoldsMore { particulars });
    assert_eq!(play.core.identity(), Some(bind));
}

#[test]
fn an_accept_may_be_quicker_than_the_news_of_its_link() {
    let mut play = opening();
    play.at(|core, step| core.accepted("game", 4, step));
    play.check(&[]);
    play.reaches("game", 1);
    play.check(&["to b: claim 0 [(\"game\", true)]"]);
}

#[test]
fn without_an_owner_the_backends_and_the_token_must_do() {
    let mut play = asking();
    play.answers(1, ToClaimant::Unknown);
    play.reaches("game", 1);
    play.at(|core, step| core.accepted("game", 2, step));
    play.check(&[
        "reach game OPEN resumed epoch 2 from b",
        "OPENED 0 epoch 2 GAP",
    ]);
}

#[test]
fn an_owner_that_does_not_answer_is_none() {
    let mut play = claiming();
    play.waits(300);
    // It is told when it can be reached: it may only have been stopped for a while.
    let told = [
        "cancel call",
        "to b: supersede epoch=4",
        "OPENED 0 epoch 4 GAP",
    ];
    play.check(&told);
    let mut play = opening();
    play.at(|core, step| core.peer_response(1, None, step));
    play.reaches("game", 1);
    play.at(|core, step| core.accepted("game", 4, step));
    play.check(&told);
}

#[test]
fn who_has_handed_it_over_says_where() {
    let mut play = asking();
    let to = |name: &str| ToClaimant::Moved {
        gateway: name.into(),
        address: format!("{name}:9"),
    };
    play.answers(1, to("c"));
    play.answers(2, to("d"));
    play.answers(3, to("a"));
    // This gateway does not have it, so nobody has.
    play.check(&[
        "to c: ask 1",
        "to d: ask 1",
        "reach game OPEN resumed epoch 2 from b",
    ]);
}

#[test]
fn a_refusal_leaves_what_was_opened() {
    let mut play = asking();
    play.answers(1, ToClaimant::Busy);
    play.check(&["unregister", "close: 503"]);
    let mut play = claiming();
    play.answers(1, ToClaimant::Refused);
    let heard = play.heard();
    assert!(
        heard.contains(&"game.1: final CLOSE 307".into()),
        "{heard:?}"
    );
    assert!(heard.contains(&"close: 503".into()), "{heard:?}");
}

#[test]
fn a_backend_that_refuses_with_410_is_right() {
    let mut play = opening();
    play.reaches("game", 1);
    play.closes("game", 410);
    play.check(&[
        "game.1: released",
        "to b: give up stale=true",
        "cancel call",
        "unregister",
        "close: 410",
    ]);
}

#[test]
fn a_link_that_comes_after_a_failed_claim_is_left() {
    let mut play = opening();
    play.at(|core, step| core.peer_response(1, None, step));
    play.waits(100);
    play.heard();
    assert!(play.core.is_over());
    play.reaches("game", 1);
    play.check(&["game.1: final CLOSE 307"]);
}

#[test]
fn a_session_that_ends_while_it_is_claimed_ends_everywhere() {
    let mut play = claiming();
    play.answers(1, ToClaimant::Ended { code: 440 });
    play.check(&["game.1: final CLOSE 440", "unregister", "close: 440"]);
    let mut play = claiming();
    play.closes("game", 7);
    play.check(&[
        "game.1: released",
        "to b: end 7",
        "cancel call",
        "unregister",
        "close: 7",
    ]);
}

#[test]
fn a_promise_that_comes_too_late_is_given_up() {
    let mut play = asking();
    play.waits(300);
    play.answers(1, holds(4));
    play.check(&[
        "reach game OPEN resumed epoch 2 from b",
        "to b: give up stale=false",
    ]);
}

#[test]
fn a_claim_goes_on_without_its_connection() {
    let mut play = claiming();
    play.breaks();
    play.check(&["leave connection: nothing"]);
    play.answers(1, handed(false));
    play.check(&["game.1: SUSPEND 1000"]);
    assert!(!play.core.reads() && !play.core.is_over());
    play.waits(1_000);
    assert!(play.core.is_over());
}

#[test]
fn a_claim_that_nobody_has_promised_ends_with_its_connection() {
    let mut play = asking();
    play.breaks();
    play.check(&[
        "to b: withdraw",
        "cancel call",
        "unregister",
        "close: nothing",
    ]);
    assert!(play.core.is_over());
    // The registry may still lead here.
    play.resumes_here(1, 0);
    play.check(&["refuse: 503"]);
}

#[test]
fn a_session_that_has_ended_here_is_over() {
    let mut play = claiming();
    play.closes("game", 7);
    play.heard();
    play.resumes_here(1, 0);
    play.check(&["refuse: 410"]);
}

#[test]
fn a_draining_gateway_takes_up_nothing() {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.around.refuses.set(true);
    play.at(|core, step| core.located_elsewhere(None, step));
    play.check(&["locate", "close: 503"]);
}

#[test]
fn a_request_goes_to_the_client_that_has_the_session() {
    let mut play = Play::new();
    play.says(&resume(5, 1, "a"));
    let request = play.core.located_here().unwrap();
    assert_eq!((request.count, request.token.epoch), (5, 1));
    assert!(play.core.is_over());
    let mut play = Play::new();
    play.says(&frame(Kind::Resume, "", 0, &[0; 8]));
    play.check(&["close: 410"]);
}

/// A claim whose backend is late, which its owner knows.
fn claiming_without_a_late_backend() -> Play {
    let mut play = opening();
    play.reaches("game", 1);
    play.waits(100);
    play.check(&["to b: claim 0 [(\"game\", false)]"]);
    play
}

#[test]
fn a_backend_that_is_late_for_a_claim_hears_nothing_final_until_the_session_is_here() {
    let mut play = claiming_without_a_late_backend();
    play.answers(1, handed(false));
    let heard = play.heard();
    assert_eq!(heard[0], "game.1: final CLOSE 502", "{heard:?}");
    // Where the owner keeps the session after all, its backend must not end it.
    let mut play = claiming_without_a_late_backend();
    play.answers(1, ToClaimant::Refused);
    let heard = play.heard();
    assert!(
        heard.contains(&"game.1: final CLOSE 307".into()),
        "{heard:?}"
    );
}

#[test]
fn frames_that_had_no_room_during_a_claim_are_a_gap() {
    let mut play = claiming();
    play.core.squeeze_replay(0);
    assert!(!play.delivers("game"));
    play.answers(1, handed(false));
    play.check(&["OPENED 0 epoch 4 GAP", "replay 1"]);
}
