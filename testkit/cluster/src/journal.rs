//! The events of pods, for assertions and for the output of a failing test.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The end of a container that was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEnd {
    /// Its name.
    pub pod: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// It took longer than its grace period.
    pub killed: bool,
    /// Its `preStop` has failed, or was not over in time.
    pub hook_failed: bool,
}

#[derive(Default)]
struct Notes {
    /// By pod: the output of each run of its container.
    logs: BTreeMap<String, Vec<String>>,
    ends: Vec<PodEnd>,
}

/// The notes of one cluster.
#[derive(Default)]
pub struct Journal(Mutex<Notes>);

impl Journal {
    /// Replaces what is known of a run's output; runs are counted from 0.
    pub(crate) fn note_log(&self, pod: &str, run: usize, text: String) {
        let mut notes = self.lock();
        let runs = notes.logs.entry(pod.to_owned()).or_default();
        runs.resize(runs.len().max(run + 1), String::new());
        runs[run] = text;
    }

    pub(crate) fn note_end(&self, end: PodEnd) {
        self.lock().ends.push(end);
    }

    /// Returns the output of a pod in all its runs.
    pub fn log_of(&self, pod: &str) -> String {
        let notes = self.lock();
        notes
            .logs
            .get(pod)
            .map(|runs| runs.concat())
            .unwrap_or_default()
    }

    /// Returns the exits of the pods that were told to end.
    pub fn ends(&self) -> Vec<PodEnd> {
        self.lock().ends.clone()
    }

    /// Formats all logs for people.
    pub fn report(&self) -> String {
        let mut report = String::new();
        let notes = self.lock();
        for (pod, runs) in &notes.logs {
            for (run, text) in runs.iter().enumerate() {
                let _ = writeln!(report, "--- {pod}, run {run}\n{text}");
            }
        }
        let _ = writeln!(report, "--- ended: {:?}", notes.ends);
        report
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
