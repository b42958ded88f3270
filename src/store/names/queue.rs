//! A queue in which every zone has its turn, so that many names of one do not delay those of others.

use std::collections::{HashMap, VecDeque};

use super::Host;

/// Names in the order in which they came, one zone after the other.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    zones: HashMap<Host, VecDeque<Host>>,
    /// Zones that have names here, each once.
    turns: VecDeque<Host>,
}

impl FairQueue {
    pub(super) fn push(&mut self, host: Host) {
        let zone = zone(&host);
        match self.zones.get_mut(zone) {
            Some(names) => names.push_back(host),
            None => {
                let zone = Host::from(zone);
                self.turns.push_back(Host::clone(&zone));
                self.zones.insert(zone, VecDeque::from([host]));
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Host> {
        let zone = self.turns.pop_front()?;
        let names = self.zones.get_mut(&zone)?;
        let host = names.pop_front();
        if names.is_empty() {
            self.zones.remove(&zone);
        } else {
            self.turns.push_back(zone);
        }
        host
    }
}

/// Returns what follows the first label: names of one zone have one server.
fn zone(host: &str) -> &str {
    host.split_once('.').map_or("", |(_, zone)| zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_zone_has_its_turn() {
        let mut queue = FairQueue::default();
        for host in ["1.a", "2.a", "3.a", "1.b", "single", "1.c.b", "2.b"] {
            queue.push(host.into());
        }
        let popped: Vec<Host> = std::iter::from_fn(|| queue.pop()).collect();
        let popped: Vec<&str> = popped.iter().map(|host| &**host).collect();
        assert_eq!(
            popped,
            ["1.a", "1.b", "single", "1.c.b", "2.a", "2.b", "3.a"]
        );
        assert!(queue.zones.is_empty() && queue.turns.is_empty());
    }
}
