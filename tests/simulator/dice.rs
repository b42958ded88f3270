//! Randomness: every source has a stream of its own, made from the run's seed and its name, so that one
//! that is drawn from less often, when a fault is left out, does not change all the others.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Dice {
    /// A stream of the run with this seed; `name` tells it from the others.
    pub(crate) fn new(seed: u64, name: &[u64]) -> Dice {
        let fold = |state: u64, part: &u64| mix(state ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Dice(
            name.iter()
                .fold(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)), fold),
        )
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from `low` to `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}
