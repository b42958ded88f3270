//! Numbered frames in one direction: what has become of them.

/// Faults on the way of numbered frames, in one direction or of one player.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Numbers that did not come, beyond those that a gap told of.
    pub(crate) lost: u64,
    /// Numbers that came again, or late.
    pub(crate) doubled: u64,
}

/// Follows numbers that count from 0.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The one that is due.
    pub(crate) next: u64,
    pub(crate) faults: Faults,
    /// Numbers that did not come where the player was told that some may be missing.
    pub(crate) told: u64,
}

impl Numbers {
    /// Takes the next that came; `gap`: the player was told that some before it may be missing.
    pub(crate) fn take(&mut self, number: u64, gap: bool) {
        if number < self.next {
            self.faults.doubled += 1;
            return;
        }
        let missing = number - self.next;
        *(if gap {
            &mut self.told
        } else {
            &mut self.faults.lost
        }) += missing;
        self.next = number + 1;
    }
}

#[test]
fn what_is_missing_or_comes_again_is_counted() {
    let mut numbers = Numbers::default();
    for (number, gap) in [
        (0, false),
        (1, false),
        (1, false),
        (4, false),
        (9, true),
        (3, false),
    ] {
        numbers.take(number, gap);
    }
    let faults = Faults {
        lost: 2,
        doubled: 2,
    };
    assert_eq!((numbers.faults, numbers.told), (faults, 4));
}
