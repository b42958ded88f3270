//! What happened to pods, kept for assertions and for the output of a test that fails.

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

    /// What a pod has written in all its runs.
    pub fn log_of(&self, pod: &str) -> String {
        let notes = self.lock();
        notes
            .logs
            .get(pod)
            .map(|runs| runs.concat())
            .unwrap_or_default()
    }

    /// How the pods have ended that were told to.
    pub fn ends(&self) -> Vec<PodEnd> {
        self.lock().ends.clone()
    }

    /// All logs, for people.
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
