//! The registry of a gateway, as `actors::session_registry` has it.

use std::collections::BTreeMap;

use game_gateway::codec::code::Code;
use game_gateway::codec::peer::PeerGateway;
use game_gateway::session::core::RegisterFailed;

use super::mail::{ClientMail, Found, LinkMail, PeerMail, RegistryMail, Stray};
use crate::wire::Millis;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) sessions: BTreeMap<u64, usize>,
    pub(crate) moved: BTreeMap<u64, (PeerGateway, Millis)>,
}

impl World {
    #[expect(clippy::too_many_lines, reason = "a table: one arm a message")]
    pub(crate) fn registry_mail(&mut self, gateway: usize) {
        let Some(mail) = self.gateways[gateway].registry_mail.queue.pop_front() else {
            return;
        };
        if self.log.prints() {
            let letter = format!("registry {gateway} gets {mail:?}");
            self.log.note(self.now, &letter);
        }
        match mail {
            RegistryMail::Open {
                session_id,
                client,
                chosen,
            } => self.enter_session(gateway, session_id, client, chosen),
            RegistryMail::Ended { session_id, client } => {
                let shard = &mut self.gateways[gateway].registry;
                if shard.sessions.get(&session_id) == Some(&client) {
                    shard.sessions.remove(&session_id);
                }
            }
            RegistryMail::Moved {
                session_id,
                client,
                to,
            } => {
                let until = self.now + self.limits.resume_window;
                let now = self.now;
                let shard = &mut self.gateways[gateway].registry;
                shard.moved.retain(|_, (_, until)| *until > now);
                if shard.sessions.get(&session_id) == Some(&client) {
                    shard.sessions.remove(&session_id);
                    shard.moved.insert(session_id, (to, until));
                }
            }
            RegistryMail::Find { session_id, client } => {
                let found = self.find(gateway, session_id);
                self.mail_client(client, ClientMail::Located(Ok(found)));
            }
            RegistryMail::FindFor {
                session_id,
                caller,
                say,
            } => {
                let found = Ok(self.find(gateway, session_id));
                let found = PeerMail::Found {
                    caller,
                    session_id,
                    say,
                    found,
                };
                self.mail_peers(gateway, found);
            }
            RegistryMail::Relay {
                service,
                session_id,
                stray,
                link,
            } => {
                let client = self.gateways[gateway]
                    .registry
                    .sessions
                    .get(&session_id)
                    .copied();
                match client.filter(|client| self.client_lives(*client)) {
                    Some(client) => self.mail_client(
                        client,
                        ClientMail::Stray {
                            service,
                            session_id,
                            stray,
                            link,
                        },
                    ),
                    None if matches!(stray, Stray::Move(_)) => {
                        self.mail_link(link, LinkMail::AnswerMoved(session_id, Code::NO_ROUTE));
                    }
                    // A CLOSE that crossed ours on the way: a CLOSE is never answered.
                    None if matches!(stray, Stray::Close(_)) => {}
                    None => self.mail_link(link, LinkMail::Refuse(session_id)),
                }
            }
        }
    }

    fn enter_session(&mut self, gateway: usize, session_id: u64, client: usize, chosen: bool) {
        let known = self.gateways[gateway]
            .registry
            .sessions
            .get(&session_id)
            .copied();
        let in_use = known.is_some_and(|known| known != client && self.client_lives(known));
        let _ = chosen;
        let result = if in_use {
            Err(RegisterFailed::InUse)
        } else {
            self.gateways[gateway]
                .registry
                .sessions
                .insert(session_id, client);
            Ok(session_id)
        };
        self.mail_client(client, ClientMail::Registered(session_id, result));
    }

    fn find(&self, gateway: usize, session_id: u64) -> Option<Found> {
        let shard = &self.gateways[gateway].registry;
        if let Some(client) = shard.sessions.get(&session_id)
            && self.client_lives(*client)
        {
            return Some(Found::Client(*client));
        }
        let (to, until) = shard.moved.get(&session_id)?;
        (*until > self.now).then(|| Found::Moved(to.clone()))
    }

    /// The shard's actor panics. Its sessions are rescued; its mail is lost, and those who asked ask
    /// again, or are told that nobody answers.
    pub(crate) fn registry_dies(&mut self, gateway: usize, silent_for: Millis, gives_up: bool) {
        self.counts.registry_panics += 1;
        let mail = std::mem::take(&mut self.gateways[gateway].registry_mail.queue);
        self.gateways[gateway].registry_slow_until = self.now + silent_for;
        for letter in mail {
            match letter {
                RegistryMail::Open {
                    client, session_id, ..
                } if gives_up => {
                    let unreachable = Err(RegisterFailed::Unreachable);
                    self.mail_client(client, ClientMail::Registered(session_id, unreachable));
                }
                RegistryMail::Find { client, .. } if gives_up => {
                    self.mail_client(client, ClientMail::Located(Err(())));
                }
                RegistryMail::FindFor {
                    session_id,
                    caller,
                    say,
                } if gives_up => {
                    let found = PeerMail::Found {
                        caller,
                        session_id,
                        say,
                        found: Err(()),
                    };
                    self.mail_peers(gateway, found);
                }
                asked @ (RegistryMail::Open { .. }
                | RegistryMail::Find { .. }
                | RegistryMail::FindFor { .. }) => self.mail_registry(gateway, asked),
                // Lost; the sessions of clients that are gone are found.
                RegistryMail::Ended { .. }
                | RegistryMail::Moved { .. }
                | RegistryMail::Relay { .. } => {}
            }
        }
        let lives: Vec<u64> = self.gateways[gateway]
            .registry
            .sessions
            .iter()
            .filter(|(_, client)| !self.client_lives(**client))
            .map(|(id, _)| *id)
            .collect();
        for id in lives {
            self.gateways[gateway].registry.sessions.remove(&id);
        }
    }
}
