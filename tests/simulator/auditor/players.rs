//! What players' applications do and are told.

use game_gateway::sdk::client::session::Event;

use super::model::{Cause, LostLink, Moment, Standing, Told, UpFrame};
use super::{Audit, Process, rules};
use crate::wire::{Payload, Seen};

impl Audit {
    pub(super) fn player(&mut self, seen: &Seen<'_>) {
        let now = self.now;
        match *seen {
            Seen::PlayerSent {
                player,
                life,
                service,
                ..
            } => {
                let Some(service) = self.service(service) else {
                    return;
                };
                let life = self.lives.entry((player, life)).or_default();
                life.sent.push(UpFrame {
                    service,
                    sent: now,
                    era: life.era,
                    ..UpFrame::default()
                });
            }
            Seen::PlayerTold {
                player,
                life,
                event,
            } => self.told((player, life), event),
            Seen::PlayerCloses { player, life } => {
                self.lives.entry((player, life)).or_default().closes = Some(now);
            }
            Seen::PlayerGone { player, life } => {
                let life = self.lives.entry((player, life)).or_default();
                life.ended = Some(now);
            }
            _ => {}
        }
    }

    fn told(&mut self, of: (usize, u32), event: &Event) {
        let now = self.now;
        if self.lives.entry(of).or_default().ended.is_some() {
            let seen = format!("player {of:?}: {event:?} behind the end");
            return self.breach(&rules::S_APPLICATION, seen);
        }
        match event {
            Event::Started(id) => self.started(of, *id),
            Event::Data(data) => {
                let service = self.service(&data.service);
                let payload = Payload::decode(&data.payload);
                if let (Some(service), Some(payload)) = (service, payload) {
                    self.told_down(of, data.session_id, service, payload);
                }
            }
            Event::Error(told) => {
                let service = self.service(&told.service);
                let Some(life) = self.lives.get_mut(&of) else {
                    return;
                };
                if let Some(service) = service {
                    let code = told.code.0;
                    life.told.push((now, Told::Error { code, service }));
                    let same = life.errors.iter_mut();
                    same.filter(|e| e.code == code && e.service == service)
                        .for_each(|e| e.told = true);
                }
            }
            Event::Interrupted => {
                if let Some(life) = self.lives.get_mut(&of) {
                    (life.connected, life.interrupted) = (false, Some(now));
                }
            }
            Event::Resumed { gap, .. } => {
                let Some(life) = self.lives.get_mut(&of) else {
                    return;
                };
                life.connected = true;
                let answer = life.answer.take();
                if *gap {
                    life.era += 1;
                    life.told.push((now, Told::Gap));
                    self.report.resumes_gap += 1;
                } else {
                    self.report.resumes_exact += 1;
                }
                if answer != Some(*gap) {
                    let seen = format!("player {of:?}: {event:?}, OPENED was {answer:?}");
                    self.breach(&rules::S_APPLICATION, seen);
                }
            }
            Event::Ended(end) => {
                self.end_founded(of, end);
                if let Some(life) = self.lives.get_mut(&of) {
                    (life.ended, life.connected) = (Some(now), false);
                }
            }
        }
    }

    fn started(&mut self, of: (usize, u32), id: u64) {
        let life = self.lives.entry(of).or_default();
        life.connected = true;
        life.session = Some(id);
        if self.sessions.get(&id).is_none_or(|s| s.of != Some(of)) {
            let seen = format!("player {of:?}: session {id}");
            self.breach(&rules::S_APPLICATION, seen);
        }
    }

    /// A player's application gets a frame.
    fn told_down(&mut self, of: (usize, u32), session_id: u64, service: usize, payload: Payload) {
        let now = self.now;
        let seen = || format!("player {of:?}, session {session_id}: {payload:?}");
        let its = self.lives.get(&of).and_then(|life| life.session);
        let process = Process::origin(payload);
        let right = its == Some(session_id) && usize::from(payload.service) == service;
        let links = &self.links;
        let session = self.sessions.get_mut(&session_id);
        let gaps: Vec<Moment> = session.as_ref().map_or_else(Vec::new, |session| {
            let gaps = session.incarnations.iter().filter(|i| i.gap);
            gaps.map(|i| i.opened).collect()
        });
        let closed: Vec<u64> = session.as_ref().map_or_else(Vec::new, |session| {
            let places = session.places.iter();
            let closed = places.filter(|(_, place)| place.standing == Standing::Closed);
            closed.map(|(id, _)| *id).collect()
        });
        let lost_links = session
            .as_ref()
            .map(|s| s.lost_links.clone())
            .unwrap_or_default();
        let down = session.and_then(|s| s.down.get_mut(&process));
        let Some(down) = down.filter(|_| right) else {
            return self.breach(&rules::DOWN_STRANGE, seen());
        };
        let key = (payload.player == u32::MAX, payload.number);
        let Some(at) = down.index.get(&key).copied() else {
            return self.breach(&rules::DOWN_STRANGE, seen());
        };
        if down.frames[at].told.is_some() {
            return self.breach(&rules::DOWN_TWICE, seen());
        }
        // One that its backend sent before it learned that the link was lost may be overtaken.
        let lost = |id: u64| {
            links
                .get(&id)
                .is_some_and(|link| link.lost.or(link.backend_lost).is_some())
        };
        let (this, sent) = (down.frames[at].link, down.frames[at].sent);
        // So may one that was under way when its gateway ended the session there, or its client panicked: it comes
        // on a link that the session has left since by a GAP. And one that was said over another link, since the
        // session's own was lost: it takes the way over the registry (docs/simulation.md, limits).
        let gateway = this.and_then(|id| links.get(&id)).map(|link| link.gateway);
        let panicked = self.causes.iter().any(|(since, cause)| {
            matches!(cause, Cause::Panicked(g) if gateway.is_some_and(|at| at.index == *g))
                && *since > sent
        });
        let closed = panicked || this.is_some_and(|id| closed.contains(&id));
        let own_lost = |lost: &LostLink| {
            lost.since < sent && lost.service == service && Some(lost.gateway) == gateway
        };
        let relayed = down.frames[at].stray && lost_links.iter().any(own_lost);
        let behind_gap = |told: Moment| gaps.iter().any(|opened| *opened > sent && *opened < told);
        let overtaken = down.frames.iter().skip(at + 1).any(|later| {
            let abandoned = closed && later.told.is_some_and(behind_gap);
            let excused = this.is_some_and(lost) || abandoned || relayed;
            later.told.is_some() && (later.link == this || !excused)
        });
        let stray = down.frames[at].stray;
        down.frames[at].told = Some(now);
        self.report.frames_down += 1;
        if !stray {
            self.check_turn(session_id, process, sent, service);
        }
        if overtaken {
            self.breach(&rules::DOWN_ORDER, seen());
        }
    }
}
