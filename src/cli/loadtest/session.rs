//! The receiving side of one session: bytes to answers, answers into the books.
//!
//! Hot path: no allocation a frame.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::plan::{Clock, Plan};
use super::tally::Tally;
use super::track::Tracker;
use crate::codec::Decoded;
use crate::codec::client::{self, Frame, FrameError, Header, Kind};
use crate::codec::code::{Code, Notice};

/// A session that was refused something waits at least this long before it sends again (closed
/// loop).
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Room for one read, in bytes: at least this, at most that.
const READ_BYTES: (usize, usize) = (1 << 10, 64 << 10);

/// What the sessions of one thread share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) tally: RefCell<Tally>,
}

/// How a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Told(Code),
    WithoutClose,
    BrokenFraming(FrameError),
}

/// One session's receiving side.
#[derive(Debug)]
pub(super) struct Receiver {
    reader: OwnedReadHalf,
    input: BytesMut,
    read_bytes: usize,
    book: Book,
}

/// What is known of a session.
#[derive(Debug, Default)]
struct Book {
    index: u32,
    tracker: Tracker,
    /// The id that the first answer carried; a plain proxy's echo has 0.
    session_id: Option<u64>,
    ended: Option<Ended>,
    /// The newest refusal's advice.
    pause: Option<Duration>,
}

impl Receiver {
    /// `burst`: how many bytes of answers to expect at once.
    pub(super) fn new(reader: OwnedReadHalf, index: u32, burst: usize) -> Receiver {
        let book = Book {
            index,
            ..Book::default()
        };
        Receiver {
            reader,
            input: BytesMut::new(),
            read_bytes: burst.clamp(READ_BYTES.0, READ_BYTES.1),
            book,
        }
    }

    /// Waits for bytes. Cancelling this loses none.
    #[inline]
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(self.read_bytes);
        self.reader.read_buf(&mut self.input).await
    }

    /// Handles what a read brought, `sent` frames having been sent.
    pub(super) fn digest(&mut self, read: io::Result<usize>, run: &Run, sent: u64) {
        if !matches!(read, Ok(1..)) {
            self.book.ended = Some(Ended::WithoutClose);
            return;
        }
        let now = Instant::now();
        let mut tally = run.tally.borrow_mut();
        let mut at = 0;
        while self.book.ended.is_none() {
            match client::decode(&self.input[at..], u32::MAX) {
                Ok(Decoded::Frame(frame, used)) => {
                    at += used;
                    self.book.take(&frame, run, &mut tally, sent, now);
                }
                Ok(Decoded::Need(_)) => break,
                Err(error) => self.book.ended = Some(Ended::BrokenFraming(error)),
            }
        }
        self.input.advance(at);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.book.ended.is_some()
    }

    /// How long the gateway wants the session to wait, if it refused something since asked last.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.book.pause.take()
    }

    #[inline]
    pub(super) fn outstanding(&self, sent: u64) -> u64 {
        self.book.tracker.outstanding(sent)
    }

    /// Closes the books on this session, and the session, if it stands and owes nothing.
    pub(super) fn finish(self, writer: &OwnedWriteHalf, run: &Run, sent: u64) {
        let mut tally = run.tally.borrow_mut();
        match self.book.ended {
            Some(ended) => *tally.closed_early.entry(ended.name()).or_default() += 1,
            None if self.book.tracker.outstanding(sent) == 0 => say_goodbye(writer),
            None => {}
        }
        let told = matches!(self.book.ended, Some(Ended::Told(_)));
        tally.add_frames(&self.book.tracker.finish(sent, told));
    }
}

impl Book {
    #[inline]
    fn take(&mut self, frame: &Frame<'_>, run: &Run, tally: &mut Tally, sent: u64, now: Instant) {
        match Kind::from_byte(frame.header.kind) {
            Some(Kind::Data) => self.answer(frame, run, tally, sent, now),
            Some(Kind::Error) => {
                let notice = Notice::decode(frame.payload, Code::NORMAL);
                let advice = Duration::from_millis(notice.retry_after_ms.into());
                self.pause = Some(advice.max(REFUSED_PAUSE));
                self.tracker.refused(notice.code, sent);
            }
            Some(Kind::Close) => {
                let notice = Notice::decode(frame.payload, Code::NORMAL);
                self.ended = Some(Ended::Told(notice.code));
            }
            Some(Kind::Opened | Kind::Resume | Kind::Ping | Kind::Pong | Kind::Goaway) | None => {
                tally.other_frames += 1;
            }
        }
    }

    #[inline]
    fn answer(&mut self, frame: &Frame<'_>, run: &Run, tally: &mut Tally, sent: u64, now: Instant) {
        let session_id = *self.session_id.get_or_insert(frame.header.session_id);
        let known = session_id == frame.header.session_id && frame.service == run.plan.service;
        let stamp = run.plan.pattern.check(frame.payload, run.plan.payload);
        let Some(stamp) = stamp.filter(|stamp| stamp.index == self.index) else {
            self.tracker.corrupted();
            return;
        };
        if !known {
            self.tracker.mislabelled();
        }
        self.tracker.answer(stamp.sequence, sent);
        let sent_at = run.clock.at(stamp.sent_nanos);
        if run.clock.measures(sent_at) {
            tally.latency.record(now.saturating_duration_since(sent_at));
        }
        tally.measured_answers += u64::from(run.clock.measures(now));
    }
}

impl Ended {
    fn name(self) -> String {
        match self {
            Ended::Told(code) => code.to_string(),
            Ended::WithoutClose => "without_close".into(),
            Ended::BrokenFraming(_) => "broken_framing".into(),
        }
    }
}

/// Appends a frame without a service, such as PING.
pub(super) fn append_plain(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let header = Header {
        kind: kind as u8,
        ..Header::default()
    };
    client::encode(out, &header, "", payload);
}

/// CLOSE 0. Where the socket does not take it, the end of the connection says the same.
fn say_goodbye(writer: &OwnedWriteHalf) {
    let mut frame = Vec::new();
    append_plain(&mut frame, Kind::Close, &[0; 6]);
    let _ = writer.try_write(&frame);
}
