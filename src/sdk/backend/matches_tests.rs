use super::*;
use crate::codec::Decoded;
use crate::codec::code::Notice;
use crate::codec::link::{self, Hello, Kind, MOVE, OPEN_RESUMED, OPEN_TRANSFERRED, Open};
use crate::sdk::backend::core::{BackendCore, LinkId};

const ID: u64 = 7;

/// A server with one link of a gateway, for the service `game`.
struct Server {
    core: BackendCore<Matches>,
    matches: Matches,
    link: LinkId,
}

impl Server {
    fn start() -> Server {
        let matches = Matches::default();
        let mut core = BackendCore::new(matches.clone());
        let link = core.link_up();
        let mut server = Server {
            core,
            matches,
            link,
        };
        server.greets();
        server
    }

    fn greets(&mut self) {
        let hello = Hello {
            protocol: 1,
            gateway_id: "a".to_owned(),
            service_type: "game".to_owned(),
            resume_window_ms: 30_000,
            ping_interval_ms: 5_000,
            token: None,
            trace_threshold: None,
        };
        self.hears(Kind::Hello, 0, &serde_json::to_vec(&hello).unwrap());
    }

    /// Gives it a frame; returns what it says.
    fn hears(&mut self, kind: Kind, session_id: u64, payload: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut input = Vec::new();
        link::encode(&mut input, kind, session_id, payload);
        self.core.received(0, self.link, &input).unwrap();
        self.said()
    }

    fn said(&mut self) -> Vec<(u8, Vec<u8>)> {
        let (mut output, mut frames, mut at) = (Vec::new(), Vec::new(), 0);
        self.core.take_output(self.link, &mut output);
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&output[at..], 1 << 20) {
            at += used;
            frames.push((frame.kind, frame.payload.to_vec()));
        }
        frames
    }

    fn opens(&mut self, realm_id: u32, epoch: u32, flags: u8, state: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut payload = Vec::new();
        let open = Open {
            realm_id,
            user_id: 0,
            transport: 1,
            flags,
            epoch,
            client: "192.0.2.1:5",
            previous_gateway: "",
            state,
        };
        open.encode(&mut payload);
        self.hears(Kind::Open, ID, &payload)
    }

    /// Has it give the session away; returns its state.
    fn hands_over(&mut self) -> Vec<u8> {
        let mut payload = Vec::new();
        let parts = Notice {
            code: Code::LEAVES_LINK,
            retry_after_ms: 0,
            text: MOVE,
        };
        parts.encode(&mut payload);
        let said = self.hears(Kind::Close, ID, &payload);
        let [(kind, answer)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(*kind, Kind::Close as u8);
        answer[Notice::TEXT_AT..].to_vec()
    }
}

fn push(number: u64) -> (u8, Vec<u8>) {
    (Kind::Data as u8, [PUSH, &number.to_be_bytes()].concat())
}

#[test]
fn a_match_goes_on_elsewhere_with_its_state_to_the_byte() {
    let (mut old, mut new) = (Server::start(), Server::start());
    let mut expected = Player::new(3);
    old.opens(3, 1, 0, &[]);
    for payload in [&b"one"[..], b"two"] {
        expected.hear(payload);
        let said = old.hears(Kind::Data, ID, payload);
        assert_eq!(said, [(Kind::Data as u8, payload.to_vec())]);
    }
    let matches = old.matches.clone();
    old.core.speak("game", |out| matches.push(out));
    assert_eq!(old.said(), [push(0)]);
    expected.pushed = 1;
    let state = old.hands_over();
    assert_eq!(state, expected.encode());
    // Nothing more is pushed from there, and it may come back.
    old.core.speak("game", |out| matches.push(out));
    assert_eq!(old.said(), []);
    assert_eq!(old.matches.player(ID), Some(expected));
    let accept = (Kind::Accept as u8, 2_u32.to_be_bytes().to_vec());
    assert_eq!(new.opens(3, 2, OPEN_TRANSFERRED, &state), [accept]);
    old.hears(Kind::Moved, ID, &0_u16.to_be_bytes());
    assert_eq!(old.matches.player(ID), None);
    assert_eq!(
        (old.core.counts().moved_away, new.core.counts().arrived),
        (1, 1)
    );
    // It goes on where it was.
    let matches = new.matches.clone();
    new.core.speak("game", |out| matches.push(out));
    assert_eq!(new.said(), [push(1)]);
    expected.pushed = 2;
    expected.hear(b"three");
    new.hears(Kind::Data, ID, b"three");
    let answer = [STATE, &expected.encode()].concat();
    let said = new.hears(Kind::Data, ID, ASK_STATE);
    assert_eq!(said, [(Kind::Data as u8, answer)]);
    let of_match = [&ID.to_be_bytes()[..], &expected.encode()].concat();
    assert_eq!(new.matches.state(3), of_match);
    assert_eq!((new.matches.ids(), new.matches.state(4)), (vec![3], vec![]));
    new.hears(Kind::Close, ID, &[]);
    assert!(new.matches.ids().is_empty());
}

/// An OPEN of a claim that has failed comes late, on another link of the gateway that has the session.
#[test]
fn a_link_that_its_own_gateway_has_superseded_gives_the_state() {
    let mut server = Server::start();
    server.opens(3, 1, 0, &[]);
    server.hears(Kind::Data, ID, b"one");
    let first = server.link;
    server.link = server.core.link_up();
    server.greets();
    server.opens(3, 1, OPEN_RESUMED, &[]);
    let left = Code::LEAVES_LINK.0.to_be_bytes();
    server.hears(Kind::Close, ID, &left);
    server.link = first;
    let mut expected = Player::new(3);
    expected.hear(b"one");
    assert_eq!(server.hands_over(), expected.encode());
    // It is given once.
    assert_eq!(server.hears(Kind::Close, ID, &left), []);
}

#[test]
fn a_state_that_is_none_is_refused() {
    let state = Player::new(3).encode();
    let longer = [&state[..], &[0]].concat();
    for (realm_id, state) in [
        (4, &state[..]),
        (3, &state[..27]),
        (3, &longer),
        (3, b""),
        (0, &state),
    ] {
        let mut server = Server::start();
        let said = server.opens(realm_id, 2, OPEN_TRANSFERRED, state);
        let [(kind, payload)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(*kind, Kind::Close as u8);
        assert_eq!(payload[..2], Code::MALFORMED.0.to_be_bytes());
        assert_eq!(
            (server.core.session_count(), server.matches.player(ID)),
            (0, None)
        );
    }
}

#[test]
fn order_and_lengths_make_the_sum() {
    let sum = |frames: &[&[u8]]| {
        let mut player = Player::new(1);
        frames.iter().for_each(|frame| player.hear(frame));
        player.checksum
    };
    let right = sum(&[b"ab", b"c"]);
    for other in [
        &[&b"c"[..], b"ab"][..],
        &[b"a", b"bc"],
        &[b"abc"],
        &[b"ab", b"c", b"c"],
    ] {
        assert_ne!(sum(other), right, "{other:?}");
    }
    let player = Player {
        match_id: 1,
        heard: 2,
        checksum: 3,
        pushed: 4,
    };
    assert_eq!(Player::decode(&player.encode()), Some(player));
}

#[test]
fn a_session_without_a_realm_is_in_no_match() {
    let mut server = Server::start();
    server.opens(0, 1, 0, &[]);
    let said = server.hears(Kind::Data, ID, ASK_STATE);
    assert_eq!(said, [(Kind::Data as u8, ASK_STATE.to_vec())]);
    assert_eq!(server.hands_over(), b"");
}
