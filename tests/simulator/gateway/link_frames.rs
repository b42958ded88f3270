//! What a backend says on a link.

use std::collections::BTreeSet;

use game_gateway::codec::Decoded;
use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{self, Bind, Frame, Kind, Multicast};
use game_gateway::session::core::BackendClose;

use super::link::Stage;
use super::mail::{ClientMail, RegistryMail, Stray};
use crate::network::Item;
use crate::world::{SERVICES, World};

impl World {
    pub(crate) fn link_reads(&mut self, wire: usize, item: Item) {
        let Some(link) = self.wires[wire].near else {
            return;
        };
        let Item::Bytes(bytes) = item else {
            return self.link_ends(link);
        };
        let l = &mut self.links[link];
        if l.is_dead() {
            return;
        }
        l.inbox.extend(bytes);
        let inbox = std::mem::take(&mut l.inbox);
        let (mut at, mut touched) = (0, BTreeSet::new());
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&inbox[at..], u32::MAX) {
            at += used;
            self.link_frame(link, &frame, &mut touched);
        }
        self.links[link].inbox = inbox[at..].to_vec();
        for id in touched {
            self.deliver_gathered(link, id);
        }
    }

    fn link_frame(&mut self, link: usize, frame: &Frame<'_>, touched: &mut BTreeSet<u64>) {
        let (id, service) = (frame.session_id, self.links[link].service);
        match Kind::from_byte(frame.kind) {
            Some(Kind::Data) => self.link_data(link, id, frame.payload, touched),
            Some(Kind::Ping) => self.enqueue(link, Kind::Pong, 0, frame.payload),
            Some(Kind::Pong) => match frame.payload.try_into().map(u64::from_be_bytes) {
                Ok(session_id) => self.confirm_on_link(link, session_id),
                Err(_) => self.link_ready(link),
            },
            Some(Kind::Close) => self.link_close(link, id, frame.payload),
            Some(Kind::Bind) => {
                let Ok(bind) = Bind::decode(frame.payload) else {
                    return;
                };
                match self.links[link].sessions.get_mut(&id) {
                    Some(attached) if attached.unanswered => {}
                    Some(attached) => {
                        if bind.realm_id != 0 {
                            attached.realm_id = bind.realm_id;
                        }
                        self.deliver_gathered(link, id);
                        self.tell_client(link, id, ClientMail::Bound(bind));
                    }
                    None => self.stray(link, id, Stray::Bind(bind)),
                }
            }
            Some(Kind::Multicast) => {
                let Ok(multicast) = Multicast::decode(frame.payload) else {
                    return;
                };
                for id in multicast.sessions() {
                    self.link_data(link, id, multicast.payload, touched);
                }
            }
            Some(Kind::Goaway) => self.link_leaves(link),
            Some(Kind::Accept) => {
                let Some(epoch) = frame.payload.first_chunk() else {
                    return;
                };
                self.deliver_gathered(link, id);
                if let Some(attached) = self.links[link].sessions.get_mut(&id) {
                    (attached.known, attached.unanswered) = (true, false);
                    let epoch = u32::from_be_bytes(*epoch);
                    self.tell_client(link, id, ClientMail::Accepted { service, epoch });
                }
            }
            Some(Kind::Hello | Kind::Open | Kind::Suspend) | None => {}
        }
    }

    fn link_data(&mut self, link: usize, id: u64, payload: &[u8], touched: &mut BTreeSet<u64>) {
        let l = &mut self.links[link];
        let Some(attached) = l.sessions.get_mut(&id) else {
            return self.stray(link, id, Stray::Data(payload.to_vec()));
        };
        attached.known = true;
        if attached.unanswered {
            return;
        }
        let header = Header {
            session_id: id,
            realm_id: attached.realm_id,
            ..Header::default()
        };
        client::encode(&mut attached.head, &header, SERVICES[l.service], payload);
        attached.frames += 1;
        touched.insert(id);
    }

    fn deliver_gathered(&mut self, link: usize, id: u64) {
        if let Some(attached) = self.links[link].sessions.get_mut(&id)
            && attached.frames > 0
        {
            let head = std::mem::take(&mut attached.head);
            let frames = std::mem::take(&mut attached.frames);
            self.tell_client(link, id, ClientMail::Deliver { head, frames });
        }
    }

    fn stray(&mut self, link: usize, session_id: u64, stray: Stray) {
        let l = &self.links[link];
        if l.left.contains(&session_id) {
            return;
        }
        let (gateway, service) = (l.gateway, l.service);
        let relay = RegistryMail::Relay {
            service,
            session_id,
            stray,
            link,
        };
        self.mail_registry(gateway, relay);
    }

    fn link_close(&mut self, link: usize, id: u64, payload: &[u8]) {
        let notice = Notice::decode(payload, Code::KICKED);
        let l = &mut self.links[link];
        let service = l.service;
        if notice.code == Code::LEAVES_LINK {
            if l.left.remove(&id) {
                return;
            }
            if l.sessions.get(&id).is_some_and(|attached| attached.leaving) {
                self.deliver_gathered(link, id);
                self.tell_client(link, id, ClientMail::Left { service });
                self.links[link].sessions.remove(&id);
            }
            return;
        }
        let close = BackendClose {
            code: notice.code,
            retry_after_ms: notice.retry_after_ms,
            text: notice.text.into(),
        };
        if l.sessions.contains_key(&id) {
            self.deliver_gathered(link, id);
            self.tell_client(link, id, ClientMail::Closed { service, close });
            self.links[link].sessions.remove(&id);
        } else {
            self.stray(link, id, Stray::Close(close));
        }
    }

    fn link_ready(&mut self, link: usize) {
        let l = &mut self.links[link];
        if l.is_dead() || std::mem::replace(&mut l.greeted, true) {
            return;
        }
        if l.stage == Stage::Greeting {
            l.stage = Stage::Ready;
        }
        self.pool_ready(link);
    }

    fn link_leaves(&mut self, link: usize) {
        if !self.links[link].is_dead() {
            self.links[link].stage = Stage::Leaving;
            self.pool_leaves(link);
        }
    }
}
