use super::*;

const NOW: u64 = 1_000;

const ID: u64 = 7;

fn gateway(name: &str) -> Arc<str> {
    name.into()
}

fn epoch(epoch: u32) -> Open<'static> {
    Open {
        realm_id: 1,
        user_id: 2,
        transport: 1,
        flags: 0,
        epoch,
        client: "192.0.2.1:5",
        previous_gateway: "",
        state: &[],
    }
}

fn resumed(at: u32) -> Open<'static> {
    Open {
        flags: OPEN_RESUMED,
        ..epoch(at)
    }
}

/// Returns session 7 at epoch 3 on link 0 of gateway `a`.
fn opened() -> Sessions {
    let mut sessions = Sessions::default();
    let taken = sessions.open(0, &gateway("a"), ID, &epoch(3));
    assert_eq!(taken, Ok(Taken::Opened));
    sessions
}

#[test]
fn an_open_is_taken_or_refused_by_epoch_and_gateway() {
    let check = |name: &str, open: Open<'_>, expected: Result<Taken, Refused>| {
        let mut sessions = opened();
        let answer = sessions.open(1, &gateway(name), ID, &open);
        let link = if answer.is_ok() { 1 } else { 0 };
        assert_eq!(answer, expected, "{name} {open:?}");
        assert_eq!(sessions.link_of(ID), Some(link), "{name} {open:?}");
    };
    check("a", epoch(2), Err(Refused::Stale));
    check("b", epoch(2), Err(Refused::Stale));
    check("a", epoch(3), Ok(Taken::Opened));
    check("b", epoch(3), Err(Refused::Stale));
    check("b", epoch(4), Ok(Taken::Opened));
    check("a", resumed(3), Ok(Taken::Resumed));
    check("b", resumed(3), Err(Refused::Stale));
    check("b", resumed(4), Ok(Taken::Resumed));
}

#[test]
fn an_unknown_session_opens_but_does_not_resume() {
    let mut sessions = Sessions::default();
    let answer = sessions.open(0, &gateway("a"), ID, &resumed(2));
    assert_eq!(answer, Err(Refused::Unknown));
    assert_eq!(Refused::Unknown.code(), Code::NO_ROUTE);
    assert_eq!(Refused::Stale.code(), Code::GONE);
    assert_eq!(sessions.len(), 0);
    let answer = sessions.open(0, &gateway("a"), ID, &epoch(9));
    assert_eq!(answer, Ok(Taken::Opened));
    assert_eq!(sessions.get(ID).map(|info| info.epoch), Some(9));
}

#[test]
fn data_counts_where_the_session_is_open() {
    let sessions = opened();
    assert!(sessions.on_link(0, ID).is_some());
    assert!(sessions.on_link(1, ID).is_none());
    assert!(sessions.on_link(0, ID + 1).is_none());
}

#[test]
fn a_link_is_left_by_307_alone() {
    let now = NOW;
    let mut sessions = opened();
    let taken = sessions.open(1, &gateway("b"), ID, &resumed(4));
    assert_eq!(taken, Ok(Taken::Resumed));
    assert!(sessions.on_link(0, ID).is_some(), "until 307 it counts");
    assert_eq!(sessions.suspend(0, ID, now), Suspended::Ignored);
    assert_eq!(
        sessions.close(0, "a", ID, Code::NORMAL, now),
        Closed::Ignored
    );
    assert_eq!(sessions.expire(now), []);
    assert_eq!(
        sessions.close(0, "a", ID, Code::LEAVES_LINK, now),
        Closed::Left
    );
    assert!(sessions.on_link(0, ID).is_none());
    assert_eq!(sessions.link_of(ID), Some(1));
    assert_eq!(sessions.close(0, "a", ID, Code::NORMAL, now), Closed::Stray);
}

#[test]
fn a_link_that_is_not_left_in_time_is_left_all_the_same() {
    let now = NOW;
    let mut sessions = opened();
    let taken = sessions.open(1, &gateway("b"), ID, &resumed(4));
    assert_eq!(taken, Ok(Taken::Resumed));
    assert_eq!(sessions.expire(now), []);
    let before = now + LEAVE_MS - 1;
    assert_eq!(sessions.expire(before), []);
    assert!(sessions.on_link(0, ID).is_some());
    assert_eq!(sessions.expire(now + LEAVE_MS), []);
    assert!(sessions.on_link(0, ID).is_none());
    assert!(sessions.on_link(1, ID).is_some());
}

#[test]
fn leaving_the_only_link_suspends() {
    let now = NOW;
    let later = now + 30_000;
    let mut sessions = opened();
    assert_eq!(
        sessions.close(0, "a", ID, Code::LEAVES_LINK, later),
        Closed::Left
    );
    assert_eq!(sessions.link_of(ID), None);
    assert_eq!(sessions.expire(now), []);
    assert_eq!(sessions.expire(later).len(), 1);
    assert_eq!(sessions.len(), 0);
}

#[test]
fn a_resume_in_time_ends_the_suspension() {
    let until = NOW + 30_000;
    let mut sessions = opened();
    assert!(matches!(sessions.suspend(0, ID, until), Suspended::Here(_)));
    assert_eq!(sessions.suspend(5, ID, until), Suspended::Stray);
    let taken = sessions.open(1, &gateway("b"), ID, &resumed(4));
    assert_eq!(taken, Ok(Taken::Resumed));
    assert_eq!(sessions.expire(until), []);
}

/// The gateway may learn of a lost link before its backend does, and end the session on another one.
#[test]
fn a_session_is_ended_on_another_link_when_its_own_is_lost() {
    let mut sessions = opened();
    assert_eq!(sessions.lose_link(0, Some(4), NOW), []);
    assert!(matches!(
        sessions.close(7, "a", ID, Code::NORMAL, NOW),
        Closed::Ended(_)
    ));

    let mut sessions = opened();
    assert_eq!(sessions.close(7, "a", ID, Code::NORMAL, NOW), Closed::Stray);
    assert_eq!(sessions.link_of(ID), Some(0));
    assert_eq!(sessions.lose_link(0, Some(7), NOW + 30_000).len(), 1);
    assert_eq!(sessions.expire(NOW).len(), 1);

    let mut sessions = opened();
    sessions.close(7, "a", ID, Code::NORMAL, NOW);
    assert_eq!(
        sessions.open(1, &gateway("a"), ID, &resumed(4)),
        Ok(Taken::Resumed)
    );
    assert_eq!(sessions.lose_link(1, Some(7), NOW), []);
    assert_eq!(sessions.link_of(ID), Some(7), "it was opened again since");
}

/// Its gateway has left the link that is lost, which nobody has read, and says on another one that it does not have it.
#[test]
fn a_session_that_its_gateway_does_not_have_is_suspended_whatever_is_known_first() {
    let until = NOW + 30_000;
    let says = |sessions: &mut Sessions, link, gateway| {
        sessions.close(link, gateway, ID, Code::NOT_HERE, until)
    };
    let mut sessions = opened();
    assert_eq!(sessions.lose_link(0, Some(4), NOW), []);
    assert_eq!(says(&mut sessions, 7, "b"), Closed::Ignored);
    assert!(matches!(says(&mut sessions, 7, "a"), Closed::Kept(_)));
    assert_eq!(sessions.link_of(ID), None);
    assert_eq!(sessions.expire(until).len(), 1);

    let mut sessions = opened();
    assert_eq!(says(&mut sessions, 7, "a"), Closed::Ignored);
    assert_eq!(sessions.link_of(ID), Some(0), "that may be an older answer");
    assert_eq!(sessions.lose_link(0, Some(7), until).len(), 1);
    assert_eq!(sessions.expire(NOW), []);
    assert_eq!(sessions.expire(until).len(), 1);

    // Its end counts for more.
    let mut sessions = opened();
    says(&mut sessions, 7, "a");
    sessions.close(7, "a", ID, Code::NORMAL, NOW);
    says(&mut sessions, 7, "a");
    sessions.lose_link(0, Some(7), until);
    assert_eq!(sessions.expire(NOW).len(), 1);
}

#[test]
fn a_lost_link_hands_on_or_suspends() {
    let now = NOW;
    let mut sessions = opened();
    assert_eq!(sessions.lose_link(0, Some(4), now), []);
    assert_eq!(sessions.link_of(ID), Some(4));
    assert_eq!(sessions.expire(now), []);
    assert_eq!(sessions.lose_link(4, None, now).len(), 1);
    assert_eq!(sessions.link_of(ID), None);
    assert_eq!(
        sessions.close(9, "b", ID, Code::NORMAL, now),
        Closed::Stray,
        "another gateway"
    );
    assert!(matches!(
        sessions.close(9, "a", ID, Code::NORMAL, now),
        Closed::Ended(_)
    ));
}

#[test]
fn a_session_whose_link_is_lost_ends_on_any_link_of_its_gateway() {
    let mut sessions = opened();
    // Link 1 answers for it; its gateway, which knows nothing of that, has its last word on link 2.
    sessions.lose_link(0, Some(1), NOW);
    assert_eq!(sessions.close(2, "b", ID, Code::NORMAL, NOW), Closed::Stray);
    let ended = sessions.close(2, "a", ID, Code::NORMAL, NOW);
    assert!(matches!(ended, Closed::Ended(_)), "{ended:?}");
}

#[test]
fn close_307_never_ends_a_session() {
    let mut sessions = opened();
    sessions.lose_link(0, None, NOW);
    let left = sessions.close(1, "a", ID, Code::LEAVES_LINK, NOW);
    assert_eq!(left, Closed::Stray);
    assert!(sessions.get(ID).is_some());
}
