//! Bytes of the client: all whole frames of one read, and one `forward` to each link that they go to.
//!
//! Hot path: a read of DATA of open services is decoded, checked and encoded for its links here without
//! an effect, an allocation beyond a pooled buffer, or a call that is not static.

use super::requests::ResumeRequest;
use super::{Core, Hold, Note, Pause, ReadLimits, State, Step};
use crate::codec::client::{self, FLAG_RESUMABLE, Frame, Kind, MAX_PING_LEN};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Kind as LinkKind};
use crate::codec::{Decoded, buffers};
use crate::session::closing::Closing;
use crate::session::core::Effect;
use crate::session::state::{Session, Taken};

/// Outcome of the bytes of one read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// Bytes of whole frames that were taken; the rest is shown again, with what comes behind it.
    pub bytes: usize,
    /// Frames that were taken.
    pub frames: u64,
    /// Batches that went to links.
    pub forwards: u64,
    /// Frames whose link was gone.
    pub dropped: u64,
    /// Frames over a rate.
    pub excess: u64,
}

/// Frames of one read that go to the same link, already encoded for it.
struct Batch {
    place: usize,
    bytes: Vec<u8>,
    frames: u32,
}

/// Effects of one read behind which the rest of it waits for the next turn.
const MAX_EFFECTS: usize = 64;

impl<L: Hold> Core<L> {
    /// Takes the whole frames at the beginning of `bytes`. Stops early where the client is to be held
    /// back; ends the connection where framing is lost or the client says so.
    pub fn on_bytes(&mut self, bytes: &[u8], limits: &ReadLimits, step: &mut Step<'_>) -> Inbound {
        let (mut read, mut batch) = (Inbound::default(), None);
        let mut end = None;
        // What a read brings about is executed behind it: a flood of PINGs must not gather without bound.
        while self.reads() && step.effects.len() < MAX_EFFECTS {
            match client::decode(&bytes[read.bytes..], limits.max_payload) {
                Ok(Decoded::Frame(frame, used)) => {
                    match self.take_limited(&frame, used, limits, &mut batch, &mut read, step) {
                        Ok(true) => {
                            read.bytes += used;
                            read.frames += 1;
                        }
                        Ok(false) => break,
                        Err(closing) => {
                            end = Some(closing);
                            break;
                        }
                    }
                }
                Ok(Decoded::Need(_)) => break,
                Err(error) => {
                    end = Some(Closing::BrokenFrame(error));
                    break;
                }
            }
        }
        // Frames before a mistake are still forwarded.
        self.forward(batch, &mut read);
        if read.frames > 0
            && let State::Active { resume, .. } = &mut self.state
        {
            self.alive = step.now;
            if let Some(resume) = resume {
                // A token is used, and a GAP known, when its connection has sent a frame.
                resume.oldest_good = resume.connected;
                resume.numbering.settle();
            }
        }
        if let Some(closing) = end {
            self.end_of_input(closing, step);
        }
        read
    }

    /// Ends the connection because of what the client's bytes, or their end, say. While earlier frames of
    /// the client wait for links they go first, unless it is banned: the end is met again when the client is
    /// read again.
    pub fn end_of_input(&mut self, closing: Closing, step: &mut Step<'_>) {
        if let State::Active { session, pause, .. } = &mut self.state
            && session.waiting() > 0
            && closing != Closing::Banned
        {
            *pause = Pause::Opening;
            return;
        }
        self.close(closing, step);
    }

    /// Takes one frame of `bytes` bytes, or drops it where it is over the client's rates.
    #[inline]
    fn take_limited(
        &mut self,
        frame: &Frame<'_>,
        bytes: usize,
        limits: &ReadLimits,
        batch: &mut Option<Batch>,
        read: &mut Inbound,
        step: &mut Step<'_>,
    ) -> Result<bool, Closing> {
        let metered = limits.are_metered();
        if metered && !self.admit_frame(frame, bytes, limits, step)? {
            read.excess += 1;
            return Ok(true);
        }
        let taken = self.take_frame(frame, batch, read, step);
        if metered && let (Ok(false), Some(meter)) = (&taken, &mut self.meter) {
            meter.put_back();
        }
        taken
    }

    /// Takes one frame. `Ok(false)`: it is held back and will be shown again.
    #[inline]
    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Option<Batch>,
        read: &mut Inbound,
        step: &mut Step<'_>,
    ) -> Result<bool, Closing> {
        if frame.header.kind != Kind::Data as u8 {
            return self.take_control(frame, step);
        }
        let State::Active { session, .. } = &mut self.state else {
            return self.start_session(frame, step);
        };
        let user_id = frame.header.user_id;
        if session.would_become(user_id) && step.bans_user(user_id, false) {
            return Err(Closing::Banned);
        }
        let realm_before = session.realm_id();
        let taken = session.on_data(&frame.header, frame.service);
        if session.realm_id() != realm_before {
            retag(session);
        }
        match taken {
            Taken::Forward(place) => {
                let id = session.id();
                if batch.as_ref().is_none_or(|b| b.place != place) {
                    // One batch is one read at the most, so this is all that a link's queue may exceed its
                    // watermark by, however many clients it has.
                    if !self.admits(place, step) {
                        return Ok(false);
                    }
                    let next = Batch {
                        place,
                        bytes: buffers::take(),
                        frames: 0,
                    };
                    self.forward(batch.replace(next), read);
                }
                if let Some(batch) = batch {
                    link::encode(&mut batch.bytes, LinkKind::Data, id, frame.payload);
                    batch.frames += 1;
                }
            }
            Taken::Resolve(place) => {
                self.queue(place, frame.payload);
                self.route_service(place, step);
            }
            Taken::Queue(place) => self.queue(place, frame.payload),
            Taken::Refuse(refusal) => {
                let service: Box<str> = match frame.service {
                    "" => session.last_named().into(),
                    named => named.into(),
                };
                self.tell_error(refusal.code, 0, refusal.text, &service, step);
            }
        }
        Ok(true)
    }

    /// The DATA that would start a session waits while the registry is asked. `Ok(true)` where it starts
    /// none.
    fn start_session(&mut self, frame: &Frame<'_>, step: &mut Step<'_>) -> Result<bool, Closing> {
        if step.host.refuses_sessions() {
            return Err(Closing::Draining);
        }
        if step.host.short_of_memory() {
            return Err(Closing::ShortOfMemory);
        }
        if frame.service.is_empty() {
            self.state = State::Greeting { talked: true };
            self.tell_error(Code::MALFORMED, 0, "no service was named yet", "", step);
            return Ok(true);
        }
        if step.bans_user(frame.header.user_id, false) {
            return Err(Closing::Banned);
        }
        if !step.host.admits_session() {
            return Err(Closing::TooManySessions);
        }
        let id = frame.header.session_id;
        let chosen = (step.limits().trust_client_ids && id != 0).then_some(id);
        self.state = State::Registering {
            chosen: chosen.is_some(),
            resumable: frame.header.flags & FLAG_RESUMABLE != 0,
        };
        step.push(Effect::Register { chosen });
        Ok(false)
    }

    /// Takes a frame that is not DATA.
    fn take_control(&mut self, frame: &Frame<'_>, step: &mut Step<'_>) -> Result<bool, Closing> {
        let mut first = false;
        if let State::Greeting { talked } = &mut self.state {
            first = !std::mem::replace(talked, true);
        }
        let id = frame.header.session_id;
        let owned = self.session().is_none_or(|s| s.owns(id));
        let malformed = match Kind::from_byte(frame.header.kind) {
            Some(Kind::Resume) if first => {
                let request = ResumeRequest::read(frame, step)?;
                step.push(Effect::Locate(request.token.session_id));
                self.state = State::Locating(Box::new(request));
                return Ok(true);
            }
            _ if !owned => "session_id is not this session's",
            Some(Kind::Close) => {
                let notice = Notice::decode(frame.payload, Code::NORMAL);
                // Of an HTTP request it is this gateway that speaks, and says how the request ended.
                let code = if step.host.transport().is_http() {
                    notice.code
                } else {
                    notice.code.of_client()
                };
                return Err(Closing::ByClient(code));
            }
            Some(Kind::Ping | Kind::Pong) if frame.payload.len() > MAX_PING_LEN => {
                "PING and PONG carry at most 125 bytes"
            }
            // Its PONG comes behind OPENED, and that when the first service is bound (protocol 3.1).
            Some(Kind::Ping) if self.awaits_first_service() => return Ok(false),
            Some(Kind::Ping) => {
                self.tell(Kind::Pong, frame.payload, step);
                return Ok(true);
            }
            Some(Kind::Pong) => return Ok(true),
            Some(Kind::Resume) => "RESUME only as a connection's first frame",
            Some(Kind::Opened | Kind::Error | Kind::Goaway) => "only a gateway sends this kind",
            Some(Kind::Data) | None => "unknown kind",
        };
        self.tell_error(Code::MALFORMED, 0, malformed, frame.service, step);
        Ok(true)
    }

    /// Holds the client back until its first service is bound or could not be, where OPENED is owed.
    fn awaits_first_service(&mut self) -> bool {
        if let State::Active { session, pause, .. } = &mut self.state
            && session.owes_opened()
            && session.waiting() > 0
        {
            *pause = Pause::Opening;
            return true;
        }
        false
    }

    /// Puts a frame behind the others that wait for their service's link.
    fn queue(&mut self, place: usize, payload: &[u8]) {
        let State::Active { session, pause, .. } = &mut self.state else {
            return;
        };
        let session_id = session.id();
        if let Some(waiting) = session.queue(place) {
            link::encode(&mut waiting.queue, LinkKind::Data, session_id, payload);
            waiting.frames += 1;
        }
        if session.must_wait() {
            *pause = Pause::Opening;
        }
    }

    /// Sends a batch.
    #[inline]
    fn forward(&mut self, batch: Option<Batch>, read: &mut Inbound) {
        let Some(batch) = batch else { return };
        let State::Active { session, .. } = &mut self.state else {
            read.dropped += u64::from(batch.frames);
            return;
        };
        let Some(lease) = session.lease(batch.place) else {
            read.dropped += u64::from(batch.frames);
            return;
        };
        read.forwards += 1;
        lease.forward(batch.bytes, batch.frames);
    }

    /// Returns the lease of the service that was named last, where it is open.
    pub fn last_lease(&self) -> Option<&L> {
        match &self.state {
            State::Active { session, .. } => session.last_lease(),
            _ => None,
        }
    }

    /// Tells whether the service named last takes more now. While it does not, little is read of the client:
    /// what is read stays with it.
    #[inline]
    pub fn has_room(&self) -> bool {
        match &self.state {
            State::Active { session, pause, .. } => session
                .last_lease()
                .is_none_or(|lease| lease.has_room(*pause == Pause::InTurn)),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Suspended { .. }
            | State::Resuming { .. }
            | State::Leaving { .. }
            | State::Claiming { .. }
            | State::Ended(_) => true,
        }
    }

    /// Reads no more of the client until the service named last takes more: a frame has begun that may be
    /// large.
    pub fn await_room(&mut self, step: &mut Step<'_>) {
        if let State::Active { session, pause, .. } = &mut self.state
            && let Some(lease) = session.last_lease()
        {
            hold_back(lease, pause, step);
        }
    }

    /// Tells whether the link of the service at `place` takes a batch now; holds the client back where not.
    #[inline]
    fn admits(&mut self, place: usize, step: &mut Step<'_>) -> bool {
        let State::Active { session, pause, .. } = &mut self.state else {
            return true;
        };
        let Some(lease) = session.lease(place) else {
            return true;
        };
        let admits = lease.has_room(*pause == Pause::InTurn);
        if admits {
            *pause = Pause::None;
        } else {
            hold_back(lease, pause, step);
            session.held_back();
        }
        admits
    }
}

#[cold]
fn hold_back<L: Hold>(lease: &L, pause: &mut Pause, step: &mut Step<'_>) {
    lease.await_room(*pause == Pause::InTurn);
    *pause = Pause::LinkFull;
    step.note(Note::Paused);
}

/// Tells every link the session's realm.
pub(super) fn retag<L: Hold>(session: &mut Session<L>) {
    let realm_id = session.realm_id();
    session.leases().for_each(|lease| lease.retag(realm_id));
}
