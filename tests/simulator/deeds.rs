//! What a backend's game has seen and done, for the log.

use game_gateway::codec::code::Code;

use crate::wire::{BackendLearns, Payload, Seen};

#[derive(Debug)]
pub(crate) enum Deed {
    Got(u64, Vec<u8>),
    Sent {
        id: u64,
        payload: [u8; Payload::LEN],
        multicast: bool,
        written: bool,
    },
    Told(u64, BackendLearns),
    Binds(u64, u64, u32),
    /// A session's state, for another backend.
    Gives(u64, Vec<u8>),
    /// A session with its state, or refuses it.
    Takes(u64, Vec<u8>, Option<Code>),
    Closes(u64, Code),
}

impl Deed {
    pub(crate) fn seen<'a>(&'a self, backend: usize, service: &'a str) -> Seen<'a> {
        match self {
            Deed::Got(session_id, payload) => Seen::BackendGot {
                backend,
                service,
                session_id: *session_id,
                payload,
            },
            Deed::Sent {
                id,
                payload,
                multicast,
                written,
            } => Seen::BackendSent {
                backend,
                service,
                session_id: *id,
                payload,
                multicast: *multicast,
                written: *written,
            },
            Deed::Told(session_id, what) => Seen::BackendTold {
                backend,
                service,
                session_id: *session_id,
                what: *what,
            },
            Deed::Binds(session_id, user_id, realm_id) => Seen::BackendBinds {
                backend,
                service,
                session_id: *session_id,
                user_id: *user_id,
                realm_id: *realm_id,
            },
            Deed::Gives(session_id, state) => Seen::BackendGives {
                backend,
                service,
                session_id: *session_id,
                state,
            },
            Deed::Takes(session_id, state, refused) => Seen::BackendTakes {
                backend,
                service,
                session_id: *session_id,
                state,
                refused: *refused,
            },
            Deed::Closes(session_id, code) => Seen::BackendCloses {
                backend,
                service,
                session_id: *session_id,
                code: *code,
            },
        }
    }
}
