//! A link of a gateway around the table of sessions that ships, as `actors::link` has it.

use std::rc::Rc;

use game_gateway::codec::Decoded;
use game_gateway::codec::code::Code;
use game_gateway::codec::link::{
    self, Bind, Hello, Kind, OPEN_TRANSFERRED, open_epoch, open_flags,
};
use game_gateway::session::link::{OpenState, Sessions, Waiter, Waiting};

use super::lease::{Anchor, HIGH_WATERMARK, Lease, Word};
use super::mail::{Attach, ClientMail, LinkMail, Mailbox, Stray};
use super::moves::Evacuation;
use crate::wire::{Millis, Side};
use crate::world::{SERVICES, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Greeting,
    Ready,
    /// The backend has said GOAWAY.
    Leaving,
    Dead,
}

pub(crate) struct Link {
    pub(crate) gateway: usize,
    pub(crate) worker: usize,
    pub(crate) service: usize,
    pub(crate) backend: usize,
    pub(crate) wire: usize,
    pub(crate) stage: Stage,
    /// The first PONG came.
    pub(crate) greeted: bool,
    pub(crate) anchor: Rc<Anchor>,
    /// The table that ships.
    pub(crate) sessions: Sessions<usize>,
    /// Those who wait for room, and sessions that are not open yet.
    pub(crate) waiting: Waiting<Box<Attach>>,
    pub(crate) inbox: Vec<u8>,
    /// What waits to be written while the socket is stuffed.
    pub(crate) outbox: Vec<u8>,
    pub(crate) stuffed_until: Millis,
    pub(crate) mail: Mailbox<LinkMail>,
    pub(crate) evacuation: Evacuation,
}

impl Link {
    pub(crate) fn is_dead(&self) -> bool {
        self.stage == Stage::Dead
    }

    /// The process around it is gone.
    pub(crate) fn kill(&mut self) {
        self.stage = Stage::Dead;
        self.sessions = Sessions::default();
        self.waiting = Waiting::default();
        self.mail = Mailbox::default();
        self.evacuation = Evacuation::default();
    }
}

impl World {
    /// What leases have said becomes mail.
    pub(crate) fn deliver_words(&mut self) {
        loop {
            let words = std::mem::take(&mut *self.post.borrow_mut());
            if words.is_empty() {
                return;
            }
            for (link, session_id, word) in words {
                let dead = self.links[link].is_dead();
                match word {
                    Word::Release(Some(code)) if dead => self.farewell(link, session_id, code),
                    _ if dead => {}
                    word => self.mail_link(link, LinkMail::Word(session_id, word)),
                }
            }
        }
    }

    pub(crate) fn link_mail(&mut self, link: usize) {
        let Some(mail) = self.links[link].mail.queue.pop_front() else {
            return;
        };
        if self.log.prints() {
            let letter = format!("link {link} gets {mail:?}");
            self.log.note(self.now, &letter);
        }
        match mail {
            LinkMail::Attach(attach) => {
                let l = &mut self.links[link];
                if attach.resumes || l.is_dead() || l.anchor.has_room(false) {
                    self.attach(link, *attach);
                } else {
                    l.anchor.waiting.set(l.anchor.waiting.get() + 1);
                    l.waiting.other(attach, false);
                }
            }
            LinkMail::Word(session_id, word) => self.heed(link, session_id, word),
            LinkMail::Farewell(session_id, code) => {
                let sessions = &mut self.links[link].sessions;
                sessions.endpoint().push(session_id, code);
                let owed = sessions.say_owed();
                for (session_id, code, _) in owed.closes {
                    self.enqueue_close(link, session_id, code);
                }
                for session_id in owed.left {
                    self.stray(link, session_id, Stray::Left);
                }
            }
            LinkMail::Refuse(session_id) => {
                if self.links[link].sessions.get(session_id).is_none() {
                    self.enqueue_close(link, session_id, Code::NOT_HERE);
                }
            }
            LinkMail::AnswerMoved(session_id, code) => self.tell_moved(link, session_id, code),
        }
    }

    fn attach(&mut self, link: usize, attach: Attach) {
        if !self.client_lives(attach.client) {
            return; // No OPEN was sent.
        }
        if self.links[link].is_dead() {
            return self.bind_failed(attach, "the backend cannot be reached");
        }
        let l = &mut self.links[link];
        l.waiting.forget_bound(attach.session_id);
        let (id, client) = (attach.session_id, attach.client);
        let attached = l
            .sessions
            .attach(id, attach.realm_id, client, attach.resumes);
        if open_flags(&attach.open) & OPEN_TRANSFERRED != 0 {
            attached.arrives(open_epoch(&attach.open));
        }
        let lease = Lease::new(Rc::clone(&l.anchor), attach.session_id);
        self.enqueue(link, Kind::Open, attach.session_id, &attach.open);
        let mail = if attach.resumes {
            ClientMail::Reached {
                service: attach.service,
                lease: Some(lease),
            }
        } else {
            ClientMail::Opened {
                service: attach.service,
                epoch: attach.epoch,
                result: Ok(lease),
            }
        };
        self.mail_client(attach.client, mail);
    }

    fn heed(&mut self, link: usize, id: u64, word: Word) {
        let l = &mut self.links[link];
        if l.is_dead() {
            if let Word::Release(Some(code)) = word {
                self.farewell(link, id, code);
            }
            return;
        }
        match word {
            Word::Forward(bytes) => {
                let queued = l.anchor.queued.get();
                l.anchor.queued.set(queued.saturating_sub(bytes.len()));
                self.write(link, &bytes);
            }
            Word::AwaitRoom(in_turn) => {
                l.waiting.client(id, in_turn);
                self.give_room(link);
            }
            Word::TellBound(bound) => {
                if l.anchor.has_room(false) {
                    self.tell_bound(link, id, bound);
                } else if l.waiting.bound(id, bound) {
                    l.anchor.waiting.set(l.anchor.waiting.get() + 1);
                }
            }
            Word::Retag(realm_id) => {
                if let Some(attached) = l.sessions.get(id) {
                    attached.realm_id = realm_id;
                }
            }
            Word::Reopen(open) => {
                if l.sessions.reopen(id, open_epoch(&open)) {
                    l.waiting.forget_bound(id);
                    self.enqueue(link, Kind::Open, id, &open);
                }
            }
            Word::Suspend(window_ms) => {
                if l.sessions.get(id).is_some() {
                    self.enqueue(link, Kind::Suspend, id, &window_ms.to_be_bytes());
                }
            }
            Word::Confirm => match l.sessions.confirm(id) {
                Some(OpenState::Taken) => self.confirm_on_link(link, id),
                Some(OpenState::Unknown) => self.ping(link, &id.to_be_bytes()),
                None => {}
            },
            Word::Leave => {
                if l.sessions.leave(id) {
                    self.enqueue_close(link, id, Code::LEAVES_LINK);
                }
            }
            Word::Part => self.part_on_link(link, id),
            Word::TellMoved(code) => self.tell_moved(link, id, code),
            Word::Release(code) => {
                if l.sessions.release(id, code)
                    && let Some(code) = code
                {
                    self.enqueue_close(link, id, code);
                }
            }
        }
    }

    pub(crate) fn tell_client(&mut self, link: usize, id: u64, mail: ClientMail) {
        if let Some(attached) = self.links[link].sessions.get(id) {
            let client = attached.client;
            self.mail_client(client, mail);
        }
    }

    pub(crate) fn enqueue(&mut self, link: usize, kind: Kind, session_id: u64, payload: &[u8]) {
        let mut frame = Vec::with_capacity(link::HEADER_LEN + payload.len());
        link::encode(&mut frame, kind, session_id, payload);
        self.write(link, &frame);
    }

    fn ping(&mut self, link: usize, payload: &[u8]) {
        self.links[link].sessions.ping();
        self.enqueue(link, Kind::Ping, 0, payload);
    }

    pub(crate) fn enqueue_close(&mut self, link: usize, session_id: u64, code: Code) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&code.0.to_be_bytes());
        self.enqueue(link, Kind::Close, session_id, &payload);
    }

    fn write(&mut self, link: usize, bytes: &[u8]) {
        let l = &mut self.links[link];
        if l.is_dead() {
            return;
        }
        if l.stuffed_until > self.now {
            l.anchor.queued.set(l.anchor.queued.get() + bytes.len());
            l.outbox.extend(bytes);
            return;
        }
        let wire = l.wire;
        self.send(wire, Side::Remote, bytes.to_vec());
    }

    /// The socket takes bytes again.
    pub(crate) fn link_flows(&mut self, link: usize) {
        let l = &mut self.links[link];
        if l.stuffed_until > self.now || l.is_dead() {
            return;
        }
        let bytes = std::mem::take(&mut l.outbox);
        l.anchor
            .queued
            .set(l.anchor.queued.get().saturating_sub(bytes.len()));
        let (wire, mut at) = (l.wire, 0);
        // Frame by frame, so that what each of them brings about can be told apart.
        while let Ok(Decoded::Frame(_, used)) = link::decode(&bytes[at..], u32::MAX) {
            self.send(wire, Side::Remote, bytes[at..at + used].to_vec());
            at += used;
        }
        self.give_room(link);
    }

    /// Tells those whose turn it is: one a time is what this watermark has room for.
    pub(crate) fn give_room(&mut self, link: usize) {
        loop {
            let l = &mut self.links[link];
            if l.is_dead() || l.anchor.queued.get() > HIGH_WATERMARK / 2 {
                return;
            }
            let before = l.waiting.len();
            let next = l.waiting.take_next();
            let waiting = l.anchor.waiting.get();
            l.anchor.waiting.set(waiting - (before - l.waiting.len()));
            match next {
                None => return,
                Some(Waiter::Client(id)) => self.tell_client(link, id, ClientMail::Room),
                Some(Waiter::Bound(id, bound)) => self.tell_bound(link, id, bound),
                Some(Waiter::Other(attach)) => self.attach(link, *attach),
            }
        }
    }

    fn tell_bound(&mut self, link: usize, id: u64, bound: Bind) {
        if self.links[link].sessions.takes_bound(id) {
            self.enqueue(link, Kind::Bound, id, &bound.encode());
        }
    }

    /// The connection stands: HELLO, and a PING that shows when it takes sessions.
    pub(crate) fn link_connected(&mut self, link: usize, good: bool) {
        if self.links[link].stage != Stage::Connecting {
            return;
        }
        let l = &self.links[link];
        let (wire, backend, service) = (l.wire, l.backend, l.service);
        let core = backend * SERVICES.len() + service;
        if !good || !self.backends[core].takes_links() {
            return self.link_ends(link);
        }
        self.links[link].stage = Stage::Greeting;
        let number = self.backends[core].link_up();
        self.wires[wire].far = Some((self.backends[core].life, number as u64));
        self.opened(wire);
        let hello = Hello {
            protocol: 1,
            gateway_id: self.gateways[self.links[link].gateway].id.clone(),
            service_type: SERVICES[service].to_owned(),
            resume_window_ms: self.limits.resume_window,
            ping_interval_ms: 5_000,
            token: None,
            trace_threshold: None,
        };
        let hello = serde_json::to_vec(&hello).unwrap();
        self.enqueue(link, Kind::Hello, 0, &hello);
        self.enqueue(link, Kind::Ping, 0, &[]);
    }

    pub(crate) fn link_overdue(&mut self, link: usize) {
        if !self.links[link].greeted {
            self.link_ends(link);
        }
    }

    /// The link is lost, for this gateway.
    pub(crate) fn link_ends(&mut self, link: usize) {
        let l = &mut self.links[link];
        if l.is_dead() {
            return;
        }
        l.stage = Stage::Dead;
        let (service, wire) = (l.service, l.wire);
        let mut sessions = std::mem::take(&mut l.sessions);
        let mut waiting = std::mem::take(&mut l.waiting);
        let mail = std::mem::take(&mut l.mail.queue);
        if self.wires[wire].far.is_some() {
            self.cut_from(wire, Side::Gateway, self.plan.cut_noticed);
        }
        for client in sessions.clients() {
            self.mail_client(*client, ClientMail::Lost { service, link });
        }
        self.pool_lost(link);
        for (id, code) in sessions.lose_unread() {
            self.farewell(link, id, code);
        }
        while let Some(next) = waiting.take_next() {
            if let Waiter::Other(attach) = next {
                self.bind_failed(*attach, "the backend cannot be reached");
            }
        }
        for letter in mail {
            match letter {
                LinkMail::Attach(attach) => {
                    self.bind_failed(*attach, "the backend cannot be reached");
                }
                LinkMail::Word(id, Word::Release(Some(code))) => self.farewell(link, id, code),
                LinkMail::Farewell(id, code) => self.farewell(link, id, code),
                LinkMail::Word(..) | LinkMail::Refuse(_) | LinkMail::AnswerMoved(..) => {}
            }
        }
    }

    pub(crate) fn confirm_on_link(&mut self, link: usize, id: u64) {
        let service = self.links[link].service;
        if let Some(client) = self.links[link].sessions.confirmed(id).copied() {
            self.mail_client(client, ClientMail::Confirmed { service });
        }
    }
}
