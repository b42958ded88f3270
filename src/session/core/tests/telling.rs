//! OPENED, BOUND, PONG and the service named last: the words that a client or a backend may rely on.

use super::*;

#[test]
fn opened_comes_before_anything_else_of_the_session() {
    let mut play = Play::new();
    play.says(&data("game", FLAG_RESUMABLE));
    play.at(|core, step| core.registered(Ok(7), step));
    let ping = frame(Kind::Ping, "", 0, b"x");
    let read = play.says(&[data("game", FLAG_RESUMABLE), ping.clone()].concat());
    assert_eq!(read.frames, 1, "the PING waits");
    play.check(&["register", "route game OPEN epoch 1"]);
    play.opens("game", 1);
    play.says(&ping);
    play.check(&["game.1: forward 1", "OPENED 1 epoch 1", "Pong"]);

    // A link that takes long must not make the client believe that its gateway is gone.
    let mut play = Play::new();
    play.says(&data("game", FLAG_RESUMABLE));
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&data("game", FLAG_RESUMABLE));
    play.says(&ping);
    play.heard();
    play.waits(5_000);
    play.check(&["OPENED 1 epoch 1", "Pong"]);

    // A service that cannot be opened, and a backend that is quicker than the news of its link.
    let mut play = Play::new();
    play.says(&data("game", FLAG_RESUMABLE));
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&data("game", FLAG_RESUMABLE));
    assert!(play.core.owes_opened());
    let why = RouteFailed {
        code: Code::NO_ROUTE,
        text: "no rule",
        retry_after_ms: 0,
    };
    play.at(|core, step| core.service_failed("game", why, step));
    play.check(&[
        "register",
        "route game OPEN epoch 1",
        "OPENED 1 epoch 1",
        "ERROR 404 game",
    ]);
    assert!(!play.core.owes_opened());
}

#[test]
fn a_session_whose_client_has_no_token_yet_ends_with_its_connection() {
    let mut play = Play::new();
    play.says(&data("game", FLAG_RESUMABLE));
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&data("game", FLAG_RESUMABLE));
    play.breaks();
    play.check(&[
        "register",
        "route game OPEN epoch 1",
        "unregister",
        "close: nothing",
    ]);
}

#[test]
fn every_other_backend_is_told_who_the_session_is() {
    let mut play = Play::with_session(0);
    play.says(&[data("chat", 0), data("shop", 0)].concat());
    play.opens("chat", 2);
    play.heard();
    let bind = |user_id, realm_id| Bind { user_id, realm_id };
    play.at(|core, step| core.bound("game", bind(5, 0), step));
    play.check(&["chat.2: BOUND 5 0"]);
    // Its OPEN was made before.
    play.opens("shop", 3);
    play.check(&["shop.3: BOUND 5 0", "shop.3: forward 1"]);
    play.at(|core, step| core.bound("shop", bind(0, 3), step));
    let told = play.heard();
    let bound: Vec<_> = told.iter().filter(|line| line.contains("BOUND")).collect();
    assert_eq!(bound, ["game.1: BOUND 5 3", "chat.2: BOUND 5 3"]);
    play.says(&data("mail", 0));
    play.check(&["route mail OPEN epoch 1 bound 6: 5 3"]);
}

#[test]
fn a_client_that_is_held_back_hears_that_its_gateway_lives() {
    let mut play = Play::with_session(0);
    if let State::Active { session, .. } = &mut play.core.state
        && let Some(lease) = session.lease(0)
    {
        lease.room.set(Room::None);
    }
    play.says(&data("game", 0));
    assert!(!play.core.reads());
    play.check(&["game.1: await room"]);
    assert_eq!(play.core.deadline(&play.around.limits), Some(5_000));
    play.waits(4_999);
    play.check(&[]);
    play.waits(1);
    play.check(&["Pong"]);
    play.waits(5_000);
    play.check(&["Pong"]);
    play.at(|core, step| core.link_has_room(step));
    assert_eq!(play.core.deadline(&play.around.limits), Some(20_000));
}

#[test]
fn the_service_named_last_goes_with_the_session_but_not_behind_a_gap() {
    let mut play = Play::with_resumable();
    play.breaks();
    play.resumes_here(1, 0);
    play.at(|core, step| core.accepted("game", 2, step));
    play.heard();
    assert_eq!(play.says(&data("", 0)).forwards, 1);
    play.breaks();
    // It claims to have got more than was sent.
    play.resumes_here(2, 9);
    play.at(|core, step| core.accepted("game", 3, step));
    play.heard();
    play.says(&data("", 0));
    play.check(&["ERROR 400 "]);
}

#[test]
fn a_resumable_session_is_told_its_tokens() {
    let mut play = Play::new();
    play.says(&data("game", FLAG_RESUMABLE));
    play.at(|core, step| core.registered(Ok(7), step));
    play.says(&data("game", FLAG_RESUMABLE));
    play.opens("game", 1);
    let bind = Bind {
        user_id: 5,
        realm_id: 3,
    };
    play.at(|core, step| core.bound("game", bind, step));
    play.check(&[
        "register",
        "route game OPEN epoch 1",
        "game.1: forward 1",
        "OPENED 1 epoch 1",
        "game.1: realm 3",
        "OPENED 1 epoch 1",
    ]);
    // Once bound, the same again is no news.
    play.at(|core, step| core.bound("game", bind, step));
    play.check(&[]);
}
