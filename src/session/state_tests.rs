//! The session as a transcript: frames in, verdicts out.

use super::*;

fn data(realm_id: u32, user_id: u64, session_id: u64) -> Header {
    Header {
        realm_id,
        user_id,
        session_id,
        ..Header::default()
    }
}

fn session() -> Session<&'static str> {
    Session::new(7, false, 2)
}

fn code(taken: Taken) -> u16 {
    match taken {
        Taken::Refuse(refusal) => refusal.code.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_is_resolved_once_queued_then_forwarded() {
    let mut s = session();
    assert_eq!(s.on_data(&data(1, 2, 0), "game"), Taken::Resolve(0));
    assert_eq!(s.on_data(&data(0, 0, 7), "game"), Taken::Queue(0));
    assert_eq!(s.on_data(&data(0, 0, 0), ""), Taken::Queue(0));
    s.opening(0).unwrap().frames = 3;
    assert_eq!(s.opened(0, "link").unwrap().frames, 3);
    assert_eq!(s.on_data(&data(0, 0, 0), ""), Taken::Forward(0));
    assert_eq!(s.lease(0), Some(&mut "link"));
    assert_eq!((s.realm_id(), s.user_id(), s.received()), (1, 2, 4));
}

#[test]
fn no_service_was_named_yet() {
    let mut s = session();
    assert_eq!(code(s.on_data(&data(0, 0, 0), "")), 400);
}

#[test]
fn an_empty_name_means_the_previous_one_even_if_that_was_refused() {
    let mut s = session();
    s.on_data(&data(0, 0, 0), "a");
    s.on_data(&data(0, 0, 0), "b");
    assert_eq!(code(s.on_data(&data(0, 0, 0), "c")), 503);
    assert_eq!(s.last_named(), "c");
    assert_eq!(code(s.on_data(&data(0, 0, 0), "")), 503);
    assert_eq!(code(s.on_data(&data(0, 0, 0), "d")), 503);
    assert_eq!(s.on_data(&data(0, 0, 0), "a"), Taken::Queue(0));
    assert_eq!(s.on_data(&data(0, 0, 0), ""), Taken::Queue(0));
}

#[test]
fn a_failed_service_makes_room() {
    let mut s = session();
    s.on_data(&data(0, 0, 0), "a");
    s.on_data(&data(0, 0, 0), "b");
    assert!(s.failed(0).is_some());
    assert!(s.failed(0).is_none());
    assert_eq!(s.on_data(&data(0, 0, 0), "c"), Taken::Resolve(0));
    assert_eq!(s.name(0).as_ref(), "c");
    assert_eq!(s.find("a"), None);
}

#[test]
fn the_session_id_must_be_its_own() {
    let mut s = session();
    s.on_data(&data(0, 0, 0), "a");
    assert_eq!(code(s.on_data(&data(0, 9, 8), "a")), 400);
    assert_eq!(s.user_id(), 0, "a refused frame changes no identity");
    assert_eq!(s.received(), 2, "but it was taken");
}

#[test]
fn the_id_that_a_client_wished_for_is_no_mistake() {
    let mut s = session();
    assert_eq!(s.on_data(&data(0, 0, 8), "a"), Taken::Resolve(0));
    assert_eq!(code(s.on_data(&data(0, 0, 8), "a")), 400);
}

#[test]
fn a_bound_identity_is_held() {
    let mut s = session();
    s.on_data(&data(1, 2, 0), "a");
    assert!(!s.is_bound());
    let bind = |user_id, realm_id| Bind { user_id, realm_id };
    assert!(s.bind(bind(0, 1)));
    assert!(!s.is_bound(), "a realm is nobody");
    let mut s = session();
    s.on_data(&data(1, 2, 0), "a");
    assert!(s.bind(bind(42, 0)));
    assert!(s.is_bound());
    assert_eq!((s.user_id(), s.realm_id()), (42, 1));
    assert_eq!(code(s.on_data(&data(1, 2, 0), "a")), 403);
    assert_eq!(s.on_data(&data(9, 42, 0), "a"), Taken::Queue(0));
    assert_eq!(s.on_data(&data(9, 0, 0), "a"), Taken::Queue(0));
    assert_eq!(s.realm_id(), 9, "the realm is not bound");
    assert!(s.bind(bind(0, 5)));
    assert_eq!((s.user_id(), s.realm_id()), (42, 5));
    assert_eq!(code(s.on_data(&data(9, 42, 0), "a")), 403);
    assert_eq!(
        code(s.on_data(&data(5, 1, 0), "a")),
        403,
        "0 in a BIND changes nothing"
    );
    assert!(!s.bind(bind(0, 0)) && !s.bind(bind(42, 5)));
    assert_eq!(s.bound(), bind(42, 5));
}

#[test]
fn a_lost_link_unbinds_only_its_own_service() {
    let mut s = session();
    s.on_data(&data(0, 0, 0), "a");
    s.on_data(&data(0, 0, 0), "b");
    s.opened(0, "one");
    s.opened(1, "two");
    assert_eq!(s.lost("a", 1, |l| *l == "two"), None);
    assert_eq!(s.lost("c", 1, |_| true), None);
    assert_eq!(s.lost("a", 1, |l| *l == "one"), Some(0));
    assert_eq!(s.leases().count(), 2, "the lost one still owes a CLOSE");
    assert_eq!(s.take_lost(0), Some("one"));
    assert_eq!(s.leases().count(), 1);
    assert_eq!(s.on_data(&data(0, 0, 0), "a"), Taken::Resolve(0));
    assert_eq!(s.lost("a", 9, |_| true), None);
    assert_eq!(s.opening(0).unwrap().lost, Some(9));
}

#[test]
fn too_much_waiting_stops_the_reading() {
    let mut s = session();
    s.on_data(&data(0, 0, 0), "a");
    s.opening(0).unwrap().queue = vec![0; OPENING_QUEUE_BYTES - 1];
    assert!(!s.must_wait());
    s.opening(0).unwrap().queue.push(0);
    assert!(s.must_wait());
    s.failed(0);
    assert!(!s.must_wait());
}
