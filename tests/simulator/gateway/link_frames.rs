//! What a backend says on a link.

use game_gateway::codec::Decoded;
use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{
    self, Assign, Bind, Features, Frame, GOAWAY_MOVE, Kind, Multicast, Transfer,
};
use game_gateway::session::core::BackendClose;
use game_gateway::session::link::{Batch, Closed, LeaveAnswered, Recipient};

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
        let mut at = 0;
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&inbox[at..], u32::MAX) {
            at += used;
            self.link_frame(link, &frame);
        }
        self.links[link].inbox = inbox[at..].to_vec();
        let mut batches = Vec::new();
        self.links[link].sessions.deliver(|attached| {
            if let Some(batch) = attached.take_batch() {
                batches.push((attached.client, batch));
            }
        });
        for (client, batch) in batches {
            self.deliver_batch(client, batch);
        }
    }

    pub(super) fn deliver_batch(&mut self, client: usize, batch: Batch) {
        let Batch { head, frames } = batch;
        self.mail_client(client, ClientMail::Deliver { head, frames });
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm a kind")]
    fn link_frame(&mut self, link: usize, frame: &Frame<'_>) {
        let (id, service) = (frame.session_id, self.links[link].service);
        match Kind::from_byte(frame.kind) {
            Some(Kind::Data) => self.link_data(link, id, frame.payload),
            Some(Kind::Ping) => self.enqueue(link, Kind::Pong, 0, frame.payload),
            Some(Kind::Pong) => match frame.payload.try_into().map(u64::from_be_bytes) {
                Ok(session_id) => {
                    self.links[link].sessions.pong();
                    self.confirm_on_link(link, session_id);
                }
                Err(_) => self.link_ready(link),
            },
            Some(Kind::Close) => self.link_close(link, id, frame.payload),
            Some(Kind::Bind) => {
                let Ok(bind) = Bind::decode(frame.payload) else {
                    return;
                };
                match self.links[link].sessions.bind(id) {
                    Recipient::BeforeAccept | Recipient::Left => {}
                    Recipient::Attached(attached) => {
                        if bind.realm_id != 0 {
                            attached.realm_id = bind.realm_id;
                        }
                        let (client, batch) = (attached.client, attached.take_batch());
                        if let Some(batch) = batch {
                            self.deliver_batch(client, batch);
                        }
                        let service = self.links[link].service;
                        self.mail_client(client, ClientMail::Bound(service, bind));
                    }
                    Recipient::Stranger => self.stray(link, id, Stray::Bind(bind)),
                }
            }
            Some(Kind::Multicast) => {
                let Ok(multicast) = Multicast::decode(frame.payload) else {
                    return;
                };
                for id in multicast.sessions() {
                    self.link_data(link, id, multicast.payload);
                }
            }
            Some(Kind::Goaway) => {
                if frame.payload.first() == Some(&GOAWAY_MOVE) {
                    self.links[link].anchor.known.evacuated.set(true);
                }
                self.link_leaves(link);
                self.evacuate_endpoint(link);
            }
            Some(Kind::Features) => {
                if let Ok(features) = Features::decode(frame.payload) {
                    self.links[link]
                        .anchor
                        .known
                        .transfers
                        .set(features.transfer);
                    self.evacuate_endpoint(link);
                }
            }
            Some(Kind::Assign) => {
                let wish = Assign::decode(frame.payload);
                self.link_wish(
                    link,
                    id,
                    wish.map(|a| (Some(a.service.to_owned()), a.endpoint)),
                );
            }
            Some(Kind::Transfer) => {
                let wish = Transfer::decode(frame.payload);
                self.link_wish(link, id, wish.map(|t| (None, t.endpoint)));
            }
            Some(Kind::Accept) => {
                let Some(epoch) = frame.payload.first_chunk() else {
                    return;
                };
                let epoch = u32::from_be_bytes(*epoch);
                if let Some(attached) = self.links[link].sessions.accepted(id, epoch) {
                    let (client, batch) = (attached.client, attached.take_batch());
                    if let Some(batch) = batch {
                        self.deliver_batch(client, batch);
                    }
                    self.mail_client(client, ClientMail::Accepted { service, epoch });
                }
            }
            Some(Kind::Hello | Kind::Open | Kind::Suspend | Kind::Bound | Kind::Moved) | None => {}
        }
    }

    fn link_data(&mut self, link: usize, id: u64, payload: &[u8]) {
        let l = &mut self.links[link];
        let attached = match l.sessions.data(id) {
            Recipient::Attached(attached) => attached,
            Recipient::BeforeAccept | Recipient::Left => return,
            Recipient::Stranger => return self.stray(link, id, Stray::Data(payload.to_vec())),
        };
        let header = Header {
            session_id: id,
            realm_id: attached.realm_id,
            ..Header::default()
        };
        client::encode(&mut attached.head, &header, SERVICES[l.service], payload);
    }

    pub(super) fn stray(&mut self, link: usize, session_id: u64, stray: Stray) {
        let l = &self.links[link];
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
            let (client, batch, state): (_, _, Box<[u8]>) = match l.sessions.leave_answered(id) {
                LeaveAnswered::Detached(mut attached) => {
                    (attached.client, attached.take_batch(), Box::default())
                }
                LeaveAnswered::Parted(attached) => {
                    let state = payload.get(Notice::TEXT_AT..).unwrap_or_default();
                    (attached.client, attached.take_batch(), state.into())
                }
                LeaveAnswered::Forgotten | LeaveAnswered::Unexpected => return,
            };
            if let Some(batch) = batch {
                self.deliver_batch(client, batch);
            }
            let left = ClientMail::Left {
                service,
                link,
                state,
            };
            return self.mail_client(client, left);
        }
        let close = BackendClose {
            code: notice.code,
            retry_after_ms: notice.retry_after_ms,
            text: notice.text.into(),
        };
        let closed = l.sessions.closed(id, close.code);
        if let Closed::Crossed(_, owed) = &closed {
            self.enqueue_close(link, id, *owed);
        }
        match closed {
            Closed::Detached(mut attached) | Closed::Crossed(mut attached, _) => {
                if let Some(batch) = attached.take_batch() {
                    self.deliver_batch(attached.client, batch);
                }
                let closed = ClientMail::Closed {
                    service,
                    link,
                    close,
                };
                self.mail_client(attached.client, closed);
            }
            Closed::Left => {}
            Closed::Stranger => self.stray(link, id, Stray::Close(close)),
        }
    }

    fn link_ready(&mut self, link: usize) {
        let l = &mut self.links[link];
        if l.is_dead() || std::mem::replace(&mut l.greeted, true) {
            return;
        }
        if l.stage == Stage::Greeting {
            l.stage = Stage::Ready;
            // One that said GOAWAY before is another one now.
            l.anchor.known.evacuated.set(false);
            l.anchor.known.leaves.set(false);
        }
        self.pool_ready(link);
    }

    fn link_leaves(&mut self, link: usize) {
        if !self.links[link].is_dead() {
            self.links[link].stage = Stage::Leaving;
            self.links[link].anchor.known.leaves.set(true);
            self.pool_leaves(link);
        }
    }
}
