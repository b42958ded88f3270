//! What happens in runs, counted: faults must have happened, and the table shows the rest.

use std::collections::BTreeMap;

use game_gateway::codec::code::Code;
use game_gateway::session::closing::Closing;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) events: u64,
    pub(crate) resumed_exact: u64,
    pub(crate) resumed_gap: u64,
    pub(crate) refused: u64,
    pub(crate) handed_over: u64,
    pub(crate) goaways: u64,
    pub(crate) paused: u64,
    pub(crate) unexpected_accepts: u64,
    pub(crate) bound: u64,
    pub(crate) bind_failed: u64,
    pub(crate) errors: u64,
    pub(crate) strays: u64,
    pub(crate) asks: u64,
    pub(crate) peers_silent: u64,
    pub(crate) supersedes: u64,
    pub(crate) registry_panics: u64,
    pub(crate) wishes: u64,
    pub(crate) moves: u64,
    pub(crate) moves_failed: u64,
    pub(crate) sessions: u64,
    pub(crate) frames_up: u64,
    pub(crate) frames_down: u64,
}

impl Counts {
    pub(crate) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(crate) fn move_ended(&mut self, code: Code) {
        match code {
            Code::NORMAL => self.moves += 1,
            _ => self.moves_failed += 1,
        }
    }

    pub(crate) fn refused(&mut self, closing: &Closing) {
        if matches!(
            closing,
            Closing::NotResumable | Closing::ResumeElsewhere | Closing::ResumeBusy
        ) {
            self.refused += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        for (name, times) in &other.faults {
            *self.faults.entry(name).or_default() += times;
        }
        for (sum, more) in self.numbers().into_iter().zip(other.clone().numbers()) {
            *sum.1 += *more.1;
        }
    }

    pub(crate) fn numbers(&mut self) -> [(&'static str, &mut u64); 22] {
        [
            ("events", &mut self.events),
            ("sessions", &mut self.sessions),
            ("DATA up", &mut self.frames_up),
            ("DATA down", &mut self.frames_down),
            ("resumes, exact", &mut self.resumed_exact),
            ("resumes, GAP", &mut self.resumed_gap),
            ("resumes, refused", &mut self.refused),
            ("handed over", &mut self.handed_over),
            ("GOAWAYs", &mut self.goaways),
            ("clients held back by a link", &mut self.paused),
            (
                "ACCEPTs that nobody had asked for",
                &mut self.unexpected_accepts,
            ),
            ("BINDs", &mut self.bound),
            ("services that could not be opened", &mut self.bind_failed),
            ("ERRORs", &mut self.errors),
            ("frames by way of the registry", &mut self.strays),
            ("calls to peer gateways", &mut self.asks),
            (
                "owners told that they were passed over",
                &mut self.supersedes,
            ),
            ("peer gateways that did not answer", &mut self.peers_silent),
            ("registry panics", &mut self.registry_panics),
            ("ASSIGNs and TRANSFERs", &mut self.wishes),
            ("moves to other backends", &mut self.moves),
            ("moves that failed", &mut self.moves_failed),
        ]
    }
}
