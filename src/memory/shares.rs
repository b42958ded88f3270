//! From whom memory is taken back: from the largest first, down to one size for all of them.

/// Holders by size, as far as it takes to find that size. Sizes are rounded down to 64 steps a power of two.
#[derive(Debug)]
pub struct Sizes {
    steps: Box<[Step]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    holders: u64,
    bytes: u64,
}

const STEP_BITS: u32 = 6;

fn step(size: u32) -> usize {
    let power = (u32::BITS - size.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (power << STEP_BITS) as usize + (size >> power) as usize
}

/// The least size of a step.
fn least(step: usize) -> u32 {
    let power = (step >> STEP_BITS).saturating_sub(1);
    ((step - (power << STEP_BITS)) as u32) << power
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            steps: vec![Step::default(); step(u32::MAX) + 1].into_boxed_slice(),
        }
    }
}

impl Sizes {
    /// Adds a holder of `size` bytes.
    pub fn add(&mut self, size: u32) {
        let step = &mut self.steps[step(size)];
        step.holders += 1;
        step.bytes += u64::from(size);
    }

    /// Returns the size that nobody may exceed so that at least `excess` bytes come back; 0 where all of them
    /// have less.
    pub fn cap(&self, excess: usize) -> u32 {
        let excess = excess as u64;
        let (mut holders, mut bytes) = (0, 0);
        for (index, step) in self.steps.iter().enumerate().rev() {
            // All from here on, cut down to the least size of this step.
            holders += step.holders;
            bytes += step.bytes;
            let cap = least(index);
            if bytes - holders * u64::from(cap) >= excess {
                return cap;
            }
        }
        0
    }
}

impl Sizes {
    /// Returns the least size of those who, taken from the largest on, hold at least `excess` bytes together; at
    /// least 1.
    pub fn largest(&self, excess: usize) -> u32 {
        let mut bytes = 0;
        for (index, step) in self.steps.iter().enumerate().rev() {
            bytes += step.bytes;
            if bytes >= excess as u64 {
                return least(index).max(1);
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn returned(sizes: &[u32], cap: u32) -> u64 {
        sizes
            .iter()
            .map(|size| u64::from(size.saturating_sub(cap)))
            .sum()
    }

    proptest! {
        #[test]
        fn steps_hold_their_sizes(size in any::<u32>()) {
            let low = least(step(size));
            prop_assert!(low <= size);
            prop_assert!(u64::from(size - low) <= u64::from(size) / 32);
            prop_assert_eq!(step(low), step(size));
        }

        #[test]
        fn a_cap_returns_enough_and_hardly_more(
            sizes in proptest::collection::vec(prop_oneof![0_u32..200, 0_u32..1 << 20], 0..60),
            excess in 0_usize..1 << 22,
        ) {
            let mut holders = Sizes::default();
            sizes.iter().for_each(|size| holders.add(*size));
            let cap = holders.cap(excess);
            let all = returned(&sizes, 0);
            prop_assert!(returned(&sizes, cap) >= all.min(excess as u64));
            // The next step up would not do.
            let next = least(step(cap) + 1);
            let excess = excess as u64;
            let largest = holders.largest(excess as usize);
            let taken: u64 = sizes.iter().filter(|size| **size >= largest).map(|size| u64::from(*size)).sum();
            prop_assert!(taken >= all.min(excess));
            prop_assert!(cap == 0 && all < excess || returned(&sizes, next) < excess || excess == 0);
        }
    }
}
