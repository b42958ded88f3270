//! Connections that break, move and end.

use super::*;

#[test]
fn a_broken_connection_is_resumed_exactly() {
    let mut script = Script::started();
    script.send("b", &["send 0 Data b"]);
    script.send("c", &["send 0 Data c"]);
    script.hears(0, data("x"), &["tell Data x"]);
    script.loses(0, &["disconnect 0", "tell Interrupted"]);
    script.send("d", &[]);
    script.now += LATER;
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connect_failed(now, 1), &["disconnect 1"]);
    script.now += 2 * LATER;
    script.timer(&["connect 2"]);
    script.does(|core, now| core.connected(now, 2), &["send 2 Resume 1 t1"]);
    let resumed = [
        "tell Resumed { gap: false, unknown: 0 }",
        "send 2 Data c",
        "send 2 Data d",
    ];
    script.hears(2, opened(2, "t2", 0), &resumed);
    script.hears(2, data("y"), &["tell Data y"]);
}

#[test]
fn a_gap_starts_counting_anew_and_sends_nothing_again() {
    let mut script = Script::started();
    script.send("b", &["send 0 Data b"]);
    script.hears(0, data("x"), &["tell Data x"]);
    script.loses(0, &["disconnect 0", "tell Interrupted"]);
    script.send("c", &[]);
    script.now += LATER;
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connected(now, 1), &["send 1 Resume 1 t1"]);
    let resumed = ["tell Resumed { gap: true, unknown: 1 }", "send 1 Data c"];
    script.hears(1, opened(0, "t2", FLAG_GAP), &resumed);
    script.loses(1, &["disconnect 1", "tell Interrupted"]);
    script.now += LATER;
    script.timer(&["connect 2"]);
    script.does(|core, now| core.connected(now, 2), &["send 2 Resume 0 t2"]);
}

#[test]
fn frames_of_the_old_connection_are_held_back_and_dropped_when_the_session_has_moved() {
    let mut script = Script::moving();
    script.send("b", &[]);
    script.hears(0, data("x"), &[]);
    script.hears(0, close(Code::REPLACED, 0), &[]);
    let resumed = [
        "disconnect 0",
        "tell Resumed { gap: false, unknown: 0 }",
        "send 1 Data b",
    ];
    script.hears(1, opened(1, "t2", 0), &resumed);
    script.hears(1, data("x"), &["tell Data x"]);
    script.hears(0, data("late"), &[]);
}

#[test]
fn frames_of_the_old_connection_are_delivered_behind_close_503() {
    let mut script = Script::moving();
    script.hears(0, data("x"), &[]);
    script.hears(0, data("y"), &[]);
    script.send("b", &[]);
    let stays = [
        "disconnect 1",
        "tell Data x",
        "tell Data y",
        "send 0 Data b",
    ];
    script.hears(1, close(Code::UNAVAILABLE, 500), &stays);
    assert_eq!(script.core.deadline(), Some(script.now + 500));
    script.hears(0, data("z"), &["tell Data z"]);
    script.now += 500;
    script.timer(&["connect 2"]);
    script.does(|core, now| core.connected(now, 2), &["send 2 Resume 3 t1"]);
    // The old connection breaks meanwhile; its last frames come all the same.
    script.hears(0, data("w"), &[]);
    script.loses(0, &["disconnect 0", "tell Interrupted"]);
    script.hears(
        2,
        close(Code::UNAVAILABLE, 500),
        &["disconnect 2", "tell Data w"],
    );
}

#[test]
fn an_unanswered_resume_gives_up_both_connections() {
    let lost = |script: &mut Script| {
        script.loses(1, &["disconnect 0", "tell Interrupted", "disconnect 1"]);
    };
    let late = |script: &mut Script| {
        script.now = 13_000;
        script.timer(&["disconnect 0", "tell Interrupted", "disconnect 1"]);
    };
    for fails in [lost as fn(&mut Script), late] {
        let mut script = Script::moving();
        script.hears(0, data("held back"), &[]);
        fails(&mut script);
        script.hears(0, data("late"), &[]);
        script.now += LATER;
        script.timer(&["connect 2"]);
        script.does(|core, now| core.connected(now, 2), &["send 2 Resume 0 t1"]);
        let resumed = ["tell Resumed { gap: false, unknown: 0 }"];
        script.hears(2, opened(1, "t2", 0), &resumed);
        script.hears(2, data("held back"), &["tell Data held back"]);
    }
}

#[test]
fn a_connection_that_cannot_be_made_leaves_the_old_one_alone() {
    let mut script = Script::started();
    script.hears(0, goaway(2_000), &[]);
    script.timer(&["connect 1"]);
    script.hears(0, data("x"), &["tell Data x"]);
    script.does(|core, now| core.connect_failed(now, 1), &["disconnect 1"]);
    script.hears(0, data("y"), &["tell Data y"]);
    script.send("b", &["send 0 Data b"]);
}

#[test]
fn a_lost_connection_ends_the_wait_for_another_chance_to_move() {
    let mut script = Script::moving();
    // Not yet, says the gateway: in five minutes.
    script.hears(1, close(Code::UNAVAILABLE, 300_000), &["disconnect 1"]);
    script.does(
        |core, now| core.lost(now, 0),
        &["disconnect 0", "tell Interrupted"],
    );
    script.now += 2_000;
    script.timer(&["connect 2"]);
}

#[test]
fn a_close_resumes_or_ends_by_its_code() {
    for code in [
        Code::TIMEOUT,
        Code::INTERNAL,
        Code::UNAVAILABLE,
        Code::TOO_SLOW,
        Code::REPLACED,
    ] {
        let mut script = Script::started();
        script.hears(0, close(code, 700), &["disconnect 0", "tell Interrupted"]);
        assert_eq!(script.core.deadline(), Some(700), "{code}");
    }
    for code in [
        Code::NORMAL,
        Code::GONE,
        Code::KICKED,
        Code::MALFORMED,
        Code::CONFLICT,
    ] {
        let mut script = Script::started();
        script.hears(
            0,
            close(code, 0),
            &["disconnect 0", &format!("tell Closed {code}")],
        );
        assert!(script.core.is_over());
        assert_eq!(script.core.deadline(), None);
    }
    let mut script = Script::moving();
    let over = ["disconnect 0", "disconnect 1", "tell Closed 410"];
    script.hears(1, close(Code::GONE, 0), &over);
}

#[test]
fn a_refusal_before_the_session_has_begun_starts_anew() {
    let mut script = Script::new(SessionOptions::default());
    script.timer(&["connect 0"]);
    script.does(|core, now| core.connected(now, 0), &[]);
    script.send("a", &["send 0 Data a resumable"]);
    script.hears(0, close(Code::UNAVAILABLE, 100), &["disconnect 0"]);
    script.now += 100;
    script.timer(&["connect 1"]);
    script.does(
        |core, now| core.connected(now, 1),
        &["send 1 Data a resumable"],
    );
    script.loses(1, &["disconnect 1", "tell Ended(Lost)"]);
}

#[test]
fn close_comes_behind_all_that_was_sent() {
    let mut script = Script::started();
    script.loses(0, &["disconnect 0", "tell Interrupted"]);
    script.send("b", &[]);
    script.does(|core, now| core.close(now), &[]);
    assert!(!script.core.takes_data());
    script.now += LATER;
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connected(now, 1), &["send 1 Resume 0 t1"]);
    let resumed = [
        "tell Resumed { gap: false, unknown: 0 }",
        "send 1 Data b",
        "send 1 Close 0",
    ];
    script.hears(1, opened(1, "t2", 0), &resumed);
    script.hears(1, data("late"), &["tell Data late"]);
    script.loses(1, &["disconnect 1", "tell Ended(Local)"]);

    let mut script = Script::started();
    script.does(|core, now| core.close(now), &["send 0 Close 0"]);
    // What is on its way comes, and what says that something of it is missing.
    script.hears(0, data("x"), &["tell Data x"]);
    let mut error = close(Code::BAD_GATEWAY, 0);
    error.header.kind = Kind::Error as u8;
    script.hears(0, error, &["tell Error 502"]);
    script.now += LAST_WORDS_MS;
    script.timer(&["disconnect 0", "tell Ended(Local)"]);

    let mut script = Script::new(SessionOptions::default());
    script.does(|core, now| core.close(now), &["tell Ended(Local)"]);
}

#[test]
fn a_gateway_that_breaks_the_protocol_ends_the_session() {
    let mut script = Script::started();
    let over = ["disconnect 0", "tell Ended(Broken(\"bad magic\"))"];
    script.does(|core, _| core.broken(0, "bad magic"), &over);
    script.does(|core, _| core.broken(0, "again"), &[]);

    let mut script = Script::moving();
    let error = "tell Ended(Broken(\"OPENED acknowledges frames that were never sent\"))";
    script.hears(
        1,
        opened(9, "t2", 0),
        &["disconnect 0", "disconnect 1", error],
    );
}

#[test]
fn an_error_is_told_and_the_session_goes_on() {
    let mut script = Script::started();
    let mut refused = close(Code::FORBIDDEN, 0);
    refused.header.kind = Kind::Error as u8;
    script.hears(0, refused, &["tell Error 403"]);
    script.send("b", &["send 0 Data b"]);
    // Kinds of a later version are skipped.
    let mut unknown = data("");
    unknown.header.kind = 99;
    script.hears(0, unknown, &[]);
}
