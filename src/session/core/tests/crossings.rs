//! Words that cross each other on their way, and ends in the middle of something.

use super::*;
use crate::codec::peer::Particulars;

fn ask(token_epoch: u32) -> ToOwner {
    ToOwner::Ask { token_epoch }
}

fn claim() -> ToOwner {
    let (count, places) = (0, vec![("game".into(), true)]);
    ToOwner::Claim { count, places }
}

fn confirms(play: &mut Play, service: &str) {
    play.at(|core, step| core.confirmed(service, step));
}

/// A session that is promised to "b".
fn promised() -> Play {
    let mut play = Play::with_resumable();
    play.peer("b", ask(1));
    confirms(&mut play, "game");
    play.check(&["game.1: confirm", "to b: holds 2"]);
    play
}

fn holds() -> ToClaimant {
    let bindings = token_of(1, "c").bindings;
    let (epoch, particulars) = (
        4,
        Particulars {
            bindings,
            ..Particulars::default()
        },
    );
    ToClaimant::Holds { epoch, particulars }
}

fn moved(to: &str) -> ToClaimant {
    let PeerGateway { gateway, address } = gateway(to);
    ToClaimant::Moved { gateway, address }
}

/// A claim that has asked "c" on call 1, "b" on call 2, and "c" again on call 3.
fn asking_again() -> Play {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(Some(gateway("c")), step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.waits(300);
    play.answers(2, moved("c"));
    play.check(&[
        "locate",
        "enlist",
        "to c: ask 1",
        "to b: ask 1",
        "to c: ask 1",
    ]);
    play
}

#[test]
fn no_other_answer_on_an_older_call_counts() {
    let mut play = asking_again();
    play.answers(1, ToClaimant::Busy);
    play.check(&[]);
    // It was given up by that.
    play.answers(1, holds());
    play.check(&[]);
}

#[test]
fn a_promise_on_an_older_call_counts_and_the_newer_call_is_taken_back() {
    let mut play = asking_again();
    play.answers(1, holds());
    play.check(&["to c: withdraw", "reach game OPEN resumed epoch 4 from c"]);
    play.answers(3, ToClaimant::Busy);
    play.check(&[]);
    play.reaches("game", 1);
    play.at(|core, step| core.accepted("game", 4, step));
    play.check(&["to c: claim 0 [(\"game\", true)]"]);
}

#[test]
fn a_promise_on_an_older_call_is_given_up_where_the_newer_one_was_answered() {
    let mut play = asking_again();
    play.answers(3, holds());
    play.answers(1, holds());
    play.check(&[
        "reach game OPEN resumed epoch 4 from c",
        "to c: give up stale=false",
    ]);
}

#[test]
fn a_promise_that_comes_while_others_are_asked_is_taken_back() {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(Some(gateway("c")), step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.waits(300);
    play.heard();
    // Nothing is opened yet, so it costs "c" no gap.
    play.answers(1, holds());
    play.check(&["to c: withdraw"]);
    // Nor does what "c" has promised when "b" is busy.
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(Some(gateway("c")), step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.waits(300);
    play.heard();
    play.answers(2, ToClaimant::Busy);
    play.check(&["to c: withdraw", "cancel call", "unregister", "close: 503"]);
}

#[test]
fn moves_are_not_followed_for_ever() {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(None, step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.heard();
    for (call, to) in ["c", "d", "e", "f", "g"].into_iter().enumerate() {
        play.answers(call as u64 + 1, moved(to));
    }
    play.check(&[
        "to c: ask 1",
        "to d: ask 1",
        "to e: ask 1",
        "to f: ask 1",
        "reach game OPEN resumed epoch 2 from b",
    ]);
}

#[test]
fn a_resume_that_the_registry_does_not_help_may_be_tried_again() {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_nowhere(step));
    play.check(&["locate", "close: 503"]);
    for failed in [RegisterFailed::InUse, RegisterFailed::Unreachable] {
        let mut play = Play::new();
        play.says(&resume(0, 1, "b"));
        play.at(|core, step| core.located_elsewhere(None, step));
        play.at(|core, step| core.registered(Err(failed), step));
        let heard = play.heard();
        assert_eq!(heard.last().map(String::as_str), Some("close: 503"));
    }
}

#[test]
fn a_link_that_comes_behind_the_claim_gets_a_final_close() {
    let mut play = asking_again();
    play.answers(3, holds());
    play.waits(100);
    play.check(&[
        "reach game OPEN resumed epoch 4 from c",
        "to c: claim 0 [(\"game\", false)]",
    ]);
    // It has to wait for the owner's answer: where that keeps the session, nothing final may be said.
    play.reaches("game", 1);
    play.check(&[]);
    play.answers(3, ToClaimant::Handover(Box::default()));
    assert_eq!(
        play.heard().first().map(String::as_str),
        Some("game.1: final CLOSE 502")
    );
}

#[test]
fn a_torn_session_is_handed_over_with_gap() {
    let mut play = promised();
    play.waits(300);
    play.check(&["game.1: SUSPEND 1000", "leave connection: 503"]);
    play.peer("b", ask(1));
    confirms(&mut play, "game");
    play.peer("b", claim());
    confirms(&mut play, "game");
    play.at(|core, step| core.left("game", 1, &[], step));
    let heard = play.heard();
    let gap = "to b: hand over received 1 GAP".to_string();
    assert!(heard.contains(&gap), "{heard:?}");
}

#[test]
fn a_session_that_its_claimant_ends_is_over() {
    let mut play = promised();
    play.peer("b", ToOwner::End { code: 7 });
    play.check(&[
        "game.1: final CLOSE 7",
        "to b: ended 7",
        "unregister",
        "close: 7",
    ]);
}

#[test]
fn a_session_that_ends_while_it_leaves_is_told() {
    let mut play = promised();
    play.peer("b", claim());
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.check(&[
        "game.1: confirm",
        "game.1: final CLOSE 440",
        "to b: ended 440",
        "unregister",
        "close: 440",
    ]);
}

#[test]
fn a_suspended_session_waits_again_when_its_claimant_is_gone() {
    let mut play = promised();
    play.breaks();
    play.peer("b", claim());
    confirms(&mut play, "game");
    play.heard();
    play.at(|core, step| core.peer_request(caller("b"), 7, None, step));
    // Its backend has it suspended since CLOSE 307.
    play.check(&["game.1: released"]);
    play.waits(999);
    play.check(&[]);
    play.waits(1);
    assert!(play.core.is_over());
}

#[test]
fn a_service_that_is_opened_while_its_session_leaves_is_suspended_too() {
    let mut play = promised();
    play.says(&data("chat", 0));
    play.breaks();
    play.peer("b", claim());
    play.heard();
    play.opens("chat", 2);
    play.check(&[
        "chat.2: forward 1",
        "chat.2: SUSPEND 1000",
        "chat.2: confirm",
    ]);
}

#[test]
fn nobody_is_promised_a_session_that_is_being_resumed() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.heard();
    play.peer("b", claim());
    play.peer("c", ask(1));
    confirms(&mut play, "game");
    play.check(&["to b: refused", "game.1: confirm", "to c: busy"]);
}

#[test]
fn a_backend_may_end_a_session_that_is_being_resumed() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.heard();
    play.closes("game", 440);
    let heard = play.heard();
    assert_eq!(heard.last().map(String::as_str), Some("close: 440"));
}

#[test]
fn askers_that_wait_are_bounded() {
    let mut play = Play::with_resumable();
    for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
        play.peer(name, ask(1));
    }
    play.check(&["game.1: confirm"]);
    play.peer("j", ask(1));
    play.check(&["to j: busy"]);
    play.peer("b", ToOwner::GiveUp { stale: false });
    confirms(&mut play, "game");
    let heard = play.heard();
    // The first one that still waits gets it.
    assert_eq!(heard[..2], ["to c: holds 2", "to d: busy"]);
}

#[test]
fn a_client_is_not_idle_while_the_registry_is_asked() {
    let mut play = Play::new();
    play.says(&data("game", 0));
    play.waits(20_000);
    play.at(|core, step| core.registered(Ok(7), step));
    play.waits(9_999);
    assert!(!play.core.is_over());
    play.waits(1);
    assert!(play.core.is_over());
}
