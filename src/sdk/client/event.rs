//! Frames of a gateway as values.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::client::{Kind, Opened};
use crate::codec::code::{Code, Notice};
use crate::codec::framed::ClientFrame;

/// One DATA from a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The service that answers.
    pub service: String,
    /// The session's realm at that service; 0: none.
    pub realm_id: u32,
    /// The session.
    pub session_id: u64,
    /// The application's bytes.
    pub payload: Bytes,
}

/// Content of an ERROR or a CLOSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Why (protocol 1.4).
    pub code: Code,
    /// When to try again; zero gives no advice.
    pub retry_after: Duration,
    /// The service concerned, or empty.
    pub service: String,
    /// For people.
    pub text: String,
}

/// A frame from the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The application's bytes.
    Data(Data),
    /// The session can be resumed from now on, or its token is a newer one.
    Opened {
        /// DATA frames that the session has taken from this client.
        received: u64,
        /// Silence after which the gateway closes the connection; zero: never.
        idle_timeout: Duration,
        /// The resume token; empty where the gateway cannot resume.
        token: Bytes,
    },
    /// The bytes of a PING.
    Pong(Bytes),
    /// Something was refused; the connection goes on.
    Error(Told),
    /// The session has ended here; nothing follows.
    Close(Told),
    /// This gateway closes the connection after that time.
    Goaway(Duration),
    /// A frame that this library does not know, or that is too short for its kind.
    Unknown(u8),
}

impl Event {
    pub(super) fn from_frame(frame: ClientFrame) -> Event {
        let unknown = Event::Unknown(frame.header.kind);
        match Kind::from_byte(frame.header.kind) {
            Some(Kind::Data) => Event::Data(Data {
                service: frame.service,
                realm_id: frame.header.realm_id,
                session_id: frame.header.session_id,
                payload: frame.payload,
            }),
            Some(Kind::Opened) => match Opened::decode(&frame.payload) {
                Some(opened) => Event::Opened {
                    received: opened.received,
                    idle_timeout: Duration::from_millis(opened.idle_timeout_ms.into()),
                    token: frame.payload.slice_ref(opened.token),
                },
                None => unknown,
            },
            Some(Kind::Pong) => Event::Pong(frame.payload),
            Some(Kind::Error) => Event::Error(Told::from_frame(frame)),
            Some(Kind::Close) => Event::Close(Told::from_frame(frame)),
            Some(Kind::Goaway) => match frame.payload.first_chunk() {
                Some(bytes) => {
                    Event::Goaway(Duration::from_millis(u32::from_be_bytes(*bytes).into()))
                }
                None => unknown,
            },
            Some(Kind::Resume | Kind::Ping) | None => unknown,
        }
    }
}

impl Told {
    fn from_frame(frame: ClientFrame) -> Told {
        let notice = Notice::decode(&frame.payload, Code::NORMAL);
        Told {
            code: notice.code,
            retry_after: Duration::from_millis(notice.retry_after_ms.into()),
            text: notice.text.to_owned(),
            service: frame.service,
        }
    }
}
