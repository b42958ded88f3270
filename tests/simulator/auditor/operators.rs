//! What operators say, and memory that is short.

use super::gateway_links::INSIDE;
use super::model::{Cause, Process, Session};
use super::{Audit, Ban, rules};
use crate::wire::Seen;

impl Audit {
    pub(super) fn operator(&mut self, seen: &Seen<'_>) {
        match *seen {
            Seen::Ordered {
                gateway,
                backend,
                service,
                on,
            } => {
                if on {
                    self.ordered.insert((gateway, backend, service));
                }
                self.cause(Cause::Ordered);
            }
            Seen::Assigned { session_id, .. } => {
                let session = self.sessions.entry(session_id).or_default();
                session.assigned = true;
            }
            Seen::Banned {
                gateway,
                user_id,
                on,
            } => {
                let (gateway, since) = (self.gateway(gateway), self.now);
                let until = None;
                if on {
                    self.bans.push(Ban {
                        gateway,
                        user_id,
                        since,
                        until,
                    });
                    return;
                }
                let its = |ban: &&mut Ban| (ban.gateway, ban.user_id) == (gateway, user_id);
                for ban in self.bans.iter_mut().filter(its) {
                    ban.until.get_or_insert(since);
                }
            }
            Seen::MemoryShort { gateway, until } => {
                self.cause(Cause::MemoryShort(gateway, until));
            }
            _ => {}
        }
    }

    /// Tells whether a ban may have ended this session.
    pub(super) fn is_banned(&self, session: &Session) -> bool {
        let is_its = |user: u64| session.binds.iter().any(|(bound, _)| *bound == user);
        self.bans.iter().any(|ban| is_its(ban.user_id))
    }

    /// Tells whether a ban of this gateway may have ended this session.
    pub(super) fn is_banned_at(&self, gateway: Process, session: &Session) -> bool {
        let is_its = |user: u64| session.binds.iter().any(|(bound, _)| *bound == user);
        let mut bans = self.bans.iter().filter(|ban| ban.gateway == gateway);
        bans.any(|ban| is_its(ban.user_id))
    }

    /// DATA of a player is passed on: not of one that is banned there.
    pub(super) fn check_banned(&mut self, id: u64, session_id: u64) {
        let now = self.now;
        let Some(link) = self.links.get(&id).filter(|link| !link.full) else {
            return;
        };
        let gateway = link.gateway;
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let bound = session.bound.iter().rfind(|(_, user, _)| *user != 0);
        let Some((known, user, _)) = bound.filter(|_| session.bound_at == Some(gateway)) else {
            return;
        };
        let banned = self.bans.iter().find(|ban| {
            let told = ban.since.at.max(known.at) + INSIDE < now.at;
            let its = (ban.gateway, ban.user_id) == (gateway, *user);
            its && told && ban.until.is_none_or(|until| until > now)
        });
        let since = banned.map(|ban| ban.since.max(*known));
        if since.is_some_and(|since| !self.troubled_inside(gateway.index, since)) {
            let seen = format!("session {session_id}, link {id}: DATA of user {user}");
            self.breach(&rules::BANNED, seen);
        }
    }
}
