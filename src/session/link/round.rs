//! A round over all sessions of a link, a few at a time.

use super::Sessions;

/// Slots that are looked at for one step.
const MAX_LOOKED_AT: usize = 4096;

/// Where a round goes on. It begins again behind the last session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round(usize);

impl<C> Sessions<C> {
    /// Hands the clients of the next sessions to `each`, at most `most`.
    pub fn go_round(&self, round: &mut Round, most: usize, mut each: impl FnMut(&C)) {
        let slots = self.attached.capacity();
        let mut found = 0;
        for _ in 0..slots.min(MAX_LOOKED_AT) {
            if found == most {
                break;
            }
            if round.0 >= slots {
                round.0 = 0;
            }
            if let Some(attached) = self.attached.get(round.0) {
                each(&attached.client);
                found += 1;
            }
            round.0 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_whoever_stays_or_goes() {
        let mut sessions = Sessions::default();
        for id in 1..=10_u64 {
            sessions.attach(id, 0, id, false);
        }
        let mut round = Round::default();
        let mut next = |sessions: &Sessions<u64>, most| {
            let mut told = Vec::new();
            sessions.go_round(&mut round, most, |id| told.push(*id));
            told
        };
        assert_eq!(next(&sessions, 4), [1, 2, 3, 4]);
        for id in [1, 3, 6] {
            sessions.release(id, None);
        }
        assert_eq!(next(&sessions, 4), [5, 7, 8, 9]);
        assert_eq!(next(&sessions, 3), [10, 2, 4]);
        assert_eq!(next(&sessions, 100).len(), 7);
        assert!(next(&Sessions::default(), 4).is_empty());
    }
}
