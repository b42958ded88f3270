//! Each numbered frame end to end: at most once, in order, and a hole only where the player was told.
//!
//! **Up**, from a player to a service. A hole is a frame of a service that no backend's application got. The
//! player counts as told where
//! * a GAP was told behind the frame's first writing, and the next frame of that service that was got was
//!   first written behind that GAP: what lies between two frames that were got without a GAP between them is
//!   not excused by one that comes later;
//! * an ERROR that names the service was sent to the player after a gateway had the frame, and before the
//!   next frame that was got was passed on; 502 excuses all such frames, any other code one;
//! * the session is over, and nothing of that service was got behind it.
//!
//! **Down**, from one backend's process to a player. A hole is a frame that was written and that the
//! application was not told. The player counts as told where
//! * a GAP was sent after the frame, and told before the next one that came through;
//! * an ERROR 502 that names the service was told between the frames around the hole, or was sent after the
//!   gateway had lost the frame's link;
//! * the gateway has answered the frame: it does not have the session (2.3);
//! * the session is over, and nothing of that backend came behind it.

use super::model::{
    DownFrame, Life, LostLink, Moment, Place, Process, SentError, Session, Standing, Told, UpFrame,
};
use super::{Audit, rules};
use crate::wire::Payload;

impl Audit {
    /// A backend's application gets a frame of a player.
    pub(super) fn got_up(&mut self, backend: Process, session_id: u64, payload: Payload) {
        let now = self.now;
        let of = (payload.player as usize, payload.life);
        let seen = || {
            format!(
                "session {session_id} at backend {}: {payload:?}",
                backend.index
            )
        };
        let its = self.sessions.get(&session_id).and_then(|s| s.of) == Some(of);
        let life = self.lives.get_mut(&of).filter(|_| its);
        let Some(life) = life else {
            return self.breach(&rules::UP_STRANGE, seen());
        };
        let at = payload.number as usize - 1;
        let known = life.sent.get(at);
        let Some(known) = known.filter(|up| up.service == usize::from(payload.service)) else {
            return self.breach(&rules::UP_STRANGE, seen());
        };
        if known.got.is_some() {
            return self.breach(&rules::UP_TWICE, seen());
        }
        // What a gateway still had when the player went on behind a GAP may come late.
        let (service, era) = (known.service, known.era);
        // So may what a full link, or the network behind one that its gateway has lost or left, still had when the
        // service was given up, and ERROR 502 told: a backend takes DATA from a link for 30 s although a newer
        // OPEN stands elsewhere (2.4).
        let place = known
            .link
            .and_then(|id| self.sessions.get(&session_id)?.places.get(&id));
        let lost = known.link.and_then(|id| self.links.get(&id)?.lost);
        let parted = place.and_then(|place| match place.left_answered {
            Some(_) => place.closed,
            None => place.left.or(place.closed),
        });
        let given_up = |later: &UpFrame| {
            life.errors.iter().any(|error| {
                let behind = known.arrived.is_some_and(|at| at < error.sent);
                let held = known.forwarded.is_some_and(|at| error.sent < at);
                let ahead = later.forwarded.is_some_and(|at| error.sent < at);
                let left = lost.is_some_and(|at| at <= error.sent)
                    || (parted.is_some() && parted < later.forwarded);
                error.code == 502 && error.service == service && behind && (held || left) && ahead
            })
        };
        let told = |e: &SentError| e.code == 502 && e.service == service;
        let moved = !life.errors.iter().any(told);
        let gifts = self
            .sessions
            .get(&session_id)
            .into_iter()
            .flat_map(|s| &s.gifts);
        let gifts = gifts.filter(|g| moved && g.service == service && g.is_taken());
        let behind = life.sent.iter().skip(at + 1).find(|later| {
            // One that has given the session away has got all that came before.
            let gave = gifts.clone().any(|g| g.by == backend);
            let there = later.got.is_some_and(|(_, by)| by == backend || gave);
            later.service == service && there && later.era == era && !given_up(later)
        });
        let reordered = behind.is_some();
        life.sent[at].got = Some((now, backend));
        self.report.frames_up += 1;
        if reordered {
            self.breach(&rules::UP_ORDER, seen());
        }
    }

    /// A backend's application sends a frame.
    pub(super) fn sent_down(
        &mut self,
        (service, session_id): (&str, u64),
        payload: &[u8],
        (multicast, written): (bool, bool),
    ) {
        let sent = self.now;
        let service = self.service(service);
        let (Some(service), Some(payload)) = (service, Payload::decode(payload)) else {
            return;
        };
        let backend = self.backends.get(usize::from(payload.backend));
        let entry = backend.and_then(|b| b.sessions.get(&(service, session_id)));
        let late = entry.is_some_and(|entry| entry.late);
        let session = self.sessions.entry(session_id).or_default();
        let down = session.down.entry(Process::origin(payload)).or_default();
        down.index
            .insert((multicast, payload.number), down.frames.len());
        down.frames.push(DownFrame {
            service,
            written,
            sent,
            payload,
            link: None,
            arrived: None,
            told: None,
            stray: false,
            refused: false,
            late,
            realm: None,
        });
    }

    /// The session has ended, for all who look: its player, a backend or an operator said so.
    pub(super) fn session_ends(&mut self, session_id: u64) {
        let now = self.now;
        let session = self.sessions.entry(session_id).or_default();
        session.ended.get_or_insert(now);
    }

    /// Nothing goes wrong any more, for some time now: sessions that live have all that was sent before.
    pub(super) fn settled(&mut self) {
        let Some(quiet) = self.quiet else {
            return;
        };
        let living = self.lives.iter().filter(|(_, life)| {
            let resting = life.interrupted.is_none_or(|at| at < quiet);
            life.ended.is_none() && life.closes.is_none() && life.connected && resting
        });
        let living: Vec<(usize, u32)> = living.map(|(of, _)| *of).collect();
        for of in living {
            self.check_up(of, Some(quiet));
            self.check_down(of, Some(quiet));
            self.check_told_losses(of, quiet);
        }
    }

    /// The end of the run.
    pub(super) fn finished(&mut self) {
        let lives: Vec<(usize, u32)> = self.lives.keys().copied().collect();
        for of in lives {
            self.check_up(of, None);
            self.check_down(of, None);
        }
        self.check_owed_errors();
        self.check_left_over();
    }

    /// `all_before`: the session lives, and frames sent before then must have come through.
    fn check_up(&mut self, of: (usize, u32), all_before: Option<Moment>) {
        let services = self.scene.services.len();
        let refused = self.scene.slow || self.backends_fail();
        let id = self.lives.get(&of).and_then(|life| life.session);
        let session = id.and_then(|id| self.sessions.get(&id));
        let beside = |id: u64| {
            let replaced =
                |session| self.is_replaced(session, id) || self.is_passed_by(session, id);
            session.is_some_and(replaced)
        };
        let places = session
            .into_iter()
            .flat_map(|session| session.places.keys());
        let excused: Vec<u64> = places.copied().filter(|id| beside(*id)).collect();
        let drained = |service: usize, frame: &UpFrame| {
            let unsaid = |session| self.is_left_unsaid(session, service, frame);
            frame.forwarded.is_none() && session.is_some_and(unsaid)
        };
        let life = self.lives.get(&of);
        let unsaid: Vec<usize> = life
            .into_iter()
            .flat_map(|life| life.sent.iter().enumerate())
            .filter(|(_, frame)| drained(frame.service, frame))
            .map(|(at, _)| at)
            .collect();
        let Some(life) = self.lives.get_mut(&of) else {
            return;
        };
        let mut lost = None;
        for service in 0..services {
            for at in 0..life.sent.len() {
                let frame = &life.sent[at];
                let missing = frame.service == service && frame.got.is_none();
                let beside = frame.link.is_some_and(|id| excused.contains(&id));
                let beside = beside || unsaid.contains(&at);
                if missing && !beside && !excused_up(life, at, all_before, refused) {
                    lost.get_or_insert((service, at));
                }
            }
        }
        if let Some((service, at)) = lost {
            let frame = &life.sent[at];
            let seen = format!("player {of:?}, service {service}: {} {frame:?}", at + 1);
            self.breach(&rules::UP_LOST, seen);
        }
    }

    fn check_down(&mut self, of: (usize, u32), all_before: Option<Moment>) {
        let Some(life) = self.lives.get(&of) else {
            return;
        };
        let Some(session) = life.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        let link_lost = |id: u64| self.links.get(&id).and_then(|link| link.lost);
        let mut lost = None;
        for (process, down) in &session.down {
            let frames: Vec<&DownFrame> = down.frames.iter().filter(|f| f.written).collect();
            for (at, frame) in frames.iter().enumerate() {
                if frame.told.is_some() || frame.refused {
                    continue;
                }
                let before = frames[..at].iter().rev().find_map(|f| f.told);
                let next = frames[at + 1..].iter().find_map(|f| f.told);
                let over = all_before.is_none_or(|all| frame.sent >= all);
                let excused = (next.is_none() && over)
                    || by_gap(session, life, frame, next)
                    || self.to_beside(session, frame)
                    || self.to_replaced(session, frame)
                    || to_nowhere(session, frame, |id| self.links.get(&id).map(|l| l.gateway))
                    || to_belated(session, frame)
                    || to_too_late(session, frame)
                    || to_given_up(session, frame)
                    || self.to_closed(session, frame)
                    || to_a_lost_link(life, frame)
                    || by_error(life, frame, before, next, link_lost);
                if !excused {
                    lost.get_or_insert((*process, at, format!("{frame:?}")));
                }
            }
        }
        if let Some((process, _, frame)) = lost {
            let seen = format!("player {of:?}, backend {process:?}: {frame}");
            self.breach(&rules::DOWN_LOST, seen);
        }
    }

    /// Each link that was lost with the session open there was told.
    fn check_told_losses(&mut self, of: (usize, u32), quiet: Moment) {
        let Some(life) = self.lives.get(&of) else {
            return;
        };
        let Some(session) = life.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        let untold = session.lost_links.iter().find(|lost| {
            let LostLink {
                since,
                opened,
                service,
                gateway,
            } = **lost;
            // Only the owner's links are the player's.
            let owner = session.incarnations.iter().rfind(|i| i.opened < since);
            let owned = owner.is_some_and(|i| i.gateway == gateway);
            // It went elsewhere since, and left the link: a CLOSE 307 on one that is cut is not seen.
            let elsewhere = session
                .incarnations
                .iter()
                .any(|i| i.gateway != gateway && i.opened > opened && i.opened < since);
            let moved = session
                .attempts
                .iter()
                .any(|a| a.asked < since && !a.succeeded);
            let told = life.told.iter().any(|(at, told)| match told {
                Told::Gap => *at > since,
                // Also where the service was given up there before the loss was known.
                Told::Error {
                    code,
                    service: named,
                } => *at > opened && *code == 502 && *named == service,
            });
            owned && !elsewhere && !moved && !told && since < quiet
        });
        if let Some(LostLink {
            since,
            service,
            gateway,
            ..
        }) = untold
        {
            let seen = format!(
                "player {of:?}: service {service} at gateway {}, since {since:?}",
                gateway.index
            );
            self.breach(&rules::LOSS_UNTOLD, seen);
        }
    }

    /// The frame was sent to a gateway that has taken the session by its token beside an owner that could not be asked,
    /// and that raised the epoch by a move: it goes on past that one (docs/simulation.md, limits).
    fn to_beside(&self, session: &Session, frame: &DownFrame) -> bool {
        let link = frame.link.and_then(|id| self.links.get(&id));
        let gateway = link.map(|link| link.gateway);
        let claims = session.attempts.iter().any(|attempt| {
            Some(attempt.gateway) == gateway && attempt.asked < frame.sent && !attempt.succeeded
        });
        claims && !session.moves.is_empty() && !self.owners_are_asked()
    }

    /// The session was over on that link, which its backend did not know, and the link was lost before its gateway could
    /// answer that it does not have the session there (2.3).
    fn to_closed(&self, session: &Session, frame: &DownFrame) -> bool {
        let Some(id) = frame.link.filter(|_| frame.arrived.is_none()) else {
            return false;
        };
        let place = session.places.get(&id);
        let over = place.is_some_and(|p| p.closed.is_some_and(|at| at < frame.sent));
        over && self.links.get(&id).is_some_and(|link| link.lost.is_some())
    }

    /// The frame still waited for the full link of a backend that hands nothing over, where an ASSIGN has replaced that one
    /// and its link is lost.
    fn is_left_unsaid(&self, session: &Session, service: usize, frame: &UpFrame) -> bool {
        session.places.iter().any(|(id, place)| {
            let lost = self.links.get(id).is_some_and(|link| {
                let its = link.service == service && frame.gateways.contains(&link.gateway);
                its && link.lost.is_some() && !link.transfers
            });
            let before = frame.arrived_last > Some(place.opened);
            lost && before && self.has_successor(session, *id)
        })
    }

    /// The backend on this link has the session back from an owner that was passed over, could not be asked, and has
    /// raised the epoch by a move (docs/simulation.md, limits): it does not hear who has the session.
    fn is_passed_by(&self, session: &Session, id: u64) -> bool {
        let (Some(link), Some(place)) = (self.links.get(&id), session.places.get(&id)) else {
            return false;
        };
        let epoch = place.resumed.map(|(epoch, _)| epoch);
        let passes = |(other, newer): (&u64, &Place)| {
            let there = self.links.get(other).is_some_and(|other| {
                let same = (other.backend, other.service) == (link.backend, link.service);
                same && other.gateway != link.gateway
            });
            there && newer.of_move && newer.resumed.map(|(epoch, _)| epoch) > epoch
        };
        epoch.is_some() && !self.owners_are_asked() && session.places.iter().any(passes)
    }

    /// The frame was lost with the link of a backend that hands nothing over, where an ASSIGN has replaced it: "what was
    /// under way there may be missing" (2.5).
    fn to_replaced(&self, session: &Session, frame: &DownFrame) -> bool {
        let replaced = |id: u64| {
            let link = self.links.get(&id);
            link.is_some_and(|link| link.lost.is_some()) && self.is_replaced(session, id)
        };
        frame.arrived.is_none() && frame.link.is_some_and(replaced)
    }

    fn check_owed_errors(&mut self) {
        let owing = self.conns.iter().find(|(_, conn)| {
            let over = conn.gone || conn.closed.is_some() || conn.player_closed;
            conn.incarnation.is_some() && !conn.owed_errors.is_empty() && !over
        });
        if let Some((id, conn)) = owing {
            let seen = format!("connection {id}: services {:?}", conn.owed_errors);
            self.breach(&rules::ERROR_OWED, seen);
        }
    }
}

/// `refused`: gateways had reasons to refuse frames that waited for a link.
fn excused_up(life: &mut Life, at: usize, all_before: Option<Moment>, refused: bool) -> bool {
    let ended = life.ended.is_some() || life.closes.is_some();
    let frame = &life.sent[at];
    let mut behind = life.sent[at + 1..].iter();
    let next = behind.find(|later| later.service == frame.service && later.got.is_some());
    if next.is_none() && all_before.is_none_or(|all| frame.sent >= all) {
        return true;
    }
    let era = frame.era;
    let gap = era < life.era;
    if gap && next.is_none_or(|next| next.era > era) {
        return true;
    }
    // Its ERROR was said on a connection that was lost already, where nobody sees it. The player did not come back,
    // or the ring did not hold it until then, which is told as GAP (3.2).
    if (gap || ended) && frame.arrived.is_some() && frame.forwarded.is_none() && refused {
        return true;
    }
    let (arrived, service) = (frame.arrived, frame.service);
    let forwarded = next.map(|next| next.forwarded);
    let error = life.errors.iter_mut().find(|error| {
        let told = error.told || ended || gap;
        let behind = arrived.is_some_and(|arrived| arrived <= error.sent);
        let ahead = forwarded.is_none_or(|next| next.is_none_or(|next| error.sent < next));
        // One of a replay was said before, on a connection where nobody saw it.
        let ahead = ahead || error.replayed;
        error.service == service && told && behind && ahead && !error.spent
    });
    error.is_some_and(|error| {
        error.spent = error.code != 502;
        true
    })
}

/// A GAP was sent after the frame, and told before the next one that came through.
fn by_gap(session: &Session, life: &Life, frame: &DownFrame, next: Option<Moment>) -> bool {
    session.incarnations.iter().any(|incarnation| {
        let told = life.told.iter().any(|(at, told)| {
            let ahead = next.is_none_or(|next| *at < next);
            *told == Told::Gap && *at > incarnation.opened && ahead
        });
        incarnation.gap && frame.sent < incarnation.opened && told
    })
}

/// The frame was sent to a gateway that the session had left by a GAP: it knew nothing of that.
fn to_nowhere(
    session: &Session,
    frame: &DownFrame,
    gateway: impl Fn(u64) -> Option<Process>,
) -> bool {
    let Some(to) = frame.link.and_then(gateway) else {
        return false;
    };
    let before = session.incarnations.iter();
    let before: Vec<_> = before.filter(|i| i.opened < frame.sent).collect();
    let Some(owner) = before.last().filter(|owner| owner.gateway != to) else {
        return false;
    };
    // It had the session until a GAP that it does not know of, or never.
    let left = before.iter().rposition(|i| i.gateway == to && !i.aside);
    left.map_or(owner.gap, |own| before[own + 1].gap)
}

/// A backend has read an OPEN from a link that its gateway had lost before, and answers there: the player was
/// told of that loss (docs/simulation.md, limits).
fn to_a_lost_link(life: &Life, frame: &DownFrame) -> bool {
    let told = life.errors.iter().any(|error| {
        let named = error.code == 502 && error.service == frame.service;
        named && error.told && error.sent < frame.sent
    });
    frame.late && frame.arrived.is_none() && told
}

/// The frame was sent on a link whose OPEN, of a claim that had failed, took the session from the next claim
/// (docs/simulation.md, limits).
fn to_belated(session: &Session, frame: &DownFrame) -> bool {
    let place = frame.link.and_then(|link| session.places.get(&link));
    place.is_some_and(|place| place.belated)
}

/// A backend that was too late with its ACCEPT of a transferred session: another one has it (docs/simulation.md, limits).
fn to_too_late(session: &Session, frame: &DownFrame) -> bool {
    let place = frame.link.and_then(|link| session.places.get(&link));
    place.is_some_and(|place| {
        let waited = place.transferred && place.unanswered && place.standing == Standing::Closed;
        // It is there again, and said this before it had read so.
        let answered = place.accepted.max(place.ended);
        let again = place.too_late && frame.arrived.is_none_or(|at| at < answered);
        waited || again
    })
}

/// The same behind a link that is full: its final CLOSE is not said yet, but the old one has the session back.
fn to_given_up(session: &Session, frame: &DownFrame) -> bool {
    let opened = frame.link.and_then(|link| session.places.get(&link));
    let opened = opened.map_or(Moment::default(), |place| place.opened);
    session.moves.iter().any(|moving| {
        let its = moving.to.is_some() && moving.to == frame.link && moving.began < frame.sent;
        let behind = moving.back.is_some_and(|back| {
            // It may have been opened there again since.
            let late = frame.arrived.is_none_or(|arrived| arrived > back);
            late && (opened < back || frame.sent < opened)
        });
        its && behind && moving.answer.is_none()
    })
}

fn by_error(
    life: &Life,
    frame: &DownFrame,
    before: Option<Moment>,
    next: Option<Moment>,
    link_lost: impl Fn(u64) -> Option<Moment>,
) -> bool {
    let between = life.told.iter().any(|(at, told)| {
        let named = *told
            == Told::Error {
                code: 502,
                service: frame.service,
            };
        named && before.is_none_or(|before| before < *at) && next.is_none_or(|next| *at < next)
    });
    let lost = frame.link.and_then(link_lost);
    let since_loss = lost.is_some_and(|lost| {
        life.errors.iter().any(|error| {
            let named = error.code == 502 && error.service == frame.service;
            named && error.told && error.sent >= lost
        })
    });
    between || since_loss
}
