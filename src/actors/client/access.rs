//! One line for each session's end: whose it was, how long it lasted, what it did and why it ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Client, ClientStats};
use crate::codec::code::Code;
use crate::labels::Label;
use crate::session::closing::ClosingLabel;
use crate::session::core::Ended;

impl Client {
    /// Counts the end of a session, and tells it.
    pub(super) fn session_ended(&self, ended: &Ended) {
        let scope = &self.shared.scope;
        scope.metrics.sessions_ended.one();
        // A resume that came to nothing: the session was never here.
        let was_here = ended.code != Code::LEAVES_LINK || ended.why == ClosingLabel::Replaced;
        if was_here
            && tracing::enabled!(target: "game_gateway::access", tracing::Level::INFO)
            && let Some(passed_over) = scope.access.admit()
        {
            let seconds = self.stats.age_seconds(self.shared.now_ms());
            let gateway_id = &scope.config.gateway.id;
            self.stats
                .with_services(|all| tell(&self.stats, gateway_id, seconds, all, ended));
            if passed_over > 0 {
                tracing::info!(target: "game_gateway::access", passed_over, "sessions ended without a line");
            }
        }
        self.stats.session_ended();
    }
}

fn tell(
    stats: &ClientStats,
    gateway_id: &str,
    seconds: u32,
    services: &[(Arc<str>, SocketAddr)],
    ended: &Ended,
) {
    let identity = match stats.bound.get() {
        true => "bound",
        false => "claimed",
    };
    tracing::info!(
        target: "game_gateway::access",
        session = %format_args!("{gateway_id}:{}", stats.session_id.get()),
        user_id = stats.user_id.get(),
        realm_id = stats.realm_id.get(),
        identity,
        client = %stats.remote(),
        transport = stats.transport().label(),
        seconds,
        resumes = ended.resumes,
        frames_in = stats.frames_in.get(),
        frames_out = stats.frames_out.get(),
        bytes_in = stats.bytes_in.get(),
        bytes_out = stats.bytes_out.get(),
        services = %Listed(services),
        code = ended.code.0,
        reason = ended.why.label(),
        "session ended"
    );
}

/// Services with their endpoints.
struct Listed<'a>(&'a [(Arc<str>, SocketAddr)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, endpoint)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}@{endpoint}")?;
        }
        Ok(())
    }
}
