//! A client's mail: each letter is an event of the core.

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::Code;
use game_gateway::session::closing::Closing;

use super::mail::{ClientMail, Found, LinkMail, Stray};
use crate::wire::Side;
use crate::world::{SERVICES, World};

impl World {
    pub(crate) fn client_mail(&mut self, client: usize) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let Some(mail) = c.mail.queue.pop_front() else {
            return;
        };
        if self.log.prints() {
            let letter = format!("client {client} gets {mail:?}");
            self.log.note(self.now, &letter);
        }
        self.hear(client, mail);
        self.pump(client);
    }

    #[expect(clippy::too_many_lines, reason = "one arm a letter")]
    fn hear(&mut self, client: usize, mail: ClientMail) {
        match mail {
            ClientMail::Deliver { head, frames } => self.deliver_frames(client, &head, frames),
            ClientMail::Bound(service, bind) => drop(self.step(client, |core, step| {
                core.bound(SERVICES[service], bind, step);
            })),
            ClientMail::Closed {
                service,
                link,
                close,
            } => drop(self.step(client, |core, step| {
                core.closed_on_link(SERVICES[service], link as u64, close, step);
            })),
            ClientMail::Accepted { service, epoch } => drop(self.step(client, |core, step| {
                core.accepted(SERVICES[service], epoch, step);
            })),
            ClientMail::Left {
                service,
                link,
                state,
            } => {
                self.step(client, |core, step| {
                    core.left(SERVICES[service], link as u64, &state, step)
                });
            }
            ClientMail::MoveAway { service, from } => drop(self.step(client, |core, step| {
                core.move_away(SERVICES[service], from, step);
            })),
            ClientMail::Elsewhere {
                service,
                from,
                asked,
                found,
            } => drop(self.step(client, |core, step| {
                core.found_elsewhere(&service, from, asked, found, step);
            })),
            ClientMail::Confirmed { service } => {
                self.step(client, |core, step| core.confirmed(SERVICES[service], step));
            }
            ClientMail::Lost { service, link } => {
                self.step(client, |core, step| {
                    core.link_lost(SERVICES[service], link as u64, step);
                });
            }
            ClientMail::Room => drop(self.step(client, |core, step| core.link_has_room(step))),
            ClientMail::Stray {
                service,
                session_id,
                stray,
                link,
            } => self.hear_stray(client, service, session_id, stray, link),
            ClientMail::Comeback {
                request,
                wire,
                inbox,
                eof,
            } => self.come_back(client, *request, (wire, inbox, eof)),
            ClientMail::Called {
                caller,
                session_id,
                said,
            } => drop(self.step(client, |core, step| {
                core.peer_request(caller, session_id, said, step);
            })),
            ClientMail::Heard { call, mut said } => {
                self.bound_handover(client, &mut said);
                self.step(client, |core, step| core.peer_response(call, said, step));
            }
            ClientMail::Registered(id, result) => {
                if result.is_err()
                    && let Some(Some(c)) = self.clients.get_mut(client)
                    && c.registered == Some(id)
                {
                    // It is another client's; there is nothing to take back.
                    c.registered = None;
                }
                self.step(client, |core, step| core.registered(result, step));
            }
            ClientMail::Located(found) => self.located(client, found),
            ClientMail::Opened {
                service,
                epoch,
                result,
            } => drop(self.step(client, |core, step| match result {
                Ok(lease) => core.service_opened(&service, epoch, lease, step),
                Err(why) => core.service_failed(&service, why, step),
            })),
            ClientMail::Reached { service, lease } => {
                self.step(client, |core, step| {
                    core.service_reached(&service, lease, step)
                });
            }
            ClientMail::Kick(id) => {
                let its = self.clients[client].as_ref().map(|c| c.core.session_id());
                if its == Some(id) {
                    self.step(client, |core, step| core.close(Closing::Kicked, step));
                }
            }
            ClientMail::Ban(user_id) => {
                let its = self.clients[client]
                    .as_ref()
                    .and_then(|c| c.core.identity());
                if its.is_some_and(|its| its.user_id == user_id) {
                    self.step(client, |core, step| core.close(Closing::Banned, step));
                }
            }
            ClientMail::Assign {
                session_id,
                service,
                endpoint,
            } => {
                let its = self.clients[client].as_ref().map(|c| c.core.session_id());
                if its == Some(session_id) {
                    let service = SERVICES[service];
                    // In the service's own name, so that no other backend hears MOVED.
                    self.step(client, |core, step| {
                        core.assign(service, service, &endpoint, step)
                    });
                }
            }
            ClientMail::GoAway => drop(self.step(client, |core, step| core.ask_away(step))),
            ClientMail::GiveUp => drop(self.step(client, |core, step| core.give_up(step))),
            ClientMail::CutOff => {
                self.step(client, |core, step| core.close(Closing::Draining, step));
            }
            ClientMail::Failed => {
                if self.clients[client]
                    .as_ref()
                    .is_some_and(|c| c.wire.is_some() && c.eof)
                {
                    self.step(client, |core, step| core.close(Closing::Failed, step));
                }
            }
        }
    }

    fn deliver_frames(&mut self, client: usize, head: &[u8], frames: u32) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        if c.core.owes_opened() {
            self.step(client, |core, step| core.announce(step));
        }
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let is_sent = c.core.keep(head, &[], frames);
        if let Some(ring) = self.gateways[c.gateway].ring_bound(self.now) {
            c.core.squeeze_replay(ring);
        }
        if is_sent {
            self.write_to(client, head.to_vec());
        }
    }

    fn hear_stray(&mut self, client: usize, service: usize, id: u64, stray: Stray, link: usize) {
        let from = self.links[link].anchor.endpoint;
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        if !c.core.uses(id, SERVICES[service], from) {
            return match stray {
                Stray::Move(_) => self.mail_link(link, LinkMail::AnswerMoved(id, Code::NO_ROUTE)),
                _ => self.mail_link(link, LinkMail::Refuse(id)),
            };
        }
        self.counts.strays += 1;
        match stray {
            Stray::Data(payload) => {
                let realm_id = c.core.identity().map_or(0, |bind| bind.realm_id);
                let header = Header {
                    session_id: id,
                    realm_id,
                    ..Header::default()
                };
                let mut head = Vec::new();
                client::encode(&mut head, &header, SERVICES[service], &payload);
                self.deliver_frames(client, &head, 1);
            }
            Stray::Bind(bind) => drop(self.step(client, |core, step| {
                core.bound(SERVICES[service], bind, step);
            })),
            Stray::Close(close) => drop(self.step(client, |core, step| {
                core.closed_elsewhere(close, step);
            })),
            Stray::Move(wish) => self.hear_wish(client, (service, id, link), &wish),
            Stray::Left => {}
        }
    }

    fn located(&mut self, client: usize, found: Result<Option<Found>, ()>) {
        match found {
            Ok(Some(Found::Client(owner))) => {
                let Some(Some(c)) = self.clients.get_mut(client) else {
                    return;
                };
                let Some(request) = c.core.located_here() else {
                    return;
                };
                let (wire, inbox, eof) = (c.wire.take(), std::mem::take(&mut c.inbox), c.eof);
                c.ended = true;
                self.clients[client] = None;
                let Some(wire) = wire else { return };
                self.wires[wire].near = None;
                if self.client_lives(owner) {
                    // While the connection is on its way its bytes wait in the socket.
                    self.mail_client(
                        owner,
                        ClientMail::Comeback {
                            request: Box::new(request),
                            wire,
                            inbox,
                            eof,
                        },
                    );
                } else {
                    // It falls out of the hands of an actor that is gone.
                    self.cut_from(wire, Side::Gateway, 50);
                }
            }
            Ok(Some(Found::Moved(to))) => {
                self.step(client, |core, step| core.located_elsewhere(Some(to), step));
            }
            Ok(None) => drop(self.step(client, |core, step| core.located_elsewhere(None, step))),
            Err(()) => drop(self.step(client, |core, step| core.located_nowhere(step))),
        }
    }
}
