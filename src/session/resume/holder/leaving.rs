//! How a holder lets a session go: it leaves its links in order, and hands over what is left.

use smallvec::SmallVec;

use super::{Holder, Leaving, State};
use crate::codec::code::Code;
use crate::session::resume::{HolderAction as Do, Millis, Standing};

/// How often a newcomer is told of services that were bound since it asked. A client that resumes sends
/// nothing on its old connection, so once is the rule; what is bound still later is told as GAP.
pub(super) const MAX_ROUNDS: u8 = 4;

impl<G: Clone + PartialEq> Holder<G> {
    /// The newcomer has its ACCEPTs and takes the session; its client has counted up to `count`.
    /// `services`: how each stands, by place. While one is still being opened nothing follows but that the client is not read; the driver says it
    /// again when none is.
    pub fn claimed(
        &mut self,
        now: Millis,
        from: &G,
        count: u64,
        services: &[Standing],
    ) -> Vec<Do<G>> {
        if let State::Ended { code, .. } = self.state {
            return vec![Do::ClaimEnded(from.clone(), code)];
        }
        let promised = self.promise.as_mut().filter(|promise| promise.to == *from);
        let Some(promise) = promised else {
            return vec![Do::RefuseClaim];
        };
        let mut actions = vec![Do::StopReading];
        if services.contains(&Standing::Opening) {
            return actions;
        }
        if services.contains(&Standing::Unasked) && promise.rounds < MAX_ROUNDS {
            promise.rounds += 1;
            promise.until = now + self.timing.peer();
            actions.push(Do::HoldsMore);
            return actions;
        }
        let (has, restarted) = self.numbering.number(promise.token_epoch, count);
        let mut awaited = SmallVec::new();
        for (place, standing) in services.iter().enumerate() {
            actions.push(match standing {
                Standing::Taken => {
                    awaited.push(place as u8);
                    Do::LeaveLink(place)
                }
                // Who did not take the newcomer's OPEN may not answer CLOSE 307 either.
                Standing::Dropped | Standing::Unasked => Do::LeaveLink(place),
                Standing::Here | Standing::Lost => Do::Forget(place),
                Standing::Opening => continue,
            });
        }
        self.promise = None;
        self.state = State::Leaving(Box::new(Leaving {
            to: from.clone(),
            awaited,
            until: now + self.timing.backend,
            gap: self.torn || restarted || services.contains(&Standing::Unasked),
            has,
        }));
        self.hand_over_if_left(now, actions)
    }

    /// CLOSE 307 came back from the backend of the service at this place.
    pub fn left(&mut self, now: Millis, place: usize) -> Vec<Do<G>> {
        self.no_longer_awaited(now, place, false)
    }

    /// The link of the service at this place is lost. Before a claim that is the driver's to tell.
    pub fn link_lost(&mut self, now: Millis, place: usize) -> Vec<Do<G>> {
        self.no_longer_awaited(now, place, true)
    }

    fn no_longer_awaited(&mut self, now: Millis, place: usize, lost: bool) -> Vec<Do<G>> {
        let State::Leaving(leaving) = &mut self.state else {
            return Vec::new();
        };
        let Some(at) = leaving
            .awaited
            .iter()
            .position(|p| usize::from(*p) == place)
        else {
            return Vec::new();
        };
        leaving.awaited.remove(at);
        leaving.gap |= lost;
        self.hand_over_if_left(now, Vec::new())
    }

    pub(super) fn hand_over_if_left(&mut self, now: Millis, mut actions: Vec<Do<G>>) -> Vec<Do<G>> {
        let State::Leaving(leaving) = &self.state else {
            return actions;
        };
        if leaving.awaited.is_empty() {
            let to = leaving.to.clone();
            actions.push(Do::HandOver {
                to: to.clone(),
                gap: leaving.gap,
                has: leaving.has,
            });
            self.close_client(Code::REPLACED, &mut actions);
            let until = now + self.timing.window;
            self.state = State::Moved { to, until };
        }
        actions
    }
}
