//! Words of a gateway about who a session is.

use super::gateway_links::INSIDE;
use super::model::{Moment, Standing};
use super::{Audit, Ban, rules};
use crate::wire::Millis;

impl Audit {
    /// BOUND goes to a backend that has the session open, and repeats what backends have said.
    pub(super) fn bound_said(&mut self, id: u64, session_id: u64, (user, realm): (u64, u32)) {
        let full = self.links.get(&id).is_some_and(|link| link.full);
        let standing = self.place(id, session_id).standing;
        let session = self.sessions.entry(session_id).or_default();
        let said = |is_its: &dyn Fn(u64, u32) -> bool| {
            session
                .binds
                .iter()
                .any(|(user, realm)| is_its(*user, *realm))
        };
        let its = |owed: &(Moment, u64, u64)| (owed.1, owed.2) == (session_id, id);
        self.unbound.retain(|owed| !its(owed));
        let known = (user == 0 || said(&|bound, _| bound == user))
            && (realm == 0 || said(&|_, bound| bound == realm));
        // What waits on a full link was said before the session left it.
        let open = full || matches!(standing, Standing::Open | Standing::ByBackend(_));
        if !known || !open || (user == 0 && realm == 0) {
            let seen =
                format!("session {session_id}, link {id}: BOUND {user} {realm}, {standing:?}");
            self.breach(&rules::L_BOUND, seen);
        }
    }

    /// An OPEN that was made before a BIND is followed by BOUND.
    pub(super) fn check_unbound(&mut self, now: Millis) {
        let is_due = |(since, ..): &(Moment, u64, u64)| since.at + INSIDE < now;
        while self.unbound.first().is_some_and(is_due) {
            let (since, session_id, id) = self.unbound.remove(0);
            let (Some(link), Some(session)) = (self.links.get(&id), self.sessions.get(&session_id))
            else {
                continue;
            };
            let stands = link.lost.is_none() && !link.cut && !link.full;
            let place = session.places.get(&id);
            let open = place.is_some_and(|p| p.standing == Standing::Open && p.opened == since);
            let gateway = link.gateway;
            let excused = self.is_over(session)
                || self.gateway(gateway.index) != gateway
                || self.troubled_inside(gateway.index, since);
            if stands && open && !excused {
                let seen = format!("session {session_id}, link {id}: no BOUND behind it");
                return self.breach(&rules::L_IDENTITY, seen);
            }
        }
    }

    /// An OPEN says whom the gateway was told that the session is.
    pub(super) fn check_identity(
        &mut self,
        id: u64,
        session_id: u64,
        (user, realm): (u64, u32),
        resumed: bool,
    ) {
        let now = self.now;
        let Some(link) = self.links.get(&id).filter(|link| !link.full) else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        // Within one moment the news may still be on its way inside the gateway.
        let last = session
            .bound
            .last()
            .filter(|_| session.bound_at == Some(link.gateway));
        let Some((since, bound_user, bound_realm)) = last else {
            return;
        };
        let other = |bound: u64, said: u64| bound != 0 && bound != said;
        let wrong = other(*bound_user, user) || other((*bound_realm).into(), realm.into());
        // Routed before the BIND (protocol 2.2: "from then on …"), and it has waited for its link since.
        let life = session.of.and_then(|of| self.lives.get(&of));
        let waited = life.is_some_and(|life| {
            let mut waits = life.sent.iter().filter(|up| up.forwarded.is_none());
            let before = |at: Moment| at.at <= since.at + INSIDE;
            waits.any(|up| up.service == link.service && up.arrived.is_some_and(before))
        });
        if !resumed && waited {
            return;
        }
        // So it is where a claim waits for its link.
        let mut claims = session.attempts.iter().rev();
        let claim = claims.find(|attempt| attempt.gateway == link.gateway);
        let waited = claim.is_some_and(|claim| claim.asked < *since && !claim.succeeded);
        if resumed && wrong && waited {
            return self.unbound.push((now, session_id, id));
        }
        // What a gateway has handed over since it forgets (protocol 3.2, case 2); what comes back by a token
        // alone is who that token says (case 3).
        let left = session.left.get(&link.gateway).is_some_and(|at| at > since);
        // It has nothing to leave where its links are lost, and OPENED elsewhere is not seen without a connection.
        let has_link = session.places.iter().any(|(other, place)| {
            let other_link = self.links.get(other).filter(|l| l.lost.is_none());
            let own = other_link.is_some_and(|l| l.gateway == link.gateway);
            *other != id && own && place.standing == Standing::Open
        });
        let claimed = session.attempts.iter().any(|a| {
            let since_then = a.asked.at + 8 * self.scene.connect_timeout >= since.at;
            a.gateway != link.gateway && !a.succeeded && since_then
        });
        if resumed && (left || (claimed && !has_link)) {
            return;
        }
        // Nor does it know who that was once a ban has ended the session there.
        let its = |ban: &Ban| (ban.gateway, ban.user_id) == (link.gateway, *bound_user);
        if resumed && self.bans.iter().any(|ban| its(ban) && ban.since > *since) {
            return;
        }
        let owned = session.incarnations.last().map(|i| (i.gateway, i.opened));
        let same = owned.is_none_or(|(at, since_then)| at == link.gateway && since_then < *since);
        if wrong && same && !self.is_over(session) && since.at + INSIDE < now.at {
            let seen = format!("session {session_id}, link {id}: user {user}, realm {realm}");
            self.breach(&rules::L_IDENTITY, seen);
        }
    }
}
