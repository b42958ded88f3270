//! The end of a session: one line that says whose it was, how long it lasted, what it did and why it ended; and
//! what is remembered of it.

use std::fmt;

use super::Client;
use crate::codec::code::Code;
use crate::history::{EndedSession, Happening, LastWords, Speaker, UsedService};
use crate::labels::Label;
use crate::session::closing::{Closing, ClosingLabel};
use crate::session::core::Ended;
use crate::session::trace_id::TraceId;
use crate::traces::{Decision, Name};

impl Client {
    /// Counts the end of a session, tells it, and remembers it.
    pub(super) fn session_ended(&self, ended: &Ended) {
        let scope = &self.shared.scope;
        scope.metrics.sessions_ended.one();
        self.trace(|| {
            let is_over = Decision::new(Name::SessionEnded).code(ended.code.0);
            is_over.detail(ended.why.label())
        });
        let ended = self.stats.session_ended(ended, self.shared.now_ms());
        self.span_session(&ended);
        // A resume that came to nothing: the session was never here.
        let was_here = ended.code != Code::LEAVES_LINK || ended.why == ClosingLabel::Replaced;
        if !was_here {
            return;
        }
        if tracing::enabled!(target: "game_gateway::access", tracing::Level::INFO)
            && let Some(passed_over) = scope.access.admit()
        {
            tell(&scope.config.gateway.id, &ended);
            if passed_over > 0 {
                tracing::info!(target: "game_gateway::access", passed_over, "sessions ended without a line");
            }
        }
        // Of HTTP requests only those that went wrong, for each is a session.
        if !ended.session.transport.is_http() || ended.code != Code::NORMAL {
            self.shared.with_ended(|all| all.push(ended));
        }
    }

    /// Notes that the session goes on behind a resume.
    pub(super) fn note_resume(&self, how: Happening) {
        self.happened(how);
        let resumes = self.core.resumes();
        self.stats.with_story(|story| story.set_resumes(resumes));
    }

    /// Remembers the CLOSE that has ended the session.
    pub(super) fn note_last_words(&self, closing: &Closing, session_id: u64) {
        self.span_claim_failed(closing);
        let outcome = closing.outcome();
        let words = match closing {
            Closing::ByClient(code) => LastWords::new(Speaker::Player, *code, ""),
            Closing::ByBackend { code, text, .. } => LastWords::new(Speaker::Backend, *code, text),
            _ => match outcome.client {
                Some(code) => LastWords::new(Speaker::Gateway, code, outcome.text),
                None => return,
            },
        };
        self.shared
            .with_ended(|all| all.set_last_words(session_id, words));
    }
}

fn tell(gateway_id: &str, ended: &EndedSession) {
    let session = &ended.session;
    let identity = match session.is_bound {
        true => "bound",
        false => "claimed",
    };
    tracing::info!(
        target: "game_gateway::access",
        session = %format_args!("{gateway_id}:{}", session.session_id),
        trace_id = TraceId::of(session.session_id).map(tracing::field::display),
        user_id = session.user_id,
        realm_id = session.realm_id,
        identity,
        client = %session.client,
        transport = session.transport.label(),
        seconds = ended.ended_s.saturating_sub(session.started_s),
        resumes = ended.resumes,
        frames_in = session.frames_in,
        frames_out = session.frames_out,
        bytes_in = session.bytes_in,
        bytes_out = session.bytes_out,
        services = %Listed(&session.services),
        code = ended.code.0,
        reason = ended.why.label(),
        "session ended"
    );
}

/// Services with their endpoints.
struct Listed<'a>(&'a [UsedService]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, endpoint, _)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}@{endpoint}")?;
        }
        Ok(())
    }
}
