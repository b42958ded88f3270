//! A session on one connection, and on several of one gateway.

use super::*;

#[test]
fn a_session_starts_and_ends_with_its_connection() {
    let mut play = Play::new();
    play.says(&data("game", 0));
    play.check(&["register"]);
    assert!(!play.core.reads());
    play.at(|core, step| core.registered(Ok(7), step));
    let read = play.says(&[data("game", 0), data("game", 0)].concat());
    assert_eq!((read.frames, read.forwards), (2, 0));
    play.check(&["route game OPEN epoch 1"]);
    play.opens("game", 1);
    play.check(&["game.1: forward 2"]);
    assert_eq!(play.says(&data("", 0)).forwards, 1);
    play.breaks();
    play.check(&[
        "game.1: forward 1",
        "game.1: final CLOSE 0",
        "unregister",
        "close: nothing",
    ]);
    assert!(play.core.is_over());
}

#[test]
fn a_session_that_is_registered_too_late_is_taken_back() {
    let mut play = Play::new();
    play.says(&data("game", 0));
    play.at(|core, step| core.close(Closing::Draining, step));
    play.check(&["register", "unregister", "close: 503"]);
    play.at(|core, step| core.registered(Ok(7), step));
    play.check(&[]);
}

#[test]
fn an_id_in_use_is_the_clients_fault_only_where_it_chose() {
    for (trusts, code) in [(true, "close: 409"), (false, "close: 500")] {
        let mut play = Play::new();
        play.around.limits.trust_client_ids = trusts;
        let mut wish = data("game", 0);
        wish[20..28].copy_from_slice(&9u64.to_be_bytes());
        play.says(&wish);
        play.at(|core, step| core.registered(Err(RegisterFailed::InUse), step));
        play.check(&["register", "unregister", code]);
    }
}

#[test]
fn frames_of_a_service_that_cannot_be_opened_are_refused_one_by_one() {
    let mut play = Play::with_session(0);
    play.says(&[data("chat", 0), data("chat", 0), data("game", 0)].concat());
    let why = RouteFailed {
        code: Code::NO_ROUTE,
        text: "no rule",
        retry_after_ms: 0,
    };
    play.at(|core, step| core.service_failed("chat", why, step));
    play.check(&[
        "game.1: forward 1",
        "route chat OPEN epoch 1",
        "ERROR 404 chat",
        "ERROR 404 chat",
    ]);
}

#[test]
fn a_full_link_holds_its_client_back_and_what_it_has_read() {
    let mut play = Play::with_session(0);
    let lease = play.lease("chat", 2);
    let room = Rc::clone(&lease.room);
    room.set(Room::None);
    play.says(&data("chat", 0));
    play.at(|core, step| core.service_opened("chat", 1, lease, step));
    play.check(&["route chat OPEN epoch 1", "chat.2: forward 1"]);
    let both = [data("game", 0), data("chat", 0), data("chat", 0)].concat();
    let read = play.says(&both);
    assert_eq!((read.frames, read.bytes), (1, both.len() / 3));
    play.check(&["chat.2: await room", "game.1: forward 1"]);
    assert!(!play.core.reads() && !play.core.has_room());
    assert_eq!(play.says(&both).frames, 0);
    play.waits(20_000);
    assert!(!play.core.is_over(), "the silence is not the client's");

    // It is told, but others were quicker.
    play.at(|core, step| core.link_has_room(step));
    assert!(play.core.reads());
    play.heard();
    assert_eq!(play.says(&both[read.bytes..]).frames, 0);
    play.check(&["chat.2: await room in turn"]);
    // Others wait; it is this one's turn, for one read.
    room.set(Room::InTurn);
    play.at(|core, step| core.link_has_room(step));
    assert!(play.core.has_room());
    assert_eq!(play.says(&both[read.bytes..]).frames, 2);
    assert!(play.core.reads() && !play.core.has_room());
    assert_eq!(play.says(&data("chat", 0)).frames, 0);
    play.check(&["chat.2: forward 2", "chat.2: await room"]);
    play.at(|core, step| core.link_has_room(step));
    play.waits(9_999);
    assert!(!play.core.is_over());
    play.waits(1);
    assert!(play.core.is_over());
}

#[test]
fn frames_that_were_held_back_count_when_they_are_taken() {
    let mut play = Play::with_resumable();
    let State::Active { session, .. } = &mut play.core.state else {
        panic!("not active");
    };
    let room = Rc::clone(&session.lease(0).unwrap().room);
    room.set(Room::None);
    for _ in 0..3 {
        assert_eq!(play.says(&data("game", 0)).frames, 0);
        play.at(|core, step| core.link_has_room(step));
    }
    assert_eq!(play.core.session().unwrap().received(), 1);
    room.set(Room::Free);
    assert_eq!(play.says(&data("game", 0)).frames, 1);
    assert_eq!(play.core.session().unwrap().received(), 2);
}

#[test]
fn a_client_whose_backend_is_given_up_waits_for_it_no_longer() {
    let mut play = Play::with_session(0);
    let State::Active { session, .. } = &mut play.core.state else {
        panic!("not active");
    };
    session.lease(0).unwrap().room.set(Room::None);
    play.says(&data("game", 0));
    assert!(!play.core.reads());
    play.at(|core, step| core.unbind("game", None, step));
    assert!(play.core.reads());
}

#[test]
fn an_end_waits_behind_frames_that_wait_for_a_link() {
    let mut play = Play::with_session(0);
    play.says(&data("chat", 0));
    play.at(|core, step| core.end_of_input(Closing::Disconnected, step));
    assert!(!play.core.is_over() && !play.core.reads());
    play.opens("chat", 2);
    assert!(play.core.reads());
    play.at(|core, step| core.end_of_input(Closing::Disconnected, step));
    play.check(&[
        "route chat OPEN epoch 1",
        "chat.2: forward 1",
        "game.1: final CLOSE 0",
        "chat.2: final CLOSE 0",
        "unregister",
        "close: nothing",
    ]);
}

#[test]
fn a_link_that_comes_after_the_end_still_closes() {
    let mut play = Play::with_session(0);
    play.says(&data("chat", 0));
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.heard();
    play.opens("chat", 2);
    play.check(&["chat.2: final CLOSE 440"]);
}

#[test]
fn a_lost_link_is_told_once_and_opened_again() {
    let mut play = Play::with_session(0);
    play.at(|core, step| core.link_lost("game", 1, step));
    play.at(|core, step| core.link_lost("game", 1, step));
    play.says(&data("game", 0));
    play.check(&["ERROR 502 game", "route game OPEN epoch 1"]);
    play.opens("game", 2);
    play.check(&["game.1: released", "game.2: forward 1"]);
}

#[test]
fn a_window_ends_with_the_code_of_its_connection() {
    let mut play = Play::with_resumable();
    play.waits(10_000);
    play.check(&["game.1: SUSPEND 1000", "leave connection: 408"]);
    play.waits(999);
    assert!(!play.core.is_over());
    play.waits(1);
    play.check(&["game.1: final CLOSE 408", "unregister", "close: nothing"]);
}

#[test]
fn a_resume_here_waits_for_each_backend_and_replays() {
    let mut play = Play::with_resumable();
    assert!(play.delivers("game"));
    play.breaks();
    assert!(!play.delivers("game"));
    play.heard();
    play.resumes_here(1, 0);
    play.check(&["game.1: OPEN resumed epoch 2 from a", "take connection"]);
    assert!(!play.core.reads());
    assert!(!play.delivers("game"));
    play.at(|core, step| core.accepted("game", 1, step));
    play.check(&[]);
    play.at(|core, step| core.accepted("game", 2, step));
    play.check(&["OPENED 1 epoch 2", "replay 3"]);
    assert!(play.core.reads() && play.delivers("game"));
}

#[test]
fn a_token_is_used_by_the_first_frame() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    play.heard();
    // OPENED may have been lost on its way: the same token is good once more.
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 3, step));
    play.says(&frame(Kind::Ping, "", 0, b""));
    play.heard();
    play.resumes_here(1, 0);
    play.check(&["refuse: 410"]);
}

#[test]
fn a_token_that_another_gateway_made_in_an_epoch_of_this_one_ends_the_session_here() {
    // Two took the session for theirs, and resumed it as often: the client has been at the other one.
    for (owner, heard) in [
        ("a", vec!["OPENED 1 epoch 3", "replay 0"]),
        ("b", vec!["unregister", "refuse: 503", "close: 205"]),
    ] {
        let mut play = Play::with_resumable();
        play.at(|core, step| core.link_lost("game", 1, step));
        play.breaks();
        play.resumes_here(1, 0);
        play.breaks();
        play.heard();
        let request = ResumeRequest {
            token: token_of(2, owner),
            count: 0,
            moved: None,
        };
        play.at(|core, step| core.resume_here(&request, step));
        let said = play.heard();
        for line in heard {
            assert!(said.contains(&line.to_owned()), "{owner}: {said:?}");
        }
    }
}

#[test]
fn a_backend_that_does_not_know_the_session_is_told_behind_opened() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.heard();
    play.closes("game", 404);
    play.check(&["game.1: released", "OPENED 1 epoch 2", "replay 0"]);
    play.says(&data("game", 0));
    play.check(&["route game OPEN epoch 2"]);
}

#[test]
fn a_backend_that_has_a_newer_epoch_ends_the_session_here() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.heard();
    play.closes("game", 410);
    play.check(&["game.1: released", "unregister", "close: 410"]);
}

#[test]
fn a_connection_that_is_lost_during_a_resume_is_noticed_when_it_is_done() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.breaks();
    play.heard();
    play.waits(100);
    play.check(&["game.1: final CLOSE 502"]);
    assert!(!play.core.is_over() && !play.core.reads());
    play.resumes_here(1, 0);
    play.check(&["take connection", "OPENED 1 epoch 3", "replay 0"]);
}

#[test]
fn a_ring_that_lost_frames_is_a_gap_and_counts_begin_again() {
    let mut play = Play::with_resumable();
    for _ in 0..200 {
        play.delivers("game");
    }
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    let heard = play.heard();
    assert!(heard.contains(&"OPENED 0 epoch 2 GAP".into()), "{heard:?}");
    // The client has not shown that it knows: it is told again.
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 3, step));
    let heard = play.heard();
    assert!(heard.contains(&"OPENED 0 epoch 3 GAP".into()), "{heard:?}");
}

#[test]
fn a_drain_asks_away_and_keeps_connections_that_stand() {
    let mut play = Play::with_resumable();
    play.around.drain_left.set(Some(Duration::from_secs(5)));
    play.at(|core, step| core.ask_away(step));
    play.check(&["Goaway"]);
    play.resumes_here(1, 0);
    play.check(&["refuse: 503"]);
    play.breaks();
    play.heard();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    let heard = play.heard();
    assert_eq!(heard.last().map(String::as_str), Some("Goaway"));
}

#[test]
fn nobody_comes_back_to_a_gateway_that_is_drained() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.heard();
    play.around.drain_left.set(Some(Duration::ZERO));
    play.resumes_here(1, 0);
    play.check(&["refuse: 503"]);
    // The drain is undone.
    play.around.drain_left.set(None);
    play.resumes_here(1, 0);
    assert!(!play.heard().contains(&"refuse: 503".into()));
}
