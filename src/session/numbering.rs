//! Where a client's count began.

use smallvec::SmallVec;

/// Most restarts of the counts that are remembered before the client shows that it knows.
const MAX_STARTS: usize = 8;

/// The DATA frames sent to a client are numbered from 1 on as long as the session lives. What a client
/// counts begins again with each GAP; this says where, for every epoch whose tokens are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering(SmallVec<[(u32, u64); 1]>);

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering(SmallVec::from_buf([(0, 0)]))
    }
}

impl Numbering {
    /// From what another gateway says; `None` where it is empty, too long, or not in order.
    pub fn from_starts(starts: impl Iterator<Item = (u32, u64)>) -> Option<Numbering> {
        let starts: SmallVec<[(u32, u64); 1]> = starts.take(MAX_STARTS + 1).collect();
        let ordered = starts.windows(2).all(|two| two[0].0 < two[1].0);
        (ordered && !starts.is_empty() && starts.len() <= MAX_STARTS).then_some(Numbering(starts))
    }

    /// Epochs, and how many frames had been sent when the count of each began; the oldest first.
    pub fn starts(&self) -> &[(u32, u64)] {
        &self.0
    }

    /// The number of the frame that a client of this epoch has counted up to, and whether the counts
    /// have begun again since.
    pub fn number(&self, epoch: u32, count: u64) -> (u64, bool) {
        let known = self.0.iter().rposition(|(from, _)| *from <= epoch);
        let at = known.unwrap_or(0);
        let restarted = known.is_none() || at + 1 < self.0.len();
        (self.0[at].1.saturating_add(count), restarted)
    }

    /// With this epoch the count begins again behind `sent` frames. Where that was done too often the
    /// oldest beginning is forgotten.
    pub fn restart(&mut self, epoch: u32, sent: u64) {
        self.0.retain(|(from, _)| *from < epoch);
        if self.0.len() == MAX_STARTS {
            self.0.remove(0);
        }
        self.0.push((epoch, sent));
    }

    /// The client knows the newest one.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.0.len() > 1 {
            self.0.drain(..self.0.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_begin_again() {
        let mut numbering = Numbering::default();
        assert_eq!(numbering.number(1, 7), (7, false));
        numbering.restart(3, 10);
        assert_eq!(numbering.number(2, 7), (7, true));
        assert_eq!(numbering.number(3, 7), (17, false));
        assert_eq!(numbering.number(4, 7), (17, false));
        assert_eq!(numbering.number(4, u64::MAX), (u64::MAX, false));
        numbering.settle();
        assert_eq!(numbering.starts(), [(3, 10)]);
        // Nobody good has such a token; it is not answered exactly.
        assert_eq!(numbering.number(2, 7), (17, true));
    }

    #[test]
    fn it_is_bounded() {
        let mut numbering = Numbering::default();
        (1..20).for_each(|epoch| numbering.restart(epoch, u64::from(epoch)));
        assert_eq!(numbering.starts().len(), MAX_STARTS);
        let starts = || numbering.starts().iter().copied();
        assert_eq!(Numbering::from_starts(starts()), Some(numbering.clone()));
        assert_eq!(Numbering::from_starts(starts().rev()), None);
        assert_eq!(Numbering::from_starts(starts().chain([(99, 0)])), None);
        assert_eq!(Numbering::from_starts(std::iter::empty()), None);
    }
}
