//! Whom a trace concerns.

use std::fmt;

use super::event::Subject;
use crate::config::Network;

/// The target of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceTarget {
    /// Connections from these addresses, and their sessions.
    Network(Network),
    /// Sessions of this user, bound or claimed; never 0.
    User(u64),
    /// This session; never 0.
    Session(u64),
}

/// The target in log lines.
impl fmt::Display for TraceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceTarget::Network(network) => write!(f, "{network}"),
            TraceTarget::User(user) => write!(f, "user {user}"),
            TraceTarget::Session(session) => write!(f, "session {session}"),
        }
    }
}

impl TraceTarget {
    /// Returns true if it concerns this client.
    pub fn concerns(self, subject: &Subject) -> bool {
        match self {
            TraceTarget::Network(network) => network.contains(subject.client.ip().to_canonical()),
            TraceTarget::User(user) => subject.user_id == user,
            TraceTarget::Session(session) => subject.session_id == session,
        }
    }

    /// Returns the address or network as people write it; none of others.
    pub fn address(self) -> Option<String> {
        match self {
            TraceTarget::Network(network) if network.is_single() => {
                Some(network.base().to_string())
            }
            TraceTarget::Network(network) => Some(network.to_string()),
            TraceTarget::User(_) | TraceTarget::Session(_) => None,
        }
    }

    /// Returns the user; none of others.
    pub fn user(self) -> Option<u64> {
        match self {
            TraceTarget::User(user) => Some(user),
            TraceTarget::Network(_) | TraceTarget::Session(_) => None,
        }
    }

    /// Returns the session; none of others.
    pub fn session(self) -> Option<u64> {
        match self {
            TraceTarget::Session(session) => Some(session),
            TraceTarget::Network(_) | TraceTarget::User(_) => None,
        }
    }
}
