//! A client by the protocol (3.2): counts, holds back, re-sends.

use game_gateway::codec::Decoded;
use game_gateway::codec::client::{Kind, decode};

use crate::words::{ToClient, ToGateway, Token};
use crate::world::BACKENDS;

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// The connection that it uses.
    pub(crate) conn: Option<usize>,
    /// The connection on which it has sent RESUME.
    pub(crate) resuming: Option<usize>,
    pub(crate) token: Token,
    /// It was told the end, with this code.
    pub(crate) ended: Option<u16>,
    /// DATA frames taken since the counts began.
    pub(crate) count: u64,
    /// DATA frames sent since the counts began.
    pub(crate) sent: Vec<(u32, usize)>,
    pub(crate) newest: u32,
    held: Vec<Vec<u8>>,
    /// The newest push of each backend.
    pub(crate) pushed: [u32; BACKENDS],
    /// How many holes in the pushes of each backend it was told of and has not met yet. A GAP may have
    /// two: in front of the replay, and behind it.
    told: [u32; BACKENDS],
    /// It was told once that frames to that backend may be missing.
    pub(crate) told_up: [bool; BACKENDS],
    pub(crate) gaps: u32,
    pub(crate) errors: u32,
    /// Gap or end are not to be seen in this run.
    pub(crate) exact: bool,
}

impl Client {
    /// The next frame.
    pub(crate) fn send(&mut self, backend: usize) -> ToGateway {
        self.newest += 1;
        self.sent.push((self.newest, backend));
        ToGateway::Data(self.newest, backend)
    }

    /// Whether it may send: "from that moment it sends nothing on an older connection".
    pub(crate) fn may_send(&self) -> bool {
        self.resuming.is_none() && self.conn.is_some() && self.ended.is_none()
    }

    /// Takes what came on a connection; returns what it sends there.
    pub(crate) fn take(&mut self, conn: usize, message: ToClient) -> Vec<ToGateway> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let old = self.conn == Some(conn);
        let new = self.resuming == Some(conn);
        match message {
            ToClient::Frames(frames) if old && self.resuming.is_some() => self.held.push(frames),
            ToClient::Frames(frames) if old => self.deliver(&frames),
            ToClient::Opened {
                received,
                gap,
                token,
                resumed,
            } if new && resumed => {
                return self.opened(received, gap, token);
            }
            ToClient::Opened { token, .. } if old && self.resuming.is_none() => self.token = token,
            ToClient::Close(503) if new => {
                self.resuming = None;
                for frames in std::mem::take(&mut self.held) {
                    self.deliver(&frames);
                }
            }
            ToClient::Close(code) if new => self.end(code),
            // 205 without a RESUME that stands: one that it had given up has come late. Its newest token
            // is good still, unless somebody else was meant.
            ToClient::Close(503 | 500 | 507 | 408 | 205) if old => self.conn = None,
            ToClient::Close(_) if old && self.resuming.is_some() => self.conn = None,
            ToClient::Close(code) if old => self.end(code),
            // Only 503 lets it go on with the old one.
            ToClient::Gone if new => (self.resuming, self.conn) = (None, None),
            ToClient::Gone if old => self.conn = None,
            ToClient::Frames(_) | ToClient::Opened { .. } | ToClient::Close(_) | ToClient::Gone => {
            }
        }
        if self.conn.is_none() && self.resuming.is_none() {
            // What was held back of a connection that is gone will be replayed.
            self.held.clear();
        }
        Vec::new()
    }

    fn end(&mut self, code: u16) {
        assert!(!self.exact, "ended with {code}");
        self.ended = Some(code);
    }

    fn opened(&mut self, received: u64, gap: bool, token: Token) -> Vec<ToGateway> {
        (self.conn, self.resuming) = (self.resuming, None);
        self.token = token;
        self.held.clear();
        if gap {
            assert!(!self.exact, "a gap");
            self.gaps += 1;
            self.count = 0;
            self.sent.clear();
            (self.told, self.told_up) = ([2; BACKENDS], [true; BACKENDS]);
        }
        let lacking = self.sent.get(received as usize..);
        let lacking =
            lacking.unwrap_or_else(|| panic!("{received} received of {}", self.sent.len()));
        lacking
            .iter()
            .map(|(n, b)| ToGateway::Data(*n, *b))
            .collect()
    }

    fn deliver(&mut self, mut frames: &[u8]) {
        while let Ok(Decoded::Frame(frame, used)) = decode(frames, u32::MAX) {
            let backend = usize::from(frame.service.as_bytes()[0] - b'0');
            if frame.header.kind == Kind::Data as u8 {
                let number = u32::from_be_bytes(frame.payload.try_into().unwrap());
                let before = self.pushed[backend];
                assert!(
                    number > before,
                    "push {number} after {before}: doubled or reordered"
                );
                if number != before + 1 {
                    let told = self.told[backend].checked_sub(1);
                    self.told[backend] = told
                        .unwrap_or_else(|| panic!("push {number} after {before}: nothing told"));
                }
                self.pushed[backend] = number;
                self.count += 1;
            } else {
                assert!(!self.exact, "an error");
                self.errors += 1;
                self.told[backend] = self.told[backend].max(1);
                self.told_up[backend] = true;
            }
            frames = &frames[used..];
        }
    }

    /// Whether it lacks pushes of a backend without having been told.
    pub(crate) fn lacks(&self, backend: usize, pushed: u32) -> bool {
        self.pushed[backend] != pushed && self.told[backend] == 0
    }
}
