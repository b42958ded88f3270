//! Owners of a session: the one in the picture, those that were passed over, and those that a token may bring back.

use super::model::{Cause, Incarnation, Link, Moment, Place, Session, Standing};
use super::{Audit, Process, rules};

impl Audit {
    /// A used token is good only where nobody is left who could know.
    pub(super) fn may_reuse(
        &self,
        session_id: u64,
        (gateway, token, asked): (Process, Option<usize>, Moment),
        gap: bool,
    ) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return true;
        };
        if token.is_some_and(|token| self.passed_over(session, gateway, token).is_some()) {
            return true;
        }
        let Some(user) = session.incarnations.get(session.used.0) else {
            return true;
        };
        let gone = self.gateway(user.gateway.index) != user.gateway;
        // "Who has handed a session over remembers to whom for the resume window" (3.2).
        let forgotten = user.opened.at + self.scene.resume_window <= self.now.at;
        // Nor does anybody remember one that has ended (docs/simulation.md, limits).
        let panicked = self.causes.iter().any(|(at, cause)| {
            *at > user.opened && matches!(cause, Cause::Panicked(g) if *g == user.gateway.index)
        });
        let over = session.ended.is_some() || panicked;
        // Nor can anybody say so who is not reached: the token's owner, or the one that it would name.
        let shown = token.and_then(|token| session.incarnations.get(token));
        let owners = [shown, Some(user)];
        let unreached = |owner: &Incarnation| self.was_unreached(owner.gateway, gateway, asked);
        let silent = owners.into_iter().flatten().any(unreached);
        let unknown = forgotten || over || silent || !self.scene.peer_channel;
        // One that nobody has asked still believes that it owns the session.
        gone || user.gap || (gap && unknown && !self.is_epoch_seen(session, user, (gateway, asked)))
    }

    /// Tells whether `owner` is gone, or could not answer a question of `by`.
    fn was_unreached(&self, owner: Process, by: Process, asked: Moment) -> bool {
        let (one, other) = (owner.index, by.index);
        let apart = self.causes.iter().any(|(_, cause)| match *cause {
            Cause::Parted(a, b, until) => {
                until >= asked.at && ((a, b) == (one, other) || (a, b) == (other, one))
            }
            Cause::Stalled(at, until) => at == one && until >= asked.at,
            _ => false,
        });
        owner != by && (apart || self.gateway(one) != owner)
    }

    /// Tells whether a backend that this gateway has opened a session on took the epoch of an incarnation
    /// before this gateway was asked: "elsewhere backends refuse an epoch that they have seen" (3.4). Elsewhere: an
    /// equal one is refused from another gateway alone (2.3).
    fn is_epoch_seen(
        &self,
        session: &Session,
        of: &Incarnation,
        (gateway, asked): (Process, Moment),
    ) -> bool {
        let opens = |at: Process| {
            session.places.iter().filter_map(move |(number, place)| {
                let link = self.links.get(number).filter(|link| link.gateway == at)?;
                Some((link, place))
            })
        };
        opens(of.gateway).any(|(taken, place)| {
            let least = of.epoch + u32::from(of.gateway.index == gateway.index);
            let took = |(epoch, at)| epoch >= least && at < asked;
            let took = place.resumed.is_some_and(took);
            let same = |(link, place): (&Link, &Place)| {
                let open = place.standing == Standing::Open;
                open && (link.backend, link.service) == (taken.backend, taken.service)
            };
            took && !place.unanswered && opens(gateway).any(same)
        })
    }

    /// The newest incarnation of an owner that another gateway has passed over since, for it could not be
    /// asked, or nobody remembered it. It does not know, and goes on where it was (docs/simulation.md,
    /// limits): its client is back, or it hands over to `gateway`, which has a token of that owner.
    pub(super) fn passed_over(
        &self,
        session: &Session,
        gateway: Process,
        token: usize,
    ) -> Option<usize> {
        let shown = session.incarnations.get(token)?.gateway;
        let here = (gateway, self.left_since(session, gateway));
        let owners = [here, (shown, false)];
        owners.into_iter().find_map(|(owner, left)| {
            let mut all = session.incarnations.iter();
            let own = all.rposition(|i| i.gateway == owner)?;
            session.incarnations.get(own + 1)?;
            if goes_beside(session, own) || (session.incarnations[own].aside && !left) {
                return Some(own);
            }
            let mut later = session.incarnations.iter().skip(own + 1);
            let next = later.find(|later| later.gap)?;
            let opened = session.incarnations[own].opened;
            let forgotten = next.opened.at >= opened.at + self.scene.resume_window;
            let unasked = forgotten || !self.owners_are_asked();
            (unasked && !left).then_some(own)
        })
    }

    /// One that hands a session over, or gets it back, sees links left: its own, or those of the newest owner.
    fn left_since(&self, session: &Session, gateway: Process) -> bool {
        let mut all = session.incarnations.iter();
        let own = all.rfind(|i| i.gateway == gateway);
        let owners = [own, session.incarnations.last()];
        owners.into_iter().flatten().any(|owner| {
            session.places.iter().any(|(number, place)| {
                let by = self.links.get(number).map(|link| link.gateway);
                by == Some(owner.gateway) && place.left > Some(owner.opened) && !place.parted
            })
        })
    }

    /// A gateway speaks to its client: it must not have handed the session over.
    pub(super) fn owner_speaks(&mut self, id: u64, what: &str) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Some(session) = conn.session.and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        let newest = session.incarnations.len().checked_sub(1);
        let here = session
            .incarnations
            .last()
            .is_some_and(|last| last.gateway == conn.gateway);
        let gave = session.handed_over.contains_key(&conn.gateway);
        if conn.incarnation < newest && (here || gave) {
            let seen = format!("connection {id} at gateway {}: {what}", conn.gateway.index);
            self.breach(&rules::TWO_OWNERS, seen);
        }
    }
}

pub(super) fn fits(incarnation: Option<&Incarnation>, received: u64) -> bool {
    let counts = incarnation.map(|incarnation| incarnation.received);
    counts.is_some_and(|(least, most)| (least..=most).contains(&received))
}

/// Tells whether one that was passed over goes on beside the owner. Its count tells it from one that has got the
/// session back, which takes a peer channel.
pub(super) fn is_aside(session: &Session, own: usize, received: u64, peer_channel: bool) -> bool {
    let goes_on = fits(session.incarnations.get(own), received);
    let gets_back = peer_channel && fits(session.incarnations.last(), received);
    !goes_beside(session, own) && goes_on && !gets_back
}

/// Tells whether this is the owner's, and only others that had been passed over for it went on since.
fn goes_beside(session: &Session, own: usize) -> bool {
    session.incarnations[own + 1..].iter().all(|i| i.aside)
}
