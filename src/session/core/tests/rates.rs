//! Rates of frames and bytes: what is dropped, what is said, and what counts.

use super::*;

fn limited(flags: u8) -> Play {
    let mut play = Play::with_session(flags);
    play.reading.frames_per_second = 2;
    play.reading.patience = 5_000;
    play
}

#[test]
fn what_is_over_the_rate_is_dropped_and_told_once() {
    let mut play = limited(0);
    let read = play.says(&data("game", 0).repeat(5));
    assert_eq!((read.frames, read.excess, read.forwards), (5, 3, 1));
    play.check(&["game.1: forward 2", "ERROR 429 game"]);
    play.now = 500;
    assert_eq!(play.says(&data("game", 0)).excess, 0);
    play.check(&["game.1: forward 1"]);
}

#[test]
fn a_dropped_frame_counts_as_taken_and_names_its_service() {
    let mut play = limited(FLAG_RESUMABLE);
    play.says(&data("game", 0).repeat(2));
    play.says(&data("chat", 0));
    play.check(&["game.1: forward 2", "ERROR 429 chat"]);
    play.now = 1_000;
    // Of the one that goes on without a name, "chat" was meant.
    play.says(&data("", 0));
    play.check(&["route chat OPEN epoch 1"]);
    play.opens("chat", 2);
    // The frame that began the session, the two, the dropped one, and the last.
    play.check(&["chat.2: forward 1", "OPENED 5 epoch 1"]);
}

#[test]
fn going_on_over_the_rate_ends_even_a_session_that_could_be_resumed() {
    let mut play = limited(FLAG_RESUMABLE);
    for turn in 0..6 {
        play.now = turn * 900;
        play.says(&data("game", 0).repeat(9));
    }
    assert!(!play.core.is_over());
    play.heard();
    play.now = 5_000;
    play.says(&data("game", 0).repeat(9));
    assert!(play.core.is_over());
    let said = play.heard();
    assert!(said.contains(&"close: 429".to_owned()), "{said:?}");
}

#[test]
fn an_end_is_heard_however_much_came_before() {
    let mut play = limited(0);
    let close = frame(Kind::Close, "", 0, b"");
    play.says(&[data("game", 0).repeat(20), close].concat());
    assert!(play.core.is_over());
}

#[test]
fn pings_count_too() {
    let mut play = limited(0);
    let ping = frame(Kind::Ping, "", 0, b"x");
    assert_eq!(play.says(&ping.repeat(6)).excess, 4);
    play.check(&["Pong", "Pong", "ERROR 429 "]);
}
