use super::super::{Closed, LeaveAnswered};
use super::*;

/// One session, 7, whose client is called "seven".
fn link(resumes: bool) -> Sessions<&'static str> {
    let mut link = Sessions::default();
    link.attach(7, 1, "seven", resumes);
    link
}

/// Takes a DATA frame of one byte and says what became of it.
fn data(link: &mut Sessions<&'static str>, session_id: u64, byte: u8) -> &'static str {
    match link.data(session_id) {
        Recipient::Attached(attached) => {
            attached.head.push(byte);
            attached.client
        }
        Recipient::BeforeAccept => "before ACCEPT",
        Recipient::Left => "left",
        Recipient::Stranger => "stranger",
    }
}

fn delivered(link: &mut Sessions<&'static str>) -> Vec<(&'static str, Vec<u8>, u32)> {
    let mut batches = Vec::new();
    link.deliver(|attached| {
        if let Some(batch) = attached.take_batch() {
            batches.push((attached.client, batch.head, batch.frames));
        }
    });
    batches
}

fn leave_answered(link: &mut Sessions<&'static str>) -> &'static str {
    match link.leave_answered(7) {
        LeaveAnswered::Detached(attached) => attached.client,
        LeaveAnswered::Parted(attached) => {
            assert_eq!(attached.client, "seven");
            "parted"
        }
        LeaveAnswered::Forgotten => "forgotten",
        LeaveAnswered::Unexpected => "unexpected",
    }
}

#[test]
fn the_frames_of_one_read_are_one_batch_for_each_client() {
    let mut link = link(false);
    link.attach(8, 1, "eight", false);
    assert_eq!(data(&mut link, 7, b'a'), "seven");
    assert_eq!(data(&mut link, 8, b'b'), "eight");
    assert_eq!(data(&mut link, 7, b'c'), "seven");
    let batches = [("seven", b"ac".to_vec(), 2), ("eight", b"b".to_vec(), 1)];
    assert_eq!(delivered(&mut link), batches);
    assert_eq!(delivered(&mut link), []);
    assert_eq!(data(&mut link, 9, b'd'), "stranger");
}

#[test]
fn what_is_gathered_comes_before_a_close_and_only_once() {
    let mut link = link(false);
    data(&mut link, 7, b'a');
    let Closed::Detached(mut attached) = link.closed(7, Code::KICKED) else {
        panic!("7 is attached");
    };
    assert_eq!(attached.take_batch().map(|b| b.head), Some(b"a".to_vec()));
    assert!(link.is_empty());
    assert_eq!(delivered(&mut link), []);
    assert!(matches!(link.closed(7, Code::KICKED), Closed::Stranger));
}

#[test]
fn a_place_that_is_used_again_gets_no_batch_of_the_session_before() {
    let mut link = link(false);
    data(&mut link, 7, b'a');
    assert!(link.release(7, Some(Code::NORMAL)));
    link.attach(8, 1, "eight", false);
    assert_eq!(delivered(&mut link), []);
}

#[test]
fn before_accept_nothing_counts() {
    let mut link = link(true);
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    assert!(matches!(link.bind(7), Recipient::BeforeAccept));
    assert_eq!(link.confirm(7), Some(OpenState::Unknown));
    // The PONG says that the OPEN is taken, not that what comes is behind it.
    assert_eq!(link.confirmed(7), Some(&"seven"));
    assert_eq!(data(&mut link, 7, b'b'), "before ACCEPT");
    assert!(link.accepted(7, 2).is_some());
    assert_eq!(link.confirm(7), Some(OpenState::Taken));
    assert_eq!(data(&mut link, 7, b'c'), "seven");
    assert!(matches!(link.bind(7), Recipient::Attached(_)));
    assert_eq!(delivered(&mut link), [("seven", b"c".to_vec(), 1)]);
    assert!(link.accepted(8, 2).is_none());
}

#[test]
fn a_frame_or_a_pong_behind_it_shows_that_an_open_is_taken() {
    let mut link = link(false);
    link.attach(8, 1, "eight", false);
    assert_eq!(link.confirm(7), Some(OpenState::Unknown));
    data(&mut link, 7, b'a');
    assert_eq!(link.confirm(7), Some(OpenState::Taken));
    assert_eq!(link.confirm(8), Some(OpenState::Unknown));
    assert_eq!(link.confirmed(8), Some(&"eight"));
    assert_eq!(link.confirm(8), Some(OpenState::Taken));
    assert_eq!(link.confirm(9), None);
}

#[test]
fn a_session_that_leaves_hears_all_until_the_backend_answers() {
    let mut link = link(false);
    assert_eq!(leave_answered(&mut link), "unexpected");
    assert!(link.leave(7));
    assert_eq!(data(&mut link, 7, b'a'), "seven");
    assert_eq!(leave_answered(&mut link), "seven");
    assert_eq!(leave_answered(&mut link), "unexpected");
    assert_eq!(data(&mut link, 7, b'b'), "stranger");
    assert!(!link.release(7, None));
}

#[test]
fn of_a_session_that_has_left_nothing_counts_until_the_backend_answers() {
    for leaves_first in [true, false] {
        let mut link = link(false);
        if leaves_first {
            assert!(link.leave(7));
            assert!(link.release(7, None));
        } else {
            assert!(link.release(7, Some(Code::LEAVES_LINK)));
        }
        assert_eq!(data(&mut link, 7, b'a'), "left");
        assert!(matches!(link.bind(7), Recipient::Left));
        assert!(matches!(link.closed(7, Code::KICKED), Closed::Left));
        assert_eq!(leave_answered(&mut link), "forgotten");
        assert_eq!(data(&mut link, 7, b'b'), "stranger");
    }
}

#[test]
fn a_session_may_come_back_before_the_backend_has_answered_its_leaving() {
    let mut link = link(false);
    assert!(link.release(7, Some(Code::LEAVES_LINK)));
    link.attach(7, 1, "seven again", true);
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert!(link.accepted(7, 2).is_some());
    assert_eq!(data(&mut link, 7, b'b'), "seven again");
}

#[test]
fn the_answer_to_an_open_that_was_given_up_is_no_word_on_the_session() {
    for answer in [Code::NO_ROUTE, Code::GONE] {
        let mut link = link(true);
        assert!(link.release(7, Some(Code::BAD_GATEWAY)));
        // The session has opened the service anew since.
        link.attach(7, 1, "seven again", false);
        assert!(matches!(link.closed(7, answer), Closed::Left));
        assert_eq!(data(&mut link, 7, b'a'), "seven again");
        assert!(matches!(link.closed(7, answer), Closed::Detached(_)));
        assert!(matches!(link.closed(7, answer), Closed::Stranger));
    }
    let mut link = link(true);
    assert!(link.release(7, Some(Code::BAD_GATEWAY)));
    link.attach(7, 1, "seven again", true);
    assert!(link.accepted(7, 2).is_none());
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    assert!(link.accepted(7, 2).is_some());
    assert!(matches!(link.closed(7, Code::GONE), Closed::Detached(_)));
}

#[test]
fn what_a_backend_ends_itself_is_ended_although_an_open_was_given_up() {
    let mut link = link(true);
    assert!(link.release(7, Some(Code::BAD_GATEWAY)));
    assert!(matches!(link.closed(7, Code::KICKED), Closed::Stranger));
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Left));
}

#[test]
fn every_open_that_was_given_up_has_an_answer() {
    let mut link = link(false);
    assert!(link.reopen(7, 2));
    assert!(link.reopen(7, 2));
    assert!(link.accepted(7, 2).is_some());
    assert!(link.reopen(7, 2));
    assert!(link.release(7, Some(Code::BAD_GATEWAY)));
    assert!(!link.reopen(7, 2));
    assert!(link.accepted(7, 2).is_none());
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Left));
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Stranger));
}

#[test]
fn a_backend_that_ends_a_session_still_refuses_the_opens_under_way() {
    let mut link = link(true);
    assert!(link.reopen(7, 2));
    assert!(matches!(link.closed(7, Code::KICKED), Closed::Detached(_)));
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Left));
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Left));
    assert!(matches!(link.closed(7, Code::NO_ROUTE), Closed::Stranger));
}

#[test]
fn a_session_that_comes_back_waits_for_the_answer_to_its_own_open() {
    let mut link = link(true);
    assert!(link.release(7, Some(Code::LEAVES_LINK)));
    link.attach(7, 1, "seven again", true);
    assert!(link.accepted(7, 2).is_none());
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    assert!(link.accepted(7, 2).is_some());
}

#[test]
fn accept_answers_an_open_that_asks_for_it() {
    let mut link = link(false);
    assert!(link.accepted(7, 1).is_none());
    link.attach(8, 1, "eight", true).arrives(4);
    assert!(link.accepted(8, 2).is_none());
    assert_eq!(data(&mut link, 8, b'a'), "before ACCEPT");
    assert!(link.accepted(8, 4).is_some());
    assert!(link.accepted(8, 4).is_none());
}

#[test]
fn a_close_that_crossed_close_307_may_be_older_than_the_open_behind_it() {
    let mut link = link(false);
    link.release(7, Some(Code::LEAVES_LINK));
    link.attach(7, 1, "again", false);
    let closed = link.closed(7, Code::NORMAL);
    assert!(matches!(closed, Closed::Crossed(_, Code::NORMAL)));
    // Nor do the words that came before show that it has read that OPEN.
    let mut link = self::link(false);
    link.release(7, Some(Code::LEAVES_LINK));
    link.attach(7, 1, "again", false);
    data(&mut link, 7, b'a');
    let closed = link.closed(7, Code::NORMAL);
    assert!(matches!(closed, Closed::Crossed(_, Code::NORMAL)));
    // One that answers, or ends what it has shown to have, has read that OPEN.
    link.attach(7, 1, "again", false);
    data(&mut link, 7, b'a');
    let closed = link.closed(7, Code::NORMAL);
    assert!(matches!(closed, Closed::Detached(_)));
}

#[test]
fn an_open_behind_one_that_is_refused_may_be_taken() {
    let may_be_taken = |link: &mut Sessions<&'static str>| {
        let closed = link.closed(7, Code::GONE);
        matches!(closed, Closed::Crossed(_, Code::LEAVES_LINK))
    };
    // Behind one that wants no answer: another gateway had the epoch of that.
    let mut link = link(false);
    assert!(link.reopen(7, 3) && may_be_taken(&mut link));
    assert!(link.accepted(7, 3).is_none(), "for nobody");
    assert_eq!(data(&mut link, 7, b'a'), "left");
    assert_eq!(leave_answered(&mut link), "forgotten");
    // It was the newest one that was refused, and the answer to CLOSE 307 shows that no other is to come.
    let mut link = self::link(false);
    assert!(link.reopen(7, 3) && may_be_taken(&mut link));
    assert_eq!(leave_answered(&mut link), "forgotten");
    link.attach(7, 1, "again", true);
    assert!(matches!(link.closed(7, Code::GONE), Closed::Detached(_)));
    // Behind one of a resume before.
    let mut link = self::link(true);
    assert!(link.reopen(7, 3) && may_be_taken(&mut link));
    // Behind CLOSE 307 of a move, which the backend does not answer otherwise.
    let mut link = self::link(false);
    data(&mut link, 7, b'a');
    assert!(link.part(7) && link.reopen(7, 3) && link.takes_bound(7));
    assert!(may_be_taken(&mut link));
    // Where it is refused too, nothing more comes.
    assert!(matches!(link.closed(7, Code::GONE), Closed::Left));
    assert_eq!(leave_answered(&mut link), "unexpected");
    // Behind one that was taken, or an answer to that CLOSE 307, the newest one is refused.
    let mut link = self::link(false);
    data(&mut link, 7, b'a');
    assert!(link.reopen(7, 3) && !may_be_taken(&mut link));
    let mut link = self::link(false);
    data(&mut link, 7, b'a');
    assert!(link.part(7) && link.reopen(7, 3));
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert!(!may_be_taken(&mut link));
}

#[test]
fn a_session_that_is_moved_may_come_back() {
    let mut link = link(false);
    data(&mut link, 7, b'a');
    assert!(link.part(7) && !link.takes_bound(7));
    assert_eq!(data(&mut link, 7, b'b'), "seven", "its last words");
    assert_eq!(leave_answered(&mut link), "parted");
    assert_eq!(leave_answered(&mut link), "unexpected");
    assert_eq!(data(&mut link, 7, b'c'), "left");
    assert!(matches!(link.closed(7, Code::KICKED), Closed::Left));
    assert!(link.accepted(7, 2).is_none() && !link.takes_bound(7));
    assert!(link.reopen(7, 2));
    assert_eq!(data(&mut link, 7, b'd'), "before ACCEPT");
    assert!(link.accepted(7, 2).is_some());
    assert_eq!(data(&mut link, 7, b'e'), "seven");
    // It is gone for good.
    link.part(7);
    leave_answered(&mut link);
    assert!(link.release(7, None));
    assert_eq!(data(&mut link, 7, b'f'), "stranger");
}

#[test]
fn a_session_that_is_taken_back_before_its_close_307_is_answered() {
    let mut link = link(false);
    data(&mut link, 7, b'a');
    link.part(7);
    assert!(link.reopen(7, 2));
    assert_eq!(data(&mut link, 7, b'b'), "seven", "its last words");
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert!(link.accepted(7, 2).is_some());
    assert_eq!(data(&mut link, 7, b'c'), "seven");
    // Released meanwhile, it is answered all the same.
    link.part(7);
    link.reopen(7, 2);
    assert!(link.release(7, Some(Code::KICKED)));
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert!(link.accepted(7, 2).is_none());
    assert_eq!(data(&mut link, 7, b'd'), "stranger");
}

#[test]
fn a_transferred_session_is_refused_with_any_code() {
    let arriving = |link: &mut Sessions<&'static str>| link.attach(7, 1, "seven", true).arrives(1);
    let mut link = Sessions::default();
    arriving(&mut link);
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    let closed = link.closed(7, Code::UNAVAILABLE);
    assert!(matches!(closed, Closed::Detached(_)));
    // That was the answer: the next OPEN has one of its own.
    arriving(&mut link);
    assert!(link.accepted(7, 1).is_some());
    assert_eq!(data(&mut link, 7, b'b'), "seven");
    link.release(7, Some(Code::NORMAL));

    // Given up before it was answered, its refusal ends nothing.
    arriving(&mut link);
    link.release(7, Some(Code::BAD_GATEWAY));
    arriving(&mut link);
    assert!(matches!(link.closed(7, Code::UNAVAILABLE), Closed::Left));
    assert!(link.accepted(7, 1).is_some());
    assert!(matches!(link.closed(7, Code::KICKED), Closed::Detached(_)));
}

#[test]
fn an_open_that_was_given_up_may_never_be_answered() {
    let mut link = Sessions::default();
    let opens = |link: &mut Sessions<&'static str>, epoch| {
        let attached = link.attach(7, 1, "seven", true);
        attached.arrives(epoch);
    };
    opens(&mut link, 2);
    link.release(7, Some(Code::BAD_GATEWAY));
    opens(&mut link, 4);
    assert!(link.accepted(7, 4).is_some());
    assert_eq!(data(&mut link, 7, b'a'), "seven");
    // Nothing that it says is taken for the answer any more.
    assert!(matches!(link.closed(7, Code::GONE), Closed::Detached(_)));

    opens(&mut link, 6);
    link.release(7, Some(Code::BAD_GATEWAY));
    opens(&mut link, 8);
    assert!(link.accepted(7, 6).is_none());
    assert_eq!(data(&mut link, 7, b'a'), "before ACCEPT");
    assert!(link.accepted(7, 8).is_some());
}

#[test]
fn the_answers_to_a_session_that_is_superseded_are_not_those_of_the_new_one() {
    let mut link = link(true);
    assert!(link.leave(7));
    let superseded = link.supersede(7).expect("it was attached");
    assert_eq!((superseded.client, link.len()), ("seven", 0));
    link.attach(7, 1, "seven again", true);
    assert!(link.accepted(7, 1).is_none());
    assert_eq!(leave_answered(&mut link), "forgotten");
    assert!(link.accepted(7, 2).is_some());
}

#[test]
fn a_session_is_never_attached_twice_and_leaves_with_its_last_release() {
    let mut link = link(false);
    for _ in 0..3 {
        link.attach(7, 1, "again", false);
        assert_eq!((link.len(), link.clients().count()), (1, 1));
    }
    for _ in 0..3 {
        assert!(!link.release(7, Some(Code::KICKED)));
        assert_eq!(data(&mut link, 7, b'a'), "again");
    }
    assert!(link.release(7, Some(Code::NORMAL)));
    assert!(link.is_empty());
}
