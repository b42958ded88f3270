//! The executor of a core's effects.

use game_gateway::codec::client::{self, FLAG_GAP, Header, Kind, Opened};
use game_gateway::codec::code::Notice;
use game_gateway::session::closing::{Closing, Retry};
use game_gateway::session::core::{Effect, Note, OpenedFrame, ResumeRequest};

use super::mail::{Attach, ClientMail, PeerMail, RegistryMail};
use crate::wire::Side;
use crate::world::World;

impl World {
    #[expect(clippy::too_many_lines, reason = "a table: one arm an effect")]
    pub(crate) fn execute(&mut self, client: usize, effect: Effect) {
        if self.log.prints() {
            let done = format!("client {client} does {effect:?}");
            self.log.note(self.now, &done);
        }
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let (gateway, wire) = (c.gateway, c.wire);
        match effect {
            Effect::Send(frame) => self.write_to(client, frame),
            Effect::SendOpened(opened) => self.send_opened(client, opened),
            Effect::Replay { bytes, .. } => self.write_to(client, bytes),
            Effect::LeaveConnection(closing) => {
                c.wire = None;
                c.inbox.clear();
                c.eof = false;
                if let Some(wire) = wire {
                    self.part(client, wire, &closing);
                }
            }
            Effect::TakeConnection => {
                if let Some((wire, inbox, eof)) = c.incoming.take() {
                    (c.wire, c.inbox, c.eof) = (Some(wire), inbox, eof);
                }
            }
            Effect::RefuseConnection(closing) => {
                if let Some((wire, ..)) = c.incoming.take() {
                    self.wires[wire].near = None;
                    self.counts.refused(&closing);
                    self.part(client, wire, &closing);
                }
            }
            Effect::Close(closing) => {
                c.wire = None;
                c.ended = true;
                if let Some(wire) = wire {
                    self.part(client, wire, &closing);
                }
                self.counts.refused(&closing);
                self.client_lingers(client);
            }
            Effect::Register { chosen } => {
                let id = chosen.unwrap_or_else(|| self.gateways[gateway].dice.next() | 1);
                self.enter(client, gateway, id, chosen.is_some());
            }
            Effect::Elsewhere(elsewhere) => self.find_elsewhere(client, elsewhere),
            Effect::Enlist(id) => self.enter(client, gateway, id, true),
            Effect::Locate(session_id) => {
                self.mail_registry(gateway, RegistryMail::Find { session_id, client });
            }
            Effect::Unregister => {
                if let Some(session_id) = c.registered.take() {
                    self.mail_registry(gateway, RegistryMail::Ended { session_id, client });
                }
            }
            Effect::Moved(to) => {
                if let Some(session_id) = c.registered.take() {
                    let moved = RegistryMail::Moved {
                        session_id,
                        client,
                        to,
                    };
                    self.mail_registry(gateway, moved);
                }
            }
            Effect::Route(route) => {
                let attach = Attach {
                    client,
                    session_id: route.session_id,
                    realm_id: route.realm_id,
                    open: route.open,
                    resumes: false,
                    service: route.service.to_string(),
                    epoch: route.epoch,
                    tried: Vec::new(),
                    arrives: false,
                    assigned: route.assigned.is_some(),
                };
                match route.assigned {
                    Some(endpoint) => self.reach(attach, endpoint),
                    None => self.route(attach),
                }
            }
            Effect::Reach(reach) => {
                let attach = Attach {
                    client,
                    session_id: reach.session_id,
                    realm_id: reach.realm_id,
                    open: reach.open,
                    resumes: true,
                    service: reach.service.to_string(),
                    epoch: 0,
                    tried: Vec::new(),
                    arrives: reach.arrives,
                    assigned: true,
                };
                self.reach(attach, reach.endpoint);
            }
            Effect::Call {
                call,
                to,
                session_id,
                say,
            } => self.mail_peers(
                gateway,
                PeerMail::Call {
                    client,
                    call,
                    to,
                    session_id,
                    say,
                },
            ),
            Effect::CancelCall(call) => self.mail_peers(gateway, PeerMail::Cancel(call)),
            Effect::Reply { to, say } => self.mail_peers(gateway, PeerMail::Reply { to, say }),
            Effect::Note(note) => self.noted(note),
        }
    }

    fn enter(&mut self, client: usize, gateway: usize, session_id: u64, chosen: bool) {
        if let Some(Some(c)) = self.clients.get_mut(client) {
            c.registered = Some(session_id);
        }
        let open = RegistryMail::Open {
            session_id,
            client,
            chosen,
        };
        self.mail_registry(gateway, open);
    }

    fn noted(&mut self, note: Note) {
        match note {
            Note::Resumed { gap: true, .. } => self.counts.resumed_gap += 1,
            Note::Resumed { gap: false, .. } => self.counts.resumed_exact += 1,
            Note::HandedOver { .. } => self.counts.handed_over += 1,
            Note::Goaway => self.counts.goaways += 1,
            Note::Paused => self.counts.paused += 1,
            Note::UnexpectedAccept => self.counts.unexpected_accepts += 1,
            Note::Bound => self.counts.bound += 1,
            Note::BindFailed => self.counts.bind_failed += 1,
            Note::MoveEnded { code, .. } => self.counts.move_ended(code),
            Note::ErrorMade(_) => self.counts.errors += 1,
            Note::SessionStarted { .. }
            | Note::BeganElsewhere(_)
            | Note::SessionEnded(_)
            | Note::Suspended
            | Note::NotHandedOver { .. }
            | Note::WaitsAgain
            | Note::ServicesChanged
            | Note::ServiceEnded
            | Note::MoveBegan
            | Note::BannedUser { .. }
            | Note::FramesDropped(_)
            | Note::BadToken(_) => {}
        }
    }

    pub(super) fn write_to(&mut self, client: usize, bytes: Vec<u8>) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let Some(wire) = c.wire else { return };
        if c.eof && self.wires[wire].is_cut() {
            // Writing to it fails.
            return self.mail_client(client, ClientMail::Failed);
        }
        self.send(wire, Side::Remote, bytes);
    }

    fn send_opened(&mut self, client: usize, opened: OpenedFrame) {
        let mut token = Vec::new();
        if let Some(body) = &opened.token
            && let Some(Some(c)) = self.clients.get(client)
        {
            let mut salt = [0; 16];
            let dice = &mut self.gateways[c.gateway].dice;
            salt[..8].copy_from_slice(&dice.next().to_be_bytes());
            salt[8..].copy_from_slice(&dice.next().to_be_bytes());
            token = self.keyring.seal_with_salt(body, salt);
        }
        let mut payload = Vec::new();
        Opened {
            received: opened.received,
            idle_timeout_ms: self.limits.idle_timeout as u32,
            token: &token,
        }
        .encode(&mut payload);
        let header = Header {
            kind: Kind::Opened as u8,
            flags: if opened.gap { FLAG_GAP } else { 0 },
            session_id: opened.session_id,
            ..Header::default()
        };
        let mut frame = Vec::new();
        client::encode(&mut frame, &header, "", &payload);
        self.write_to(client, frame);
    }

    /// Ends a connection with the CLOSE that its reason has.
    pub(crate) fn part(&mut self, client: usize, wire: usize, closing: &Closing) {
        let outcome = closing.outcome();
        let session_id = self.clients[client]
            .as_ref()
            .map_or(0, |c| c.core.session_id());
        self.wires[wire].near = None;
        if let Some(code) = outcome.client {
            let retry_after_ms = match outcome.retry {
                Retry::NoAdvice => 0,
                Retry::Spread => self.wires[wire].dice.between(500, 5000) as u32,
                Retry::Soon => self.wires[wire].dice.between(50, 500) as u32,
                Retry::AfterMs(ms) => ms,
            };
            let notice = Notice {
                code,
                retry_after_ms,
                text: outcome.text,
            };
            let mut frame = Vec::new();
            client::encode_notice(&mut frame, Kind::Close, session_id, "", &notice);
            self.send(wire, Side::Remote, frame);
        }
        self.end(wire, Side::Remote);
    }

    /// A session's client is back, on a connection of this gateway.
    pub(crate) fn come_back(
        &mut self,
        client: usize,
        request: ResumeRequest,
        (wire, mut inbox, eof): (usize, Vec<u8>, bool),
    ) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        // What has come since.
        inbox.append(&mut self.wires[wire].unread);
        let eof = eof || self.wires[wire].unread_end;
        self.wires[wire].near = Some(client);
        c.incoming = Some((wire, inbox, eof));
        self.step(client, |core, step| core.resume_here(&request, step));
        if let Some(Some(c)) = self.clients.get_mut(client)
            && c.incoming.take().is_some()
        {
            // An actor that is over takes nothing.
            self.part(client, wire, &Closing::NotResumable);
        }
    }
}
