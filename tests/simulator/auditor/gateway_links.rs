//! What a gateway says on its links of each session, and what it hears there.

use super::frames::{LinkFrame, LinkWhat};
use super::model::{
    Attempt, Conn, Form, Link, Moment, Place, Process, Session, Standing, Suspicion,
};
use super::rules::Rule;
use super::{Audit, rules};
use crate::wire::{Millis, Payload};

/// How long news may be on their way inside a gateway.
pub(super) const INSIDE: Millis = 100;

impl Audit {
    /// A gateway hands a frame to the network, for a backend.
    pub(super) fn said_to_backend(&mut self, id: u64, frame: &LinkFrame) {
        let session_id = frame.session_id;
        match &frame.what {
            LinkWhat::Hello { resume_window } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.resume_window = *resume_window;
                }
            }
            LinkWhat::Ping | LinkWhat::Pong => {}
            LinkWhat::Open {
                epoch,
                resumed,
                transferred,
                user_id,
                realm_id,
            } => {
                let of_move = *resumed && self.opens_in_move(id, frame, (*epoch, *transferred));
                self.check_assigned(id, session_id, *resumed);
                self.open_said(id, session_id, (*epoch, *resumed), of_move);
                let place = self.place(id, session_id);
                place.too_late |= place.transferred && place.given_up > 0;
                place.transferred = *transferred;
                if !self.bound_since(id, session_id) {
                    self.check_identity(id, session_id, (*user_id, *realm_id), *resumed);
                }
            }
            LinkWhat::Data(payload) => self.data_said(id, session_id, *payload),
            LinkWhat::Close(307) if &*frame.state == b"move" => self.part_said(id, session_id),
            LinkWhat::Close(307) => self.leave_said(id, session_id),
            LinkWhat::Moved(code) => self.moved_said(id, session_id, *code),
            LinkWhat::Close(code) => self.close_said(id, session_id, *code),
            LinkWhat::Suspend(_) => self.suspend_said(id, session_id),
            LinkWhat::Bound { user_id, realm_id } => {
                self.bound_said(id, session_id, (*user_id, *realm_id));
            }
            LinkWhat::Bind { .. }
            | LinkWhat::Multicast(..)
            | LinkWhat::Accept(_)
            | LinkWhat::Goaway(_)
            | LinkWhat::Features(_)
            | LinkWhat::Assign(..)
            | LinkWhat::Transfer(_)
            | LinkWhat::Unknown(_) => {
                self.breach(&rules::L_KIND, format!("link {id}: {:?}", frame.what));
            }
        }
    }

    pub(super) fn place(&mut self, id: u64, session_id: u64) -> &mut Place {
        let session = self.sessions.entry(session_id).or_default();
        session.places.entry(id).or_default()
    }

    fn open_said(
        &mut self,
        id: u64,
        session_id: u64,
        (epoch, resumed): (u32, bool),
        of_move: bool,
    ) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, backend, service) = (link.gateway, link.backend, link.service);
        let full = link.full;
        let session = self.sessions.get(&session_id);
        let mut places = session.into_iter().flat_map(|session| &session.places);
        let twin = places.find(|(other, place)| {
            let link = self.links.get(other);
            let same = link.is_some_and(|l| {
                l.gateway == gateway
                    && l.backend == backend
                    && l.service == service
                    && l.lost.is_none()
                    && !l.full
            });
            same && place.standing == Standing::Open && (**other != id || !resumed)
        });
        let mut belated = false;
        if let Some((other, place)) = twin {
            let other = *other;
            let newest = place.resumed.map_or(0, |(of, _)| of);
            let failed = resumed && epoch <= newest && self.claims_failed(session_id, gateway);
            belated = epoch == newest;
            let seen = format!("session {session_id}: OPEN on link {id}, open on link {other}");
            if other == id {
                return self.breach(&rules::L_OPEN_TWICE, seen);
            }
            // One of a claim that failed before its link was there is followed by its CLOSE 307.
            let stand = if failed { vec![other, id] } else { vec![other] };
            if !full {
                self.suspect(session_id, stand, &rules::L_TWO_LINKS, seen);
            }
        }
        if of_move {
            self.check_move_epoch(id, session_id, epoch);
        } else if resumed {
            self.check_epoch(session_id, gateway, epoch);
        } else {
            self.check_first_epoch(session_id, epoch);
        }
        self.speaks_for(id, session_id, "OPEN");
        let place = self.place(id, session_id);
        place.crossed = place.standing == Standing::Left && place.left_answered.is_none();
        place.reopened = resumed && (place.crossed || place.standing == Standing::Open);
        place.repeated = false;
        (place.parted, place.of_move) = (false, of_move);
        place.standing = Standing::Open;
        place.opened = now;
        (place.left, place.left_answered, place.suspended) = (None, None, None);
        (place.strays, place.belated) = (0, belated);
        place.closed = None;
        place.unanswered = resumed;
        if resumed {
            place.resumed = Some((epoch, now));
            place.opens += 1;
        } else {
            place.began = now;
        }
        let session = self.sessions.entry(session_id).or_default();
        session.final_closes.insert((gateway, backend, service), 0);
    }

    /// The epoch of an OPEN that follows no resume and no move.
    fn check_first_epoch(&mut self, session_id: u64, epoch: u32) {
        let (now, hidden) = (self.now, self.hidden_epochs(session_id));
        let session = self.sessions.entry(session_id).or_default();
        // One that was asked for before a resume may still say the epoch before.
        let highest = session.incarnations.iter().map(|i| i.epoch).max();
        let highest = highest.unwrap_or(1).max(session.epoch.0);
        let unseen = session.attempts.len() as u32 + session.unseen_epochs() + hidden;
        if epoch == 0 || epoch > highest + unseen {
            let seen = format!("session {session_id}: OPEN in epoch {epoch}");
            return self.breach(&rules::EPOCH_SKIPPED, seen);
        }
        if epoch > session.epoch.0 {
            session.epoch = (epoch, now);
        }
    }

    /// Waits for what may be on its way inside a gateway before that is a breach.
    pub(super) fn suspect(
        &mut self,
        session: u64,
        links: Vec<u64>,
        rule: &'static Rule,
        seen: String,
    ) {
        self.suspicions.push(Suspicion {
            since: self.now,
            session,
            links,
            rule,
            seen,
        });
    }

    /// What was suspected a while ago is a breach where those links still stand and are open for the session.
    pub(super) fn check_suspicions(&mut self, now: Millis) {
        let is_due = |suspicion: &Suspicion| suspicion.since.at + INSIDE < now;
        while self.suspicions.first().is_some_and(is_due) {
            let suspicion = self.suspicions.remove(0);
            let session = self.sessions.get(&suspicion.session);
            // One that was opened anew since was closed before.
            let open = |p: &Place| p.standing == Standing::Open && p.began <= suspicion.since;
            let stands = |id: &u64| {
                let link = self.links.get(id);
                let place = session.and_then(|session| session.places.get(id));
                link.is_some_and(|link| link.lost.is_none() && !link.cut) && place.is_some_and(open)
            };
            if suspicion.links.iter().all(stands) {
                self.breach(suspicion.rule, suspicion.seen);
            }
        }
    }

    /// A RESUME was refused here, or its connection broke, so shortly ago that its OPENs may still wait for their links.
    fn claims_failed(&self, session_id: u64, gateway: Process) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return false;
        };
        let waits = self.scene.connect_timeout + INSIDE;
        session.attempts.iter().any(|attempt| {
            let conn = self.conns.get(&attempt.conn);
            let refused = conn.is_some_and(|c| c.gone || (c.closed.is_some() && !c.replaced));
            let its = attempt.gateway == gateway && !attempt.succeeded;
            its && refused && attempt.asked.at + waits >= self.now.at
        })
    }

    fn data_said(&mut self, id: u64, session_id: u64, payload: Option<Payload>) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, service) = (link.gateway, link.service);
        let session = self.sessions.entry(session_id).or_default();
        let place = session.places.entry(id).or_default();
        let seen = || format!("session {session_id}, link {id}: DATA {payload:?}");
        match place.standing {
            Standing::Open => {}
            Standing::Left => return self.breach(&rules::L_AFTER_307, seen()),
            // It waited here while the backend ended the session.
            Standing::ByBackend(_) if link.full => return,
            // The news may still be on its way inside the gateway (2.3: a CLOSE concerns what the gateway
            // sends once it has handled it, and the backend drops what comes before).
            Standing::ByBackend(_) if now.at <= place.ended.at + INSIDE => return,
            Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => {
                return self.breach(&rules::L_DATA_CLOSED, seen());
            }
        }
        let entered = |epoch: u32| {
            let mut own = session.incarnations.iter();
            own.any(|i| i.gateway == gateway && i.epoch >= epoch)
        };
        let asked = session.attempts.iter().rfind(|a| a.gateway == gateway);
        // One that was being opened when RESUME came is no bound backend of that resume: its ACCEPT is not
        // waited for (protocol 3.2), and has nothing to tell, for the OPEN before is on the same link.
        let bound = asked.is_none_or(|asked| place.began < asked.asked);
        let resumes = place.resumed.filter(|_| place.unanswered && bound);
        let resumes = resumes.filter(|(epoch, _)| !entered(*epoch));
        let Some(payload) = payload else {
            return;
        };
        let of = (payload.player as usize, payload.life);
        let its = *session.of.get_or_insert(of) == of && usize::from(payload.service) == service;
        let life = self.lives.get_mut(&of);
        let up = life.and_then(|life| {
            life.session.get_or_insert(session_id);
            life.sent.get_mut(payload.number as usize - 1)
        });
        let Some(up) = up.filter(|up| its && up.gateways.contains(&gateway)) else {
            return self.breach(&rules::UP_STRANGE, seen());
        };
        (up.forwarded, up.link) = (Some(now), Some(id));
        // What the connection before has brought may still go its way.
        let early = place.of_move && place.unanswered;
        if early || resumes.is_some_and(|(_, since)| up.arrived_last > Some(since)) {
            return self.breach(&rules::L_DATA_EARLY, seen());
        }
        if up.contradicts {
            return self.breach(&rules::C_BOUND, seen());
        }
        self.check_banned(id, session_id);
        self.meets_plain(of, gateway, session_id);
        self.speaks_for(id, session_id, "DATA");
    }

    /// A client that gets no OPENED: its session is known by its first DATA.
    fn meets_plain(&mut self, (player, life): (usize, u32), gateway: Process, session_id: u64) {
        let its = |conn: &&mut Conn| {
            let plain = conn.form == Form::Plain && conn.session.is_none();
            plain && (conn.player, conn.life, conn.gateway) == (player, Some(life), gateway)
        };
        if let Some(conn) = self.conns.values_mut().find(its) {
            conn.session = Some(session_id);
        }
    }

    fn leave_said(&mut self, id: u64, session_id: u64) {
        let now = self.now;
        let link = self.links.get(&id).map(|link| (link.gateway, link.full));
        let Some((gateway, full)) = link else {
            return;
        };
        let session = self.sessions.entry(session_id).or_default();
        let own = session.incarnations.iter().rfind(|i| i.gateway == gateway);
        let place = session.places.entry(id).or_default();
        // What waited on a full link was decided before, maybe by an owner before.
        let own = own.map_or(Moment::default(), |i| i.opened);
        let own = if full { own.min(place.opened) } else { own };
        let mut attempts = session.attempts.iter();
        let asked = attempts.any(|a| !a.succeeded || (a.gateway != gateway && a.asked > own))
            || session.told_gone.contains(&gateway);
        let place = session.places.entry(id).or_default();
        let seen = format!("session {session_id}, link {id}: CLOSE 307");
        match place.standing {
            Standing::Open if asked => {
                place.standing = Standing::Left;
                place.left = Some(now);
                place.gives_up();
                let session = self.sessions.entry(session_id).or_default();
                session.left.insert(gateway, now);
            }
            Standing::Open => self.breach(&rules::L_307_UNASKED, seen),
            Standing::Left => self.breach(&rules::L_AFTER_307, seen),
            // It waited here while the backend refused the session.
            Standing::ByBackend(_) if full => {}
            // The newest OPEN may be taken all the same, and nobody wants it any more.
            Standing::ByBackend(410) if std::mem::take(&mut place.reopened) => {
                (place.standing, place.left) = (Standing::Left, Some(now));
            }
            Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => {
                self.breach(&rules::L_CLOSE_STRAY, seen);
            }
        }
    }

    fn close_said(&mut self, id: u64, session_id: u64, code: u16) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let key = (link.gateway, link.backend, link.service);
        let full = link.full;
        let standing = self.place(id, session_id).standing;
        let seen = format!("session {session_id}, link {id}: CLOSE {code}, {standing:?}");
        let answers = matches!(code, 410 | 421) && self.answers_stray(id, session_id);
        let answers = answers || (code == 421 && self.was_left(id, session_id));
        match standing {
            Standing::Open => {
                self.check_claim_closed(id, session_id, &seen);
                let now = self.now;
                let place = self.place(id, session_id);
                (place.standing, place.closed) = (Standing::Closed, Some(now));
                place.gives_up();
                let session = self.sessions.entry(session_id).or_default();
                let owner = session.incarnations.last();
                session.closed |= code != 502 && owner.is_none_or(|i| i.gateway == key.0);
                // What waited, on a full link or inside, was decided before: an OPEN elsewhere may have been quicker.
                let opened = session.places.get(&id).map(|place| place.opened);
                let overtaken = session.places.iter().any(|(other, place)| {
                    let other = self.links.get(other);
                    let same = other.is_some_and(|l| (l.gateway, l.backend, l.service) == key);
                    same && Some(place.opened) > opened
                });
                let count = session.final_closes.entry(key).or_default();
                *count += u32::from(!full && !overtaken);
                if *count > 1 {
                    return self.breach(&rules::L_CLOSE_TWICE, seen);
                }
                self.speaks_for(id, session_id, "CLOSE");
            }
            Standing::Left | Standing::Closed | Standing::ByBackend(_) | Standing::Unopened
                if answers => {}
            // On a link that it had been opened on before, as on any other.
            Standing::Left | Standing::Closed | Standing::ByBackend(_)
                if self.pays_owed_close(id, session_id) => {}
            Standing::Left => self.breach(&rules::L_AFTER_307, seen),
            Standing::Closed => self.breach(&rules::L_CLOSE_TWICE, seen),
            Standing::ByBackend(_) if full => {}
            Standing::ByBackend(_) if self.place(id, session_id).crossed => {
                let place = self.place(id, session_id);
                (place.crossed, place.standing) = (false, Standing::Closed);
            }
            Standing::ByBackend(_) => self.breach(&rules::L_CLOSE_STRAY, seen),
            Standing::Unopened => {
                if !self.pays_owed_close(id, session_id) {
                    self.breach(&rules::L_CLOSE_STRAY, seen);
                }
            }
        }
    }

    /// A gateway that never owned a session ends it, where its claim has failed or its OPEN was taken.
    fn check_claim_closed(&mut self, id: u64, session_id: u64, seen: &str) {
        let Some(link) = self.links.get(&id).filter(|link| !link.full) else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let gateway = link.gateway;
        let Some(place) = session.places.get(&id) else {
            return;
        };
        let Some((_, since)) = place.resumed.filter(|_| place.suspended.is_none()) else {
            return;
        };
        let owned = session.incarnations.iter().any(|i| i.gateway == gateway);
        if session.attempts.is_empty() {
            return; // Nobody claims it: it was moved.
        }
        let own = |a: &&Attempt| a.gateway == gateway && a.asked < since;
        let asked = session.attempts.iter().rfind(own);
        let goes_on = |asked: &Attempt| {
            let conn = self.conns.get(&asked.conn);
            // "… closes the old one (205)": the claim itself goes on (protocol 3.2), as it does when its
            // connection breaks. A RESUME with another token is refused meanwhile.
            conn.is_some_and(|conn| conn.closed.is_none() || conn.replaced)
        };
        // Two gateways asked, and the backends.
        let claim = 8 * self.scene.connect_timeout;
        let lately = |a: &&Attempt| a.asked.at + claim >= since.at && !a.succeeded;
        let mut claims = session.attempts.iter().filter(own).filter(lately);
        let failed = asked.is_some() && !claims.any(goes_on);
        let asked = asked.map_or(since, |asked| asked.asked);
        // The ACCEPT that comes with the deadline may still be on its way inside the gateway.
        let taken = !place.unanswered && place.accepted.at + INSIDE < self.now.at;
        // One that may have come behind the deadline, which begins when the owner has answered, was not waited for: the
        // claim goes on without this backend, and may succeed without a connection that would hear OPENED.
        let taken = taken && place.accepted.at < asked.at + self.scene.connect_timeout;
        // Who had the session has left its links since: the claim was granted, though no OPENED says so where
        // its connection is gone. This backend's ACCEPT came too late for it.
        let granted = session.places.iter().any(|(other, place)| {
            let other = self.links.get(other).map(|link| link.gateway);
            other != Some(gateway) && place.left > Some(since)
        });
        let taken = taken && !granted;
        // Its CLOSE 307 may wait on a full link.
        let maybe_granted = session.places.keys().any(|other| {
            let other = self.links.get(other).filter(|link| link.full);
            other.is_some_and(|link| link.gateway != gateway)
        });
        let broken = (failed || taken) && !maybe_granted;
        // Who bans its user ends it, whoever has it.
        let over = self.is_over(session) || self.is_banned_at(gateway, session);
        if broken && !owned && !over && !self.troubled(gateway.index, asked) {
            self.breach(&rules::L_CLAIM_CLOSED, seen);
        }
    }

    /// CLOSE 410 answers a frame of a backend: the gateway does not have the session.
    fn answers_stray(&mut self, id: u64, session_id: u64) -> bool {
        let full = self.links.get(&id).is_some_and(|link| link.full);
        let now = self.now.at;
        let place = self.place(id, session_id);
        // The session may have been opened and refused since, while the answer was on its way inside.
        let lately = place.strayed.is_some_and(|at| at.at + INSIDE >= now);
        if place.standing == Standing::Open || (place.strays == 0 && !lately && !full) {
            return false;
        }
        place.strays = place.strays.saturating_sub(1);
        let session = self.sessions.entry(session_id).or_default();
        let frames = session.down.values_mut().flat_map(|d| d.frames.iter_mut());
        for frame in frames.filter(|f| f.stray && f.link == Some(id)) {
            frame.refused = true;
        }
        true
    }

    /// Another link of the same gateway to that backend was lost, and the session had been opened or left there: CLOSE 307
    /// may not have been read.
    fn was_left(&self, id: u64, session_id: u64) -> bool {
        let (Some(link), Some(session)) = (self.links.get(&id), self.sessions.get(&session_id))
        else {
            return false;
        };
        session.places.iter().any(|(other, place)| {
            let lost = self.links.get(other).filter(|other| other.lost.is_some());
            let same = lost.is_some_and(|lost| lost.ends() == link.ends());
            same && matches!(place.standing, Standing::Open | Standing::Left)
        })
    }

    /// The final CLOSE that was owed since a link was lost, on another link.
    fn pays_owed_close(&mut self, id: u64, session_id: u64) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        let to = (link.gateway, link.backend.index, link.service);
        let session = self.sessions.entry(session_id).or_default();
        let owing = session.places.iter_mut().find(|(other, place)| {
            let link = self.links.get(other);
            let lost = link
                .is_some_and(|l| (l.gateway, l.backend.index, l.service) == to && l.lost.is_some());
            // It may not have been read there.
            let unread = place.standing == Standing::Closed && !place.repeated;
            let parted = place.standing == Standing::Left && place.parted;
            lost && (unread || parted || place.standing == Standing::Open)
        });
        if let Some((_, place)) = owing {
            (place.standing, place.repeated) = (Standing::Closed, true);
            // Here too it may get lost.
            let place = session.places.entry(id).or_default();
            (place.standing, place.repeated) = (Standing::Closed, false);
            return true;
        }
        // Said on a link that is dead, and again: how often, only its PINGs tell, which are not simulated.
        let same = |l: &Link| (l.gateway, l.backend.index, l.service) == to;
        self.links.values().any(|l| same(l) && l.cut)
    }

    fn suspend_said(&mut self, id: u64, session_id: u64) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, full) = (link.gateway, link.full);
        let place = self.place(id, session_id);
        place.suspended = Some(now);
        let standing = place.standing;
        let seen = format!("session {session_id}, link {id}: SUSPEND, {standing:?}");
        match standing {
            Standing::Open if full => {}
            Standing::Open => {
                if let Some(conn) = self.standing_conn(session_id, gateway) {
                    self.suspends.push((session_id, conn));
                }
            }
            Standing::Left => self.breach(&rules::L_AFTER_307, seen),
            // It waited here while the backend ended the session.
            Standing::ByBackend(_) if full => {}
            Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => {
                self.breach(&rules::L_SUSPEND, seen);
            }
        }
        self.speaks_for(id, session_id, "SUSPEND");
    }

    /// A gateway speaks for a session on a link: it must not have handed it over.
    pub(super) fn speaks_for(&mut self, id: u64, session_id: u64, what: &str) {
        let link = self.links.get(&id).filter(|link| !link.full);
        let Some(gateway) = link.map(|link| link.gateway) else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if let Some(since) = session.handed_over.get(&gateway)
            && !asked_since(session, gateway, *since)
        {
            let seen = format!(
                "session {session_id}, link {id} of gateway {}: {what}",
                gateway.index
            );
            self.breach(&rules::TWO_OWNERS, seen);
        }
    }
}

fn asked_since(session: &Session, gateway: Process, since: Moment) -> bool {
    let mut asked = session.attempts.iter();
    asked.any(|a| a.gateway == gateway && (a.asked > since || !a.succeeded))
}
