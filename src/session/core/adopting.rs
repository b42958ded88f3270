//! The end of a resume: the session is here and so is its client. OPENED, what the client lacks, and on.

use std::net::SocketAddr;
use std::sync::Arc;

use super::places::Attempt;
use super::telling::tell_opened;
use super::{Core, Effect, Hold, Note, Pause, Resume, State, Step};
use crate::codec::buffers;
use crate::codec::code::Code;
use crate::codec::peer::{Binding, Handover};
use crate::session::closing::Closing;
use crate::session::numbering::Numbering;
use crate::session::replay::Replay;
use crate::session::state::Session;

/// Frames that a client lacks.
struct Lacking {
    /// Whole frames.
    bytes: Vec<u8>,
    /// Number of DATA among them.
    frames: u64,
    /// DATA frames that were sent before them.
    sent_before: u64,
    /// Some are missing.
    gap: bool,
}

impl<L: Hold> Core<L> {
    /// Every backend of a session that was here all the time is done with its OPEN.
    pub(super) fn resumed_here(&mut self, step: &mut Step<'_>) {
        let state = self.take_state();
        let State::Resuming {
            mut session,
            mut resume,
            attempt,
        } = state
        else {
            self.state = state;
            return;
        };
        let (has, restarted) = resume.numbering.number(attempt.token_epoch, attempt.count);
        let kept = resume.replay.since(has);
        let lacking = Lacking {
            bytes: pooled(&[kept.bytes.0, kept.bytes.1]),
            frames: kept.frames,
            sent_before: resume.replay.sent() - kept.frames,
            gap: kept.gap,
        };
        let gap = resume.torn || restarted || lacking.gap;
        resume.torn = false;
        session.set_epoch(attempt.epoch);
        resume.connected = attempt.epoch;
        resume.oldest_good = attempt.token_epoch;
        self.go_live(session, resume, lacking, gap, &attempt, step);
    }

    /// The session has come here from another gateway, or from nobody.
    pub(super) fn adopt(&mut self, gap: bool, step: &mut Step<'_>) {
        let state = self.take_state();
        let State::Claiming {
            mut session,
            attempt,
            mut claim,
        } = state
        else {
            self.state = state;
            return;
        };
        claim.cancel_calls(step);
        session.set_epoch(attempt.epoch);
        // Backends that were too late hear the final CLOSE now that the session is here.
        session.release_lost();
        let handed = claim.handed.take();
        if handed.is_none() {
            claim.supersede(attempt.epoch, step);
        }
        let before = session.bound();
        if let Some(handed) = &handed {
            session.count_on(handed.received);
            session.identify(handed.bound, handed.newest);
            session.name_last(&handed.last_service);
            take_assignments(&mut session, &handed.assigned);
            handed
                .age_s
                .into_iter()
                .for_each(|age_s| step.note(Note::BeganElsewhere(age_s)));
        } else {
            // A token may be a day old, and rules have changed since.
            let mut assigned = std::mem::take(&mut claim.token.assigned);
            assigned.retain(|Binding { service, endpoint }| {
                let allowed = (step.host).endpoint_allowed(service, &endpoint.to_string());
                allowed == Ok(*endpoint)
            });
            take_assignments(&mut session, &assigned);
        }
        session.bind(claim.bound);
        if session.bound() != before {
            session
                .open()
                .for_each(|(_, lease)| lease.tell_bound(session.bound()));
        }
        let handed = handed.map(|handed| *handed).unwrap_or_default();
        let numbering = Numbering::from_starts(handed.starts.iter().copied()).unwrap_or_default();
        let limit = step.limits().outbound_queue;
        // The client may have come again behind the claim, with another count than the owner was told.
        let (has, _) = numbering.number(attempt.token_epoch, attempt.count);
        let (replay, lacking) = inherit(claim.replay, &handed, has, limit);
        let gap = gap || lacking.gap;
        let resume = Box::new(Resume {
            since: attempt.epoch,
            oldest_good: attempt.token_epoch,
            connected: attempt.epoch,
            moves: 0,
            numbering,
            replay,
            torn: false,
            token_made: step.now,
            promise: None,
            confirming: None,
        });
        self.go_live(session, resume, lacking, gap, &attempt, step);
    }

    fn go_live(
        &mut self,
        mut session: Session<L>,
        mut resume: Box<Resume>,
        lacking: Lacking,
        gap: bool,
        attempt: &Attempt,
        step: &mut Step<'_>,
    ) {
        if step.bans_user(session.user_id(), session.is_bound()) {
            // Banned while it was on its way, or found out only now who it is.
            self.suspend(session, resume, Code::KICKED, false, step);
            return self.close(Closing::Banned, step);
        }
        if gap {
            let epoch = session.epoch();
            resume.numbering.restart(epoch, lacking.sent_before);
            session.count_anew();
            session.name_none();
        }
        let took = step.now.saturating_sub(attempt.since);
        step.note(Note::Resumed { gap, took });
        step.note(Note::ServicesChanged);
        resume.replay.set_limit(step.limits().replay_bytes);
        self.alive = step.now;
        if let Some(code) = attempt.lost {
            step.note(Note::Suspended);
            self.suspend(session, resume, code, true, step);
            return self.hear_waiting(step);
        }
        let received = session.received();
        tell_opened(&session, Some(&mut resume), received, gap, step);
        if !lacking.bytes.is_empty() {
            step.push(Effect::Replay {
                bytes: lacking.bytes,
                frames: lacking.frames as u32,
            });
        }
        self.state = State::Active {
            session,
            resume: Some(resume),
            pause: Pause::None,
        };
        self.ask_away(step);
        self.hear_waiting(step);
    }

    /// The session waits for its client from now on, `tell_backends`: they do not know.
    pub(super) fn suspend(
        &mut self,
        session: Session<L>,
        resume: Box<Resume>,
        code: Code,
        tell_backends: bool,
        step: &mut Step<'_>,
    ) {
        let window = step.limits().resume_window;
        if tell_backends {
            let window_ms = window as u32;
            session
                .open()
                .for_each(|(_, lease)| lease.suspend(window_ms));
        }
        self.state = State::Suspended {
            session,
            resume,
            until: step.now + window,
            code,
        };
    }
}

/// Takes over what ASSIGN has said elsewhere.
fn take_assignments<L: Hold>(session: &mut Session<L>, assigned: &[Binding]) {
    for Binding { service, endpoint } in assigned {
        let is_here = |(name, at): (&Arc<str>, SocketAddr)| **name == **service && at == *endpoint;
        if session.endpoints().any(is_here) {
            session.set_by_assign(service, true);
        }
        // Where it is open by now, or there are too many, that stands.
        let _ = session.assign(service, *endpoint);
    }
}

/// The ring that another gateway has handed over, and behind it what backends have sent here since. A
/// client that has all up to the frame of the number `has` lacks the rest.
fn inherit(since: Replay, handed: &Handover, has: u64, limit: usize) -> (Replay, Lacking) {
    let ring = Replay::adopt(limit, handed.before, &handed.ring);
    let mut ring = ring.unwrap_or_else(|| Replay::new(limit));
    let (held, news) = (ring.since(has), since.since(0));
    let news_bytes = [news.bytes.0, news.bytes.1].concat();
    let lacking = Lacking {
        bytes: pooled(&[held.bytes.0, held.bytes.1, &news_bytes]),
        frames: held.frames + news.frames,
        sent_before: ring.sent() - held.frames,
        gap: held.gap,
    };
    let frames = news.frames as u32;
    ring.push(&news_bytes, &[], frames);
    (ring, lacking)
}

/// Joins pieces in a pooled buffer: sent, it goes back to the pool.
fn pooled(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = buffers::take();
    pieces
        .iter()
        .for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}
