//! A connection whose first frame is RESUME, until it is known where its session is (protocol 3.2).

use super::{Core, Effect, Hold, Note, RegisterFailed, State, Step};
use crate::codec::client::Frame;
use crate::codec::peer::PeerGateway;
use crate::session::closing::Closing;
use crate::session::token::TokenBody;

/// A RESUME with a genuine token.
#[derive(Debug, Clone)]
pub struct ResumeRequest {
    /// The token's content.
    pub token: TokenBody,
    /// DATA frames that the client has taken.
    pub count: u64,
    /// Where the session went from here, if it was here.
    pub(super) moved: Option<PeerGateway>,
}

impl ResumeRequest {
    /// Reads a RESUME.
    ///
    /// # Errors
    /// [`Closing::NotResumable`]: it is too short, or its token is not good for the session it names.
    /// [`Closing::Banned`]: the token's user is banned.
    pub(super) fn read(frame: &Frame<'_>, step: &mut Step<'_>) -> Result<ResumeRequest, Closing> {
        let Some((count, token)) = frame.payload.split_first_chunk() else {
            return Err(Closing::NotResumable);
        };
        let token = step.host.open_token(token).map_err(|error| {
            step.note(Note::BadToken(error));
            Closing::NotResumable
        })?;
        if token.session_id != frame.header.session_id {
            return Err(Closing::NotResumable);
        }
        if step.bans_user(token.user_id(), token.bound.user_id != 0) {
            return Err(Closing::Banned);
        }
        Ok(ResumeRequest {
            token,
            count: u64::from_be_bytes(*count),
            moved: None,
        })
    }
}

impl<L: Hold> Core<L> {
    /// Another client of this gateway has the session: returns the request, which goes to that one with
    /// the connection. This core is over.
    pub fn located_here(&mut self) -> Option<ResumeRequest> {
        match std::mem::replace(
            &mut self.state,
            State::Ended(Closing::Replaced.outcome().backends),
        ) {
            State::Locating(request) => Some(*request),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Nobody here has the session; `moved`: where it went from here.
    pub fn located_elsewhere(&mut self, moved: Option<PeerGateway>, step: &mut Step<'_>) {
        let State::Locating(request) = &mut self.state else {
            return;
        };
        if step.host.refuses_sessions() {
            return self.close(Closing::ResumeElsewhere, step);
        }
        if !step.host.has_routes() {
            return self.close(Closing::NoRoutes, step);
        }
        if step.host.short_of_memory() {
            return self.close(Closing::ShortOfMemory, step);
        }
        request.moved = moved;
        let session_id = request.token.session_id;
        if let State::Locating(request) = self.take_state() {
            self.state = State::Enlisting(request);
        }
        step.push(Effect::Enlist(session_id));
    }

    /// The registry does not answer.
    pub fn located_nowhere(&mut self, step: &mut Step<'_>) {
        if let State::Locating(_) = &self.state {
            self.close(Closing::ResumeBusy, step);
        }
    }

    /// This client is entered for the session that it claims, or somebody else is.
    pub(super) fn enlisted(&mut self, result: Result<u64, RegisterFailed>, step: &mut Step<'_>) {
        match self.take_state() {
            State::Enlisting(request) => match result {
                Ok(_) => self.claim(*request, step),
                Err(RegisterFailed::InUse | RegisterFailed::Unreachable) => {
                    self.close(Closing::ResumeBusy, step);
                }
            },
            other => self.state = other,
        }
    }
}
