//! Sessions that go on at other backends, as `actors::link::moves` and `actors::client::linking` have it.

use std::collections::VecDeque;

use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{FrameError, Kind, MOVE};
use game_gateway::session::core::{Elsewhere, MoveAnswer};

use super::mail::{ClientMail, LinkMail, Stray, Wish};
use super::pool::{backend_at, endpoint, service_at};
use crate::wire::Millis;
use crate::world::{BACKENDS, Event, SERVICES, World};

/// Time until the next sessions of a backend that leaves are asked to go.
const PAUSE: Millis = 50;
/// Time until those that could go nowhere are asked again.
const AGAIN: Millis = 5_000;

/// The sessions of a backend that leaves, on their way to others.
#[derive(Debug, Default)]
pub(crate) struct Evacuation {
    /// Those that are still to be asked.
    waiting: VecDeque<u64>,
    timed: bool,
}

impl World {
    /// A backend's ASSIGN or TRANSFER: to the session's client, behind all that it has said before.
    pub(super) fn link_wish(
        &mut self,
        link: usize,
        id: u64,
        wish: Result<(Option<String>, &str), FrameError>,
    ) {
        let Ok((assigned, to)) = wish else {
            return self.tell_moved(link, id, Code::MALFORMED);
        };
        let l = &mut self.links[link];
        let (service, from) = (l.service, l.anchor.endpoint);
        let stray = Stray::Move(Wish {
            service: assigned,
            endpoint: to.to_owned(),
            from,
        });
        let Some(attached) = l.sessions.get(id) else {
            return self.stray(link, id, stray);
        };
        let (client, batch) = (attached.client, attached.take_batch());
        if let Some(batch) = batch {
            self.deliver_batch(client, batch);
        }
        let wish = ClientMail::Stray {
            service,
            session_id: id,
            stray,
            link,
        };
        self.mail_client(client, wish);
    }

    pub(super) fn hear_wish(
        &mut self,
        client: usize,
        (service, id, link): (usize, u64, usize),
        wish: &Wish,
    ) {
        self.counts.wishes += 1;
        let answer = self.step(client, |core, step| match &wish.service {
            Some(assigned) => core.assign(SERVICES[service], assigned, &wish.endpoint, step),
            None => core.transfer(SERVICES[service], wish.from, &wish.endpoint, step),
        });
        if let Some(MoveAnswer::Now(code)) = answer {
            self.mail_link(link, LinkMail::AnswerMoved(id, code));
        }
    }

    pub(super) fn tell_moved(&mut self, link: usize, id: u64, code: Code) {
        self.enqueue(link, Kind::Moved, id, &code.0.to_be_bytes());
    }

    /// CLOSE 307 with which a move begins.
    pub(super) fn part_on_link(&mut self, link: usize, id: u64) {
        if self.links[link].sessions.part(id) {
            let mut payload = Vec::new();
            Notice {
                code: Code::LEAVES_LINK,
                retry_after_ms: 0,
                text: MOVE,
            }
            .encode(&mut payload);
            self.enqueue(link, Kind::Close, id, &payload);
        }
    }

    /// Where the rules lead a service when its backend is left out.
    pub(super) fn find_elsewhere(&mut self, client: usize, elsewhere: Elsewhere) {
        let Some(Some(c)) = self.clients.get(client) else {
            return;
        };
        let gateway = c.gateway;
        let service = service_at(&elsewhere.service);
        let left = backend_at(elsewhere.from);
        let known = &self.gateways[gateway].endpoints;
        let takes = |backend: &usize| {
            let known = known.get(&(service, *backend));
            known.is_none_or(|known| known.takes_sessions())
        };
        let mut others = (0..BACKENDS).filter(|backend| *backend != left);
        let none = match others.clone().next() {
            Some(_) => Code::UNAVAILABLE,
            None => Code::NO_ROUTE,
        };
        let found = others.find(takes).map(|backend| endpoint(backend, service));
        let found = ClientMail::Elsewhere {
            service: elsewhere.service.to_string(),
            from: elsewhere.from,
            asked: elsewhere.asked,
            found: found.ok_or(none),
        };
        self.mail_client(client, found);
    }

    /// GOAWAY 01 on one link speaks for the backend.
    pub(super) fn evacuate_endpoint(&mut self, link: usize) {
        let (gateway, backend, service) = {
            let l = &self.links[link];
            (l.gateway, l.backend, l.service)
        };
        self.evacuate_all(gateway, backend, service);
    }

    pub(super) fn evacuate_all(&mut self, gateway: usize, backend: usize, service: usize) {
        for other in 0..self.links.len() {
            let l = &self.links[other];
            if (l.gateway, l.backend, l.service) == (gateway, backend, service) {
                self.evacuate(other);
            }
        }
    }

    pub(crate) fn evacuate_later(&mut self, link: usize) {
        self.links[link].evacuation.timed = false;
        self.evacuate(link);
    }

    /// Asks sessions of a backend that leaves to go, some at a time.
    fn evacuate(&mut self, link: usize) {
        let l = &mut self.links[link];
        let known = &l.anchor.known;
        let wanted = known.evacuated.get() || known.ordered.get();
        let asked = wanted && known.transfers.get();
        if !asked || l.is_dead() || l.evacuation.timed {
            return;
        }
        if l.evacuation.waiting.is_empty() {
            let mut ids: Vec<u64> = l.sessions.ids().collect();
            ids.sort_unstable();
            l.evacuation.waiting = ids.into();
        }
        let next = known.room_for_moves().min(l.evacuation.waiting.len());
        let (service, from) = (l.service, l.anchor.endpoint);
        let asked: Vec<u64> = l.evacuation.waiting.drain(..next).collect();
        let client = |id: u64| l.sessions.get(id).map(|attached| attached.client);
        let clients: Vec<usize> = asked.into_iter().filter_map(client).collect();
        let pause = if l.evacuation.waiting.is_empty() {
            AGAIN
        } else {
            PAUSE
        };
        for client in clients {
            self.mail_client(client, ClientMail::MoveAway { service, from });
        }
        // Until nothing can come any more.
        if self.now < self.plan.end - 2 * AGAIN {
            self.links[link].evacuation.timed = true;
            self.after(pause, Event::Evacuate(link));
        }
    }
}
