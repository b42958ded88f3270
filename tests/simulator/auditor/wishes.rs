//! Each ASSIGN and TRANSFER has one answer (protocol 2.5), and a client a fresh token behind a move.

use super::gateway_links::INSIDE;
use super::model::{Moment, Move, Process, Standing};
use super::{Audit, Link, rules};
use crate::wire::Millis;

/// A gateway's links to one service of a backend.
pub(crate) type Ends = (Process, Process, usize);

/// What a backend has asked for, and what it was told.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// When its wishes came, oldest first.
    pub(crate) wishes: Vec<Moment>,
    /// Moves away from it that somebody else may have asked for: their ends are told as well.
    pub(crate) others: u32,
    pub(crate) said: u32,
    /// Of the wishes, those before its session was moved away for good; and what was said before that.
    settled: (usize, u32),
    /// Wishes that nobody will answer any more: the one that had asked had left, or was left, before their ends.
    pub(crate) forgotten: u32,
}

impl Audit {
    pub(super) fn wishes(&mut self, ends: Ends, session_id: u64) {
        let now = self.now;
        let session = self.sessions.entry(session_id).or_default();
        session.answers.entry(ends).or_default().wishes.push(now);
        self.unanswered.push((now, session_id, ends));
    }

    /// A move away from that backend begins, which it may not have asked for itself.
    pub(super) fn moves_unasked(&mut self, ends: Ends, session_id: u64, evacuated: bool) {
        let session = self.sessions.entry(session_id).or_default();
        let others = session.answers.iter().any(|(by, answers)| {
            let its = *by != ends && by.0 == ends.0;
            its && !answers.wishes.is_empty()
        });
        let asked = evacuated || session.assigned || others;
        session.answers.entry(ends).or_default().others += u32::from(asked);
    }

    /// MOVED 0 has ended a move away from that backend, which forgets the session, and all that it has asked for. The
    /// session may come back to it, and what it asks then has answers of its own.
    pub(super) fn settles(&mut self, ends: Ends, session_id: u64) {
        let session = self.sessions.entry(session_id).or_default();
        let answers = session.answers.entry(ends).or_default();
        (answers.settled, answers.forgotten) = ((answers.wishes.len(), answers.said), 0);
    }

    /// The client actor of a session has panicked, and knows nothing of its moves any more: what was asked of it is not
    /// answered, and what its next one answers is not taken for that.
    pub(super) fn forgets_wishes(&mut self, session_id: Option<u64>, gateway: Process) {
        let now = self.now;
        let Some(session) = session_id.and_then(|id| self.sessions.get_mut(&id)) else {
            return;
        };
        let its = |moving: &&mut Move| moving.gateway == gateway && moving.ended.is_none();
        let moves = session.moves.iter_mut().filter(its);
        moves.for_each(|moving| moving.ended = Some(now));
        for (_, answers) in (session.answers.iter_mut()).filter(|(ends, _)| ends.0 == gateway) {
            let asked = answers.wishes.len() - answers.settled.0;
            let said = answers.said - answers.settled.1;
            answers.forgotten = answers.forgotten.max((asked as u32).saturating_sub(said));
        }
    }

    /// MOVED is said.
    pub(super) fn answers(&mut self, ends: Ends, session_id: u64, code: u16) {
        let session = self.sessions.entry(session_id).or_default();
        let answers = session.answers.entry(ends).or_default();
        answers.said += 1;
        // The process before may have asked, and have come back at its address since.
        let (gateway, backend, service) = ends;
        let its = session.answers.iter().filter(|((at, of, named), _)| {
            (*at, of.index, *named) == (gateway, backend.index, service)
        });
        let due = |answers: &Answers| answers.wishes.len() as u32 + answers.others;
        let (said, due) = its.fold((0, 0), |sum, (_, a)| (sum.0 + a.said, sum.1 + due(a)));
        if said > due {
            let answers = session.answers.get(&ends);
            let seen = format!("session {session_id}, {ends:?}: MOVED {code}, {answers:?}");
            self.breach(&rules::M_AGAIN, seen);
        }
    }

    /// What was asked long ago is answered, where the link and the session are still there.
    pub(super) fn check_answers_of_wishes(&mut self, now: Millis) {
        let patience = 4 * self.scene.connect_timeout + INSIDE;
        while let Some((since, session_id, ends)) = self.unanswered.first().copied()
            && since.at.saturating_add(patience) < now
        {
            self.unanswered.remove(0);
            if self.is_answered(since, session_id, ends) {
                continue;
            }
            let is_gone = self.is_gone(since, session_id, ends);
            let session = self.sessions.get_mut(&session_id);
            let answers = session.and_then(|session| session.answers.get_mut(&ends));
            if is_gone {
                answers
                    .into_iter()
                    .for_each(|answers| answers.forgotten += 1);
                continue;
            }
            let seen = format!("session {session_id}, since {since:?}, {ends:?}: {answers:?}");
            self.breach(&rules::M_UNANSWERED, seen);
        }
    }

    fn is_answered(&self, since: Moment, session_id: u64, ends: Ends) -> bool {
        let session = self.sessions.get(&session_id);
        let answers = session.and_then(|session| session.answers.get(&ends));
        answers.is_none_or(|answers| {
            let asked = answers.wishes.iter().filter(|at| **at <= since).count();
            let (settled, said) = answers.settled;
            let said = answers.said - said + answers.forgotten;
            said as usize >= asked.saturating_sub(settled)
        })
    }

    /// Tells whether the link, the session or its part of the gateway was lost since: nobody is left who could answer,
    /// or hear it.
    fn is_gone(&self, since: Moment, session_id: u64, ends: Ends) -> bool {
        let (gateway, backend, _) = ends;
        let same = |link: &&Link| link.ends() == ends;
        let lost = self.links.values().filter(same).any(|link| {
            let lost = link.lost.or(link.backend_lost);
            link.cut || link.full || lost.is_some_and(|at| at >= since)
        });
        let Some(session) = self.sessions.get(&session_id) else {
            return true;
        };
        let of = |id: &u64| self.links.get(id).map(Link::ends);
        let left = session.places.iter().any(|(number, place)| {
            let over = match place.standing {
                // For another gateway, or another backend.
                Standing::Left => place.left >= Some(since),
                Standing::Closed => place.closed >= Some(since),
                Standing::ByBackend(_) => place.ended >= since,
                Standing::Open | Standing::Unopened => false,
            };
            of(number) == Some(ends) && over
        });
        let moved = session.moves.iter().any(|moving| {
            let away = moving
                .answer
                .is_some_and(|(at, code)| code == 0 && at >= since);
            of(&moving.from) == Some(ends) && away
        });
        // Whoever has it now was not asked.
        let mut later = session.incarnations.iter().filter(|i| i.opened >= since);
        let passed_on = later.any(|i| i.gateway != gateway);
        let dead = self.gateway(gateway.index) != gateway || self.backend(backend.index) != backend;
        let ended = self.is_ended(session_id) || self.troubled_inside(gateway.index, since);
        lost || left || moved || passed_on || dead || ended
    }

    /// Service and backend of an ASSIGN.
    pub(super) fn assigns(&self, service: &str, to: &str) -> Option<(usize, usize)> {
        let service = self.service(service)?;
        let its = |backend: &usize| to == format!("10.0.{backend}.{service}:7000");
        Some((service, (0..self.scene.backends).find(its)?))
    }

    /// An ASSIGN was answered with MOVED 0: nothing else may have been asked for that service, nor be open.
    pub(super) fn assigned(&mut self, session_id: u64, ends: Ends, to: (usize, usize)) {
        let now = self.now;
        let (service, backend) = to;
        let open = |id: &u64| {
            let link = self.links.get(id).map(Link::ends);
            link.is_some_and(|(gateway, _, of)| gateway == ends.0 && of == service)
        };
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let mut same = session.wishes.iter().filter_map(|wish| wish.assigns);
        let only = same.clone().filter(|(of, _)| *of == service).count() == 1;
        let known = same.any(|known| known == to);
        let mut places = session.places.iter();
        let is_open = places.any(|(id, place)| place.standing == Standing::Open && open(id));
        if only && known && !is_open && !session.assigned {
            session.assigned_to.insert(service, (now, backend));
        }
    }

    /// A service is opened that was not open before.
    pub(super) fn check_assigned(&mut self, id: u64, session_id: u64, resumed: bool) {
        let Some((gateway, backend, service)) = self.links.get(&id).map(Link::ends) else {
            return;
        };
        let session = self.sessions.get_mut(&session_id);
        let Some((since, to)) = session.and_then(|s| s.assigned_to.remove(&service)) else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        // It goes with a session that is handed over, not with a token.
        let mut later = session.incarnations.iter().filter(|i| i.opened > since);
        let forgotten = later.any(|i| i.gap) || !self.owners_are_asked();
        let asked = session.assigned || session.wishes.iter().any(|w| w.heard > since);
        let excused = forgotten || asked || self.backends_fail() || self.is_slow();
        if !resumed && backend.index != to && !excused {
            let seen = format!(
                "session {session_id}, link {id} of gateway {}",
                gateway.index
            );
            self.breach(&rules::M_ASSIGNED, seen);
        }
    }

    /// A move has ended at the new backend: a client that is there gets a fresh token.
    pub(super) fn owes_opened(&mut self, gateway: Process, session_id: u64) {
        if let Some(conn) = self.standing_conn(session_id, gateway) {
            self.unrenewed.push((self.now, conn));
        }
    }

    pub(super) fn check_renewed(&mut self, now: Millis) {
        while let Some((since, id)) = self.unrenewed.first().copied()
            && since.at.saturating_add(INSIDE) < now
        {
            self.unrenewed.remove(0);
            let Some(conn) = self.conns.get(&id).filter(|c| c.stands() && !c.gone) else {
                continue;
            };
            let wanted = conn.session.and_then(|id| self.sessions.get(&id));
            let wanted = wanted.is_some_and(|s| s.attempts.iter().any(|a| a.asked >= since));
            let troubled = self.troubled_inside(conn.gateway.index, since);
            // MOVED may be on its way inside the gateway when the client has its OPENED.
            let renewed = conn.renewed.is_some_and(|at| at.at + INSIDE >= since.at);
            if !renewed && !wanted && !troubled {
                let seen = format!("connection {id}, moved at {since:?}");
                self.breach(&rules::M_OPENED, seen);
            }
        }
    }
}
