//! A POST as a session of its own: the request sends one DATA over a pipe in this process, whose other
//! end is an ordinary client's socket, and takes the first answer. So limits, metrics and routing hold
//! for it as for any session.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::sleep;

use super::body::{Mistake, SHORT_OF_MEMORY};
use super::request::Post;
use super::response::Reply;
use super::stream::PAUSE;
use crate::codec::Decoded;
use crate::codec::client::{self, Frame, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::memory::{self, Evictable, Part, Share};
use crate::net::entry_host::EntryParams;

/// Bytes that either direction of the pipe holds.
const SOCKET_BYTES: usize = 16 * 1024;
/// First size of the buffer for an answer, in bytes; it grows with what comes.
const FIRST_ANSWER_BYTES: usize = 4 * 1024;
const BACKEND_TIMEOUT: &str = "the backend did not answer in time";

/// Sends the message and waits for its answer, at most `listen.http.timeout`. What this holds counts as
/// `request`'s.
pub(super) async fn exchange(
    params: &EntryParams,
    post: &Post,
    body: Bytes,
    request: Option<Rc<Evictable>>,
) -> Reply {
    if !memory::admits(2 * SOCKET_BYTES) {
        let Mistake { status, text, .. } = SHORT_OF_MEMORY;
        params
            .host
            .refused(status, text, &post.service, post.realm_id, post.user_id);
        return SHORT_OF_MEMORY.into();
    }
    let hold = |bytes| Share::new(Part::Http, bytes, request.clone());
    let _pipe = hold(2 * SOCKET_BYTES);
    let mut sent = hold(body.len());
    let (near, far) = tokio::io::duplex(SOCKET_BYTES);
    params.host.begin_session(far);
    let (mut answers, mut requests) = tokio::io::split(near);
    let config = &params.config;
    let header = Header {
        realm_id: post.realm_id,
        user_id: post.user_id,
        ..Header::default()
    };
    let limit = config.backend.max_link_payload;
    let lacks_room = Cell::new(false);
    let talk = async {
        let mut frame = Vec::new();
        client::encode_header(&mut frame, &header, &post.service, body.len() as u32);
        let receiving = first_answer(&mut answers, limit, hold(0), &lacks_room);
        tokio::pin!(receiving);
        // With it goes the body, which may be large, while the answer is waited for.
        let sending = async {
            requests.write_all(&frame).await?;
            requests.write_all(&body).await?;
            drop(body);
            sent.set(0);
            Ok::<(), std::io::Error>(())
        };
        // An answer that comes before the whole request was taken is a refusal.
        let reply = tokio::select! {
            biased;
            reply = &mut receiving => Some(reply),
            _ = sending => None,
        };
        let reply = match reply {
            Some(reply) => reply,
            None => receiving.await,
        };
        reply.unwrap_or_else(|| match params.host.short_of_memory() {
            Some(reason) => Reply::refused(&reason),
            None => Reply::refusal(500, "the session ended without an answer"),
        })
    };
    match tokio::time::timeout(config.listen.http.timeout, talk).await {
        Ok(reply) => {
            leave(&mut requests, Code::NORMAL);
            reply
        }
        Err(_) => {
            // Not the backend's fault where its answer has come, and there was no room for it.
            let (code, status, text) = match lacks_room.get() {
                true => (Code::TOO_SLOW, SHORT_OF_MEMORY.status, SHORT_OF_MEMORY.text),
                false => (Code::BACKEND_TIMEOUT, 504, BACKEND_TIMEOUT),
            };
            leave(&mut requests, code);
            let (realm_id, user_id) = (post.realm_id, post.user_id);
            params
                .host
                .refused(status, text, &post.service, realm_id, user_id);
            Reply::refusal(status, text)
        }
    }
}

/// Ends the session with this code if the pipe has room; dropping the pipe ends it anyway.
fn leave(requests: &mut WriteHalf<DuplexStream>, code: Code) {
    let notice = Notice {
        code,
        retry_after_ms: 0,
        text: "",
    };
    let mut frame = Vec::new();
    client::encode_notice(&mut frame, Kind::Close, 0, "", &notice);
    let _ = futures_util::FutureExt::now_or_never(requests.write_all(&frame));
}

/// Waits for the first frame that is an answer; none if the session ends without one. Sets `lacks_room` while one has come
/// for which there is no room.
async fn first_answer(
    answers: &mut ReadHalf<DuplexStream>,
    limit: u32,
    mut held: Share,
    lacks_room: &Cell<bool>,
) -> Option<Reply> {
    let mut read = Vec::new();
    loop {
        let need = match client::decode(&read, limit) {
            Ok(Decoded::Frame(frame, used)) => match reply_of(&frame, used) {
                Answer::Reply(reply) => return Some(reply),
                Answer::Data(session_id, payload) => {
                    // Without a copy, for it may be large.
                    let payload = Bytes::from(read).slice(payload);
                    return Some(Reply::data(session_id, payload));
                }
                Answer::None => {
                    read.drain(..used);
                    continue;
                }
            },
            Ok(Decoded::Need(need)) => need,
            Err(_) => return Some(Reply::refusal(500, "internal error")),
        };
        let have = read.len();
        if have == read.capacity() {
            // It doubles, but not beyond what is announced: it stays until it is read.
            let wanted = (need - have).min(have.max(FIRST_ANSWER_BYTES));
            while !memory::admits(wanted) {
                // The rest waits in the session's queue.
                lacks_room.set(true);
                sleep(PAUSE).await;
            }
            lacks_room.set(false);
            read.reserve_exact(wanted);
            held.set(read.capacity());
        }
        if !matches!(answers.read_buf(&mut read).await, Ok(1..)) {
            // An answer that has begun is cut off where memory is short, and for nothing else.
            return (!read.is_empty()).then(|| SHORT_OF_MEMORY.into());
        }
    }
}

/// What a frame is to the request.
enum Answer {
    Reply(Reply),
    /// The session, and where its payload lies.
    Data(u64, Range<usize>),
    None,
}

fn reply_of(frame: &Frame<'_>, used: usize) -> Answer {
    let id = frame.header.session_id;
    let notice = || Notice::decode(frame.payload, Code::NORMAL);
    match Kind::from_byte(frame.header.kind) {
        Some(Kind::Data) => Answer::Data(id, used - frame.payload.len()..used),
        Some(Kind::Error) => Answer::Reply(Reply::notice(id, &notice(), false)),
        // Who takes the answer here is never slow: there was no memory for it.
        Some(Kind::Close) if notice().code == Code::TOO_SLOW => {
            Answer::Reply(SHORT_OF_MEMORY.into())
        }
        Some(Kind::Close) => Answer::Reply(Reply::notice(id, &notice(), true)),
        Some(Kind::Opened | Kind::Resume | Kind::Ping | Kind::Pong | Kind::Goaway) | None => {
            Answer::None
        }
    }
}
