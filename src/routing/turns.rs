//! The turns of `round_robin`: a fixed cycle in which each endpoint comes as often as its weight
//! says, evenly spread, and one counter that all workers draw from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cycle over endpoints, which are known by their index.
#[derive(Debug)]
pub struct Turns {
    cycle: Box<[usize]>,
    /// Shared with the tables before and after, so that a change of the rules starts nothing anew.
    drawn: Arc<AtomicUsize>,
}

impl Turns {
    /// The cycle of endpoints with these weights, 1 to 100, that goes on where `previous` is.
    pub fn new(weights: &[u8], previous: Option<&Turns>) -> Turns {
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
        let mut turns: Vec<(u32, u32, usize)> = Vec::new();
        for (endpoint, weight) in weights.iter().enumerate() {
            let count = u32::from(weight / divisor.max(1));
            // The middles of `count` equal parts of the cycle, each as a fraction of it.
            turns.extend((0..count).map(|turn| (2 * turn + 1, 2 * count, endpoint)));
        }
        turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)));
        Turns {
            cycle: turns.into_iter().map(|(_, _, endpoint)| endpoint).collect(),
            drawn: previous.map_or_else(Arc::default, |turns| Arc::clone(&turns.drawn)),
        }
    }

    /// How many turns the cycle has.
    pub fn len(&self) -> usize {
        self.cycle.len()
    }

    /// Whether there is nobody to take a turn.
    pub fn is_empty(&self) -> bool {
        self.cycle.is_empty()
    }

    /// Draws the next turn: its number in the cycle, from 0, and its endpoint. None where there is
    /// no endpoint.
    pub fn draw(&self) -> Option<(usize, usize)> {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let turn = drawn.checked_rem(self.cycle.len())?;
        Some((turn, self.cycle[turn]))
    }

    /// Draws until `accept` takes an endpoint. So the turns of one that is down go to all others
    /// alike, not to the one behind it. Returns the first draw and the accepted one.
    pub fn draw_among(
        &self,
        accept: impl Fn(usize) -> bool,
    ) -> Option<((usize, usize), (usize, usize))> {
        let first = self.draw()?;
        let mut drawn = first;
        for _ in 0..self.cycle.len() {
            if accept(drawn.1) {
                return Some((first, drawn));
            }
            drawn = self.draw()?;
        }
        // Others drew in between, and every turn that came here was a wrong one.
        let turn = self.cycle.iter().position(|&endpoint| accept(endpoint))?;
        Some((first, (turn, self.cycle[turn])))
    }
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
        let turns = Turns::new(weights, None);
        (0..turns.len()).map(|_| turns.draw().unwrap().1).collect()
    }

    #[test]
    fn turns_are_interleaved_by_weight() {
        assert_eq!(cycle(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(cycle(&[100, 100]), [0, 1]);
        assert_eq!(cycle(&[1, 2]), [1, 0, 1]);
        assert_eq!(cycle(&[4, 2]), [0, 1, 0]);
        assert_eq!(cycle(&[5, 1, 1]), [0, 0, 0, 1, 2, 0, 0]);
        assert!(Turns::new(&[], None).is_empty());
        assert_eq!(Turns::new(&[], None).draw(), None);
    }

    #[test]
    fn the_counter_goes_on_in_the_next_table() {
        let before = Turns::new(&[1, 1, 1], None);
        assert_eq!(before.draw(), Some((0, 0)));
        let after = Turns::new(&[1, 1, 1], Some(&before));
        assert_eq!(after.draw(), Some((1, 1)));
        assert_eq!(before.draw(), Some((2, 2)), "both draw from one counter");
    }

    #[test]
    fn the_turns_of_a_refused_endpoint_go_to_all_others() {
        let turns = Turns::new(&[1, 1, 1, 1], None);
        let mut counts = [0; 4];
        for _ in 0..300 {
            let (_, (_, endpoint)) = turns.draw_among(|endpoint| endpoint != 1).unwrap();
            counts[endpoint] += 1;
        }
        assert_eq!(counts, [100, 0, 100, 100]);
        assert_eq!(turns.draw_among(|_| false), None);
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
