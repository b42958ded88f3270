//! Each ASSIGN is answered once, whatever becomes of who has asked (protocol 2.5).

use super::moves::{NEW, TO};
use super::*;

const LOBBY: u64 = 5;
const ELSEWHERE: &str = "10.8.8.8:1";

impl Play {
    /// The lobby has had the game's server moved, and is being moved itself.
    fn with_both_moving() -> Play {
        let mut play = Play::with_session(FLAG_RESUMABLE);
        play.says(&data("lobby", 0));
        play.opens("lobby", LOBBY);
        let answer = play.at(|core, step| core.assign("lobby", "game", TO, step));
        assert_eq!(answer, MoveAnswer::Later);
        let from = endpoint("lobby");
        let answer = play.at(|core, step| core.transfer("lobby", from, ELSEWHERE, step));
        assert_eq!(answer, MoveAnswer::Later);
        play.heard();
        play
    }

    fn game_has_moved(&mut self, epoch: u32) {
        self.parts(b"");
        self.arrives();
        self.heard();
        self.accepts(epoch);
    }
}

#[test]
fn an_asker_that_gets_the_session_back_is_told_behind_that() {
    let mut play = Play::with_both_moving();
    play.game_has_moved(2);
    // MOVED 0 would have the lobby forget a session that may yet come back.
    play.check(&["game.1: MOVED 0", "game.1: released", "OPENED 2 epoch 2"]);
    play.at(|core, step| core.left("lobby", LOBBY, b"", step));
    play.heard();
    play.at(|core, step| core.service_reached("lobby", None, step));
    play.check(&[
        "lobby.5: OPEN resumed epoch 4 from a",
        "lobby.5: MOVED 502",
        "lobby.5: MOVED 0",
    ]);
}

#[test]
fn an_asker_that_has_it_again_is_told_at_once() {
    let mut play = Play::with_both_moving();
    play.at(|core, step| core.left("lobby", LOBBY, b"", step));
    play.at(|core, step| core.service_reached("lobby", None, step));
    play.heard();
    play.game_has_moved(4);
    play.check(&[
        "game.1: MOVED 0",
        "game.1: released",
        "lobby.5: MOVED 0",
        "OPENED 2 epoch 4",
    ]);
}

#[test]
fn an_asker_without_the_session_asks_for_nothing() {
    // Its link is lost, or it was given up: it could not be told how the move ends.
    let mut play = Play::with_session(0);
    let answer = play.at(|core, step| core.assign("lobby", "game", TO, step));
    assert_eq!(answer, MoveAnswer::Now(Code::NO_ROUTE));
    play.check(&[]);
}

#[test]
fn a_session_that_has_gone_on_elsewhere_takes_nothing_back() {
    let mut play = Play::with_both_moving();
    play.at(|core, step| core.left("lobby", LOBBY, b"", step));
    play.heard();
    // The game's server has a newer OPEN of another gateway, and so may the lobby: an OPEN here would take the session
    // from that one, and end it.
    play.closes("game", 410);
    let heard = play.heard();
    assert!(heard.contains(&"close: 410".to_owned()), "{heard:?}");
    assert!(!heard.iter().any(|word| word.contains("OPEN")), "{heard:?}");
}

#[test]
fn an_accept_of_a_move_before_says_nothing_of_this_one() {
    // The new server hangs, the session is given back, and then moved to it again.
    let mut play = Play::arriving(0);
    play.waits(100);
    play.accepts(3);
    assert_eq!(play.transfers(), MoveAnswer::Later);
    play.parts(b"");
    play.arrives();
    play.heard();
    play.accepts(2);
    play.check(&[]);
    play.accepts(4);
    play.check(&["game.1: MOVED 0", "game.1: released"]);
}

#[test]
fn a_refusal_that_comes_too_late_is_not_the_old_server_s() {
    for code in [404, 503] {
        let mut play = Play::arriving(0);
        play.waits(100);
        play.heard();
        play.closes_on("game", NEW, code);
        play.check(&[]);
        play.accepts(3);
        play.says(&data("game", 0));
        play.check(&["game.1: forward 1"]);
    }
}
