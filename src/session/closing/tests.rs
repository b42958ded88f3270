use super::*;

#[test]
fn a_websocket_ends_with_the_code_of_its_closing() {
    for (closing, code) in [
        (Closing::BadMessage(MessageFault::Text), 1003),
        (Closing::BadMessage(MessageFault::CutFrame), 1002),
        (Closing::BadMessage(MessageFault::TooLarge), 1009),
        (Closing::Draining, 1001),
        (Closing::Idle, 1013),
        (Closing::Internal, 1011),
        (Closing::Kicked, 1008),
        (Closing::ByClient(Code::NORMAL), 1000),
    ] {
        assert_eq!(closing.outcome().websocket, code, "{closing:?}");
    }
}

#[test]
fn backends_get_the_code_that_the_client_sent_or_got() {
    let check = |closing: Closing, client: Option<u16>, backends: u16| {
        let outcome = closing.outcome();
        assert_eq!(outcome.client.map(|c| c.0), client, "{closing:?}");
        assert_eq!(outcome.backends.0, backends, "{closing:?}");
    };
    check(Closing::ByClient(Code(7)), None, 7);
    check(Closing::Disconnected, None, 0);
    check(Closing::Failed, None, 0);
    check(Closing::Abandoned(Code(503)), None, 503);
    check(Closing::Unrecognised, None, 0);
    check(Closing::SilentStart, None, 0);
    check(Closing::BrokenFrame(FrameError::Magic), Some(400), 400);
    check(Closing::BrokenFrame(FrameError::Version(9)), Some(400), 400);
    check(
        Closing::BrokenFrame(FrameError::ServiceName),
        Some(400),
        400,
    );
    check(
        Closing::BrokenFrame(FrameError::ServiceLength(65)),
        Some(400),
        400,
    );
    let large = FrameError::PayloadTooLarge { len: 2, limit: 1 };
    check(Closing::BrokenFrame(large), Some(413), 413);
    check(Closing::SlowStart, Some(408), 408);
    check(Closing::Idle, Some(408), 408);
    check(Closing::IdInUse, Some(409), 409);
    check(Closing::NotResumable, Some(410), 410);
    check(Closing::Replaced, Some(205), 307);
    check(Closing::TakenElsewhere, Some(410), 307);
    check(Closing::ResumeElsewhere, Some(503), 503);
    check(Closing::ResumeBusy, Some(503), 503);
    let backend = Closing::ByBackend {
        code: Code(440),
        retry_after_ms: 3,
        text: "bye".into(),
    };
    check(backend, Some(440), 440);
    check(Closing::Kicked, Some(440), 440);
    check(Closing::Banned, Some(440), 440);
    check(Closing::BannedUnheard, None, 0);
    check(Closing::TooSlow, Some(507), 507);
    check(Closing::Evicted, None, 507);
    check(Closing::InputTooLarge, Some(507), 507);
    check(Closing::Draining, Some(503), 503);
    check(Closing::Full, Some(503), 503);
    check(Closing::Denied, None, 0);
    check(Closing::TooManyOfAddress, Some(429), 429);
    check(Closing::TooManyConnections, Some(503), 503);
    check(Closing::TooManySessions, Some(503), 503);
    check(Closing::TooFast, Some(429), 429);
    check(Closing::ShortOfMemory, Some(503), 503);
    check(Closing::NoRoutes, Some(503), 503);
    check(Closing::Internal, Some(500), 500);
    check(Closing::Served, None, 0);
    check(Closing::ProxyUnexpected, None, 0);
    check(Closing::ProxyMissing, None, 0);
    check(Closing::ProxyMalformed, None, 0);
    check(Closing::TlsFailed, None, 0);
    check(Closing::TlsBusy, None, 0);
    check(Closing::TlsMissing, None, 0);
    check(Closing::BadMessage(MessageFault::Text), Some(400), 400);
    check(Closing::BadMessage(MessageFault::CutFrame), Some(400), 400);
    check(Closing::BadMessage(MessageFault::TooLarge), Some(413), 413);
    check(Closing::BadMessage(MessageFault::Malformed), Some(400), 400);
}

#[test]
fn a_connection_that_breaks_or_is_given_up_only_suspends_its_session() {
    for closing in [
        Closing::Disconnected,
        Closing::Failed,
        Closing::Idle,
        Closing::Internal,
        Closing::Draining,
        Closing::TooSlow,
        Closing::InputTooLarge,
    ] {
        assert!(closing.outcome().only_suspends, "{closing:?}");
    }
    for closing in [
        Closing::ByClient(Code::NORMAL),
        Closing::BrokenFrame(FrameError::Magic),
        Closing::Kicked,
        Closing::Banned,
        Closing::TooFast,
        Closing::Replaced,
        Closing::ResumeElsewhere,
        Closing::ResumeBusy,
    ] {
        assert!(!closing.outcome().only_suspends, "{closing:?}");
    }
}

#[test]
fn a_close_to_many_at_once_spreads_their_return() {
    for closing in [
        Closing::Draining,
        Closing::Full,
        Closing::ResumeElsewhere,
        Closing::TooManyOfAddress,
        Closing::TooManyConnections,
        Closing::TooManySessions,
        Closing::TooFast,
        Closing::ShortOfMemory,
        Closing::NoRoutes,
    ] {
        assert_eq!(closing.outcome().retry, Retry::Spread, "{closing:?}");
    }
    assert_eq!(Closing::ResumeBusy.outcome().retry, Retry::Soon);
    let backend = Closing::ByBackend {
        code: Code::KICKED,
        retry_after_ms: 3,
        text: "bye".into(),
    };
    assert_eq!(backend.outcome().retry, Retry::AfterMs(3));
    assert_eq!(Closing::Idle.outcome().retry, Retry::NoAdvice);
}

#[test]
fn nothing_is_sent_on_a_socket_that_has_failed_or_speaks_another_language() {
    for closing in [
        Closing::Failed,
        Closing::Disconnected,
        Closing::Unrecognised,
        Closing::BannedUnheard,
        Closing::Served,
        Closing::ProxyMissing,
        Closing::TlsFailed,
    ] {
        let outcome = closing.outcome();
        assert!(outcome.is_abrupt && outcome.client.is_none(), "{closing:?}");
    }
    // The queue of these is still written.
    for closing in [Closing::ByClient(Code::NORMAL), Closing::SilentStart] {
        assert!(!closing.outcome().is_abrupt, "{closing:?}");
    }
}
