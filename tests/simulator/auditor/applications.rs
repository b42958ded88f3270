//! What a backend's application does, and what its library has it learn.

use super::model::{DownFrame, Learn};
use super::{Audit, Process, rules};
use crate::wire::{BackendLearns, Payload, Seen};

impl Audit {
    /// A frame that a backend's application has sent.
    pub(super) fn down_frame(&mut self, of: u64, payload: Payload) -> Option<&mut DownFrame> {
        let process = Process::origin(payload);
        let session = self.sessions.get_mut(&of)?;
        let down = session.down.get_mut(&process)?;
        let at = down
            .index
            .get(&(payload.player == u32::MAX, payload.number))?;
        down.frames.get_mut(*at)
    }

    /// What a backend's application does and learns.
    pub(super) fn application(&mut self, seen: &Seen<'_>) {
        match *seen {
            Seen::BackendGot {
                backend,
                service,
                session_id,
                payload,
            } => {
                let payload = Payload::decode(payload);
                if self.learns(backend, service, session_id, Learn::Data(payload))
                    && let Some(payload) = payload
                {
                    self.got_up(self.backend(backend), session_id, payload);
                }
            }
            Seen::BackendTold {
                backend,
                service,
                session_id,
                what,
            } => match what {
                BackendLearns::Opened { epoch, resumed } => {
                    let learn = Learn::Opened { epoch, resumed };
                    self.learns(backend, service, session_id, learn);
                }
                BackendLearns::Suspended => {}
                BackendLearns::Moved { code } => {
                    self.learns(backend, service, session_id, Learn::Moved(code.0));
                }
                BackendLearns::Ended { code } => {
                    self.ended_there(backend, service, session_id, code.0);
                }
            },
            Seen::BackendSent {
                service,
                session_id,
                payload,
                multicast,
                written,
                ..
            } => self.sent_down((service, session_id), payload, (multicast, written)),
            Seen::BackendCloses {
                backend,
                service,
                session_id,
                ..
            } => {
                if let Some(service) = self.service(service) {
                    let sessions = &mut self.backends[backend].sessions;
                    sessions.remove(&(service, session_id));
                }
                self.session_ends(session_id);
            }
            _ => {}
        }
    }

    /// Holds what an application learns against what it was to learn next; returns whether it fits.
    fn learns(&mut self, backend: usize, service: &str, session_id: u64, learn: Learn) -> bool {
        let Some(service) = self.service(service) else {
            return false;
        };
        let due = &mut self.backends[backend].due;
        // What it has ended itself, or lost by its window, it learns no more of.
        let at = due
            .iter()
            .position(|(s, id, _)| *s == service && *id == session_id);
        let fits = at.is_some_and(|at| due.get(at).is_some_and(|(_, _, due)| *due == learn));
        if let Some(at) = at.filter(|_| fits) {
            due.remove(at);
            let now = self.now;
            let entry = self.backends[backend]
                .sessions
                .get_mut(&(service, session_id));
            if let (Learn::Opened { .. }, Some(entry)) = (learn, entry) {
                entry.told = Some(now);
            }
            return true;
        }
        let due = at.and_then(|at| due.get(at)).map(|(_, _, due)| *due);
        let seen = format!("session {session_id} at backend {backend}: {learn:?}, due is {due:?}");
        self.breach(&rules::B_APPLICATION, seen);
        false
    }

    fn ended_there(&mut self, backend: usize, service: &str, session_id: u64, code: u16) {
        let now = self.now.at;
        let Some(index) = self.service(service) else {
            return;
        };
        let key = (index, session_id);
        let Some(entry) = self.backends[backend].sessions.get(&key) else {
            self.learns(backend, service, session_id, Learn::Ended(code));
            return;
        };
        let until = entry.until;
        if until.is_some_and(|until| until <= now) {
            self.backends[backend].sessions.remove(&key);
            return;
        }
        let seen = format!("session {session_id} at backend {backend}: window to {until:?}");
        self.breach(&rules::B_WINDOW, seen);
    }
}
