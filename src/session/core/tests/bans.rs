//! Banned users, by each way in which a session can become theirs.

use super::*;
use crate::codec::peer::{Handover, Particulars};

const BANNED: u64 = 4711;

fn says_user(user_id: u64) -> Vec<u8> {
    let header = Header {
        user_id,
        ..Header::default()
    };
    let mut out = Vec::new();
    client::encode(&mut out, &header, "game", b"hello");
    out
}

fn bind(play: &mut Play, service: &str, user_id: u64) {
    let bind = Bind {
        user_id,
        realm_id: 0,
    };
    play.at(|core, step| core.bound(service, bind, step));
}

#[test]
fn a_first_frame_of_a_banned_user_starts_nothing() {
    let mut play = Play::new();
    play.around.banned.set(BANNED);
    play.says(&says_user(BANNED));
    play.check(&["close: 440"]);
    let mut play = Play::new();
    play.around.banned.set(BANNED);
    play.says(&says_user(BANNED + 1));
    play.check(&["register"]);
    // Banned while the registry was asked.
    play.around.banned.set(BANNED + 1);
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&says_user(BANNED + 1));
    play.check(&["unregister", "close: 440"]);
}

#[test]
fn who_claims_to_be_a_banned_user_later_is_ended_at_once() {
    let mut play = Play::with_session(0);
    play.around.banned.set(BANNED);
    let read = play.says(&[says_user(5), says_user(BANNED), says_user(5)].concat());
    assert_eq!(
        (read.frames, read.forwards),
        (1, 1),
        "what came before it goes out"
    );
    play.check(&[
        "game.1: forward 1",
        "game.1: final CLOSE 440",
        "unregister",
        "close: 440",
    ]);

    // Even where earlier frames wait for a link.
    let mut play = Play::with_session(0);
    play.around.banned.set(BANNED);
    play.says(&[data("chat", 0), says_user(BANNED)].concat());
    assert!(play.core.is_over());
}

#[test]
fn a_claim_against_what_is_bound_is_refused_and_no_ban() {
    let mut play = Play::with_session(0);
    bind(&mut play, "game", 5);
    play.around.banned.set(BANNED);
    play.heard();
    play.says(&says_user(BANNED));
    play.check(&["ERROR 403 game"]);
    assert!(!play.core.is_over());
}

#[test]
fn a_bind_to_a_banned_user_ends_the_session() {
    for flags in [0, FLAG_RESUMABLE] {
        let mut play = Play::with_session(flags);
        play.says(&data("chat", 0));
        play.opens("chat", 2);
        play.around.banned.set(BANNED);
        play.heard();
        bind(&mut play, "game", 5);
        assert!(!play.core.is_over());
        play.heard();
        bind(&mut play, "game", BANNED);
        let said = play.heard();
        for expected in [
            "game.1: final CLOSE 440",
            "chat.2: final CLOSE 440",
            "close: 440",
        ] {
            assert!(said.contains(&expected.to_owned()), "{said:?}");
        }
        assert!(!said.iter().any(|word| word.contains("BOUND")), "{said:?}");
    }
}

#[test]
fn a_suspended_session_can_be_banned_too() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.heard();
    play.around.banned.set(BANNED);
    bind(&mut play, "game", BANNED);
    play.check(&["game.1: final CLOSE 440", "unregister", "close: 440"]);
    play.resumes_here(1, 0);
    play.check(&["refuse: 410"]);
}

#[test]
fn a_token_of_a_banned_user_is_not_looked_at() {
    let mut play = Play::new();
    play.around.banned.set(BANNED);
    play.around.token_user.set(BANNED);
    play.says(&resume(0, 1, "b"));
    play.check(&["close: 440"]);
}

/// A connection whose token says nothing of the user, and that "b" is asked about.
fn asking() -> Play {
    let mut play = Play::new();
    play.says(&resume(0, 1, "b"));
    play.at(|core, step| core.located_elsewhere(None, step));
    play.at(|core, step| core.registered(Ok(7), step));
    play.heard();
    play.around.banned.set(BANNED);
    play
}

fn holds(user_id: u64) -> ToClaimant {
    let bound = Bind {
        user_id,
        realm_id: 0,
    };
    ToClaimant::Holds {
        epoch: 4,
        particulars: Particulars {
            bound,
            bindings: token_of(1, "b").bindings,
            ..Particulars::default()
        },
    }
}

#[test]
fn what_an_owner_promises_of_a_banned_user_is_declined_and_stays_there() {
    let mut play = asking();
    play.answers(1, holds(BANNED));
    play.check(&["to b: withdraw", "cancel call", "unregister", "close: 440"]);
}

#[test]
fn who_turns_out_to_be_banned_by_a_handover_ends_with_it() {
    let mut play = asking();
    play.answers(1, holds(5));
    play.reaches("game", 1);
    play.at(|core, step| core.accepted("game", 4, step));
    play.heard();
    let bound = Bind {
        user_id: BANNED,
        realm_id: 0,
    };
    play.answers(
        1,
        ToClaimant::Handover(Box::new(Handover {
            bound,
            starts: vec![(1, 0)],
            ..Handover::default()
        })),
    );
    let said = play.heard();
    assert!(
        said.contains(&"game.1: final CLOSE 440".to_owned()),
        "{said:?}"
    );
    assert!(
        said.ends_with(&["unregister".to_owned(), "close: 440".to_owned()]),
        "{said:?}"
    );
    assert!(
        !said.iter().any(|word| word.starts_with("OPENED")),
        "{said:?}"
    );
}

#[test]
fn who_is_bound_to_a_banned_user_on_his_way_here_ends_at_his_owner_too() {
    let mut play = asking();
    play.answers(1, holds(5));
    play.reaches("game", 1);
    play.heard();
    bind(&mut play, "game", BANNED);
    let said = play.heard();
    assert!(said.contains(&"to b: end 440".to_owned()), "{said:?}");
    assert!(said.ends_with(&["close: 440".to_owned()]), "{said:?}");
}

#[test]
fn who_is_banned_while_his_resume_is_under_way_is_not_let_in() {
    let mut play = Play::with_resumable();
    play.says(&says_user(5));
    play.breaks();
    play.resumes_here(1, 1);
    play.heard();
    play.around.banned.set(5);
    play.at(|core, step| core.accepted("game", 2, step));
    play.check(&["game.1: final CLOSE 440", "unregister", "close: 440"]);
}
