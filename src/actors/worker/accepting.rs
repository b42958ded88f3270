//! Accepting inside the actor, and failures to accept: told apart, counted, said once, and answered where no file is left.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::Worker;
use crate::metrics::AcceptError;

/// Pause of accepting when files or memory are used up.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Time without a failure after which accepting works again; a new failure is said again.
const CALM: Duration = Duration::from_secs(10);

impl AcceptError {
    /// Tells failures apart, as accept(2) does.
    pub(super) fn of(error: &io::Error) -> AcceptError {
        match error.raw_os_error() {
            Some(
                libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH,
            ) => AcceptError::Aborted,
            Some(libc::EMFILE) => AcceptError::ProcessFiles,
            Some(libc::ENFILE) => AcceptError::SystemFiles,
            Some(libc::ENOBUFS | libc::ENOMEM) => AcceptError::Memory,
            _ => AcceptError::Other,
        }
    }

    /// Returns true if the next connection may be accepted at once.
    pub(super) fn is_of_one_connection(self) -> bool {
        matches!(self, AcceptError::Aborted)
    }

    /// Returns true if closing a file makes accepting possible.
    pub(super) fn is_of_files(self) -> bool {
        matches!(self, AcceptError::ProcessFiles | AcceptError::SystemFiles)
    }
}

/// What has failed of late, so that it is said once, and again when it changes.
#[derive(Debug, Default)]
pub(super) struct Failures(Option<(AcceptError, Instant)>);

impl Failures {
    /// Notes a failure; returns true if it is to be said.
    pub(super) fn failed(&mut self, error: AcceptError, now: Instant) -> bool {
        let before = self.0.replace((error, now));
        before.is_none_or(|(before, _)| before != error)
    }

    /// Notes that a connection was accepted; returns what had failed, if accepting has worked again for a while.
    pub(super) fn accepted(&mut self, now: impl FnOnce() -> Instant) -> Option<AcceptError> {
        let (error, at) = self.0?;
        if now().saturating_duration_since(at) < CALM {
            return None;
        }
        self.0 = None;
        Some(error)
    }
}

/// Polls the listener inside the actor.
pub(super) struct Accept;

impl ActorFuture<Worker> for Accept {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _: &mut Context<Worker>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let begun = worker.registration.begin_turn();
        let polled = worker.poll_accept(cx);
        if let Some(begun) = begun {
            worker.registration.end_turn::<Accept>("accept", begun);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_something_pauses() {
        for (errno, expected, pauses) in [
            (libc::ECONNABORTED, AcceptError::Aborted, false),
            (libc::EPROTO, AcceptError::Aborted, false),
            (libc::EMFILE, AcceptError::ProcessFiles, true),
            (libc::ENFILE, AcceptError::SystemFiles, true),
            (libc::ENOBUFS, AcceptError::Memory, true),
            (libc::ENOMEM, AcceptError::Memory, true),
            (libc::EBADF, AcceptError::Other, true),
        ] {
            let error = AcceptError::of(&io::Error::from_raw_os_error(errno));
            assert_eq!(error, expected);
            assert_eq!(!error.is_of_one_connection(), pauses, "{error:?}");
        }
    }

    #[test]
    fn a_failure_is_said_once_and_again_when_it_changes() {
        let mut failures = Failures::default();
        let begun = Instant::now();
        assert!(failures.failed(AcceptError::ProcessFiles, begun));
        assert!(!failures.failed(AcceptError::ProcessFiles, begun));
        // Now and then one is accepted: that is no change.
        assert_eq!(failures.accepted(|| begun + CALM / 2), None);
        assert!(!failures.failed(AcceptError::ProcessFiles, begun + CALM / 2));
        assert!(failures.failed(AcceptError::Memory, begun + CALM / 2));
        assert_eq!(failures.accepted(|| begun + CALM), None);
        let later = begun + CALM * 2;
        assert_eq!(failures.accepted(|| later), Some(AcceptError::Memory));
        assert_eq!(failures.accepted(|| later), None);
        assert!(failures.failed(AcceptError::Memory, later));
    }
}
