//! Frames of both protocols as the auditor keeps them, and the streams that they lie in.

use std::collections::VecDeque;

use game_gateway::codec::Decoded;
use game_gateway::codec::client::{self, FLAG_GAP, FLAG_RESUMABLE, Opened};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{
    self, Assign, Bind, Features, GOAWAY_MOVE, Multicast, OPEN_RESUMED, OPEN_TRANSFERRED, Open,
    Transfer,
};

use crate::wire::Payload;

/// The largest payload that is believed.
const MAX_PAYLOAD: u32 = 1 << 24;

/// A frame of the client protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFrame {
    pub(crate) session_id: u64,
    pub(crate) realm_id: u32,
    pub(crate) user_id: u64,
    pub(crate) service: String,
    pub(crate) what: ClientWhat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientWhat {
    Data {
        resumable: bool,
        /// None where the bytes are no [`Payload`].
        payload: Option<Payload>,
    },
    Opened {
        received: u64,
        gap: bool,
        token: Box<[u8]>,
    },
    Resume {
        count: u64,
        token: Box<[u8]>,
    },
    Ping,
    Pong,
    Error(u16),
    Close(u16),
    Goaway,
    Unknown(u8),
}

/// A frame of the link protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkFrame {
    pub(crate) session_id: u64,
    pub(crate) what: LinkWhat,
    /// The text of a CLOSE, the state at the end of an OPEN.
    pub(crate) state: Box<[u8]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkWhat {
    Data(Option<Payload>),
    Open {
        epoch: u32,
        /// Or transferred: it wants an answer.
        resumed: bool,
        transferred: bool,
        user_id: u64,
        realm_id: u32,
    },
    Close(u16),
    Bind {
        user_id: u64,
        realm_id: u32,
    },
    Bound {
        user_id: u64,
        realm_id: u32,
    },
    Multicast(Box<[u64]>, Option<Payload>),
    Suspend(u32),
    Accept(u32),
    Ping,
    Pong,
    Hello {
        resume_window: u64,
    },
    /// Whether its sessions are to be moved.
    Goaway(bool),
    /// Whether it hands sessions over.
    Features(bool),
    Assign(Box<str>, Box<str>),
    Transfer(Box<str>),
    Moved(u16),
    Unknown(u8),
}

impl ClientFrame {
    fn read(frame: &client::Frame<'_>) -> ClientFrame {
        let header = frame.header;
        let code = || Notice::decode(frame.payload, Code::NORMAL).code.0;
        let what = match client::Kind::from_byte(header.kind) {
            Some(client::Kind::Data) => ClientWhat::Data {
                resumable: header.flags & FLAG_RESUMABLE != 0,
                payload: Payload::decode(frame.payload),
            },
            Some(client::Kind::Opened) => match Opened::decode(frame.payload) {
                Some(opened) => ClientWhat::Opened {
                    received: opened.received,
                    gap: header.flags & FLAG_GAP != 0,
                    token: opened.token.into(),
                },
                None => ClientWhat::Unknown(header.kind),
            },
            Some(client::Kind::Resume) => match frame.payload.split_first_chunk() {
                Some((count, token)) => ClientWhat::Resume {
                    count: u64::from_be_bytes(*count),
                    token: token.into(),
                },
                None => ClientWhat::Unknown(header.kind),
            },
            Some(client::Kind::Ping) => ClientWhat::Ping,
            Some(client::Kind::Pong) => ClientWhat::Pong,
            Some(client::Kind::Error) => ClientWhat::Error(code()),
            Some(client::Kind::Close) => ClientWhat::Close(code()),
            Some(client::Kind::Goaway) => ClientWhat::Goaway,
            None => ClientWhat::Unknown(header.kind),
        };
        ClientFrame {
            session_id: header.session_id,
            realm_id: header.realm_id,
            user_id: header.user_id,
            service: frame.service.to_owned(),
            what,
        }
    }
}

impl LinkFrame {
    fn read(frame: &link::Frame<'_>) -> LinkFrame {
        let unknown = LinkWhat::Unknown(frame.kind);
        let number = || frame.payload.first_chunk().map(|n| u32::from_be_bytes(*n));
        let what = match link::Kind::from_byte(frame.kind) {
            Some(link::Kind::Data) => LinkWhat::Data(Payload::decode(frame.payload)),
            Some(link::Kind::Open) => {
                Open::decode(frame.payload).map_or(unknown, |open| LinkWhat::Open {
                    epoch: open.epoch,
                    user_id: open.user_id,
                    realm_id: open.realm_id,
                    resumed: open.flags & (OPEN_RESUMED | OPEN_TRANSFERRED) != 0,
                    transferred: open.flags & OPEN_TRANSFERRED != 0,
                })
            }
            Some(link::Kind::Close) => {
                LinkWhat::Close(Notice::decode(frame.payload, Code::KICKED).code.0)
            }
            Some(link::Kind::Bind) => {
                Bind::decode(frame.payload).map_or(unknown, |bind| LinkWhat::Bind {
                    user_id: bind.user_id,
                    realm_id: bind.realm_id,
                })
            }
            Some(link::Kind::Bound) => {
                Bind::decode(frame.payload).map_or(unknown, |bind| LinkWhat::Bound {
                    user_id: bind.user_id,
                    realm_id: bind.realm_id,
                })
            }
            Some(link::Kind::Multicast) => {
                Multicast::decode(frame.payload).map_or(unknown, |multicast| {
                    let payload = Payload::decode(multicast.payload);
                    LinkWhat::Multicast(multicast.sessions().collect(), payload)
                })
            }
            Some(link::Kind::Suspend) => number().map_or(unknown, LinkWhat::Suspend),
            Some(link::Kind::Accept) => number().map_or(unknown, LinkWhat::Accept),
            Some(link::Kind::Ping) => LinkWhat::Ping,
            Some(link::Kind::Pong) => LinkWhat::Pong,
            Some(link::Kind::Hello) => {
                let hello = serde_json::from_slice::<link::Hello>(frame.payload);
                hello.map_or(unknown, |hello| LinkWhat::Hello {
                    resume_window: hello.resume_window_ms,
                })
            }
            Some(link::Kind::Goaway) => LinkWhat::Goaway(frame.payload == [GOAWAY_MOVE]),
            Some(link::Kind::Features) => Features::decode(frame.payload)
                .map_or(unknown, |features| LinkWhat::Features(features.transfer)),
            Some(link::Kind::Assign) => Assign::decode(frame.payload).map_or(unknown, |assign| {
                LinkWhat::Assign(assign.service.into(), assign.endpoint.into())
            }),
            Some(link::Kind::Transfer) => Transfer::decode(frame.payload)
                .map_or(unknown, |to| LinkWhat::Transfer(to.endpoint.into())),
            Some(link::Kind::Moved) => match frame.payload.first_chunk() {
                Some(code) => LinkWhat::Moved(u16::from_be_bytes(*code)),
                None => unknown,
            },
            None => unknown,
        };
        let state = match link::Kind::from_byte(frame.kind) {
            Some(link::Kind::Open) => Open::decode(frame.payload).map_or(&[][..], |o| o.state),
            Some(link::Kind::Close) => frame.payload.get(Notice::TEXT_AT..).unwrap_or_default(),
            _ => &[],
        };
        LinkFrame {
            session_id: frame.session_id,
            what,
            state: state.into(),
        }
    }
}

/// A kind of frame that a [`Stream`] can hold.
pub(crate) trait Wired: Sized + Clone {
    /// The first frame and its length; none where these are no whole frame.
    fn first(bytes: &[u8]) -> Option<(Self, usize)>;
}

impl Wired for ClientFrame {
    fn first(bytes: &[u8]) -> Option<(ClientFrame, usize)> {
        match client::decode(bytes, MAX_PAYLOAD) {
            Ok(Decoded::Frame(frame, used)) => Some((ClientFrame::read(&frame), used)),
            Ok(Decoded::Need(_)) | Err(_) => None,
        }
    }
}

impl Wired for LinkFrame {
    fn first(bytes: &[u8]) -> Option<(LinkFrame, usize)> {
        match link::decode(bytes, MAX_PAYLOAD) {
            Ok(Decoded::Frame(frame, used)) => Some((LinkFrame::read(&frame), used)),
            Ok(Decoded::Need(_)) | Err(_) => None,
        }
    }
}

/// One direction of a wire: frames that were sent and have not arrived whole.
#[derive(Debug)]
pub(crate) struct Stream<F> {
    sent: usize,
    delivered: usize,
    under_way: VecDeque<(usize, F)>,
}

impl<F> Default for Stream<F> {
    fn default() -> Stream<F> {
        Stream {
            sent: 0,
            delivered: 0,
            under_way: VecDeque::new(),
        }
    }
}

impl<F: Wired> Stream<F> {
    /// Frames that were sent and have not arrived.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &F> {
        self.under_way.iter().map(|(_, frame)| frame)
    }

    /// Takes what a sender hands to the network; none where that is not whole frames.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Option<Vec<F>> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (frame, used) = F::first(bytes)?;
            bytes = &bytes[used..];
            self.sent += used;
            self.under_way.push_back((self.sent, frame.clone()));
            frames.push(frame);
        }
        Some(frames)
    }

    /// Takes what arrives; none where that is more than was sent.
    pub(crate) fn deliver(&mut self, bytes: usize) -> Option<Vec<F>> {
        self.delivered += bytes;
        if self.delivered > self.sent {
            return None;
        }
        let mut frames = Vec::new();
        while let Some((end, _)) = self.under_way.front()
            && *end <= self.delivered
            && let Some((_, frame)) = self.under_way.pop_front()
        {
            frames.push(frame);
        }
        Some(frames)
    }
}
