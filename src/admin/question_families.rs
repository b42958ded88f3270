//! The metric family of questions to other gateways of the deployment.

use std::time::Duration;

use super::family::{Family, Source::QuestionTimings, family};
use crate::actors::peers::NoAnswer;
use crate::labels::labels;
use crate::metrics::{HistogramSnapshot, Timed};

/// Whether a question to another gateway was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Unanswered,
}

labels!(Outcome { Answered => "answered", Unanswered => "unanswered", });

/// How long gateways took to answer, or not to.
#[derive(Debug, Default)]
pub(super) struct QuestionTimes(Timed<Outcome>);

impl QuestionTimes {
    /// Counts a question that is over; one that this gateway has put to itself is none.
    pub(super) fn count<T>(&self, answer: &Result<T, NoAnswer>, took: Duration) {
        match answer {
            Ok(_) => self.0.observe(Outcome::Answered, took),
            Err(NoAnswer::Own) => {}
            Err(_) => self.0.observe(Outcome::Unanswered, took),
        }
    }

    /// Returns the times by outcome.
    pub(super) fn snapshots(&self) -> Vec<(&'static str, HistogramSnapshot)> {
        let each = self.0.iter();
        each.map(|(outcome, times)| (outcome, [times].into_iter().collect()))
            .collect()
    }
}

pub(super) const FAMILIES: [Family; 1] = [family(
    "deployment_questions_seconds",
    "Time until other gateways have answered operators' questions, or did not, each gateway that was asked",
    QuestionTimings,
)];
