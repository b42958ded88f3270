//! Sessions begin and are resumed: tokens, epochs, owners, and when an OPENED may be said.

use std::ops::Range;

use super::frames::{ClientFrame, ClientWhat};
use super::model::{Attempt, Form, Incarnation, Session, Standing};
use super::owners::{fits, is_aside};
use super::{Audit, Process, rules};

impl Audit {
    /// The first OPENED of a session.
    pub(super) fn begun(&mut self, id: u64, frame: &ClientFrame) {
        let opened = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.form = Form::Resumable { opened: true };
        conn.session = Some(frame.session_id);
        conn.incarnation = Some(0);
        let of = conn.life.map(|life| (conn.player, life));
        let (gateway, data) = (conn.gateway, conn.data);
        let session = self.sessions.entry(frame.session_id).or_default();
        session.realms.extend(conn.first_realms.drain(..));
        if !session.incarnations.is_empty() || (session.of.is_some() && session.of != of) {
            let seen = format!("connection {id}: session {} anew", frame.session_id);
            return self.breach(&rules::DOWN_STRANGE, seen);
        }
        session.of = of;
        session.incarnations.push(Incarnation {
            gateway,
            epoch: 1,
            opened,
            gap: false,
            used: false,
            aside: false,
            received: (1, data),
        });
        if let Some(life) = of.and_then(|of| self.lives.get_mut(&of)) {
            life.session = Some(frame.session_id);
        }
    }

    /// A player's frame came on a connection: the token that opened it is used.
    pub(super) fn token_used(&mut self, id: u64) {
        let now = self.now;
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if let (Some(session), Some(at)) = (conn.session, conn.incarnation)
            && let Some(session) = self.sessions.get_mut(&session)
            && let Some(incarnation) = session.incarnations.get_mut(at)
        {
            incarnation.used = true;
            if at > session.used.0 {
                session.used = (at, now);
            }
        }
    }

    /// OPENED answers a RESUME.
    pub(super) fn resumed(&mut self, id: u64, frame: &ClientFrame, received: u64, gap: bool) {
        let session_id = frame.session_id;
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Form::Resume {
            token, used, asked, ..
        } = conn.form
        else {
            return;
        };
        if conn.session != Some(session_id) {
            return self.breach(&rules::C_DATA, format!("connection {id}: {frame:?}"));
        }
        let gateway = conn.gateway;
        if used && !self.may_reuse(session_id, (gateway, token, asked), gap) {
            let seen = format!("connection {id} of player {}", conn.player);
            return self.breach(&rules::TOKEN_USED, seen);
        }
        let Some(token) = token else {
            return self.breach(&rules::TOKEN_FORGED, format!("connection {id}"));
        };
        self.check_answers(session_id, (gateway, token), id, gap);
        self.check_parting(session_id, gateway, token, gap);
        self.check_count(session_id, (gateway, token), received, gap);
        if let Some(old) = self.standing_conn(session_id, gateway) {
            let seen = format!("session {session_id}: connection {old} stands, OPENED on {id}");
            self.breach(&rules::C_OLD_STANDS, seen);
        }
        if gap {
            self.gap_founded(session_id, id);
        }
        let session = self.sessions.get(&session_id);
        let own = session.and_then(|s| self.passed_over(s, gateway, token));
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let before = session.incarnations.last().map(|last| last.gateway);
        let before = before.filter(|_| own.is_none());
        // An owner that was passed over goes on from its own epoch.
        let from = own.map_or(token..session.incarnations.len(), |own| own..own + 1);
        let epoch = epoch_of(session, from, |link| {
            self.links.get(&link).is_some_and(|l| l.gateway == gateway)
        });
        for attempt in session.attempts.iter_mut().filter(|a| a.conn == id) {
            attempt.succeeded = true;
        }
        let at = session.incarnations.len();
        let peers = self.scene.peer_channel;
        let aside = own.is_some_and(|own| !gap && is_aside(session, own, received, peers));
        session.incarnations.push(Incarnation {
            gateway,
            epoch,
            opened: self.now,
            gap,
            used: false,
            aside,
            received: (received, received),
        });
        if let ClientWhat::Opened { token, .. } = &frame.what
            && !token.is_empty()
        {
            session.tokens.insert(token.clone(), at);
        }
        session.handed_over.remove(&gateway);
        if let Some(before) = before.filter(|before| *before != gateway && !gap) {
            session.handed_over.insert(before, self.now);
        }
        self.conn_resumed(id, at, received);
    }

    /// From now on this connection is that incarnation's.
    fn conn_resumed(&mut self, id: u64, incarnation: usize, received: u64) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.incarnation = Some(incarnation);
            (conn.base, conn.received) = (received, received);
            if let Form::Resume { answered, .. } = &mut conn.form {
                *answered = true;
            }
        }
    }

    /// Each OPEN of the resume is answered, or was given up in time and the player is to be told.
    fn check_answers(
        &mut self,
        session_id: u64,
        (gateway, token): (Process, usize),
        id: u64,
        gap: bool,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let began = self.began(session, gateway);
        let since = session.incarnations.last().map(|last| last.opened);
        let late = self.now.at >= began + self.scene.connect_timeout;
        // An attempt that was refused owes nothing to this one. What was begun on a connection that was
        // closed with 205 goes on here. One that broke may have been answered unseen, and its ERRORs have
        // given way in the ring, which is told as GAP (protocol 3.2).
        let goes_on = |conn: u64| {
            let conn = self.conns.get(&conn);
            conn.is_some_and(|conn| {
                conn.replaced || (conn.closed.is_none() && !(gap && conn.remote_gone))
            })
        };
        let here =
            (session.attempts.iter()).filter(|a| a.gateway == gateway && Some(a.asked) > since);
        // Nor does what went on, by 205, on one that broke.
        let broke = here.clone().filter(|a| a.conn != id && !goes_on(a.conn));
        let broke = broke.map(|a| a.asked).max().filter(|_| gap);
        let attempts = here.filter(|a| goes_on(a.conn) && Some(a.asked) > broke);
        let asked = attempts.map(|a| a.asked).min();
        // A claim before it that broke and failed unseen had an epoch of its own.
        let its = |link: u64| self.links.get(&link).is_some_and(|l| l.gateway == gateway);
        let epoch = epoch_of(session, token..session.incarnations.len(), its);
        let (mut early, mut owed) = (None, Vec::new());
        for (number, place) in &session.places {
            let Some(link) = self.links.get(number) else {
                continue;
            };
            let of_this = place
                .resumed
                .is_some_and(|(of, at)| of == epoch && Some(at) > since && Some(at) > asked);
            if link.gateway != gateway || link.lost.is_some() || !of_this {
                continue;
            }
            // "… to each bound backend": one that was being opened when RESUME came is not waited for.
            let bound = Some(place.began) < asked;
            match place.standing {
                Standing::Open if place.unanswered && bound && !late => early = Some(*number),
                Standing::ByBackend(404) => owed.push(link.service),
                Standing::Closed if place.unanswered && !link.full => owed.push(link.service),
                _ => {}
            }
        }
        // A backend that has ended the session ends what is not told yet.
        if !gap && session.ended.is_none() {
            let unopened = self.unopened(session, gateway, token);
            owed.extend(unopened);
            owed.sort_unstable();
            owed.dedup();
        }
        // A ring that has no room keeps no ERROR either, which is told as GAP.
        if gap && asked.is_some_and(|asked| self.was_short(gateway, asked)) {
            owed.clear();
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.owed_errors = owed;
        }
        if let Some(link) = early {
            let seen = format!("connection {id}: OPENED, link {link} has not answered OPEN");
            self.breach(&rules::OPENED_EARLY, seen);
        }
    }

    /// When the resume that is answered now began at this gateway. A claim goes on when its connection breaks,
    /// or another takes its place, and so does its deadline; whoever owns the session meanwhile.
    fn began(&self, session: &Session, gateway: Process) -> u64 {
        let since = session.incarnations.last().map(|last| last.opened);
        let goes_on = |attempt: &Attempt| {
            let closed = self.conns.get(&attempt.conn).and_then(|conn| conn.closed);
            !attempt.succeeded && closed.is_none_or(|closed| Some(closed) > since)
        };
        let asked = session.attempts.iter();
        let asked = asked.filter(|a| a.gateway == gateway && (Some(a.asked) > since || goes_on(a)));
        asked.map(|a| a.asked.at).min().unwrap_or(0)
    }

    /// Services that the owner before had, and this gateway could not open.
    fn unopened(&self, session: &Session, gateway: Process, token: usize) -> Vec<usize> {
        let last = match self.passed_over(session, gateway, token) {
            Some(own) => session.incarnations.get(own),
            None => session.incarnations.last(),
        };
        let Some(last) = last.filter(|last| last.gateway != gateway) else {
            return Vec::new();
        };
        let bound = session.places.iter().filter_map(|(number, place)| {
            let link = self.links.get(number)?;
            let live = link.gateway == last.gateway && link.lost.is_none() && !link.full;
            let stood = match place.standing {
                Standing::Open => true,
                Standing::Left => place.left > Some(last.opened) && !place.parted,
                Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => false,
            };
            (live && stood).then_some(link.service)
        });
        let open = |service: &usize| {
            session.places.iter().any(|(number, place)| {
                let link = self.links.get(number);
                let its = link.is_some_and(|l| l.gateway == gateway && l.service == *service);
                its && place.standing == Standing::Open
            })
        };
        // An owner in between, whose OPENED nobody saw, may have had it elsewhere by an ASSIGN.
        let replaced = |service: &usize| {
            session.places.iter().any(|(number, place)| {
                let link = self.links.get(number);
                let its = link.is_some_and(|link| link.service == *service);
                its && place.closed > Some(last.opened) && self.is_replaced(session, *number)
            })
        };
        bound
            .filter(|service| !open(service) && !replaced(service))
            .collect()
    }

    /// A binding was dropped, and the ERROR that tells it did not come with OPENED.
    pub(super) fn owes_error(&self, id: u64) -> bool {
        let Some(conn) = self
            .conns
            .get(&id)
            .filter(|conn| !conn.owed_errors.is_empty())
        else {
            return false;
        };
        let session = conn.session.and_then(|id| self.sessions.get(&id));
        let opened = session.and_then(|s| s.incarnations.get(conn.incarnation?));
        opened.is_some_and(|opened| opened.opened.at < self.now.at)
    }

    /// A RESUME is refused: what was opened for it is left by CLOSE 307, not ended.
    pub(super) fn check_failed_claim(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Form::Resume { asked, .. } = conn.form else {
            return;
        };
        let gateway = conn.gateway;
        let Some((number, session)) = conn
            .session
            .and_then(|id| Some((id, self.sessions.get(&id)?)))
        else {
            return;
        };
        let owned = session.incarnations.iter().any(|i| i.gateway == gateway);
        if owned || self.is_over(session) || self.troubled(gateway.index, asked) {
            return;
        }
        let ended = session.places.iter().find(|(link, place)| {
            let its = self.links.get(link).is_some_and(|l| l.gateway == gateway);
            let opened = place.resumed.is_some_and(|(_, at)| at >= asked);
            its && opened && place.standing == Standing::Closed && place.suspended.is_none()
        });
        if let Some((link, _)) = ended {
            let seen = format!("session {number}, link {link}");
            self.breach(&rules::L_CLAIM_CLOSED, seen);
        }
    }

    /// Tells whether a session has ended, for somebody.
    pub(super) fn is_over(&self, session: &Session) -> bool {
        let life = session.of.and_then(|of| self.lives.get(&of));
        let left = life.is_some_and(|life| life.ended.is_some() || life.closes.is_some());
        left || session.closed || session.ended.is_some()
    }

    /// An exact resume from elsewhere: the owner has left its links, and each backend has answered.
    fn check_parting(&mut self, session_id: u64, gateway: Process, token: usize, gap: bool) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let last = session.incarnations.last();
        let Some(last) = last.filter(|last| last.gateway != gateway && !gap) else {
            return;
        };
        let (before, since) = (last.gateway, last.opened);
        if self.passed_over(session, gateway, token).is_some() {
            return;
        }
        let taken = |service: usize, backend: Process| {
            let mut places = session.places.iter().filter(|(number, place)| {
                let link = self.links.get(number);
                // Where that link is full, the final CLOSE of one that was too late still waits there.
                let its = link.is_some_and(|l| {
                    let same = l.service == service && l.backend == backend;
                    l.gateway == gateway && same && l.lost.is_none() && !l.full
                });
                its && place.standing == Standing::Open && !place.unanswered && place.opened > since
            });
            places.next().map(|(number, _)| *number)
        };
        let unanswered = session.places.iter().find_map(|(number, place)| {
            let link = self.links.get(number)?;
            // What it opened since for a claim of its own says that it is not the owner any more.
            let claims = place.unanswered && place.began < since;
            let standing = match place.standing {
                Standing::Open => !claims,
                // One that was left before, for another, was told as GAP then.
                Standing::Left if place.parted => false,
                Standing::Left => place.left > Some(since) && place.left_answered.is_none(),
                Standing::Unopened | Standing::Closed | Standing::ByBackend(_) => false,
            };
            let owners = link.gateway == before && !link.full && link.lost.is_none();
            let taken = taken(link.service, link.backend).filter(|_| owners && standing)?;
            let seen = format!(
                "session {session_id}: link {number} is {:?}",
                place.standing
            );
            Some((taken, seen))
        });
        // An ACCEPT that came too late for the claim does not count: that backend's final CLOSE follows.
        if let Some((taken, seen)) = unanswered {
            self.suspect(session_id, vec![taken], &rules::LEFT_EARLY, seen);
        }
    }

    fn check_count(
        &mut self,
        session_id: u64,
        (gateway, token): (Process, usize),
        received: u64,
        gap: bool,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        // One that was passed over goes on where it was.
        let own = self.passed_over(session, gateway, token).filter(|_| !gap);
        if own.is_some_and(|own| fits(session.incarnations.get(own), received)) {
            return;
        }
        let (least, most) = match session.incarnations.last() {
            Some(last) if !gap => last.received,
            Some(_) | None => (0, 0),
        };
        if received < least || received > most {
            let seen = format!("session {session_id}: {received} received, of {least} to {most}");
            self.breach(&rules::C_RECEIVED, seen);
        }
    }

    /// A gateway opens a session for a resume in this epoch.
    pub(super) fn check_epoch(&mut self, session_id: u64, gateway: Process, epoch: u32) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let asked = session.attempts.iter().filter(|a| a.gateway == gateway);
        let Some(least) = asked.filter_map(|a| a.token).min() else {
            let seen = format!("session {session_id} at gateway {}", gateway.index);
            return self.breach(&rules::L_OPEN_RESUMED, seen);
        };
        let least = session.incarnations.get(least).map_or(1, |i| i.epoch);
        let (highest, since) = session.epoch;
        let highest = session
            .incarnations
            .iter()
            .map(|i| i.epoch)
            .max()
            .map_or(highest, |e| e.max(highest));
        // A resume without bindings, or one whose connection broke, raises it unseen.
        let unseen = session.attempts.iter().filter(|a| a.asked > since);
        let most = highest + (unseen.count() as u32).max(1) + session.unseen_epochs();
        if epoch <= least || epoch > most {
            let seen = format!(
                "session {session_id}: OPEN in epoch {epoch}, over {least}, at most {most}"
            );
            return self.breach(&rules::EPOCH_SKIPPED, seen);
        }
        let now = self.now;
        if let Some(session) = self
            .sessions
            .get_mut(&session_id)
            .filter(|_| epoch > highest)
        {
            session.epoch = (epoch, now);
        }
    }
}

/// The epoch of a resume, as its OPENs said; else one over the owner's, which is among `from`.
fn epoch_of(session: &Session, from: Range<usize>, its: impl Fn(u64) -> bool) -> u32 {
    let since = session.incarnations.last().map(|last| last.opened);
    let opens = session.places.iter().filter(|(link, _)| its(**link));
    let opens = opens.filter_map(|(_, place)| place.resumed);
    let newest = opens
        .filter(|(_, at)| Some(*at) > since)
        .max_by_key(|(_, at)| *at);
    let known = session.incarnations.get(from).unwrap_or_default();
    let known = known.iter().map(|i| i.epoch);
    newest.map_or(known.max().unwrap_or(1) + 1, |(epoch, _)| epoch)
}
