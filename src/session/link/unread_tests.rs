use std::sync::Arc;

use super::*;

/// One session, 7.
fn link() -> Sessions<&'static str> {
    let mut link = Sessions::default();
    link.attach(7, 1, "seven", false);
    link
}

#[test]
fn a_final_close_that_may_not_have_been_read_is_owed_when_the_link_is_lost() {
    let mut link = link();
    link.attach(8, 1, "eight", false);
    link.attach(9, 1, "nine", false);
    link.ping();
    link.release(7, Some(Code::NORMAL));
    // The answer to a PING that was sent before says nothing of it.
    link.pong();
    link.ping();
    link.release(8, Some(Code::KICKED));
    link.pong();
    // This ends no session. Unanswered it may not have been read either.
    link.release(9, Some(Code::LEAVES_LINK));
    let owed = [(9, Code::LEAVES_LINK), (8, Code::KICKED)];
    assert_eq!(link.lose_unread(), owed);
}

/// Over another link its backend would keep it, for a gateway that does not have it.
#[test]
fn a_session_that_has_left_a_lost_link_is_to_be_heard_of_on_another() {
    let endpoint = Arc::new(OwedCloses::default());
    let [mut lost, mut other] = [1, 2].map(|id| Sessions::of_endpoint(Arc::clone(&endpoint), id));
    for id in 1..=6 {
        lost.attach(id, 1, "lost", true);
        lost.release(id, Some(Code::LEAVES_LINK));
    }
    lost.leave_answered(1);
    lost.attach(2, 1, "lost", true);
    lost.lose_unread();
    // Opened since, there or elsewhere at the endpoint.
    other.attach(3, 1, "other", true);
    // Its end, which it is owed since another link was lost, is all that is said.
    endpoint.push(4, Code::NORMAL);
    endpoint.push(4, Code::LEAVES_LINK);
    let owed = other.say_owed();
    assert_eq!(owed.left, [5, 6]);
    let closes = owed.closes.iter();
    assert_eq!(closes.map(|close| close.0).collect::<Vec<_>>(), [4]);
    assert_eq!(other.say_owed(), Owed::default());
}

/// Of each of its ends the backend may have read the one before.
#[test]
fn a_session_that_ends_twice_is_owed_its_newer_final_close() {
    let mut link = link();
    link.release(7, Some(Code::NORMAL));
    link.ping();
    link.attach(7, 1, "seven", false);
    link.release(7, Some(Code::KICKED));
    link.pong();
    assert_eq!(link.lose_unread(), [(7, Code::KICKED)]);
}

#[test]
fn what_another_link_has_opened_again_is_not_owed() {
    let endpoint = Arc::new(OwedCloses::default());
    let [mut lost, mut other] = [1, 2].map(|id| Sessions::of_endpoint(Arc::clone(&endpoint), id));
    for id in [7, 8] {
        lost.attach(id, 1, "lost", false);
        lost.release(id, Some(Code::NORMAL));
    }
    other.attach(7, 1, "other", true);
    assert_eq!(lost.lose_unread(), [(8, Code::NORMAL)]);
}

#[test]
fn moved_0_that_may_not_have_been_read_is_owed_as_a_final_close() {
    let mut link = link();
    assert!(link.part(7));
    // To an assignment that it has asked for; it goes on with its own session.
    link.moved(7, Code::NORMAL);
    link.leave_answered(7);
    link.moved(7, Code::NORMAL);
    link.release(7, None);
    assert_eq!(link.lose_unread(), [(7, Code::NORMAL)]);
    // One that has read it forgets the session.
    let mut link = self::link();
    link.part(7);
    link.leave_answered(7);
    link.moved(7, Code::NORMAL);
    link.release(7, None);
    link.ping();
    link.pong();
    assert_eq!(link.lose_unread(), []);
}

/// It is taken back and closed behind CLOSE 307, which may not have been read either.
#[test]
fn a_session_that_ends_in_a_move_is_owed_its_final_close() {
    let mut link = link();
    assert!(link.part(7) && link.reopen(7, 2));
    link.release(7, Some(Code::KICKED));
    assert_eq!(link.lose_unread(), [(7, Code::KICKED)]);
}

#[test]
fn a_session_that_was_opened_anew_is_not_ended_by_what_was_owed() {
    let mut link = link();
    link.release(7, Some(Code::BAD_GATEWAY));
    link.attach(7, 1, "seven", false);
    link.unread.endpoint.push(7, Code::BAD_GATEWAY);
    link.unread.endpoint.push(8, Code::NORMAL);
    let said = link.say_owed().closes;
    assert_eq!(said.iter().map(|close| close.0).collect::<Vec<_>>(), [8]);
    assert_eq!(link.lose_unread(), [(8, Code::NORMAL)]);
}
