//! Frames to the client: what is kept for a resume, OPENED and its tokens, ERRORs, GOAWAY, and the OPENs
//! that say to backends who the client is.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Core, Effect, Hold, Note, OpenedFrame, Resume, State, Step};
use crate::codec::buffers;
use crate::codec::client::{self, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{Bind, OPEN_REALM_BOUND, OPEN_RESUMED, OPEN_USER_BOUND, Open};
use crate::session::state::Session;
use crate::session::token::{Binding, LIFETIME_SECONDS, TokenBody};

impl<L: Hold> Core<L> {
    /// Keeps DATA frames on their way to the client for a resume: `head` and behind it `tail`, the last
    /// one's payload or empty. Returns whether they are to be sent as well.
    #[inline]
    pub fn keep(&mut self, head: &[u8], tail: &[u8], frames: u32) -> bool {
        match &mut self.state {
            State::Active { resume: None, .. } => true,
            State::Active {
                resume: Some(resume),
                ..
            } => {
                resume.replay.push(head, tail, frames);
                true
            }
            State::Suspended { resume, .. } | State::Resuming { resume, .. } => {
                resume.replay.push(head, tail, frames);
                false
            }
            State::Leaving {
                resume, leaving, ..
            } => {
                resume.replay.push(head, tail, frames);
                leaving.connected
            }
            State::Claiming { claim, .. } => {
                claim.replay.push(head, tail, frames);
                false
            }
            // Nobody is there to take them; the driver counts what it cannot send.
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => true,
        }
    }

    /// Keeps an ERROR among the frames that a client may lack; returns whether it is sent as well.
    fn keep_notice(&mut self, frame: &[u8]) -> bool {
        let connected = self.is_connected();
        if let State::Claiming { claim, .. } = &mut self.state {
            claim.replay.push_notice(frame);
        } else if let Some((_, resume)) = self.owned() {
            resume.replay.push_notice(frame);
        }
        connected
    }

    /// Tells whether frames go out to a connection now.
    fn is_connected(&self) -> bool {
        match &self.state {
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Active { .. } => true,
            State::Leaving { leaving, .. } => leaving.connected,
            State::Suspended { .. }
            | State::Resuming { .. }
            | State::Claiming { .. }
            | State::Ended(_) => false,
        }
    }

    /// Sends the OPENED that a client gets before anything else of its session, if that is still owed.
    pub fn announce(&mut self, step: &mut Step<'_>) {
        if let State::Active {
            session, resume, ..
        } = &mut self.state
            && session.owes_opened()
        {
            session.opened_told();
            let received = session.received();
            tell_opened(session, resume.as_deref_mut(), received, false, step);
        }
    }

    /// Tells whether [`announce`](Self::announce) is due before a frame goes to the client.
    #[inline]
    pub fn owes_opened(&self) -> bool {
        matches!(&self.state, State::Active { session, .. } if session.owes_opened())
    }

    /// Sends a frame of the gateway's own, which a client that resumes does not lack.
    pub(super) fn tell(&mut self, kind: Kind, payload: &[u8], step: &mut Step<'_>) {
        self.announce(step);
        let header = Header {
            kind: kind as u8,
            session_id: self.session_id(),
            ..Header::default()
        };
        let mut frame = buffers::take();
        client::encode(&mut frame, &header, "", payload);
        step.push(Effect::Send(frame));
    }

    /// Sends an ERROR, now or with the replay.
    pub(super) fn tell_error(
        &mut self,
        code: Code,
        retry_after_ms: u32,
        text: &str,
        service: &str,
        step: &mut Step<'_>,
    ) {
        self.announce(step);
        step.note(Note::ErrorMade(code));
        let who = self.identity().unwrap_or(Bind {
            user_id: 0,
            realm_id: 0,
        });
        step.host.refused(code, text, service, who);
        let notice = Notice {
            code,
            retry_after_ms,
            text,
        };
        let (mut frame, id) = (buffers::take(), self.session_id());
        client::encode_notice(&mut frame, Kind::Error, id, service, &notice);
        if self.keep_notice(&frame) {
            step.push(Effect::Send(frame));
        } else {
            buffers::give(frame);
        }
    }

    /// Tells the client that a backend does not go on with the session.
    pub(super) fn tell_unbound(&mut self, service: &str, step: &mut Step<'_>) {
        let text = "the session is not open at its backend any more; answers may be missing";
        self.tell_error(Code::BAD_GATEWAY, 0, text, service, step);
    }

    /// Sends OPENED with a fresh token, where the session is active and can be resumed.
    pub(super) fn renew_token(&mut self, step: &mut Step<'_>) {
        if let State::Active {
            session,
            resume: Some(resume),
            ..
        } = &mut self.state
        {
            session.opened_told();
            let received = session.received();
            tell_opened(session, Some(resume), received, false, step);
        } else {
            self.announce(step);
        }
    }

    /// Renews a token at half its life.
    pub(super) fn renew_old_token(&mut self, step: &mut Step<'_>) {
        let half = LIFETIME_SECONDS * 1000 / 2;
        let made = self.resume().map(|resume| resume.token_made);
        if made.is_some_and(|made| step.now.saturating_sub(made) >= half) {
            self.renew_token(step);
        }
    }

    /// Asks the client to go elsewhere, where a drain is under way and its session can be resumed.
    pub fn ask_away(&mut self, step: &mut Step<'_>) {
        let Some(left) = step.host.drain_left() else {
            return;
        };
        if let State::Active {
            resume: Some(_), ..
        } = &self.state
        {
            let left_ms = left.as_millis() as u32;
            self.tell(Kind::Goaway, &left_ms.to_be_bytes(), step);
            step.note(Note::Goaway);
        }
    }

    /// The payload of an OPEN; `previous` is the gateway that had the session before a resume.
    pub(super) fn open_payload(&self, flags: u8, previous: &str, step: &Step<'_>) -> Vec<u8> {
        self.session().map_or_else(Vec::new, |session| {
            open_payload(session, self.epoch(), flags, previous, &[], step)
        })
    }
}

/// The payload of an OPEN of this session in this epoch; `state` where it is transferred.
pub(super) fn open_payload<L>(
    session: &Session<L>,
    epoch: u32,
    flags: u8,
    previous: &str,
    state: &[u8],
    step: &Step<'_>,
) -> Vec<u8> {
    let mut payload = Vec::with_capacity(64 + state.len());
    let resumed = flags & OPEN_RESUMED != 0;
    let bound = session.bound();
    let flag = |is_bound: bool, flag: u8| if is_bound { flag } else { 0 };
    let flags = flags
        | flag(bound.user_id != 0, OPEN_USER_BOUND)
        | flag(bound.realm_id != 0, OPEN_REALM_BOUND);
    Open {
        realm_id: session.realm_id(),
        user_id: session.user_id(),
        transport: step.host.transport() as u8,
        flags,
        epoch,
        client: &step.host.remote_address().to_string(),
        previous_gateway: if resumed { previous } else { "" },
        state,
    }
    .encode(&mut payload);
    payload
}

/// Sends OPENED with a fresh token. `received`: DATA frames that the session has taken.
pub(super) fn tell_opened<L: Hold>(
    session: &Session<L>,
    resume: Option<&mut Resume>,
    received: u64,
    gap: bool,
    step: &mut Step<'_>,
) {
    let token = resume.map(|resume| {
        resume.token_made = step.now;
        Box::new(token(session, step))
    });
    step.push(Effect::SendOpened(OpenedFrame {
        session_id: session.id(),
        received,
        gap,
        token,
    }));
}

fn token<L: Hold>(session: &Session<L>, step: &Step<'_>) -> TokenBody {
    let binding = |(service, endpoint): (&Arc<str>, SocketAddr)| Binding {
        service: service.to_string(),
        endpoint,
    };
    TokenBody {
        session_id: session.id(),
        epoch: session.epoch(),
        bound: session.bound(),
        newest: session.newest(),
        bindings: session.endpoints().map(binding).collect(),
        assigned: session.unused_assignments().map(binding).collect(),
        owner: step.host.gateway_id().to_owned(),
        peer: step.host.peer_address().unwrap_or_default().to_owned(),
        expires: step.host.unix_seconds() + LIFETIME_SECONDS,
    }
}
