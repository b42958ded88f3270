//! A backend by the protocol (2.3, 2.4), beside the library that ships: which OPENs it takes, what it
//! answers, what its application learns.

use super::frames::{LinkFrame, LinkWhat};
use super::model::{Due, Entry, Learn, Standing};
use super::{Audit, rules};
use crate::wire::{Millis, Payload};

/// How long DATA is taken from a link that a newer OPEN has superseded (protocol 2.4).
const LEAVE_TIME: Millis = 30_000;

impl Audit {
    /// A frame has arrived at a backend.
    pub(super) fn backend_heard(&mut self, id: u64, frame: &LinkFrame) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if link.backend != self.backend(link.backend.index) {
            return;
        }
        let (session_id, service, index) = (frame.session_id, link.service, link.backend.index);
        match &frame.what {
            LinkWhat::Hello { .. } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.greeted = true;
                }
            }
            LinkWhat::Open {
                epoch,
                resumed,
                transferred,
                realm_id,
                ..
            } => {
                // A gateway that has the session by its token alone does not know of a BIND behind that token.
                if let Some(link) = self.links.get_mut(&id)
                    && link.realms.get(&session_id) != Some(realm_id)
                {
                    link.realms.remove(&session_id);
                }
                self.open_heard(id, session_id, *epoch, (*resumed, *transferred));
            }
            LinkWhat::Data(payload) => self.data_heard(id, session_id, *payload),
            LinkWhat::Close(307) if self.gives_there(id, frame) => {}
            LinkWhat::Close(code) => self.close_heard(id, session_id, *code),
            LinkWhat::Moved(code) => self.moved_heard(id, session_id, *code),
            LinkWhat::Suspend(ms) => {
                let (until, key) = (self.now.at + Millis::from(*ms), (service, session_id));
                let entry = self.backends[index].sessions.get_mut(&key);
                if let Some(entry) = entry.filter(|entry| entry.link == Some(id)) {
                    entry.until = Some(until);
                }
            }
            _ => {}
        }
    }

    fn open_heard(
        &mut self,
        id: u64,
        session_id: u64,
        epoch: u32,
        (resumed, transferred): (bool, bool),
    ) {
        let now = self.now.at;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (gateway, key) = (link.gateway.index, (link.service, session_id));
        let backend = &mut self.backends[link.backend.index];
        let entry = backend.sessions.get_mut(&key);
        let refusal = match &entry {
            Some(e) if epoch < e.epoch || (epoch == e.epoch && gateway != e.gateway) => Some(410),
            None if resumed && !transferred => Some(404),
            Some(_) | None => None,
        };
        if let Some(code) = refusal {
            // Nobody makes sure of that where the owner cannot be asked.
            if code == 404 && self.owners_are_asked() && self.is_overtaken(id, session_id) {
                let seen = format!("session {session_id}, link {id}: its first OPEN is under way");
                return self.breach(&rules::L_OVERTAKEN, seen);
            }
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            link.due.push_back((session_id, Due::Close(code)));
            return;
        }
        if resumed {
            link.due.push_back((session_id, Due::Accept(epoch)));
        }
        backend.expired.remove(&(id, session_id));
        let known = entry.is_some();
        let same_epoch = entry.as_ref().is_some_and(|entry| entry.epoch == epoch);
        let mut leaving = Vec::new();
        if let Some(entry) = entry {
            leaving = std::mem::take(&mut entry.leaving);
            leaving.extend(entry.link.filter(|old| *old != id).map(|old| (old, now)));
            leaving.retain(|(old, _)| *old != id);
        }
        let entry = Entry {
            given: false,
            late: link.lost.is_some(),
            gateway,
            epoch,
            told: None,
            link: Some(id),
            opened_on: id,
            leaving,
            adrift: false,
            closed: false,
            absent: false,
            until: None,
        };
        backend.sessions.insert(key, entry);
        let learn = Learn::Opened {
            epoch,
            resumed: known,
        };
        backend.due.push_back((key.0, session_id, learn));
        // On a link that was left: it was slower than the OPEN of the next claim.
        let place = self.place(id, session_id);
        place.belated |= resumed && same_epoch && place.standing == Standing::Left;
    }

    /// Tells whether a first OPEN of this session is on its way to the same process.
    fn is_overtaken(&self, id: u64, session_id: u64) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        self.links.iter().any(|(number, other)| {
            let same =
                *number != id && other.backend == link.backend && other.service == link.service;
            let stands = !other.cut && other.lost.is_none() && other.backend_lost.is_none();
            let first = |frame: &LinkFrame| {
                let open = matches!(frame.what, LinkWhat::Open { resumed: false, .. });
                frame.session_id == session_id && open
            };
            same && stands && other.to_backend.under_way().any(first)
        })
    }

    /// Forgets superseded links whose time is over.
    fn expire_links(&mut self, backend: usize, key: (usize, u64)) {
        let now = self.now.at;
        let backend = &mut self.backends[backend];
        if let Some(entry) = backend.sessions.get_mut(&key) {
            let over = |(_, since): &(u64, Millis)| since + LEAVE_TIME <= now;
            for (link, _) in entry.leaving.iter().filter(|l| over(l)) {
                backend.expired.insert((*link, key.1));
            }
            entry.leaving.retain(|l| !over(l));
        }
    }

    fn data_heard(&mut self, id: u64, session_id: u64, payload: Option<Payload>) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (index, key) = (link.backend.index, (link.service, session_id));
        self.expire_links(index, key);
        let backend = &mut self.backends[index];
        let entry = backend.sessions.get(&key);
        let its = entry.is_some_and(|entry| {
            let leaving = entry.leaving.iter().any(|(link, _)| *link == id);
            entry.link == Some(id) || leaving
        });
        if its {
            let learn = Learn::Data(payload);
            backend.due.push_back((key.0, session_id, learn));
        }
    }

    fn close_heard(&mut self, id: u64, session_id: u64, code: u16) {
        let now = self.now.at;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (index, gateway, key) = (
            link.backend.index,
            link.gateway.index,
            (link.service, session_id),
        );
        self.expire_links(index, key);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let backend = &mut self.backends[index];
        let Some(entry) = backend.sessions.get_mut(&key) else {
            return;
        };
        let left = entry.leaving.iter().position(|(link, _)| *link == id);
        if let Some(at) = left {
            if code == 307 {
                entry.leaving.remove(at);
                link.due.push_back((session_id, Due::Close(307)));
            }
            return;
        }
        if entry.link == Some(id) && code == 307 {
            (entry.link, entry.until) = (None, Some(now + link.resume_window));
            link.due.push_back((session_id, Due::Close(307)));
            return;
        }
        if code == 421 {
            // It ends nothing; on another link it may answer what was said before the newest OPEN, while the link of that
            // OPEN stands.
            if entry.gateway == gateway && entry.link.is_some() {
                if entry.link == Some(id) || entry.adrift {
                    (entry.link, entry.until) = (None, Some(now + link.resume_window));
                } else {
                    entry.absent = true;
                }
            }
            return;
        }
        let its = code != 307 && entry.gateway == gateway;
        let orphan = (entry.link.is_none() || entry.adrift) && its;
        if its && !orphan && entry.link != Some(id) {
            entry.closed = true;
        }
        if code != 307 && (entry.link == Some(id) || orphan) {
            backend.sessions.remove(&key);
            let learn = Learn::Ended(code);
            backend.due.push_back((key.0, session_id, learn));
        }
    }

    /// A backend learns that a link is lost.
    pub(super) fn backend_lost_link(&mut self, id: u64) {
        let now = self.now.at;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if link.backend != self.backend(link.backend.index) {
            return;
        }
        let sibling = self.links.iter().find(|(_, other)| {
            other.backend == link.backend
                && other.gateway.index == link.gateway.index
                && other.service == link.service
                && other.greeted
                && other.backend_lost.is_none()
        });
        let sibling = sibling.map(|(other, _)| *other);
        let (service, until) = (link.service, now + link.resume_window);
        let backend = &mut self.backends[link.backend.index];
        for ((of, _), entry) in &mut backend.sessions {
            if *of != service {
                continue;
            }
            entry.leaving.retain(|(link, _)| *link != id);
            if entry.link == Some(id) {
                entry.adrift = true;
                entry.link = sibling.filter(|_| !entry.closed && !entry.absent);
                if entry.link.is_none() {
                    entry.until = Some(if entry.closed { now } else { until });
                }
            }
        }
    }

    /// A backend hands a frame to the network.
    pub(super) fn backend_said(&mut self, id: u64, frame: &LinkFrame) {
        let session_id = frame.session_id;
        let seen = || format!("session {session_id}, link {id}: {:?}", frame.what);
        match &frame.what {
            LinkWhat::Accept(epoch) => {
                let epoch = *epoch;
                if !self.pays_due(id, session_id, Due::Accept(epoch)) {
                    let stale = self.is_due(id, session_id, Due::Close(410));
                    let rule = match stale {
                        true => &rules::EPOCH_TWICE,
                        false => &rules::B_ACCEPT,
                    };
                    self.breach(rule, seen());
                }
            }
            LinkWhat::Close(307) => {
                self.state_said(id, frame);
                let expired = self.links.get(&id).is_some_and(|link| {
                    let expired = &self.backends[link.backend.index].expired;
                    expired.contains(&(id, session_id))
                });
                if !self.pays_due(id, session_id, Due::Close(307)) && !expired {
                    self.breach(&rules::B_307, seen());
                }
            }
            LinkWhat::Close(code) if self.pays_due(id, session_id, Due::Close(*code)) => {}
            LinkWhat::Close(_) => self.backend_speaks(id, session_id, None, &seen()),
            LinkWhat::Data(payload) => {
                self.backend_speaks(id, session_id, *payload, &seen());
                self.down_written(id, session_id, *payload);
            }
            LinkWhat::Multicast(sessions, payload) => {
                for session_id in sessions {
                    self.backend_speaks(id, *session_id, *payload, &seen());
                    self.down_written(id, *session_id, *payload);
                }
            }
            LinkWhat::Bind { realm_id, .. } => {
                self.backend_speaks(id, session_id, None, &seen());
                if let Some(link) = self.links.get_mut(&id) {
                    link.realms.insert(session_id, *realm_id);
                }
            }
            _ => {}
        }
    }

    fn is_due(&self, id: u64, session_id: u64, due: Due) -> bool {
        let link = self.links.get(&id);
        let next = link.and_then(|link| link.due.iter().find(|(of, _)| *of == session_id));
        next.is_some_and(|(_, next)| *next == due)
    }

    /// Takes the next answer that is due to a session on this link, if this is it.
    fn pays_due(&mut self, id: u64, session_id: u64, due: Due) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let next = link.due.iter().position(|(of, _)| *of == session_id);
        match next {
            Some(at) if link.due[at].1 == due => {
                link.due.remove(at);
                true
            }
            _ => false,
        }
    }

    /// A backend says something of its own: behind its ACCEPT, and on a link of the newest OPEN's gateway.
    fn backend_speaks(&mut self, id: u64, session_id: u64, payload: Option<Payload>, seen: &str) {
        let frame = payload.and_then(|payload| self.down_frame(session_id, payload));
        let sent = frame.map(|frame| frame.sent);
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let accept = |(of, due): &(u64, Due)| *of == session_id && matches!(due, Due::Accept(_));
        let sessions = &self.backends[link.backend.index].sessions;
        let entry = sessions.get(&(link.service, session_id));
        // What was sent before the OPEN was handled may leave in one write with its ACCEPT.
        let before = sent.is_some() && entry.is_some_and(|e| e.told.is_none_or(|t| sent < Some(t)));
        if !before && link.due.iter().any(accept) {
            return self.breach(&rules::B_ACCEPT, seen);
        }
        if entry.is_some_and(|entry| entry.gateway != link.gateway.index) {
            self.breach(&rules::B_LINK, seen);
        }
    }

    fn down_written(&mut self, id: u64, session_id: u64, payload: Option<Payload>) {
        let realm = self.links.get(&id).and_then(|l| l.realms.get(&session_id));
        let realm = realm.copied().filter(|realm| *realm != 0);
        if let Some(frame) = payload.and_then(|payload| self.down_frame(session_id, payload)) {
            (frame.link, frame.realm) = (Some(id), realm);
        }
    }

    /// Tells whether the process that opened a session is gone, and another one of the same gateway had a link
    /// before the backend knew: it goes on with the session over that (docs/simulation.md, limits).
    fn was_reborn(&self, entry: &Entry) -> bool {
        let opener = self.links.get(&entry.opened_on).map(|link| link.gateway);
        entry.adrift && opener.is_some_and(|opener| self.gateway(opener.index) != opener)
    }

    /// The end of the run: no session is left, no answer is due.
    pub(super) fn check_left_over(&mut self) {
        let now = self.now.at;
        for index in 0..self.backends.len() {
            let left = self.backends[index].sessions.iter().find(|(_, entry)| {
                // A backend looks at its windows now and then.
                !entry.late
                    && !self.was_reborn(entry)
                    && entry.until.is_none_or(|until| until + 5_000 < now)
            });
            if let Some(((service, session_id), entry)) = left {
                let seen = format!(
                    "session {session_id} of service {service} at backend {index}: {entry:?}"
                );
                return self.breach(&rules::L_LEFT_OVER, seen);
            }
        }
        let unanswered = self.links.iter().find(|(_, link)| {
            let live = link.lost.is_none() && link.backend_lost.is_none();
            live && link.backend == self.backend(link.backend.index) && !link.due.is_empty()
        });
        if let Some((id, link)) = unanswered {
            let seen = format!("link {id}: {:?} are due", link.due);
            self.breach(&rules::B_ACCEPT, seen);
        }
    }
}
