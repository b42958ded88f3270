//! Sessions that go on at other backends (protocol 2.5): whose turn it is, what is told, and the state on its way.

use super::frames::{LinkFrame, LinkWhat};
use super::gateway_links::INSIDE;
use super::model::{
    Due, Gift, Incarnation, Learn, LostLink, Moment, Move, Process, Session, Standing, Wish,
};
use super::{Audit, rules};
use crate::wire::Millis;

/// Longest state.
const MAX_STATE: usize = 65_536;

impl Session {
    /// Epochs that moves may have raised and nobody has seen.
    pub(super) fn unseen_epochs(&self) -> u32 {
        2 * self.moves.len() as u32
    }

    pub(super) fn highest_epoch(&self) -> u32 {
        let incarnations = self.incarnations.iter().map(|i| i.epoch).max();
        incarnations.unwrap_or(1).max(self.epoch.0)
    }

    /// The move under way of a gateway's service.
    fn moving(&mut self, gateway: Process, service: usize) -> Option<&mut Move> {
        let mut moves = self.moves.iter_mut().rev();
        moves.find(|m| (m.gateway, m.service) == (gateway, service) && m.ended.is_none())
    }
}

impl Audit {
    fn move_on(&mut self, id: u64, session_id: u64) -> Option<&mut Move> {
        let link = self.links.get(&id)?;
        let (gateway, service) = (link.gateway, link.service);
        self.sessions.get_mut(&session_id)?.moving(gateway, service)
    }

    /// Epochs that moves may have raised whose frames wait on full links.
    pub(super) fn hidden_epochs(&self, session_id: u64) -> u32 {
        let places = self.sessions.get(&session_id).map(|s| &s.places);
        let links = places.into_iter().flat_map(|places| places.keys());
        let links = links.filter_map(|id| self.links.get(id));
        2 * links.filter(|link| link.full && link.transfers).count() as u32
    }

    /// Tells whether an ASSIGN has had a backend closed that hands nothing over: what was under way there may be
    /// missing, and no ERROR says so.
    pub(super) fn is_replaced(&self, session: &Session, id: u64) -> bool {
        let asked = session.assigned || session.wishes.iter().any(|w| w.codes.contains(&503));
        let place = session.places.get(&id);
        let closed = place.is_some_and(|place| place.standing == Standing::Closed);
        let link = self.links.get(&id);
        asked && closed && link.is_some_and(|link| !link.transfers)
    }

    /// Tells whether the service on this full link is another backend's by now: the final CLOSE still waits there.
    pub(super) fn has_successor(&self, session: &Session, id: u64) -> bool {
        let link = self.links.get(&id).filter(|link| link.full);
        let (Some(link), Some(place)) = (link, session.places.get(&id)) else {
            return false;
        };
        session.places.iter().any(|(newer, at)| {
            let its = self.links.get(newer).is_some_and(|newer| {
                let of = (newer.gateway, newer.service);
                of == (link.gateway, link.service) && newer.backend != link.backend
            });
            its && at.opened > place.opened
        })
    }

    pub(super) fn features_heard(&mut self, id: u64, transfers: bool) {
        let Some((gateway, backend, service)) = self.links.get(&id).map(super::Link::ends) else {
            return;
        };
        // The endpoint's, whichever process is there: its gateway may not know that one has died.
        let same = |link: &&mut super::Link| {
            let of = (link.gateway, link.backend.index, link.service);
            of == (gateway, backend.index, service)
        };
        for link in self.links.values_mut().filter(same) {
            link.transfers = transfers;
        }
    }

    pub(super) fn evacuation_heard(&mut self, id: u64) {
        let Some((gateway, backend, service)) = self.links.get(&id).map(super::Link::ends) else {
            return;
        };
        // The endpoint's, whichever process is there: its gateway may not know that one has died.
        let same = |link: &&mut super::Link| {
            let of = (link.gateway, link.backend.index, link.service);
            of == (gateway, backend.index, service)
        };
        for link in self.links.values_mut().filter(same) {
            link.evacuated = true;
        }
    }

    /// An ASSIGN or TRANSFER has arrived at a gateway.
    pub(super) fn wish_heard(&mut self, id: u64, frame: &LinkFrame) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, service) = (link.gateway, link.service);
        let (transfers, own) = (link.transfers, link.backend.index);
        let ends = link.ends();
        self.wishes(ends, frame.session_id);
        let session = self.sessions.entry(frame.session_id).or_default();
        let place = session.places.get(&id);
        let open = place.is_some_and(|p| p.standing == Standing::Open && !p.unanswered);
        let parted = session
            .moving(gateway, service)
            .is_some_and(|m| m.from == id);
        let assigns = match &frame.what {
            LinkWhat::Assign(service, to) => self.assigns(service, to),
            _ => None,
        };
        let session = self.sessions.entry(frame.session_id).or_default();
        let codes = match &frame.what {
            LinkWhat::Assign(..) => vec![0, 404, 409, 503],
            // There is no reason but another move, or a resume.
            LinkWhat::Transfer(to) if transfers && is_other(to, own, service) => {
                if open || parted {
                    vec![409]
                } else {
                    vec![404, 409]
                }
            }
            _ if transfers => vec![404, 409],
            _ => vec![404, 409, 501],
        };
        session.wishes.push(Wish {
            assigns,
            link: id,
            heard: now,
            codes,
            answered: false,
        });
    }

    /// CLOSE 307 with which a move begins.
    pub(super) fn part_said(&mut self, id: u64, session_id: u64) {
        let now = self.now;
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, service) = (link.gateway, link.service);
        let ends = link.ends();
        let key = (gateway.index, link.backend.index, service);
        let evacuated = link.evacuated || self.ordered.contains(&key);
        let (may, full) = (link.transfers, link.full);
        let seen = format!("session {session_id}, link {id}: CLOSE 307 move");
        let standing = self.place(id, session_id).standing;
        match standing {
            Standing::Open => {}
            Standing::Left => return self.breach(&rules::L_AFTER_307, seen),
            // The news may still be on its way inside the gateway; or this waited on a full link, as what follows it.
            Standing::ByBackend(_) => {
                self.place(id, session_id).parted = full;
                return;
            }
            Standing::Unopened | Standing::Closed => {
                return self.breach(&rules::L_CLOSE_STRAY, seen);
            }
        }
        let session = self.sessions.entry(session_id).or_default();
        let asked = evacuated || session.assigned || !session.wishes.is_empty();
        let founded = may && asked;
        if !founded && !full {
            return self.breach(&rules::M_UNASKED, seen);
        }
        self.moves_unasked(ends, session_id, evacuated);
        let session = self.sessions.entry(session_id).or_default();
        session.moves.push(Move {
            gateway,
            service,
            from: id,
            to: None,
            began: now,
            state: None,
            epoch: 0,
            answer: None,
            back: None,
            ended: None,
        });
        self.moves.push((session_id, session.moves.len() - 1));
        let place = self.place(id, session_id);
        (place.standing, place.left, place.parted) = (Standing::Left, Some(now), true);
        place.left_answered = None;
        place.gives_up();
        self.speaks_for(id, session_id, "CLOSE 307");
    }

    /// The highest epoch that the gateway of this link has opened the session in.
    fn highest_here(&self, id: u64, session_id: u64) -> u32 {
        let gateway = self.links.get(&id).map(|link| link.gateway);
        let Some(session) = self.sessions.get(&session_id) else {
            return 1;
        };
        let its = |link: &u64| self.links.get(link).map(|l| l.gateway) == gateway;
        let places = session.places.iter().filter(|(link, _)| its(link));
        let opens = places.filter_map(|(_, place)| place.resumed.map(|(epoch, _)| epoch));
        let own = session
            .incarnations
            .iter()
            .filter(|i| Some(i.gateway) == gateway);
        opens.chain(own.map(|i| i.epoch)).max().unwrap_or(1)
    }

    /// The state has arrived at the gateway.
    pub(super) fn state_heard(&mut self, id: u64, frame: &LinkFrame) {
        let now = self.now;
        let highest = self.highest_here(id, frame.session_id);
        if let Some(moving) = self.move_on(id, frame.session_id)
            && moving.from == id
            && moving.back.is_none()
            && moving.state.is_none()
        {
            moving.state = Some((now, frame.state.clone()));
            moving.epoch = highest;
        }
    }

    /// An OPEN that wants an answer is said; tells whether it is one of a move.
    pub(super) fn opens_in_move(
        &mut self,
        id: u64,
        frame: &LinkFrame,
        (epoch, transferred): (u32, bool),
    ) -> bool {
        let (now, session_id) = (self.now, frame.session_id);
        let full = self.links.get(&id).is_some_and(|link| link.full);
        let seen = format!("session {session_id}, link {id}: OPEN in epoch {epoch}");
        let Some(moving) = self.move_on(id, session_id) else {
            // One that waited may come when its move is over.
            if transferred && !full && !self.moved_lately(session_id) {
                self.breach(&rules::M_UNASKED, seen);
            }
            let place = self.place(id, session_id);
            let left = matches!(place.standing, Standing::Left | Standing::ByBackend(_));
            return transferred || (place.parted && left);
        };
        if !transferred {
            let back = moving.from == id;
            if back {
                moving.back = Some(now);
            }
            return back;
        }
        // One that waited for its link may come when the old backend has the session again: its final CLOSE follows.
        if moving.back.is_some() {
            return true;
        }
        if moving.to.is_some() {
            if !full {
                self.breach(&rules::M_TWICE, seen);
            }
            return true;
        }
        moving.to = Some(id);
        let state = moving.state.as_ref().map(|(_, state)| state.clone());
        if frame.state.len() > MAX_STATE {
            self.breach(&rules::M_LARGE, seen);
        } else if state.is_none_or(|state| state != frame.state) && !full {
            self.breach(&rules::M_STATE, seen);
        }
        true
    }

    /// Tells whether a BIND came when an OPEN of a move had been made: BOUND follows it.
    pub(super) fn bound_since(&mut self, id: u64, session_id: u64) -> bool {
        let made = self.move_on(id, session_id).and_then(|m| m.state.as_ref());
        let Some(made) = made.map(|(at, _)| *at) else {
            return false;
        };
        let session = self.sessions.get(&session_id);
        let last = session.and_then(|session| session.bound.last());
        last.is_some_and(|(since, ..)| *since > made)
    }

    fn moved_lately(&self, session_id: u64) -> bool {
        let moves = self.sessions.get(&session_id).map(|s| &s.moves);
        let late = self
            .now
            .at
            .saturating_sub(self.scene.connect_timeout + INSIDE);
        moves.is_some_and(|moves| moves.iter().any(|m| m.ended.is_none_or(|at| at.at >= late)))
    }

    /// "… the epoch raised by one", over every OPEN that was said when that was decided.
    pub(super) fn check_move_epoch(&mut self, id: u64, session_id: u64, epoch: u32) {
        let now = self.now;
        let full = self.links.get(&id).is_some_and(|link| link.full);
        let decided = self.move_on(id, session_id).map(|m| m.epoch);
        let session = self.sessions.entry(session_id).or_default();
        let highest = session.highest_epoch();
        let most = highest + 1 + session.unseen_epochs() + session.attempts.len() as u32;
        let least = decided.filter(|decided| *decided > 0).unwrap_or(1);
        if (epoch <= least && !full) || epoch > most {
            let seen = format!("session {session_id}: epoch {epoch} behind {least}");
            return self.breach(&rules::M_EPOCH, seen);
        }
        if epoch > highest {
            session.epoch = (epoch, now);
        }
    }

    /// A backend has answered an OPEN of a move.
    pub(super) fn move_answered(&mut self, id: u64, session_id: u64, code: u16) {
        let now = self.now;
        if code == 0 && self.has_back(id, session_id) {
            return self.owes_suspend(id, session_id);
        }
        let Some(moving) = self.move_on(id, session_id) else {
            return;
        };
        if moving.to != Some(id) || moving.back.is_some() {
            return;
        }
        moving.answer = Some((now, code));
        let (from, gateway, service, opened) =
            (moving.from, moving.gateway, moving.service, moving.began);
        if code == 0 {
            self.owes_suspend(id, session_id);
        }
        if self.links.get(&from).is_none_or(|link| link.lost.is_some()) {
            let session = self.sessions.entry(session_id).or_default();
            if let Some(moving) = session.moving(gateway, service) {
                moving.ended = Some(now);
            }
            if code != 0 {
                // Neither has it.
                session.lost_links.push(LostLink {
                    since: now,
                    opened,
                    service,
                    gateway,
                });
            }
        }
    }

    /// Tells whether the OPEN that was answered last on this link gave a session back that was to be moved.
    fn has_back(&self, id: u64, session_id: u64) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return false;
        };
        let opened = session.places.get(&id).and_then(|place| place.resumed);
        let opened = opened.map(|(_, at)| at);
        opened.is_some()
            && session
                .moves
                .iter()
                .any(|m| m.from == id && m.back == opened)
    }

    /// A session that has no connection was taken on this link: SUSPEND follows.
    fn owes_suspend(&mut self, id: u64, session_id: u64) {
        let gateway = self.links.get(&id).map(|link| link.gateway);
        if gateway.is_some_and(|gateway| !self.is_connected(session_id, gateway)) {
            self.unsuspended.push((self.now, session_id, id));
        }
    }

    /// Tells whether a gateway believes that the session's client is there.
    fn is_connected(&self, session_id: u64, gateway: Process) -> bool {
        self.conns.values().any(|conn| {
            let its = conn.session == Some(session_id) && conn.gateway == gateway;
            its && !conn.gone && conn.closed.is_none() && !conn.player_closed
        })
    }

    /// A session that was moved without a connection is suspended at its new backend.
    fn check_unsuspended(&mut self, now: Millis) {
        let is_due = |(since, ..): &(Moment, u64, u64)| since.at + INSIDE < now;
        while self.unsuspended.first().is_some_and(is_due) {
            let (since, session_id, id) = self.unsuspended.remove(0);
            let (Some(link), Some(session)) = (self.links.get(&id), self.sessions.get(&session_id))
            else {
                continue;
            };
            let stands = link.lost.is_none() && !link.cut && !link.full;
            // One that was opened again since has an answer of its own.
            let told = session.places.get(&id).is_none_or(|place| {
                let goes_on = place.standing == Standing::Open && place.opened < since;
                !goes_on || place.suspended > Some(since)
            });
            let back = session
                .attempts
                .iter()
                .any(|a| a.asked.at + INSIDE >= since.at)
                || self.is_connected(session_id, link.gateway);
            let index = link.gateway.index;
            let excused = self.is_ended(session_id)
                || self.gateway(index) != link.gateway
                || self.troubled_inside(index, since);
            if stands && !told && !back && !excused {
                let seen = format!("session {session_id}, link {id}");
                return self.breach(&rules::M_SUSPEND, seen);
            }
        }
    }

    /// A player's application gets a frame that an old backend has said before it gave the session away: nothing that
    /// the new one has said came before.
    pub(super) fn check_turn(
        &mut self,
        session_id: u64,
        of: Process,
        sent: Moment,
        service: usize,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let told_of = |by: Process, since: Moment| {
            let process = origin(by, service);
            let frames = session
                .down
                .get(&process)
                .into_iter()
                .flat_map(|down| &down.frames);
            let mut behind = frames.filter(|f| f.sent > since && f.told.is_some() && !f.stray);
            behind.next().is_some()
        };
        let early = session.gifts.iter().any(|gift| {
            let gave = origin(gift.by, service) == of && gift.service == service;
            let taken = gift.offered.and_then(|(at, by)| Some((at, by?)));
            let behind = taken.is_some_and(|(at, by)| told_of(by, at));
            gave && sent < gift.given && behind
        });
        let lost = !session.lost_links.is_empty() || session.incarnations.iter().any(|i| i.gap);
        if early && !lost {
            let seen = format!("session {session_id}, backend {of:?}, sent {sent:?}");
            self.breach(&rules::M_ORDER, seen);
        }
    }

    /// The old backend has ended the session itself.
    pub(super) fn ended_in_move(&mut self, id: u64, session_id: u64, code: u16) {
        let now = self.now;
        if let Some(moving) = self.move_on(id, session_id) {
            moving.ended = Some(now);
        }
        if code != 410 {
            return self.session_ends(session_id);
        }
        let gateway = self.links.get(&id).map(|link| link.gateway);
        let session = self.sessions.entry(session_id).or_default();
        session.told_gone.extend(gateway);
    }

    /// MOVED is said to a backend: as the end of a move that it had or asked for, or as the answer to a wish.
    pub(super) fn moved_said(&mut self, id: u64, session_id: u64, code: u16) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (full, ends, gateway) = (link.full, link.ends(), link.gateway);
        let began = self.ends_move(id, session_id, code);
        self.answers(ends, session_id, code);
        if began.is_some() && code == 0 {
            self.settles(ends, session_id);
        }
        if began.is_some() && code == 0 && !full {
            self.owes_opened(ends.0, session_id);
        }
        if began.is_none() && code == 0 && !full && self.is_away(id, session_id) {
            let seen = format!("session {session_id}, link {id}: MOVED 0 in its own move");
            return self.breach(&rules::M_MOVED, seen);
        }
        let unavailable = self.may_be_unavailable() || self.was_short(gateway, self.now);
        let (now, stood_still) = (self.now.at, self.stood_still(gateway.index));
        let (links, timeout) = (&self.links, self.scene.connect_timeout);
        let session = self.sessions.entry(session_id).or_default();
        let same = |w: &Wish| {
            let of = |(gateway, backend, service): (Process, Process, usize)| {
                (gateway, backend.index, service)
            };
            links.get(&w.link).map(|l| of(l.ends())) == Some(of(ends))
        };
        let fits = |w: &Wish| match began {
            // On whatever link of that backend it came.
            Some(began) => w.heard < began,
            None => w.codes.contains(&code) || (code == 503 && unavailable),
        };
        let mut wishes = session.wishes.iter_mut().filter(|w| same(w));
        if let Some(wish) = wishes.find(|w| !w.answered && fits(w)) {
            wish.answered = true;
            if let Some(assigned) = wish.assigns.filter(|_| code == 0 && began.is_none()) {
                self.assigned(session_id, ends, assigned);
            }
            return;
        }
        // The end of another backend's move, which this one has asked for.
        let known = session.moves.iter().any(|m| {
            let since = m.began.at.max(stood_still);
            since + 3 * timeout >= now
        });
        // What a gateway says on a link that is lost in that moment is not seen.
        let unseen = session.lost_links.iter().any(|lost| {
            let lately = lost.since.at + INSIDE >= now;
            code == 502 && lost.gateway == gateway && lately
        });
        let known = known || unseen;
        let assigns = |w: &Wish| w.codes.contains(&503);
        let mut wishes = session.wishes.iter_mut().filter(|w| same(w));
        if began.is_none()
            && let Some(wish) = wishes.find(|w| known && assigns(w))
        {
            wish.answered = true;
            return;
        }
        // Several may be answered in another order. A session that has gone says 404.
        let swapped = session.wishes.iter().any(|w| same(w) && fits(w));
        let gone = code == 404 && !session.attempts.is_empty();
        // Its own CLOSE was on its way inside the gateway when the deadline passed.
        let crossed = session.moves.iter().any(|m| {
            let ended = m.ended.is_some_and(|at| at.at + INSIDE >= self.now.at);
            m.from == id && m.back.is_none() && ended && code == 502
        });
        // A move whose frames wait on another link.
        let hidden = full || crossed || self.hidden_epochs(session_id) > 0;
        if began.is_none() && !swapped && !hidden && !gone && !self.is_ended(session_id) {
            let seen = format!("session {session_id}, link {id}: MOVED {code}");
            self.breach(&rules::M_MOVED, seen);
        }
    }

    /// Tells whether the backend on this link has left a session to a move that is under way: MOVED 0 would have it forget
    /// the session, which may come back.
    fn is_away(&self, id: u64, session_id: u64) -> bool {
        let moves = self.sessions.get(&session_id).map(|s| &s.moves);
        let mut moves = moves.into_iter().flatten();
        moves.any(|m| m.from == id && m.ended.is_none() && m.back.is_none())
    }

    /// Tells whether that MOVED ends a move of the old backend on this link, and when that began.
    fn ends_move(&mut self, id: u64, session_id: u64, code: u16) -> Option<Moment> {
        let now = self.now;
        let over = self.is_ended(session_id);
        let trouble = self.backends_fail() || self.is_slow();
        let timeout = self.scene.connect_timeout;
        let gateway = self.links.get(&id)?.gateway;
        let begun = |session: &Session| {
            let moving = session
                .moves
                .iter()
                .rev()
                .find(|m| m.from == id && m.ended.is_none());
            moving.map(|m| m.began)
        };
        let begun = self.sessions.get(&session_id).and_then(begun)?;
        let short = self.was_short(gateway, begun);
        let session = self.sessions.get_mut(&session_id)?;
        let mut moves = session.moves.iter_mut().rev();
        let moving = moves.find(|m| m.from == id && m.ended.is_none())?;
        let since = moving.state.as_ref().map_or(moving.began, |(at, _)| *at);
        // The answer to CLOSE 307 may come as its deadline passes, and is not heeded then.
        let crossed = moving.to.is_none() && now.at + INSIDE >= moving.began.at + timeout;
        let late = now.at >= since.at + timeout;
        let state = moving.state.as_ref().map_or(0, |(_, state)| state.len());
        let mut ends = false;
        let fits = match (moving.answer, code) {
            (Some((_, 0)), 0) => true,
            (_, 0) => false,
            // It has the session again first.
            _ if moving.back.is_none() => false,
            (None, 413) => state > MAX_STATE,
            (None, 503) => short && state > 0,
            (None, 502) => crossed || (state <= MAX_STATE && (late || trouble || over)),
            // The answer came behind the deadline.
            (Some((_, refused)), code) if refused == code => true,
            (Some(_), 502) => late,
            // The session ends here: the final CLOSE follows.
            (_, 404) => {
                ends = true;
                true
            }
            (Some(_) | None, _) => false,
        };
        if fits {
            moving.ended = Some(now);
        }
        let began = moving.began;
        if ends {
            self.ending.push((now, session_id, id));
        }
        fits.then_some(began)
    }

    /// MOVED 404 to a backend that has the session again says that it ends: the final CLOSE follows.
    fn check_ending(&mut self, now: Millis) {
        let is_due = |(since, ..): &(Moment, u64, u64)| since.at.saturating_add(INSIDE) < now;
        while self.ending.first().is_some_and(is_due) {
            let (since, session_id, id) = self.ending.remove(0);
            let link = self.links.get(&id);
            let stands = link.is_some_and(|l| l.lost.is_none() && !l.cut && !l.full);
            let session = self.sessions.get(&session_id);
            let place = session.and_then(|session| session.places.get(&id));
            let goes_on = place.is_some_and(|place| place.standing == Standing::Open);
            let gateway = link.map_or(0, |link| link.gateway.index);
            if stands && goes_on && !self.troubled_inside(gateway, since) {
                let seen = format!("session {session_id}, link {id}: MOVED 404, and no CLOSE");
                self.breach(&rules::M_MOVED, seen);
            }
        }
    }

    pub(super) fn is_ended(&self, session_id: u64) -> bool {
        let session = self.sessions.get(&session_id);
        session.is_some_and(|session| self.is_over(session) || self.is_banned(session))
    }

    /// A backend's application gives a state away.
    pub(super) fn gives(&mut self, (backend, service): (usize, &str), id: u64, state: &[u8]) {
        let now = self.now;
        let (by, Some(service)) = (self.backend(backend), self.service(service)) else {
            return;
        };
        let session = self.sessions.entry(id).or_default();
        session.gifts.push(Gift {
            service,
            by,
            state: state.into(),
            given: now,
            offered: None,
        });
    }

    /// A backend's answer to CLOSE 307 brings the state that its application has given.
    pub(super) fn state_said(&mut self, id: u64, frame: &LinkFrame) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (backend, service) = (link.backend, link.service);
        let session = self.sessions.get(&frame.session_id);
        let gifts = session.into_iter().flat_map(|session| &session.gifts);
        let mut its = gifts.filter(|g| (g.by, g.service) == (backend, service));
        let given = its.any(|gift| gift.state == frame.state);
        if !frame.state.is_empty() && !given {
            let seen = format!("session {}, link {id}", frame.session_id);
            self.breach(&rules::M_STATE, seen);
        }
    }

    /// A backend's application gets a state, and takes it or does not.
    pub(super) fn takes(
        &mut self,
        (backend, service): (usize, &str),
        id: u64,
        state: &[u8],
        refused: Option<u16>,
    ) {
        let now = self.now;
        let (by, Some(service)) = (self.backend(backend), self.service(service)) else {
            return;
        };
        let seen = format!("session {id} at backend {backend}: {} bytes", state.len());
        let session = self.sessions.entry(id).or_default();
        let mut gifts = session.gifts.iter_mut().rev();
        let its = |g: &&mut Gift| g.service == service && g.by != by && *g.state == *state;
        let Some(gift) = gifts.find(its) else {
            return self.breach(&rules::M_STATE, seen);
        };
        if gift.offered.is_some() {
            return self.breach(&rules::M_TWICE, seen);
        }
        gift.offered = Some((now, refused.is_none().then_some(by)));
        let Some(code) = refused else { return };
        // Its library was to take it.
        self.backends[backend].sessions.remove(&(service, id));
        let learned = |(of, session, learn): &(usize, u64, Learn)| {
            (*of, *session) == (service, id) && matches!(learn, Learn::Opened { .. })
        };
        let due = &mut self.backends[backend].due;
        if let Some(at) = due.iter().rposition(learned) {
            due.remove(at);
        }
        let its = self
            .links
            .values_mut()
            .filter(|l| (l.backend, l.service) == (by, service));
        let mut due = its.flat_map(|link| link.due.iter_mut());
        let accept = |due: &&mut (u64, Due)| due.0 == id && matches!(due.1, Due::Accept(_));
        if let Some(due) = due.find(accept) {
            due.1 = Due::Close(code);
        }
    }

    /// CLOSE 307 has arrived at a backend; tells whether that begins a move there.
    pub(super) fn gives_there(&mut self, id: u64, frame: &LinkFrame) -> bool {
        let now = self.now.at;
        if &*frame.state != b"move" {
            return false;
        }
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let key = (link.service, frame.session_id);
        let gateway = link.gateway.index;
        let entry = self.backends[link.backend.index].sessions.get_mut(&key);
        let Some(entry) = entry else {
            return false;
        };
        let left = entry.leaving.iter().position(|(left, _)| *left == id);
        if let Some(at) = left.filter(|_| entry.gateway != gateway) {
            // There is no state to give (2.5).
            entry.leaving.remove(at);
            link.due.push_back((frame.session_id, Due::Close(410)));
            return true;
        }
        if entry.link != Some(id) {
            return false;
        }
        (entry.link, entry.until) = (None, Some(now + link.resume_window));
        entry.given = true;
        link.due.push_back((frame.session_id, Due::Close(307)));
        true
    }

    /// MOVED has arrived at a backend.
    pub(super) fn moved_heard(&mut self, id: u64, session_id: u64, code: u16) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (gateway, key) = (link.gateway.index, (link.service, session_id));
        let backend = &mut self.backends[link.backend.index];
        let Some(entry) = backend.sessions.get(&key).filter(|e| e.gateway == gateway) else {
            return;
        };
        let away = entry.given && code == 0;
        if away {
            backend.sessions.remove(&key);
        }
        let learn = Learn::Moved(code);
        backend.due.push_back((key.0, session_id, learn));
    }

    /// Moves come to an end in time, and their ends are told.
    pub(super) fn check_moves(&mut self, now: Millis) {
        self.check_unsuspended(now);
        self.check_ending(now);
        self.check_answers_of_wishes(now);
        self.check_renewed(now);
        let timeout = self.scene.connect_timeout;
        let mut open = std::mem::take(&mut self.moves);
        open.retain(|(session_id, index)| {
            let session = self.sessions.get(session_id);
            let Some(moving) = session.and_then(|session| session.moves.get(*index)) else {
                return false;
            };
            let from = self.links.get(&moving.from);
            let stands = from.is_some_and(|l| l.lost.is_none() && !l.cut && !l.full);
            let gateway = moving.gateway;
            // It was passed over since, and has nothing to say any more; or a part of it fails while the frame is on
            // its way inside.
            let knows = self.owners_are_asked();
            let passed_over = session.is_some_and(|session| {
                let later = |i: &&Incarnation| i.opened.at + INSIDE >= moving.began.at;
                let mut later = session.incarnations.iter().filter(later);
                let other = session.incarnations.iter().any(|i| i.gateway != gateway);
                later.any(|i| i.gateway != gateway) || (other && !knows)
            });
            let excused = !stands
                || passed_over
                || session.is_some_and(|session| session.told_gone.contains(&gateway))
                || self.gateway(gateway.index) != gateway
                || self.failed_inside(gateway.index, moving.began.at.saturating_sub(INSIDE));
            if moving.ended.is_some() || excused {
                return false;
            }
            let due = match (moving.state.as_ref(), moving.answer) {
                (_, Some((at, _))) => at.at + INSIDE,
                (Some((at, _)), None) => at.at + timeout + INSIDE,
                (None, None) => moving.began.at + timeout + INSIDE,
            };
            if due < now {
                let seen = format!("session {session_id}: {moving:?}");
                self.untold.get_or_insert(seen);
            }
            due >= now
        });
        self.moves = open;
        if let Some(seen) = self.untold.take() {
            self.breach(&rules::M_UNTOLD, seen);
        }
    }
}

/// The process that sends frames of one service of a backend.
fn origin(backend: Process, service: usize) -> Process {
    let index = backend.index * 256 + service;
    Process { index, ..backend }
}

/// Tells whether that is an endpoint of the service, but another than this one.
fn is_other(text: &str, own: usize, service: usize) -> bool {
    let ends = format!(".{service}:7000");
    let own = format!("10.0.{own}.{service}:7000");
    text.starts_with("10.0.") && text.ends_with(&ends) && text != own
}
