//! Gateways that do not answer. The first who asks one waits for it in vain; those after him are told at once, and for
//! how long that has been so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::actors::peers::NoAnswer;

/// Reason for which a gateway's answer is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// It has been asked.
    #[error("{0}")]
    Now(NoAnswer),
    /// It has not, because it has kept others waiting for this time.
    #[error("{0}, for {secs} s now", secs = .1.as_secs())]
    Still(NoAnswer, Duration),
}

/// The gateways that are silent, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Silences {
    list: RefCell<HashMap<SocketAddr, (NoAnswer, Instant)>>,
}

impl Silences {
    /// Notes that nothing has come from an address since then. Returns false if that was known.
    pub(super) fn begin(&self, at: SocketAddr, why: NoAnswer, since: Instant) -> bool {
        let mut list = self.list.borrow_mut();
        let is_new = !list.contains_key(&at);
        list.entry(at).or_insert((why, since));
        is_new
    }

    /// Returns for how long nothing has come from an address; `None`: it is worth asking.
    pub(super) fn of(&self, at: SocketAddr) -> Option<Missing> {
        let list = self.list.borrow();
        let (why, since) = list.get(&at)?;
        Some(Missing::Still(*why, since.elapsed()))
    }

    pub(super) fn end(&self, at: SocketAddr) {
        self.list.borrow_mut().remove(&at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_lasts_from_the_first_question_on() {
        let (silences, at) = (Silences::default(), ([10, 0, 0, 7], 7001).into());
        assert_eq!(silences.of(at), None);
        assert!(silences.begin(at, NoAnswer::Timeout, Instant::now()));
        assert!(!silences.begin(at, NoAnswer::Unreachable, Instant::now()));
        let missing = silences.of(at).expect("it is silent").to_string();
        let begins = missing.strip_prefix("it has not answered in time, for ");
        assert!(
            begins.is_some_and(|rest| rest.ends_with(" s now")),
            "{missing}"
        );
        silences.end(at);
        assert_eq!(silences.of(at), None);
    }
}
