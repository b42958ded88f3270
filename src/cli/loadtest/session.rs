//! The receiving side of one session: bytes to answers, answers into the books.
//!
//! Hot path: no allocation a frame.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;

use super::args::Transport;
use super::plan::{Clock, Plan};
use super::tally::Tally;
use super::track::Tracker;
use super::wire::{Item, Writer};
use crate::codec::client::{self, Frame, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::net::dial::Reader;
use crate::sdk::client::http::Response;

/// A session that was refused something waits at least this long before it sends again (closed
/// loop).
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Room for one read, in bytes: at least this, at most that.
const READ_BYTES: (usize, usize) = (1 << 10, 64 << 10);

/// State that the sessions of one thread share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    /// The number of the thread.
    pub(super) thread: usize,
    pub(super) tally: RefCell<Tally>,
}

/// Early end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Told(Code),
    WithoutClose,
    BrokenFraming,
}

/// One session's receiving side.
pub(super) struct Receiver {
    reader: Reader,
    transport: Transport,
    input: BytesMut,
    read_bytes: usize,
    book: Book,
}

/// Record of a session.
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
    /// Makes the receiving side; `burst` is the number of bytes of answers to expect at once.
    pub(super) fn new(reader: Reader, transport: Transport, index: u32, burst: usize) -> Receiver {
        let book = Book {
            index,
            ..Book::default()
        };
        Receiver {
            reader,
            transport,
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
        let (before, mut at) = (tally.answers, 0);
        while self.book.ended.is_none() {
            match self.transport.decode(&self.input[at..]) {
                Ok(Some((item, used))) => {
                    at += used;
                    match item {
                        Item::Frame(frame) => {
                            self.book.take(&frame, run, &mut tally, sent, now);
                        }
                        Item::Response(response) => {
                            self.book.respond(&response, run, &mut tally, sent, now);
                        }
                        Item::Control => tally.other_frames += 1,
                    }
                }
                Ok(None) => break,
                Err(_) => self.book.ended = Some(Ended::BrokenFraming),
            }
        }
        self.input.advance(at);
        run.plan
            .progress
            .answered(run.thread, tally.answers - before);
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn has_ended(&self) -> bool {
        self.book.ended.is_some()
    }

    /// Takes the time that the gateway wants the session to wait, if it has refused something.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.book.pause.take()
    }

    #[inline]
    pub(super) fn outstanding(&self, sent: u64) -> u64 {
        self.book.tracker.outstanding(sent)
    }

    /// Closes the books on this session, and the session, if it stands and owes nothing.
    pub(super) fn finish(self, writer: &mut Writer, run: &Run, sent: u64) {
        if self.book.ended.is_none() && self.book.tracker.outstanding(sent) == 0 {
            say_goodbye(self.transport, writer);
        }
        self.settle(run, sent);
    }

    /// Closes the books on this session.
    pub(super) fn settle(self, run: &Run, sent: u64) {
        let mut tally = run.tally.borrow_mut();
        if let Some(ended) = self.book.ended {
            *tally.closed_early.entry(ended.name()).or_default() += 1;
        }
        let told = matches!(self.book.ended, Some(Ended::Told(_)));
        tally.add_frames(&self.book.tracker.finish(sent, told));
    }
}

impl Book {
    #[inline]
    fn take(&mut self, frame: &Frame<'_>, run: &Run, tally: &mut Tally, sent: u64, now: Instant) {
        match Kind::from_byte(frame.header.kind) {
            Some(Kind::Data) => {
                let session_id = *self.session_id.get_or_insert(frame.header.session_id);
                let service = run.plan.service(self.index);
                let known = session_id == frame.header.session_id && frame.service == service;
                self.answer(frame.payload, known, run, tally, sent, now);
            }
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
    fn respond(
        &mut self,
        response: &Response<'_>,
        run: &Run,
        tally: &mut Tally,
        sent: u64,
        now: Instant,
    ) {
        // Each is a session of its own, so its id is another every time.
        if response.status == 200 {
            self.answer(response.body, true, run, tally, sent, now);
        } else {
            self.pause = Some(response.retry_after.max(REFUSED_PAUSE));
            self.tracker.refused_one(Code(response.status));
        }
        if response.closes {
            self.ended = Some(Ended::Told(Code(response.status)));
        }
    }

    /// Handles an answer; `known` is true if it has this session's id and service.
    #[inline]
    fn answer(
        &mut self,
        payload: &[u8],
        known: bool,
        run: &Run,
        tally: &mut Tally,
        sent: u64,
        now: Instant,
    ) {
        let stamp = run.plan.pattern.check(payload, run.plan.payload);
        let Some(stamp) = stamp.filter(|stamp| stamp.index == self.index) else {
            self.tracker.corrupted();
            return;
        };
        if !known {
            self.tracker.mislabelled();
        }
        self.tracker.answer(stamp.sequence, sent);
        tally.answers += 1;
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
            Ended::BrokenFraming => "broken_framing".into(),
        }
    }
}

/// Appends a frame without a service, such as PING. Over HTTP nothing is appended.
pub(super) fn append_plain(transport: Transport, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    if transport == Transport::Http {
        return;
    }
    let header = Header {
        kind: kind as u8,
        ..Header::default()
    };
    let mut frame = Vec::new();
    client::encode(&mut frame, &header, "", payload);
    transport.append(&frame, out);
}

/// Sends CLOSE 0. If the socket does not take it, the end of the connection has the same effect.
fn say_goodbye(transport: Transport, writer: &mut Writer) {
    let mut frame = Vec::new();
    append_plain(transport, Kind::Close, &[0; 6], &mut frame);
    writer.try_flush(&mut frame);
}
