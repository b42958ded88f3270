//! Transcripts: scripted gateways at the other ends of links.

use super::*;
use crate::codec::code::Notice;
use crate::codec::link::{Bind, Multicast, OPEN_REALM_BOUND, OPEN_RESUMED, Open};

/// Notes each call, and answers by what is asked for.
#[derive(Default)]
struct Noted(Vec<String>);

impl Service for Noted {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        let id = session.session_id;
        self.0.push(format!("data {id} {}", payload.escape_ascii()));
        match payload {
            b"quiet" => {}
            b"kick me" => assert!(out.close(id, Code::KICKED, "")),
            b"who am I" => assert!(out.bind(id, 5, 6)),
            b"all" => assert_eq!(out.multicast(&[1, 2, 99], b"hear"), 2),
            _ => {
                out.send(id, payload);
            }
        }
    }

    fn opened(&mut self, session: &SessionInfo, _: &mut Replies<'_>) {
        let SessionInfo {
            session_id, epoch, ..
        } = session;
        self.0.push(format!("opened {session_id} {epoch}"));
    }

    fn bound(&mut self, session: &SessionInfo) {
        let SessionInfo {
            user_id, realm_id, ..
        } = session;
        let flags = (session.user_is_bound, session.realm_is_bound);
        self.0.push(format!("bound {user_id} {realm_id} {flags:?}"));
    }

    fn suspended(&mut self, session: &SessionInfo) {
        self.0.push(format!("suspended {}", session.session_id));
    }

    fn ended(&mut self, session: &SessionInfo, code: Code) {
        self.0.push(format!("ended {} {code}", session.session_id));
    }
}

/// A core and its time.
struct Script {
    core: BackendCore<Noted>,
    now: u64,
}

impl Script {
    fn new() -> Script {
        let core = BackendCore::new(Noted::default());
        Script { core, now: 1_000 }
    }

    /// Opens a link of that gateway, for the service `game`.
    #[track_caller]
    fn link(&mut self, gateway: &str) -> LinkId {
        let link = self.core.link_up();
        self.hello(link, gateway, 1).unwrap();
        self.expect(&[]);
        link
    }

    fn hello(&mut self, link: LinkId, gateway: &str, protocol: u32) -> Result<(), LinkError> {
        let hello = Hello {
            protocol,
            gateway_id: gateway.to_owned(),
            service_type: "game".to_owned(),
            resume_window_ms: 30_000,
            ping_interval_ms: 5_000,
            token: None,
            trace_threshold: None,
        };
        self.feed(link, Kind::Hello, 0, &serde_json::to_vec(&hello).unwrap())
    }

    fn feed(
        &mut self,
        link: LinkId,
        kind: Kind,
        session_id: u64,
        payload: &[u8],
    ) -> Result<(), LinkError> {
        let mut input = Vec::new();
        link::encode(&mut input, kind, session_id, payload);
        let used = self.core.received(self.now, link, &input)?;
        assert_eq!(used, input.len());
        Ok(())
    }

    #[track_caller]
    fn says(
        &mut self,
        link: LinkId,
        kind: Kind,
        session_id: u64,
        payload: &[u8],
        expected: &[&str],
    ) {
        self.feed(link, kind, session_id, payload).unwrap();
        self.expect(expected);
    }

    #[track_caller]
    fn opens(&mut self, link: LinkId, session_id: u64, epoch: u32, flags: u8, expected: &[&str]) {
        let mut payload = Vec::new();
        Open {
            realm_id: 0,
            user_id: 0,
            transport: 1,
            flags,
            epoch,
            client: "192.0.2.1:5",
            previous_gateway: "",
            state: &[],
        }
        .encode(&mut payload);
        self.says(link, Kind::Open, session_id, &payload, expected);
    }

    /// Asserts the calls of the service, then the frames of each link, since the last time.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let mut lines = std::mem::take(&mut self.core.service().0);
        while let Some(link) = self.core.next_ready() {
            let mut output = Vec::new();
            self.core.take_output(link, &mut output);
            let mut at = 0;
            while let Ok(Decoded::Frame(frame, used)) = link::decode(&output[at..], 1000) {
                at += used;
                lines.push(line(link, &frame));
            }
            assert_eq!(at, output.len(), "whole frames");
        }
        assert_eq!(lines, expected);
    }
}

fn line(link: LinkId, frame: &Frame<'_>) -> String {
    let kind = Kind::from_byte(frame.kind).unwrap();
    let payload = match kind {
        Kind::Close => Notice::decode(frame.payload, Code::NORMAL).code.to_string(),
        Kind::Accept => u32::from_be_bytes(frame.payload.try_into().unwrap()).to_string(),
        Kind::Multicast => {
            let multicast = Multicast::decode(frame.payload).unwrap();
            let ids: Vec<u64> = multicast.sessions().collect();
            format!("{ids:?} {}", multicast.payload.escape_ascii())
        }
        _ => frame.payload.escape_ascii().to_string(),
    };
    let text = format!("{link}: {kind:?} {} {payload}", frame.session_id);
    text.trim_end().to_owned()
}

#[test]
fn a_session_is_opened_served_and_closed() {
    let mut script = Script::new();
    let link = script.link("a");
    script.says(link, Kind::Ping, 0, b"there?", &["0: Pong 0 there?"]);
    script.opens(link, 1, 1, 0, &["opened 1 1"]);
    script.says(link, Kind::Data, 1, b"hi", &["data 1 hi", "0: Data 1 hi"]);
    script.says(link, Kind::Data, 9, b"stray", &[]);
    script.says(
        link,
        Kind::Close,
        1,
        &440_u16.to_be_bytes(),
        &["ended 1 440"],
    );
    script.says(link, Kind::Close, 1, &[], &[]);
    let counts = script.core.counts();
    assert_eq!((counts.data_in, counts.data_out, counts.strays), (1, 1, 2));
    assert_eq!(
        (script.core.link_count(), script.core.session_count()),
        (1, 0)
    );
}

#[test]
fn a_service_binds_multicasts_and_closes() {
    let mut script = Script::new();
    let (one, two) = (script.link("a"), script.link("b"));
    script.opens(one, 1, 1, 0, &["opened 1 1"]);
    script.opens(two, 2, 1, 0, &["opened 2 1"]);
    let bind = r"0: Bind 1 \x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x06";
    script.says(one, Kind::Data, 1, b"who am I", &["data 1 who am I", bind]);
    let all = [
        "data 1 all",
        "1: Multicast 0 [2] hear",
        "0: Multicast 0 [1] hear",
    ];
    script.says(one, Kind::Data, 1, b"all", &all);
    script.says(
        one,
        Kind::Data,
        1,
        b"kick me",
        &["data 1 kick me", "0: Close 1 440"],
    );
    assert_eq!(script.core.session_count(), 1);
    script.core.speak("game", |out| out.send(2, b"unasked"));
    script.expect(&["1: Data 2 unasked"]);
    assert_eq!(script.core.speak("chat", |out| out.send(2, b"x")), None);
}

#[test]
fn a_session_goes_on_over_a_link_of_another_gateway() {
    let mut script = Script::new();
    let (old, new) = (script.link("a"), script.link("b"));
    script.opens(old, 1, 1, 0, &["opened 1 1"]);
    script.opens(new, 1, 1, OPEN_RESUMED, &["1: Close 1 410"]);
    script.opens(new, 1, 2, OPEN_RESUMED, &["opened 1 2", "1: Accept 1 2"]);
    // Frames that still arrive on the old link are served, and answered over the new one.
    script.says(
        old,
        Kind::Data,
        1,
        b"last",
        &["data 1 last", "1: Data 1 last"],
    );
    script.says(old, Kind::Suspend, 1, &30_000_u32.to_be_bytes(), &[]);
    script.says(
        old,
        Kind::Close,
        1,
        &307_u16.to_be_bytes(),
        &["0: Close 1 307"],
    );
    script.says(old, Kind::Data, 1, b"stray", &[]);
    script.opens(old, 1, 1, 0, &["0: Close 1 410"]);
    script.opens(old, 8, 2, OPEN_RESUMED, &["0: Close 8 404"]);
    script.says(new, Kind::Data, 1, b"on", &["data 1 on", "1: Data 1 on"]);
}

#[test]
fn whoever_was_superseded_by_another_gateway_gets_no_state() {
    let mut script = Script::new();
    let (old, new) = (script.link("a"), script.link("b"));
    script.opens(old, 1, 1, 0, &["opened 1 1"]);
    script.opens(new, 1, 2, OPEN_RESUMED, &["opened 1 2", "1: Accept 1 2"]);
    let mut leave = Vec::new();
    Notice {
        code: Code::LEAVES_LINK,
        retry_after_ms: 0,
        text: link::MOVE,
    }
    .encode(&mut leave);
    script.says(old, Kind::Close, 1, &leave, &["0: Close 1 410"]);
    // It has left that link, and is not answered again.
    script.says(old, Kind::Close, 1, &leave, &[]);
    script.says(new, Kind::Data, 1, b"on", &["data 1 on", "1: Data 1 on"]);
}

#[test]
fn a_suspended_session_is_resumed_or_ends_with_its_window() {
    let mut script = Script::new();
    let link = script.link("a");
    script.opens(link, 1, 1, 0, &["opened 1 1"]);
    script.opens(link, 2, 1, 0, &["opened 2 1"]);
    let window = 5_000_u32.to_be_bytes();
    script.says(link, Kind::Suspend, 2, &window, &["suspended 2"]);
    script.says(link, Kind::Suspend, 1, &window, &["suspended 1"]);
    script.opens(link, 1, 2, OPEN_RESUMED, &["opened 1 2", "0: Accept 1 2"]);
    script.now += 4_999;
    script.core.timer(script.now);
    script.expect(&[]);
    script.now += 1;
    script.core.timer(script.now);
    script.expect(&["ended 2 408"]);
}

#[test]
fn a_lost_link_hands_its_sessions_to_a_sibling_or_suspends_them_in_order() {
    let mut script = Script::new();
    let (first, second) = (script.link("a"), script.link("a"));
    for id in [3, 1, 2] {
        script.opens(first, id, 1, 0, &[&format!("opened {id} 1")]);
    }
    script.core.link_down(script.now, first);
    script.expect(&[]);
    script.core.speak("game", |out| out.send(1, b"x"));
    script.expect(&["1: Data 1 x"]);
    script.core.link_down(script.now, second);
    script.expect(&["suspended 1", "suspended 2", "suspended 3"]);
    assert_eq!(
        script.core.speak("game", |out| out.send(1, b"x")),
        Some(false)
    );
    script.now += 30_000;
    script.core.timer(script.now);
    script.expect(&["ended 1 408", "ended 2 408", "ended 3 408"]);
}

#[test]
fn a_backend_that_leaves_tells_links_that_are_there_and_to_come() {
    let mut script = Script::new();
    script.link("a");
    let late = script.core.link_up();
    script.core.leave(false);
    script.expect(&["0: Goaway 0"]);
    script.hello(late, "b", 1).unwrap();
    script.expect(&["1: Goaway 0"]);
}

#[test]
fn broken_links_are_to_be_dropped() {
    let mut script = Script::new();
    let refused = |result: Result<(), LinkError>| result.unwrap_err().to_string();
    let link = script.core.link_up();
    let error = refused(script.feed(link, Kind::Ping, 0, b""));
    assert_eq!(error, "expected HELLO as the first frame, got kind 4");
    let error = refused(script.hello(link, "a", 2));
    assert_eq!(error, "unsupported link protocol 2, expected 1");
    let error = refused(script.feed(link, Kind::Hello, 0, b"{"));
    assert!(error.starts_with("malformed HELLO: "), "{error}");
    let link = script.link("a");
    for (kind, payload) in [(Kind::Accept, &b"\0\0\0\x01"[..]), (Kind::Suspend, b"1")] {
        assert!(script.feed(link, kind, 1, payload).is_err(), "{kind:?}");
    }
}

#[test]
fn a_gateway_that_does_not_read_loses_its_link() {
    let mut script = Script::new();
    let link = script.link("a");
    script.opens(link, 1, 1, 0, &["opened 1 1"]);
    let payload = vec![7; MAX_LINK_PAYLOAD as usize];
    for _ in 0..MAX_OUTBOX_BYTES / payload.len() - 1 {
        script.feed(link, Kind::Data, 1, &payload).unwrap();
    }
    let full = script.feed(link, Kind::Data, 1, &payload);
    assert!(matches!(full, Err(LinkError::Overflowed)), "{full:?}");
}

#[test]
fn frames_cut_anywhere_are_taken_once_they_are_whole() {
    let mut script = Script::new();
    let link = script.link("a");
    script.opens(link, 1, 1, 0, &["opened 1 1"]);
    let mut input = Vec::new();
    link::encode(&mut input, Kind::Data, 1, b"one");
    link::encode(&mut input, Kind::Data, 1, b"two");
    for cut in 0..=input.len() {
        let used = script.core.received(0, link, &input[..cut]).unwrap();
        let rest = script.core.received(0, link, &input[used..]).unwrap();
        assert_eq!(used + rest, input.len());
        script.expect(&["data 1 one", "data 1 two", "0: Data 1 one", "0: Data 1 two"]);
    }
}

#[test]
fn a_gateway_that_does_not_have_the_session_suspends_it_on_its_link_alone() {
    let mut script = Script::new();
    let (one, two, other) = (script.link("a"), script.link("a"), script.link("b"));
    script.opens(one, 1, 1, 0, &["opened 1 1"]);
    let not_here = 421_u16.to_be_bytes();
    // It answers what was said there before the OPEN here, or concerns another gateway.
    script.says(two, Kind::Close, 1, &not_here, &[]);
    script.says(other, Kind::Close, 1, &not_here, &[]);
    script.says(one, Kind::Data, 1, b"hi", &["data 1 hi", "0: Data 1 hi"]);
    script.says(one, Kind::Close, 1, &not_here, &["suspended 1"]);
    assert_eq!(script.core.session_count(), 1);
    script.opens(other, 1, 2, 1, &["opened 1 2", "2: Accept 1 2"]);
    script.says(other, Kind::Close, 1, &not_here, &["suspended 1"]);
    script.now += 30_000;
    script.core.timer(script.now);
    script.expect(&["ended 1 408"]);
}

#[test]
fn a_session_learns_what_other_backends_have_bound() {
    let mut script = Script::new();
    let link = script.link("a");
    script.opens(link, 1, 1, OPEN_REALM_BOUND, &["opened 1 1"]);
    let user = |user_id, realm_id| Bind { user_id, realm_id }.encode();
    let told = ["bound 5 0 (true, true)"];
    script.says(link, Kind::Bound, 1, &user(5, 0), &told);
    script.says(link, Kind::Bound, 2, &user(5, 0), &[]);
    assert!(script.feed(link, Kind::Bound, 1, &[0; 11]).is_err());
}

#[test]
fn kinds_of_later_versions_are_skipped_and_counted() {
    let mut script = Script::new();
    let link = script.link("a");
    let mut input = Vec::new();
    link::encode(&mut input, Kind::Ping, 0, b"x");
    input[4] = 42;
    assert_eq!(script.core.received(script.now, link, &input).unwrap(), 17);
    assert_eq!(script.core.counts().skipped, 1);
    assert_eq!(script.core.silence_limit(link), Some(15_000));
}
