//! A service goes on at another backend (protocol 2.5).

use super::*;

pub(super) const OLD: u64 = 1;
pub(super) const NEW: u64 = 2;
pub(super) const TO: &str = "10.9.9.9:1";

impl Play {
    /// The backend of `game` asks to have the session taken to [`TO`].
    pub(super) fn transfers(&mut self) -> MoveAnswer {
        self.at(|core, step| core.transfer("game", endpoint("game"), TO, step))
    }

    pub(super) fn parts(&mut self, state: &[u8]) {
        self.at(|core, step| core.left("game", OLD, state, step));
    }

    /// The link to the new backend is there.
    pub(super) fn arrives(&mut self) {
        let mut lease = self.lease("game", NEW);
        lease.endpoint = TO.parse().unwrap();
        self.at(|core, step| core.service_reached("game", Some(lease), step));
    }

    pub(super) fn accepts(&mut self, epoch: u32) {
        self.accepts_of("game", epoch);
    }

    pub(super) fn accepts_of(&mut self, service: &str, epoch: u32) {
        self.at(|core, step| core.accepted(service, epoch, step));
    }

    pub(super) fn loses(&mut self, link: u64) {
        self.at(|core, step| core.link_lost("game", link, step));
    }

    /// The move has come so far that the new backend has its OPEN.
    pub(super) fn arriving(flags: u8) -> Play {
        let mut play = Play::with_session(flags);
        assert_eq!(play.transfers(), MoveAnswer::Later);
        play.parts(b"cards");
        play.arrives();
        play.heard();
        play
    }
}

#[test]
fn a_session_goes_on_at_another_backend() {
    let mut play = Play::with_resumable();
    assert_eq!(play.transfers(), MoveAnswer::Later);
    play.check(&["game.1: CLOSE 307 move"]);
    // What the client says meanwhile waits.
    play.says(&data("game", 0));
    assert!(play.delivers("game"), "the old backend's last words");
    play.check(&[]);
    play.parts(b"cards");
    play.check(&["reach game OPEN transferred epoch 2 state cards"]);
    play.says(&data("", 0));
    play.arrives();
    play.check(&[]);
    play.accepts(2);
    play.check(&[
        "game.1: MOVED 0",
        "game.1: released",
        "game.2: forward 2",
        "OPENED 3 epoch 2",
    ]);
    play.says(&data("game", 0));
    play.check(&["game.2: forward 1"]);
}

#[test]
fn a_plain_session_too() {
    let mut play = Play::arriving(0);
    play.accepts(2);
    play.check(&["game.1: MOVED 0", "game.1: released"]);
    // And again, from there.
    let answer =
        play.at(|core, step| core.transfer("game", TO.parse().unwrap(), "10.8.8.8:1", step));
    assert_eq!(answer, MoveAnswer::Later);
    play.check(&["game.2: CLOSE 307 move"]);
    play.at(|core, step| core.left("game", NEW, b"", step));
    play.check(&["reach game OPEN transferred epoch 3 state "]);
}

#[test]
fn accept_may_come_before_the_news_of_the_link() {
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(b"");
    play.accepts(2);
    play.heard();
    play.arrives();
    play.check(&["game.1: MOVED 0", "game.1: released"]);
}

#[test]
fn who_is_refused_goes_back() {
    let mut play = Play::arriving(FLAG_RESUMABLE);
    play.says(&data("game", 0));
    play.closes("game", 503);
    play.check(&[
        "game.2: released",
        "game.1: OPEN resumed epoch 3 from a",
        "game.1: MOVED 503",
    ]);
    // The refused one's epoch says nothing any more.
    play.accepts(2);
    play.check(&[]);
    play.accepts(3);
    play.check(&["game.1: forward 1", "OPENED 2 epoch 3"]);
    assert_eq!(play.transfers(), MoveAnswer::Later, "it may try again");
}

#[test]
fn who_is_not_answered_goes_back() {
    // The old one hangs: what it says before its late CLOSE 307 counts, for its link has not forgotten the session.
    let mut play = Play::with_session(0);
    play.transfers();
    play.heard();
    play.waits(100);
    play.check(&["game.1: OPEN resumed epoch 2 from a", "game.1: MOVED 502"]);
    play.parts(b"too late");
    play.check(&[]);
    play.accepts(2);
    play.says(&data("game", 0));
    play.check(&["game.1: forward 1"]);

    // The new one has the OPEN and hangs.
    let mut play = Play::arriving(0);
    play.waits(100);
    play.check(&[
        "game.2: final CLOSE 502",
        "game.1: OPEN resumed epoch 3 from a",
        "game.1: MOVED 502",
    ]);

    // The new one cannot be reached.
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(b"");
    play.heard();
    play.at(|core, step| core.service_reached("game", None, step));
    play.check(&["game.1: OPEN resumed epoch 3 from a", "game.1: MOVED 502"]);

    // The link is there too late, and the old one is not the session's before that is known.
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(b"");
    play.waits(100);
    play.heard();
    play.accepts(3);
    play.check(&[]);
    play.says(&data("game", 0));
    play.arrives();
    play.check(&["game.2: final CLOSE 502", "game.1: forward 1"]);
}

#[test]
fn a_state_that_is_too_large_goes_back() {
    let mut play = Play::with_session(0);
    play.transfers();
    play.heard();
    play.parts(&[0; 65_537]);
    play.check(&["game.1: OPEN resumed epoch 2 from a", "game.1: MOVED 413"]);
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(&[b'x'; 65_536]);
    assert!(play.heard().iter().any(|said| said.starts_with("reach")));
}

#[test]
fn the_old_link_is_lost() {
    // Before its state came: as any lost link, and what has waited opens the service anew.
    let mut play = Play::with_session(0);
    play.transfers();
    play.says(&data("game", 0));
    play.heard();
    play.loses(OLD);
    play.check(&["ERROR 502 game", "route game OPEN epoch 1"]);
    // It may have the session still, as behind any lost link.
    play.opens("game", 5);
    play.check(&["game.1: released", "game.5: forward 1"]);
    // Behind that the new one has it, whoever else is gone.
    let mut play = Play::arriving(0);
    play.loses(OLD);
    play.check(&[]);
    play.accepts(2);
    // MOVED cannot reach it, but a final CLOSE finds another link.
    play.check(&["game.1: final CLOSE 0"]);
    // Unless that refuses.
    let mut play = Play::arriving(0);
    play.loses(OLD);
    play.closes("game", 503);
    play.check(&["game.2: released", "ERROR 502 game"]);
    play.at(|core, step| core.close(Closing::Kicked, step));
    assert_eq!(play.heard()[0], "game.1: final CLOSE 440");
    // Or the session ends.
    let mut play = Play::arriving(0);
    play.loses(OLD);
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.check(&[
        "game.2: final CLOSE 440",
        "game.1: final CLOSE 440",
        "unregister",
        "close: 440",
    ]);
}

#[test]
fn the_new_link_is_lost() {
    let mut play = Play::arriving(0);
    play.loses(NEW);
    play.check(&[
        "game.2: final CLOSE 502",
        "game.1: OPEN resumed epoch 3 from a",
        "game.1: MOVED 502",
    ]);
    // And then the old one.
    play.loses(OLD);
    play.check(&["ERROR 502 game"]);
    // The news of the loss may come before that of the link, and behind its ACCEPT.
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(b"");
    play.accepts(2);
    play.loses(NEW);
    play.heard();
    play.arrives();
    play.check(&[
        "game.2: final CLOSE 502",
        "game.1: OPEN resumed epoch 3 from a",
        "game.1: MOVED 502",
    ]);
}

#[test]
fn whoever_gets_it_back_is_owed_the_end() {
    let mut play = Play::arriving(0);
    play.closes("game", 503);
    play.heard();
    let log = Rc::clone(&play.log);
    // As when its client's actor panics.
    drop(play);
    assert!(log.borrow().contains(&"game.1: final CLOSE 500".to_owned()));
}

#[test]
fn the_old_one_does_not_take_it_back() {
    let returning = || {
        let mut play = Play::arriving(FLAG_RESUMABLE);
        play.closes("game", 503);
        play.heard();
        play
    };
    let mut play = returning();
    play.closes("game", 404);
    play.check(&["game.1: released", "ERROR 502 game", "OPENED 1 epoch 3"]);
    let mut play = returning();
    play.waits(100);
    // It may have taken it.
    play.check(&[
        "game.1: final CLOSE 502",
        "ERROR 502 game",
        "OPENED 1 epoch 3",
    ]);
    let mut play = returning();
    play.closes("game", 410);
    assert!(play.heard().contains(&"close: 410".to_owned()));
    let mut play = returning();
    play.closes("game", 440);
    assert!(play.heard().contains(&"close: 440".to_owned()));
}

#[test]
fn the_session_ends_meanwhile() {
    // The old one has it back and hears the end.
    let mut play = Play::with_session(0);
    play.transfers();
    play.says(&data("game", 0));
    play.heard();
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.check(&[
        "game.1: OPEN resumed epoch 2 from a",
        "game.1: MOVED 404",
        "game.1: final CLOSE 440",
        "unregister",
        "close: 440",
    ]);
    // Both hear it.
    let mut play = Play::arriving(0);
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.check(&[
        "game.2: final CLOSE 440",
        "game.1: OPEN resumed epoch 3 from a",
        "game.1: MOVED 404",
        "game.1: final CLOSE 440",
        "unregister",
        "close: 440",
    ]);
    // It is a backend that ends it: its link has forgotten the session, and says nothing.
    let mut play = Play::with_session(0);
    play.transfers();
    play.heard();
    play.closes("game", 440);
    play.check(&["game.1: final CLOSE 440", "unregister", "close: 440"]);
    // The link comes when it is over.
    let mut play = Play::with_session(0);
    play.transfers();
    play.parts(b"");
    play.at(|core, step| core.close(Closing::Kicked, step));
    play.heard();
    play.arrives();
    play.check(&["game.2: final CLOSE 440"]);
}

#[test]
fn the_client_goes_and_comes() {
    let mut play = Play::arriving(FLAG_RESUMABLE);
    play.breaks();
    play.check(&["leave connection: nothing"]);
    play.now += 10;
    // Its resume must wait.
    play.resumes_here(1, 0);
    play.check(&["refuse: 503"]);
    play.accepts(2);
    play.check(&["game.1: MOVED 0", "game.1: released", "game.2: SUSPEND 990"]);
    // With the token from before the move: OPENED has not reached it.
    play.resumes_here(1, 0);
    play.check(&["game.2: OPEN resumed epoch 3 from a", "take connection"]);
    play.accepts(3);
    play.check(&["OPENED 1 epoch 3"]);

    // A session without a connection is moved likewise, and may be given back.
    let mut play = Play::with_resumable();
    play.breaks();
    play.heard();
    assert_eq!(play.transfers(), MoveAnswer::Later);
    play.parts(b"");
    play.arrives();
    play.closes("game", 404);
    play.accepts(3);
    assert!(play.heard().contains(&"game.1: SUSPEND 1000".to_owned()));
}

#[test]
fn an_unused_token_stays_good() {
    let mut play = Play::arriving(FLAG_RESUMABLE);
    play.accepts(2);
    // The frame is on its way while OPENED of the move is not there yet.
    play.says(&data("game", 0));
    play.breaks();
    play.heard();
    play.resumes_here(1, 0);
    let heard = play.heard();
    assert!(heard.contains(&"take connection".to_owned()), "{heard:?}");
}

#[test]
fn a_claim_waits_for_the_end() {
    let mut play = Play::arriving(FLAG_RESUMABLE);
    play.peer("b", ToOwner::Ask { token_epoch: 1 });
    play.check(&[]);
    play.accepts(2);
    play.at(|core, step| core.confirmed("game", step));
    let heard = play.heard();
    assert!(heard.contains(&"to b: holds 3".to_owned()), "{heard:?}");
    // And whoever is promised is not moved.
    let answer =
        play.at(|core, step| core.transfer("game", TO.parse().unwrap(), "10.8.8.8:1", step));
    assert_eq!(answer, MoveAnswer::Now(Code::CONFLICT));
}

#[test]
fn identities_that_are_learned_meanwhile() {
    let mut play = Play::arriving(0);
    let bind = Bind {
        user_id: 42,
        realm_id: 0,
    };
    play.at(|core, step| core.bound("other", bind, step));
    play.heard();
    play.accepts(2);
    play.check(&["game.1: MOVED 0", "game.1: released", "game.2: BOUND 42 0"]);
}
