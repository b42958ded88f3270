//! A system that ends every session and tells GAP at every resume is "exact or told" as well. So each GAP,
//! ERROR 502 and end needs a reason in what went wrong in the run.

use game_gateway::sdk::client::session::End;

use super::model::{
    Attempt, Cause, Form, Incarnation, Life, Moment, Move, Process, Session, Standing, UpFrame,
};
use super::{Audit, rules};
use crate::wire::Millis;

/// Most ERRORs that an owner may have kept in the ring without a word on any wire, for the connection was lost by then:
/// one for each frame that waited for a backend which could not be opened, and one for a move whose backends are both
/// lost, or do not answer.
fn unseen_errors(session: &Session, life: Option<&Life>, owner: &Incarnation) -> usize {
    if session.away < Some(owner.opened) {
        return 0;
    }
    let refused = |frame: &&UpFrame| {
        frame.gateways.contains(&owner.gateway) && frame.forwarded.is_none() && frame.got.is_none()
    };
    let refused = life.map_or(0, |life| life.sent.iter().filter(refused).count());
    let failed =
        |m: &&Move| m.gateway == owner.gateway && m.answer.is_none_or(|(_, code)| code != 0);
    refused + session.moves.iter().filter(failed).count()
}

/// Time in which all comes back once nothing goes wrong any more: the longest wait of the player's library,
/// and an attempt.
const COMES_BACK: Millis = 60_000;

impl Audit {
    /// Tells whether something has befallen this gateway since then.
    pub(super) fn troubled(&self, gateway: usize, since: Moment) -> bool {
        self.causes.iter().any(|(at, cause)| {
            let lasts = match *cause {
                Cause::Stalled(_, until)
                | Cause::Parted(_, _, until)
                | Cause::BackendUnreachable(_, until) => until >= since.at,
                _ => *at >= since,
            };
            let its = match *cause {
                Cause::GatewayDied(g)
                | Cause::Stalled(g, _)
                | Cause::Panicked(g)
                | Cause::Drained(g)
                | Cause::LinkLost(g) => g == gateway,
                Cause::Parted(a, b, _) => a == gateway || b == gateway,
                Cause::Slow | Cause::Ordered | Cause::MemoryShort(..) => false,
                Cause::BackendDied(_) | Cause::BackendGone(_) | Cause::BackendUnreachable(..) => {
                    true
                }
            };
            lasts && its
        })
    }

    /// Tells whether this gateway, or a part of it, has stood still or failed since then.
    pub(super) fn troubled_inside(&self, gateway: usize, since: Moment) -> bool {
        self.causes.iter().any(|(at, cause)| match *cause {
            Cause::Stalled(g, until) => g == gateway && until >= since.at,
            Cause::GatewayDied(g) | Cause::Panicked(g) => g == gateway && *at >= since,
            _ => false,
        })
    }

    /// The same, by the clock: some of it may have been decided before, and was on its way.
    pub(super) fn failed_inside(&self, gateway: usize, since: Millis) -> bool {
        self.causes.iter().any(|(at, cause)| match *cause {
            Cause::Stalled(g, until) => g == gateway && until >= since,
            Cause::GatewayDied(g) | Cause::Panicked(g) => g == gateway && at.at >= since,
            _ => false,
        })
    }

    /// Until when a gateway stood still; 0: it never did.
    pub(super) fn stood_still(&self, gateway: usize) -> Millis {
        let stalls = self.causes.iter().filter_map(|(_, cause)| match cause {
            Cause::Stalled(g, until) if *g == gateway => Some(*until),
            _ => None,
        });
        stalls.max().unwrap_or(0)
    }

    /// Tells whether something in the world is slow.
    pub(super) fn is_slow(&self) -> bool {
        self.scene.slow || self.causes.iter().any(|(_, c)| *c == Cause::Slow)
    }

    /// Tells whether every owner so far could be asked in time.
    pub(super) fn owners_are_asked(&self) -> bool {
        let apart = self.causes.iter().any(|(_, cause)| match cause {
            Cause::GatewayDied(_)
            | Cause::Stalled(..)
            | Cause::Panicked(_)
            | Cause::Drained(_)
            | Cause::Parted(..)
            | Cause::Slow => true,
            Cause::LinkLost(_)
            | Cause::BackendDied(_)
            | Cause::BackendGone(_)
            | Cause::BackendUnreachable(..)
            | Cause::Ordered
            | Cause::MemoryShort(..) => false,
        });
        self.scene.peer_channel && !self.scene.slow && !apart
    }

    /// A GAP needs a reason since the owner's OPENED.
    pub(super) fn gap_founded(&mut self, session_id: u64, id: u64) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let Some(owner) = session.incarnations.last() else {
            return;
        };
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Form::Resume { token, .. } = conn.form else {
            return;
        };
        let since = owner.opened;
        let asked = session.attempts.iter().filter(|a| a.asked > since);
        let mut failed = asked.clone().filter(|a| a.conn != id && !a.succeeded);
        let first = asked.map(|a| a.asked.at).min().unwrap_or(self.now.at);
        let world = self.scene.slow || self.causes.iter().any(|(_, c)| *c == Cause::Slow);
        let slow = world && self.now.at >= first + self.scene.connect_timeout;
        let slow = slow || (world && self.peers_are_silent(conn.gateway));
        let failed = failed.any(|a| world || self.may_cost_a_gap(session, a, since));
        // Counts have begun anew, and the player did not know.
        let shown = token.unwrap_or_default();
        let unknown = session.incarnations.iter().skip(shown + 1).any(|i| i.gap);
        let again = owner.gap && !owner.used;
        let troubled =
            self.troubled(owner.gateway.index, since) || self.troubled(conn.gateway.index, since);
        let lost = session.lost_links.iter().any(|lost| lost.since > since);
        // A link that is dead, which nobody knows yet: CLOSE 307 is not answered there.
        let cut = session.places.iter().any(|(number, place)| {
            let link = self.links.get(number).filter(|link| link.cut);
            let its = link.is_some_and(|link| link.gateway == owner.gateway);
            its && matches!(place.standing, Standing::Open | Standing::Left)
        });
        let lost = lost || cut;
        let lacking = session.down.values().flat_map(|down| &down.frames);
        // A RESUME that is shown again says what the player had when it said it first.
        let since_shown = session.incarnations.get(shown + 1).map(|next| next.opened);
        let lacks = |told: Moment| since_shown.is_some_and(|shown| told > shown);
        let lacking = lacking.filter(|f| f.arrived.is_some() && f.told.is_none_or(lacks));
        let life = session.of.and_then(|of| self.lives.get(&of));
        let errors = life.map_or(0, |life| life.errors.len()) + session.lost_links.len();
        let errors = errors + unseen_errors(session, life, owner);
        let bytes = lacking.count() * FRAME_BYTES + errors * ERROR_BYTES;
        let short = self.was_short(owner.gateway, since) || self.was_short(conn.gateway, since);
        let full = bytes > self.scene.replay_bytes || short;
        let apart = owner.gateway != conn.gateway && !self.scene.peer_channel;
        // Nobody has it any more (3.2, case 3); a backend that was not told yet takes it all the same.
        let window = self.scene.resume_window;
        let expired = (session.away).is_some_and(|at| at > since && at.at + window <= self.now.at);
        let over = expired || session.ended.is_some_and(|ended| ended > since);
        let broken = session.attempts.iter().any(|a| self.may_break(a, owner));
        // "Who has handed a session over remembers to whom for the resume window."
        let gave = session.handed_over.get(&conn.gateway);
        let forgotten = gave.is_some_and(|at| at.at + self.scene.resume_window <= self.now.at);
        if !(over
            || forgotten
            || broken
            || failed
            || slow
            || unknown
            || again
            || troubled
            || lost
            || full
            || apart)
        {
            let seen = format!("session {session_id}, connection {id}");
            self.breach(&rules::GAP_UNFOUNDED, seen);
        }
    }

    /// Tells whether an attempt that failed may have cost frames: its gateway has opened the session somewhere, or
    /// could not say that it has not. One that gave up before that costs nothing.
    fn may_cost_a_gap(&self, session: &Session, attempt: &Attempt, since: Moment) -> bool {
        let opened = session.places.iter().any(|(number, place)| {
            let by = self.links.get(number).map(|link| link.gateway);
            by == Some(attempt.gateway) && place.opened > attempt.asked
        });
        opened || self.troubled(attempt.gateway.index, since)
    }

    /// Tells whether the owner may have promised the session, behind its OPENED, to a claim that began before: the
    /// player had left that gateway by then, and had no answer.
    fn may_break(&self, attempt: &Attempt, owner: &Incarnation) -> bool {
        let conn = self.conns.get(&attempt.conn);
        let closed = conn.and_then(|conn| conn.closed);
        let unanswered = closed.is_none_or(|closed| closed > owner.opened);
        let elsewhere = attempt.gateway != owner.gateway && attempt.asked < owner.opened;
        let over = attempt.asked.at + CLAIM_TIMEOUTS * self.scene.connect_timeout;
        elsewhere && !attempt.succeeded && unanswered && owner.opened.at <= over
    }

    /// Tells whether a connection to a peer gateway may have been given up: whoever waits on one that has not
    /// answered for four times the timeout (docs/peer.md, bounds) gets no answer, however late it has asked.
    fn peers_are_silent(&self, gateway: Process) -> bool {
        let timeout = self.scene.connect_timeout;
        let asked = self.sessions.values().flat_map(|s| &s.attempts);
        let mut its = asked.filter(|attempt| attempt.gateway == gateway);
        its.any(|a| (3 * timeout..=10 * timeout).contains(&(self.now.at - a.asked.at)))
    }

    /// An ERROR 502 needs a link that was lost, or a backend that did not answer or refused.
    pub(super) fn error_founded(&mut self, id: u64, code: u16, service: Option<usize>) {
        if code != 502 {
            return;
        }
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let session = conn.session.and_then(|id| self.sessions.get(&id));
        let refused = session.is_some_and(|session| {
            let refused = |s: Standing| matches!(s, Standing::ByBackend(_));
            session.places.values().any(|p| refused(p.standing))
        });
        let slow = session.is_some_and(|session| {
            let due = self.now.at.saturating_sub(self.scene.connect_timeout);
            session.attempts.iter().any(|a| a.asked.at <= due)
        });
        let lost = session.is_some_and(|s| !s.lost_links.is_empty());
        // A move may wait on a full link, unseen, until nobody has answered in time.
        let unmoved = self.is_slow() && self.links.values().any(|link| link.transfers);
        if !(refused || slow || lost || unmoved || self.backends_fail()) {
            let seen = format!("connection {id}: ERROR 502 of service {service:?}");
            self.breach(&rules::ERROR_UNFOUNDED, seen);
        }
    }

    /// Tells whether some backend may have been known to take no sessions.
    pub(super) fn may_be_unavailable(&self) -> bool {
        let takes_none = |cause: &Cause| matches!(cause, Cause::BackendGone(_) | Cause::Ordered);
        self.causes.iter().any(|(_, cause)| takes_none(cause))
    }

    /// Tells whether memory was short at this gateway since then.
    pub(super) fn was_short(&self, gateway: Process, since: Moment) -> bool {
        self.causes.iter().any(|(_, cause)| match *cause {
            Cause::MemoryShort(at, until) => at == gateway.index && until >= since.at,
            _ => false,
        })
    }

    /// Tells whether some backend could not be reached, or some link was lost.
    pub(super) fn backends_fail(&self) -> bool {
        self.causes.iter().any(|(_, cause)| {
            matches!(
                cause,
                Cause::BackendDied(_)
                    | Cause::BackendGone(_)
                    | Cause::BackendUnreachable(..)
                    | Cause::LinkLost(_)
                    | Cause::Ordered
            )
        })
    }

    /// Tells whether a claim has failed behind an ACCEPT: a backend knows its epoch from that gateway alone.
    fn has_broken_promise(&self, session: &Session) -> bool {
        let taken = |attempt: &Attempt| {
            session.places.iter().any(|(number, place)| {
                let by = self.links.get(number).map(|link| link.gateway);
                by == Some(attempt.gateway) && place.resumed.is_some() && !place.unanswered
            })
        };
        session.attempts.iter().any(|a| !a.succeeded && taken(a))
    }

    /// An end that the player did not want needs a reason.
    pub(super) fn end_founded(&mut self, of: (usize, u32), end: &End) {
        let now = self.now;
        let Some(life) = self.lives.get(&of) else {
            return;
        };
        let session = life.session.and_then(|id| self.sessions.get(&id));
        let ended = session.is_some_and(|s| s.ended.is_some() || self.is_banned(s));
        let lost = session.and_then(|session| session.lost);
        let away = life.interrupted.min(lost.or(life.interrupted));
        let away = away.map_or(0, |at| now.at - at.at);
        let window = away + 1_000 >= self.scene.resume_window;
        let crossed = session.is_some_and(|session| {
            // A RESUME that comes behind one of a newer connection takes the session from that (3.2: "closes
            // the old one (205)"): nobody can tell which is newer.
            let older = |late: &Attempt, newer: &Attempt| {
                late.gateway == newer.gateway && late.conn < newer.conn && late.asked > newer.asked
            };
            let mut attempts = session.attempts.iter();
            attempts.any(|late| session.attempts.iter().any(|newer| older(late, newer)))
        });
        let founded = match end {
            End::Closed(told) if told.code.0 == 205 && crossed => true,
            End::Local | End::Lost => true,
            End::Closed(_) => {
                // Neither drains of backends nor short memory end a session.
                let ends =
                    |cause: &Cause| !matches!(cause, Cause::Ordered | Cause::MemoryShort(..));
                let trouble = self.causes.iter().any(|(_, cause)| ends(cause));
                let trouble = trouble || !self.scene.peer_channel;
                let begun = life.session.is_some();
                // Where news take so long, an owner may be passed over that could not be asked in time: its
                // backends say so (docs/simulation.md, limits).
                let taken = |s: &Session| {
                    let mut places = s.places.values();
                    places.any(|p| p.standing == Standing::ByBackend(410))
                };
                // And where a promise was not kept, only the gateway that had it may go on with the session.
                let broken = session.is_some_and(|s| self.has_broken_promise(s));
                let trouble =
                    trouble || ((self.scene.slow || broken) && session.is_some_and(taken));
                !begun || ended || window || life.closes.is_some() || trouble
            }
            End::GaveUp => self
                .quiet
                .is_none_or(|quiet| now.at < quiet.at + COMES_BACK),
            End::Broken(_) => false,
        };
        if !founded {
            let seen = format!("player {of:?}: {end:?}, away for {away} ms");
            self.breach(&rules::END_UNFOUNDED, seen);
        }
    }
}

/// Longest time of a claim, in timeouts of backends: for two gateways that are asked, OPENs and the claim itself.
const CLAIM_TIMEOUTS: Millis = 3 + 3 + 1 + 3;

/// Bytes of a DATA frame to a player in a replay ring, at most.
const FRAME_BYTES: usize = 60;
/// Bytes of an ERROR there, at most.
const ERROR_BYTES: usize = 120;
