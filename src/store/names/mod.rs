//! When each name is looked up, and what it has answered last. Values in, values out: the caller tells
//! the time and runs the look-ups, each on a thread, because only the system's resolver knows
//! everything that a host may have configured.
//!
//! A look-up on such a thread cannot be abandoned, and that of a zone whose server is silent takes half a
//! minute. So there are lanes, and what hangs in one never takes the room of another:
//!
//! ```text
//!   New ──── answer ────▶ Prompt ◀──┐ answer within LATE
//!    │                      │       │
//!    └── later than LATE ─┬─┘       │
//!                         ▼         │
//!                        Slow ──────┘
//! ```

mod queue;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::routing::NameFailures;
use queue::FairQueue;

/// A look-up that takes longer is late: nobody waits for it, and its name is slow until it answers in time.
pub const LATE: Duration = Duration::from_secs(1);
/// Look-ups at once of names that have answered in time.
pub const MAX_PROMPT: usize = 32;
/// Look-ups at once of names that were never looked up.
pub const MAX_NEW: usize = 64;
/// Look-ups at once of names that are known to be slow.
pub const MAX_SLOW: usize = 32;
/// Late look-ups whose room in their lane is given to others.
pub const MAX_HANGING: usize = 256;

/// A host name.
pub type Host = Arc<str>;

/// Which look-ups share their room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Prompt,
    New,
    Slow,
}

impl Lane {
    const ALL: [Lane; 3] = [Lane::Prompt, Lane::New, Lane::Slow];

    fn room(self) -> usize {
        match self {
            Lane::Prompt => MAX_PROMPT,
            Lane::New => MAX_NEW,
            Lane::Slow => MAX_SLOW,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until it is due.
    Idle,
    Waiting,
    Running,
}

#[derive(Debug)]
struct Name {
    lane: Lane,
    phase: Phase,
    /// The last good answer, sorted and each once.
    addresses: Vec<IpAddr>,
}

/// A look-up under way.
#[derive(Debug)]
struct Run {
    since: Instant,
    /// The lane whose room it takes; none: it hangs.
    lane: Option<Lane>,
    late: bool,
}

/// The names of the routing data.
#[derive(Debug, Default)]
pub struct Names {
    names: BTreeMap<Host, Name>,
    /// When idle names are due.
    due: BTreeSet<(Instant, Host)>,
    waiting: BTreeMap<Lane, FairQueue>,
    /// Of names that are not wanted any more, too.
    running: HashMap<Host, Run>,
    /// Rises when an answer differs from the one before.
    version: u64,
    /// What was wrong the last time.
    failures: Arc<NameFailures>,
}

impl Names {
    /// Replaces the set of names. Those that stay keep their answers and their clocks.
    pub fn want(&mut self, wanted: &BTreeSet<Host>) {
        self.names.retain(|host, _| wanted.contains(host));
        self.due.retain(|(_, host)| wanted.contains(host));
        self.failures.keep(|host| wanted.contains(host));
        for host in wanted {
            if self.names.contains_key(host) {
                continue;
            }
            let (phase, lane) = match self.running.get(host) {
                Some(run) if run.late => (Phase::Running, Lane::Slow),
                Some(_) => (Phase::Running, Lane::New),
                None => (Phase::Waiting, Lane::New),
            };
            let name = Name {
                lane,
                phase,
                addresses: Vec::new(),
            };
            self.names.insert(Arc::clone(host), name);
            if phase == Phase::Waiting {
                self.wait(Lane::New, Arc::clone(host));
            }
        }
    }

    /// Has every name looked up again now.
    pub fn hurry(&mut self) {
        let due = std::mem::take(&mut self.due);
        for (_, host) in due {
            self.is_due(host);
        }
    }

    /// Forgets the look-ups under way, whose answers nobody will hear, and has their names looked up again.
    pub fn begin_anew(&mut self) {
        for (host, _) in std::mem::take(&mut self.running) {
            self.is_due(host);
        }
    }

    fn is_due(&mut self, host: Host) {
        if let Some(name) = self.names.get_mut(&host) {
            name.phase = Phase::Waiting;
            let lane = name.lane;
            self.wait(lane, host);
        }
    }

    fn wait(&mut self, lane: Lane, host: Host) {
        self.waiting.entry(lane).or_default().push(host);
    }

    /// Returns the names whose look-ups begin now. The caller says [`answered`](Self::answered) of each.
    pub fn begin(&mut self, now: Instant) -> Vec<Host> {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, host)) = self.due.pop_first() {
                self.is_due(host);
            }
        }
        self.find_late(now);
        let mut begun = Vec::new();
        for lane in Lane::ALL {
            let taken = |run: &&Run| run.lane == Some(lane);
            let mut room = lane
                .room()
                .saturating_sub(self.running.values().filter(taken).count());
            while room > 0 {
                let queue = self.waiting.entry(lane).or_default();
                let Some(host) = queue.pop() else { break };
                // It may have gone, or come again as another, while it waited.
                let Some(name) = self.names.get_mut(&host) else {
                    continue;
                };
                if name.phase != Phase::Waiting || name.lane != lane {
                    continue;
                }
                name.phase = Phase::Running;
                let run = Run {
                    since: now,
                    lane: Some(lane),
                    late: false,
                };
                self.running.insert(Arc::clone(&host), run);
                begun.push(host);
                room -= 1;
            }
        }
        begun
    }

    /// Moves late look-ups out of the lanes of names that are not known to be slow.
    fn find_late(&mut self, now: Instant) {
        let mut hanging = self
            .running
            .values()
            .filter(|run| run.lane.is_none())
            .count();
        for (host, run) in &mut self.running {
            if now.saturating_duration_since(run.since) < LATE {
                continue;
            }
            if !std::mem::replace(&mut run.late, true)
                && let Some(name) = self.names.get_mut(host)
            {
                name.lane = Lane::Slow;
            }
            if run.lane != Some(Lane::Slow) && run.lane.is_some() && hanging < MAX_HANGING {
                run.lane = None;
                hanging += 1;
            }
        }
    }

    /// Takes the answer to a look-up, whenever it comes, and has the name looked up again after `interval`.
    /// One that fails or finds nothing leaves the last good answer.
    pub fn answered(
        &mut self,
        host: &Host,
        found: io::Result<Vec<IpAddr>>,
        now: Instant,
        interval: Duration,
    ) {
        let run = self.running.remove(host);
        let Some(name) = self.names.get_mut(host) else {
            return;
        };
        let in_time = run.is_some_and(|run| now.saturating_duration_since(run.since) < LATE);
        name.lane = if in_time { Lane::Prompt } else { Lane::Slow };
        let at = now + interval;
        name.phase = Phase::Idle;
        match found {
            Ok(found) if !found.is_empty() => {
                let sorted: BTreeSet<IpAddr> = found.into_iter().collect();
                let sorted: Vec<IpAddr> = sorted.into_iter().collect();
                self.failures.set(host, None);
                if name.addresses != sorted {
                    name.addresses = sorted;
                    self.version += 1;
                }
            }
            Ok(_) => self.fail(host, "no address found".to_owned()),
            Err(error) => self.fail(host, error.to_string()),
        }
        self.due.insert((at, Arc::clone(host)));
    }

    /// Logs a failure once for as long as the name fails.
    fn fail(&self, host: &Host, failure: String) {
        if !self.failures.set(host, Some(failure.clone())) {
            tracing::warn!(name = %host, failure, "a backend's name cannot be resolved");
        }
    }

    /// Returns what is wrong with names, as of any time that it is looked at.
    pub fn failures(&self) -> &Arc<NameFailures> {
        &self.failures
    }

    /// Returns when [`begin`](Self::begin) has something to do, unless an answer comes first.
    pub fn next(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let running = self.running.values().filter(|run| !run.late);
        let late = running.map(|run| run.since + LATE).min();
        due.into_iter().chain(late).min()
    }

    /// Returns the last good addresses of each name that has any.
    pub fn addresses(&self) -> BTreeMap<Host, Vec<IpAddr>> {
        let resolved = self
            .names
            .iter()
            .filter(|(_, name)| !name.addresses.is_empty());
        resolved
            .map(|(host, name)| (Arc::clone(host), name.addresses.clone()))
            .collect()
    }

    /// Returns true while a name that was never looked up has neither answered nor become late.
    pub fn is_waiting(&self) -> bool {
        self.names.values().any(|name| name.lane == Lane::New)
    }

    /// Returns a number that rises when any address changes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the number of look-ups under way, late ones included.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

/// Asks the system's resolver, which takes its own time.
///
/// # Errors
/// The resolver's.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;
