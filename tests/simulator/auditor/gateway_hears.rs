//! What a gateway hears on its links, and what it must say of lost connections.

use super::frames::{LinkFrame, LinkWhat};
use super::model::{Cause, LostConn, LostLink, Moment, Place, Process, Standing};
use super::{Audit, rules};
use crate::wire::{Millis, Payload};

impl Audit {
    /// A backend's frame has arrived at a gateway.
    pub(super) fn gateway_heard(&mut self, id: u64, frame: &LinkFrame) {
        let (now, session_id) = (self.now, frame.session_id);
        match &frame.what {
            LinkWhat::Accept(epoch) => {
                let place = self.place(id, session_id);
                if !place.answered(false) && place.resumed.is_some_and(|(sent, _)| sent == *epoch) {
                    (place.unanswered, place.accepted) = (false, now);
                    self.move_answered(id, session_id, 0);
                }
            }
            LinkWhat::Close(307) => {
                let place = self.place(id, session_id);
                if place.standing == Standing::Left {
                    place.left_answered = Some(now);
                }
                self.state_heard(id, frame);
            }
            LinkWhat::Assign(..) | LinkWhat::Transfer(_) => self.wish_heard(id, frame),
            LinkWhat::Features(transfers) => self.features_heard(id, *transfers),
            LinkWhat::Goaway(true) => self.evacuation_heard(id),
            LinkWhat::Close(code) => {
                let place = self.place(id, session_id);
                // A transferred session may be refused with any code, given up or not.
                let late = place.late_offers > 0 && !matches!(code, 404 | 410);
                let arrives = place.of_move && place.unanswered;
                let refuses = matches!(code, 404 | 410) || arrives || late;
                // The refusal of its OPEN has crossed CLOSE 307, which a backend without the session does not
                // answer (2.4): it is the last word there.
                if refuses && place.standing == Standing::Left && place.unanswered {
                    place.left_answered = Some(now);
                }
                if refuses && place.answered(late) {
                    return;
                }
                let parted = place.parted && place.standing == Standing::Left;
                match place.standing {
                    // It has ended the session before it has read that it is to be moved.
                    Standing::Left if parted && place.left_answered.is_none() => {
                        self.ended_in_move(id, session_id, *code);
                    }
                    Standing::Open => {
                        place.gives_up();
                        (place.standing, place.ended) = (Standing::ByBackend(*code), now);
                        let refused = std::mem::take(&mut place.unanswered);
                        if !refused || !refuses {
                            self.session_ends(session_id);
                        } else {
                            self.move_answered(id, session_id, *code);
                        }
                    }
                    _ => place.strays_at(now),
                }
            }
            LinkWhat::Bind { user_id, realm_id } => {
                self.bind_heard(id, session_id, (*user_id, *realm_id));
            }
            LinkWhat::Data(payload) => self.arrived(id, session_id, *payload),
            LinkWhat::Multicast(sessions, payload) => {
                for session_id in sessions {
                    self.arrived(id, *session_id, *payload);
                }
            }
            _ => {}
        }
    }

    fn bind_heard(&mut self, id: u64, session_id: u64, (user_id, realm_id): (u64, u32)) {
        let (now, taken) = (self.now, self.uses(id, session_id));
        let gateway = self.links.get(&id).map(|link| link.gateway);
        let session = self.sessions.entry(session_id).or_default();
        if taken {
            session.bound.push((now, user_id, realm_id));
            session.bound_at = gateway;
        }
        session.realms.insert(realm_id);
        session.binds.insert((user_id, realm_id));
        let place = session.places.entry(id).or_default();
        if place.standing != Standing::Open {
            place.strays_at(now);
        }
    }

    /// "The gateway takes DATA, BIND and CLOSE for a session only from a service that the session was opened on,
    /// on any link of it" (protocol 2.3): from the backend that has it, not from one that it was not moved to.
    fn uses(&self, id: u64, session_id: u64) -> bool {
        let (Some(link), Some(session)) = (self.links.get(&id), self.sessions.get(&session_id))
        else {
            return false;
        };
        session.places.iter().any(|(number, place)| {
            let other = self.links.get(number);
            let same = other.is_some_and(|other| other.ends() == link.ends());
            let has = match place.standing {
                Standing::Open => true,
                Standing::Left => place.left_answered.is_none(),
                Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => false,
            };
            same && has && !self.has_successor(session, *number)
        })
    }

    fn arrived(&mut self, id: u64, session_id: u64, payload: Option<Payload>) {
        let now = self.now;
        // An ASSIGN has replaced it, which its backend does not know: its final CLOSE waits on the full link.
        let session = self.sessions.get(&session_id);
        let replaced = session.is_some_and(|session| self.has_successor(session, id));
        let place = self.place(id, session_id);
        let stray = replaced || place.standing != Standing::Open;
        if stray {
            place.strays_at(now);
        }
        if let Some(frame) = payload.and_then(|payload| self.down_frame(session_id, payload)) {
            frame.arrived = Some(now);
            frame.stray = stray;
        }
    }

    /// A gateway learns that a link is lost.
    pub(super) fn gateway_lost_link(&mut self, id: u64) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, service) = (link.gateway, link.service);
        let links = &self.links;
        for session in self.sessions.values_mut() {
            let open = session.places.get(&id);
            // One that has not answered yet loses nothing: the backend before it gets the session back (2.5). Nor has
            // anybody the session where that one has not answered.
            let has = |p: &&Place| match p.standing {
                Standing::Open => !(p.of_move && p.unanswered && p.transferred),
                Standing::Left => p.parted && p.left_answered.is_none(),
                _ => false,
            };
            let Some(place) = open.filter(has) else {
                continue;
            };
            // What it said of the session on a link that was cut was not seen; it goes on over another one.
            let goes_on = session.places.iter().any(|(other, newer)| {
                let link = links.get(other);
                let same = link.is_some_and(|l| l.gateway == gateway && l.service == service);
                *other != id && same && newer.opened > place.opened
            });
            if !goes_on {
                session.lost_links.push(LostLink {
                    since: now,
                    opened: place.opened,
                    service,
                    gateway,
                });
            }
        }
        self.cause(Cause::LinkLost(gateway.index));
    }

    /// The connection of a session's newest incarnation, where that stands at this gateway.
    pub(super) fn standing_conn(&self, session_id: u64, gateway: Process) -> Option<u64> {
        let newest = self.sessions.get(&session_id)?.incarnations.len();
        let stands = self.conns.iter().find(|(_, conn)| {
            conn.session == Some(session_id)
                && conn.gateway == gateway
                && conn.incarnation.map(|at| at + 1) == Some(newest)
                && conn.stands()
        });
        stands.map(|(id, _)| *id)
    }

    /// SUSPEND is said only while no connection stands: those of the moment that is over.
    pub(super) fn check_suspends(&mut self) {
        for (session_id, conn) in std::mem::take(&mut self.suspends) {
            let stands = self.conns.get(&conn).is_some_and(|conn| conn.stands());
            if stands {
                let seen = format!("session {session_id}: connection {conn} stands");
                self.breach(&rules::L_SUSPEND, seen);
            }
        }
        while self.lost.first().is_some_and(|lost| lost.due < self.now.at) {
            let lost = self.lost.remove(0);
            if self.goes_on_to_open(&lost) {
                let due = self.now.at + self.scene.connect_timeout;
                self.lost.push(LostConn { due, ..lost });
            } else {
                self.check_lost(lost.since, lost.conn);
            }
        }
    }

    /// Frames that came before a connection was lost still wait for a link. They go first, and so the loss is not
    /// known until the last endpoint was tried.
    fn goes_on_to_open(&self, lost: &LostConn) -> bool {
        let tries = (self.scene.backends * self.scene.services.len()) as Millis;
        if self.now.at > lost.since.at + (tries + 1) * self.scene.connect_timeout {
            return false;
        }
        let Some(conn) = self.conns.get(&lost.conn) else {
            return false;
        };
        let session = conn.session.and_then(|id| self.sessions.get(&id));
        let life = session.and_then(|session| self.lives.get(&session.of?));
        life.is_some_and(|life| {
            life.sent.iter().any(|frame| {
                let told = life.errors.iter();
                let mut told = told.filter(|error| error.service == frame.service);
                let here = frame.gateways.contains(&conn.gateway) && frame.forwarded.is_none();
                here && !frame.contradicts
                    && !told.any(|error| Some(error.sent) > frame.arrived_last)
            })
        })
    }

    /// A connection broke a while ago: its backends know, or somebody wanted the session meanwhile.
    fn check_lost(&mut self, since: Moment, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let gateway = conn.gateway;
        let Some(session) = conn.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        let opened = conn.incarnation.and_then(|at| session.incarnations.get(at));
        let opened = opened.map_or(Moment::default(), |i| i.opened);
        let wanted = session.attempts.iter().any(|a| a.asked > opened);
        // Whoever is to have it is told when that is known.
        let wanted = wanted
            || session
                .moves
                .iter()
                .any(|m| m.ended.is_none_or(|at| at > since));
        let dead = self.gateway(gateway.index) != gateway;
        if wanted || dead || session.ended.is_some() || self.troubled(gateway.index, since) {
            return;
        }
        let untold = session.places.iter().find(|(number, place)| {
            let link = self.links.get(number);
            let live = link.is_some_and(|l| l.gateway == gateway && l.lost.is_none() && !l.full);
            live && place.standing == Standing::Open
                && place.opened < since
                && place.suspended.is_none()
        });
        if let Some((link, _)) = untold {
            let seen = format!("connection {id} is lost, link {link} has no SUSPEND");
            self.breach(&rules::L_NO_SUSPEND, seen);
        }
    }
}
