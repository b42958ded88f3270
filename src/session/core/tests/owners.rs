//! The owner of a session, towards peer gateways.

use super::*;

/// A session that is promised to "b".
fn promised() -> Play {
    let mut play = Play::with_resumable();
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.check(&["game.1: confirm"]);
    play.at(|core, step| core.confirmed("game", step));
    play.check(&["to b: holds 2"]);
    play
}

/// The same, claimed.
fn claimed(count: u64) -> Play {
    let mut play = promised();
    let places = vec![("game".into(), true)];
    play.peer("b", ToOwner::Claim { count, places });
    assert!(!play.core.reads());
    play.at(|core, step| core.confirmed("game", step));
    play.check(&["game.1: confirm", "game.1: CLOSE 307"]);
    play
}

#[test]
fn a_session_is_left_in_order_and_handed_over() {
    let mut play = claimed(0);
    // Frames of the backend on the old link before its CLOSE 307 belong to the old connection too.
    assert!(play.delivers("game"));
    play.at(|core, step| core.left("game", 1, &[], step));
    play.check(&[
        "game.1: released",
        "moved to b",
        "to b: hand over received 1",
        "unregister",
        "close: 205",
    ]);
    // A question that was under way: the registry knows by the next one where the session is.
    play.peer("c", ToOwner::Ask { token_epoch: 1 });
    play.check(&["to c: busy"]);
}

#[test]
fn a_session_is_promised_to_one_at_a_time() {
    let mut play = promised();
    play.peer("c", ToOwner::Ask { token_epoch: 1 });
    play.at(|core, step| core.confirmed("game", step));
    let (count, places) = (0, Vec::new());
    play.peer("c", ToOwner::Claim { count, places });
    play.peer("c", ToOwner::GiveUp { stale: false });
    play.check(&["game.1: confirm", "to c: busy", "to c: refused"]);
    play.resumes_here(1, 0);
    play.check(&["refuse: 503"]);
    assert!(
        play.core.reads(),
        "a promise changes nothing for the client"
    );
}

#[test]
fn a_promise_that_is_taken_back_leaves_no_trace() {
    let mut play = promised();
    play.peer("c", ToOwner::Withdraw);
    play.peer("b", ToOwner::Withdraw);
    play.check(&[]);
    assert!(play.core.reads());
    play.resumes_here(1, 0);
    play.check(&[
        "game.1: OPEN resumed epoch 2 from a",
        "leave connection: 205",
        "take connection",
    ]);
    play.at(|core, step| core.accepted("game", 2, step));
    play.check(&["OPENED 1 epoch 2"]);
}

#[test]
fn a_claimant_does_not_wait_for_a_service_that_is_given_up() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.heard();
    // No ACCEPT: the session goes on without the service, whose link says nothing of it any more.
    play.waits(100);
    let heard = play.heard();
    assert!(heard.contains(&"to b: holds 3".into()), "{heard:?}");
}

#[test]
fn a_link_that_is_not_left_is_a_gap() {
    for lost in [true, false] {
        let mut play = claimed(0);
        if lost {
            play.at(|core, step| core.link_lost("game", 1, step));
        } else {
            play.waits(99);
            play.check(&[]);
            play.waits(1);
        }
        let heard = play.heard();
        let gap = "to b: hand over received 1 GAP".to_string();
        assert!(heard.contains(&gap), "{heard:?}");
    }
}

#[test]
fn a_claimant_hears_of_what_was_bound_meanwhile() {
    let mut play = promised();
    play.says(&data("chat", 0));
    play.heard();
    let places = || vec![("game".into(), true)];
    let claim = |places| ToOwner::Claim { count: 0, places };
    play.peer("b", claim(places()));
    play.at(|core, step| core.confirmed("game", step));
    // A service that is being opened is waited for.
    play.check(&["game.1: confirm"]);
    play.opens("chat", 2);
    play.at(|core, step| core.confirmed("chat", step));
    play.check(&["chat.2: forward 1", "chat.2: confirm", "to b: holds more"]);
    play.peer(
        "b",
        claim([places(), vec![("chat".into(), false)]].concat()),
    );
    play.at(|core, step| core.confirmed("game", step));
    play.at(|core, step| core.confirmed("chat", step));
    play.at(|core, step| core.left("game", 1, &[], step));
    let heard = play.heard();
    assert!(
        heard.contains(&"to b: hand over received 2".into()),
        "{heard:?}"
    );
}

#[test]
fn a_promise_that_is_not_kept_tears_the_session() {
    let mut play = promised();
    play.waits(299);
    play.check(&[]);
    play.waits(1);
    play.check(&["game.1: SUSPEND 1000", "leave connection: 503"]);
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    let heard = play.heard();
    assert!(heard.contains(&"OPENED 0 epoch 2 GAP".into()), "{heard:?}");
}

#[test]
fn a_claimant_that_goes_away_leaves_the_session_suspended() {
    let mut play = claimed(0);
    play.at(|core, step| core.peer_request(caller("b"), 7, None, step));
    play.check(&["game.1: released", "leave connection: 503"]);
    play.waits(1_000);
    play.check(&["unregister", "close: nothing"]);
}

#[test]
fn a_session_that_ends_while_it_is_promised_is_told() {
    let mut play = promised();
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.check(&[
        "game.1: final CLOSE 440",
        "to b: ended 440",
        "unregister",
        "close: 440",
    ]);
    let (count, places) = (0, Vec::new());
    play.peer("b", ToOwner::Claim { count, places });
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.check(&["to b: refused", "to b: unknown"]);
}

#[test]
fn a_session_that_has_gone_on_elsewhere_is_left() {
    let newer = |play: &mut Play| {
        play.peer("b", ToOwner::Ask { token_epoch: 2 });
        play.at(|core, step| core.confirmed("game", step));
    };
    let stale = |play: &mut Play| {
        play.peer("b", ToOwner::Ask { token_epoch: 1 });
        play.at(|core, step| core.confirmed("game", step));
        play.peer("b", ToOwner::GiveUp { stale: true });
    };
    let superseded = |play: &mut Play| play.peer("b", ToOwner::Supersede { epoch: 2 });
    let ways: [&dyn Fn(&mut Play); 3] = [&newer, &stale, &superseded];
    for way in ways {
        let mut play = Play::with_resumable();
        way(&mut play);
        let heard = play.heard();
        assert!(
            heard.contains(&"game.1: final CLOSE 307".into()),
            "{heard:?}"
        );
        assert!(heard.contains(&"close: 205".into()), "{heard:?}");
    }
}

#[test]
fn a_supersede_that_is_late_ends_nothing() {
    let mut play = Play::with_resumable();
    play.resumes_here(1, 0);
    play.heard();
    // The session is being resumed here in that very epoch, and then in it.
    play.peer("b", ToOwner::Supersede { epoch: 2 });
    play.at(|core, step| core.accepted("game", 2, step));
    play.peer("b", ToOwner::Supersede { epoch: 2 });
    play.check(&["OPENED 1 epoch 2"]);
    play.peer("b", ToOwner::Supersede { epoch: 3 });
    assert!(play.core.is_over());
}

#[test]
fn a_used_token_is_no_reason_to_promise() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    play.says(&frame(Kind::Ping, "", 0, b""));
    play.heard();
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.at(|core, step| core.confirmed("game", step));
    play.check(&["game.1: confirm", "to b: notgood"]);
}

#[test]
fn a_backend_that_has_the_claimants_open_already_does_not_end_the_session() {
    let mut play = promised();
    play.closes("game", 410);
    play.check(&["game.1: released", "ERROR 502 game"]);
    let mut play = claimed(0);
    play.closes("game", 410);
    let heard = play.heard();
    let gap = "to b: hand over received 1 GAP".to_string();
    assert!(heard.contains(&gap), "{heard:?}");
}

#[test]
fn a_window_does_not_end_while_the_session_is_promised() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.waits(900);
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.at(|core, step| core.confirmed("game", step));
    play.heard();
    play.waits(299);
    play.check(&[]);
    // The promise is over, and with it the session.
    play.waits(1);
    play.waits(0);
    play.check(&["game.1: final CLOSE 0", "unregister", "close: nothing"]);
}

#[test]
fn a_token_that_is_used_while_the_session_is_promised_for_it_is_no_claim() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.at(|core, step| core.confirmed("game", step));
    play.heard();
    // The client goes on here.
    play.says(&frame(Kind::Ping, "", 0, b""));
    play.heard();
    let (count, places) = (0, vec![("game".into(), true)]);
    play.peer("b", ToOwner::Claim { count, places });
    play.check(&[
        "game.1: SUSPEND 1000",
        "to b: refused",
        "leave connection: 503",
    ]);
}

/// The session had no backend when somebody else asked with an older token.
#[test]
fn a_claim_with_a_used_token_that_has_opened_nothing_leaves_no_trace() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    play.at(|core, step| core.link_lost("game", 1, step));
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    let heard = play.heard();
    assert!(heard.contains(&"to b: holds 3".into()), "{heard:?}");
    play.says(&frame(Kind::Ping, "", 0, b""));
    play.heard();
    let (count, places) = (0, vec![]);
    play.peer("b", ToOwner::Claim { count, places });
    play.check(&["to b: refused"]);
    assert!(play.core.reads());
}

#[test]
fn a_claim_that_is_given_up_leaves_the_session_suspended() {
    let mut play = promised();
    play.peer("b", ToOwner::GiveUp { stale: false });
    play.check(&["game.1: SUSPEND 1000", "leave connection: 503"]);
}

#[test]
fn a_backend_that_did_not_take_the_claimant_is_not_waited_for() {
    let mut play = promised();
    let (count, places) = (0, vec![("game".into(), false)]);
    play.peer("b", ToOwner::Claim { count, places });
    play.heard();
    play.at(|core, step| core.confirmed("game", step));
    let heard = play.heard();
    assert!(
        heard.contains(&"to b: hand over received 1".to_owned()),
        "{heard:?}"
    );
}

#[test]
fn frames_that_have_no_room_in_a_handover_are_a_gap() {
    for (lacking, said) in [
        (0, "to b: hand over received 1"),
        (1, "to b: hand over received 1 GAP"),
    ] {
        let mut play = claimed(0);
        for _ in 0..lacking {
            play.delivers("game");
        }
        play.around.short.set(true);
        play.at(|core, step| core.left("game", 1, &[], step));
        let heard = play.heard();
        assert!(heard.contains(&said.to_owned()), "{heard:?}");
    }
}
