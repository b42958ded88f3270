//! `round_robin`: a fixed cycle in which each endpoint comes as often as its weight says, evenly
//! spread, and one counter that all workers draw from.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Choice, Choose, Explained, Shares, Source, Strategy};
use crate::routing::route::{Avoid, NoRoute, Query, Why};

/// A cycle over endpoints, which are known by their index.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    cycle: Box<[usize]>,
    /// Shared with the tables before and after, so that a change of the rules does not reset it.
    drawn: Arc<AtomicUsize>,
}

/// The turn that an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Number of the turn in its cycle, from 1.
    pub number: usize,
    /// Turns in a cycle.
    pub of: usize,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round_robin, turn {} of {}", self.number, self.of)
    }
}

impl Choose for RoundRobin {
    const FIRST: &'static str = "turn of";
    const NEXT: &'static str = "next turn";

    fn build(from: &Source<'_>) -> RoundRobin {
        let previous = match from.previous {
            Some((_, Strategy::RoundRobin(previous))) => Some(previous),
            _ => None,
        };
        RoundRobin::new(&from.shares.weights, previous)
    }

    fn choose(
        &self,
        shares: &Shares,
        _: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute> {
        let endpoints = &shares.endpoints;
        let choice = Choice::among(endpoints, avoid)?;
        let accepts = |endpoint: usize| choice.accepts(endpoints[endpoint]);
        let returning = |endpoint: usize| avoid.returning.get(&endpoints[endpoint]);
        let is_due = |endpoint, round| {
            let share = returning(endpoint);
            share.is_none_or(|share| percentile(round) < usize::from(*share))
        };
        let ((_, first), (turn, chosen)) = self
            .draw_among(|endpoint, round| accepts(endpoint) && is_due(endpoint, round))
            // There is none but those that return.
            .or_else(|| self.draw_among(|endpoint, _| accepts(endpoint)))
            .ok_or(NoRoute::AllTried)?;
        let turn = Turn {
            number: turn + 1,
            of: self.cycle.len(),
        };
        let standing = choice.standing(endpoints[first], endpoints[chosen]);
        Ok((endpoints[chosen], Why::new(turn, standing)))
    }

    /// Leaves the turn to the next session: an operator's question must not change who gets it.
    fn explain(
        &self,
        shares: &Shares,
        _: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<Explained, NoRoute> {
        Choice::among(&shares.endpoints, avoid)?;
        let why = "round_robin: the next turn's, shared by all".to_owned();
        Ok(Explained::Any { why })
    }
}

impl RoundRobin {
    /// Makes the cycle of endpoints with these weights, 1 to 100; its counter is that of `previous`.
    fn new(weights: &[u8], previous: Option<&RoundRobin>) -> RoundRobin {
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
        let mut turns: Vec<(u32, u32, usize)> = Vec::new();
        for (endpoint, weight) in weights.iter().enumerate() {
            let count = u32::from(weight / divisor.max(1));
            // The middles of `count` equal parts of the cycle, each as a fraction of it.
            turns.extend((0..count).map(|turn| (2 * turn + 1, 2 * count, endpoint)));
        }
        turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)));
        RoundRobin {
            cycle: turns.into_iter().map(|(_, _, endpoint)| endpoint).collect(),
            drawn: previous.map_or_else(Arc::default, |turns| Arc::clone(&turns.drawn)),
        }
    }

    /// Draws the next turn: its number in the cycle, from 0, and its endpoint; none in an empty
    /// cycle.
    #[cfg(test)]
    fn draw(&self) -> Option<(usize, usize)> {
        self.draw_in_round().map(|(_, turn)| turn)
    }

    /// Draws the next turn, and says which cycle it is of.
    fn draw_in_round(&self) -> Option<(usize, (usize, usize))> {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let turn = drawn.checked_rem(self.cycle.len())?;
        Some((drawn / self.cycle.len(), (turn, self.cycle[turn])))
    }

    /// Draws until `accept` takes an endpoint in the cycle that its turn is of, so that the turns of one that is down go to all others
    /// alike, not to the one behind it. Returns the first draw and the accepted one.
    fn draw_among(
        &self,
        accept: impl Fn(usize, usize) -> bool,
    ) -> Option<((usize, usize), (usize, usize))> {
        let (mut round, first) = self.draw_in_round()?;
        let mut drawn = first;
        for _ in 0..self.cycle.len() {
            if accept(drawn.1, round) {
                return Some((first, drawn));
            }
            (round, drawn) = self.draw_in_round()?;
        }
        // Other threads drew in between, and none of the turns drawn here was acceptable.
        let mut turns = self.cycle.iter();
        let turn = turns.position(|&endpoint| accept(endpoint, round))?;
        Some((first, (turn, self.cycle[turn])))
    }
}

/// Returns a number from 0 to 99 for each round, each once in a hundred rounds and evenly spread in fewer.
fn percentile(round: usize) -> usize {
    round % 100 * 61 % 100
}

fn greatest_common_divisor(a: u8, b: u8) -> u8 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cycle(weights: &[u8]) -> Vec<usize> {
        let turns = RoundRobin::new(weights, None);
        (0..turns.cycle.len())
            .map(|_| turns.draw().unwrap().1)
            .collect()
    }

    #[test]
    fn turns_are_interleaved_by_weight() {
        assert_eq!(cycle(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(cycle(&[100, 100]), [0, 1]);
        assert_eq!(cycle(&[1, 2]), [1, 0, 1]);
        assert_eq!(cycle(&[4, 2]), [0, 1, 0]);
        assert_eq!(cycle(&[5, 1, 1]), [0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(RoundRobin::new(&[], None).draw(), None);
    }

    #[test]
    fn the_counter_goes_on_in_the_next_table() {
        let before = RoundRobin::new(&[1, 1, 1], None);
        assert_eq!(before.draw(), Some((0, 0)));
        let after = RoundRobin::new(&[1, 1, 1], Some(&before));
        assert_eq!(after.draw(), Some((1, 1)));
        assert_eq!(before.draw(), Some((2, 2)), "both draw from one counter");
    }

    #[test]
    fn the_turns_of_a_refused_endpoint_go_to_all_others() {
        let turns = RoundRobin::new(&[1, 1, 1, 1], None);
        let mut counts = [0; 4];
        for _ in 0..300 {
            let (_, (_, endpoint)) = turns.draw_among(|endpoint, _| endpoint != 1).unwrap();
            counts[endpoint] += 1;
        }
        assert_eq!(counts, [100, 0, 100, 100]);
        assert_eq!(turns.draw_among(|_, _| false), None);
    }

    proptest! {
        /// Over one cycle everybody has what the weights say, and over a part of it nearly so.
        #[test]
        fn shares_are_exact(weights in proptest::collection::vec(1_u8..=100, 1..8)) {
            let cycle = cycle(&weights);
            let total: usize = weights.iter().map(|&w| usize::from(w)).sum();
            let mut counts = vec![0_usize; weights.len()];
            for (drawn, &endpoint) in cycle.iter().enumerate() {
                counts[endpoint] += 1;
                for (&count, &weight) in counts.iter().zip(&weights) {
                    let share = f64::from(weight) / total as f64;
                    let off = count as f64 - share * (drawn + 1) as f64;
                    prop_assert!(off.abs() <= 1.0 + share * weights.len() as f64 / 2.0);
                }
            }
            for (&count, &weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(count * total, usize::from(weight) * cycle.len());
            }
        }
    }
}
