//! One run of a pod's container.

use std::process::Command;
use std::time::Duration;

use testkit_process::Process;
use tokio::time::Instant;

use super::pre_stop::PreStop;
use crate::journal::Journal;

/// Interval at which a program is polled.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// A program that runs, killed when dropped.
pub(super) struct Container<'a> {
    process: Process,
    journal: &'a Journal,
    pod: String,
    run: usize,
}

/// Its exit status.
#[derive(Debug)]
pub(super) struct Exit {
    /// None: by a signal.
    pub(super) code: Option<i32>,
    /// It had to be killed.
    pub(super) killed: bool,
    /// Its `preStop` has failed, or was not over in time.
    pub(super) hook_failed: bool,
}

impl<'a> Container<'a> {
    pub(super) fn start(
        command: &mut Command,
        journal: &'a Journal,
        pod: &str,
        run: usize,
    ) -> Container<'a> {
        Container {
            process: Process::spawn(command),
            journal,
            pod: pod.to_owned(),
            run,
        }
    }

    /// Looks at it: whether it still runs.
    pub(super) fn runs(&mut self) -> bool {
        self.journal
            .note_log(&self.pod, self.run, self.process.output());
        self.process.runs()
    }

    /// Takes the exit status of one that does not run any more.
    pub(super) fn exit(mut self, killed: bool) -> Exit {
        let status = self.process.wait_for_exit();
        self.journal
            .note_log(&self.pod, self.run, self.process.output());
        Exit {
            code: status.code(),
            killed,
            hook_failed: false,
        }
    }

    /// Ends it as Kubernetes does: what `preStop` says, SIGTERM, and SIGKILL when the grace period,
    /// which begins with `preStop`, is over.
    pub(super) async fn stop(mut self, pre_stop: &PreStop, grace: Duration) -> Exit {
        let end = Instant::now() + grace;
        let mut hook = std::pin::pin!(pre_stop.run());
        let good = loop {
            if Instant::now() >= end || !self.runs() {
                break false;
            }
            if let Ok(good) = tokio::time::timeout(LOOK, &mut hook).await {
                break good;
            }
        };
        if self.runs() {
            self.process.sigterm();
        }
        while Instant::now() < end && self.runs() {
            tokio::time::sleep(LOOK).await;
        }
        let killed = self.runs();
        if killed {
            self.process.signal("KILL");
        }
        Exit {
            hook_failed: !good,
            ..self.exit(killed)
        }
    }
}
