//! Transcripts: a scripted gateway on one side, a scripted application on the other.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::codec::client;
use crate::codec::client::{FLAG_GAP, FLAG_RESUMABLE, Header, Kind, Opened};
use crate::codec::code::{Code, Notice};
use crate::codec::framed::ClientCodec;
use crate::sdk::client::Outgoing;
use actix_codec::Decoder;

mod bounds_tests;
mod resume_tests;

const ID: u64 = 77;
/// Longer than any random first wait.
const LATER: u64 = 3_000;

/// Formats an effect as a line of a transcript.
fn line(effect: &Effect) -> String {
    match effect {
        Effect::Connect(conn) => format!("connect {conn}"),
        Effect::Disconnect(conn) => format!("disconnect {conn}"),
        Effect::Send(conn, bytes) => {
            let mut codec = ClientCodec { max_payload: 1000 };
            let mut bytes = BytesMut::from(&bytes[..]);
            let frame = codec.decode(&mut bytes).unwrap().expect("a whole frame");
            assert!(bytes.is_empty(), "one frame");
            let kind = Kind::from_byte(frame.header.kind).unwrap();
            let payload = match kind {
                Kind::Ping => format!(
                    "{}",
                    u64::from_be_bytes(frame.payload[..].try_into().unwrap())
                ),
                Kind::Resume => format!(
                    "{} {}",
                    u64::from_be_bytes(*frame.payload.first_chunk().unwrap()),
                    frame.payload[8..].escape_ascii()
                ),
                Kind::Close => Notice::decode(&frame.payload, Code::NORMAL)
                    .code
                    .to_string(),
                _ => frame.payload.escape_ascii().to_string(),
            };
            let first = if frame.header.flags & FLAG_RESUMABLE == 0 {
                ""
            } else {
                " resumable"
            };
            format!("send {conn} {kind:?} {payload}{first}")
        }
        Effect::Tell(Event::Data(data)) => format!("tell Data {}", data.payload.escape_ascii()),
        Effect::Tell(Event::Error(told)) => format!("tell Error {}", told.code),
        Effect::Tell(Event::Ended(End::Closed(told))) => format!("tell Closed {}", told.code),
        Effect::Tell(event) => format!("tell {event:?}"),
    }
}

fn plain(kind: Kind, flags: u8, payload: &[u8]) -> ClientFrame {
    ClientFrame {
        header: Header {
            kind: kind as u8,
            flags,
            session_id: ID,
            ..Header::default()
        },
        service: "game".to_owned(),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn data(payload: &str) -> ClientFrame {
    plain(Kind::Data, 0, payload.as_bytes())
}

fn opened(received: u64, token: &str, flags: u8) -> ClientFrame {
    let mut payload = Vec::new();
    Opened {
        received,
        idle_timeout_ms: 30_000,
        token: token.as_bytes(),
    }
    .encode(&mut payload);
    plain(Kind::Opened, flags, &payload)
}

fn close(code: Code, retry_after_ms: u32) -> ClientFrame {
    let mut payload = Vec::new();
    Notice {
        code,
        retry_after_ms,
        text: "",
    }
    .encode(&mut payload);
    plain(Kind::Close, 0, &payload)
}

fn goaway(milliseconds: u32) -> ClientFrame {
    plain(Kind::Goaway, 0, &milliseconds.to_be_bytes())
}

/// A core and its time.
struct Script {
    core: SessionCore,
    now: u64,
}

impl Script {
    fn new(options: SessionOptions) -> Script {
        let core = SessionCore::new(options, 1, 0);
        Script { core, now: 0 }
    }

    /// Returns a session with the token `t1` on connection 0, whose first frame `a` is acknowledged.
    fn started() -> Script {
        let mut script = Script::new(SessionOptions::default());
        script.timer(&["connect 0"]);
        script.does(|core, now| core.connected(now, 0), &[]);
        script.send("a", &["send 0 Data a resumable"]);
        script.hears(0, opened(1, "t1", 0), &["tell Started(77)"]);
        script
    }

    /// Returns the same, with RESUME sent on connection 1 because of a GOAWAY.
    fn moving() -> Script {
        let mut script = Script::started();
        script.hears(0, goaway(2_000), &[]);
        script.timer(&["connect 1"]);
        script.does(|core, now| core.connected(now, 1), &["send 1 Resume 0 t1"]);
        script
    }

    #[track_caller]
    fn does(&mut self, event: impl FnOnce(&mut SessionCore, u64), expected: &[&str]) {
        event(&mut self.core, self.now);
        let effects: Vec<String> = std::iter::from_fn(|| self.core.next_effect())
            .map(|effect| line(&effect))
            .collect();
        assert_eq!(effects, expected);
    }

    #[track_caller]
    fn timer(&mut self, expected: &[&str]) {
        self.does(|core, now| core.timer(now), expected);
    }

    #[track_caller]
    fn send(&mut self, payload: &str, expected: &[&str]) {
        let to = Outgoing::to("game");
        self.does(
            |core, now| core.send(now, &to, payload.as_bytes()),
            expected,
        );
    }

    #[track_caller]
    fn hears(&mut self, conn: ConnId, frame: ClientFrame, expected: &[&str]) {
        self.does(|core, now| core.received(now, conn, frame), expected);
    }

    #[track_caller]
    fn loses(&mut self, conn: ConnId, expected: &[&str]) {
        self.does(|core, now| core.lost(now, conn), expected);
    }
}
