//! After a run nothing is left over in gateways; the auditor looks at backends.

use crate::wire::Violation;
use crate::world::World;

impl World {
    /// What is left of sessions, leases, entries and calls when everything is over.
    pub(crate) fn leftovers(&mut self) -> Option<Violation> {
        let at = self.now;
        let left = |rule: &'static str, detail: String| Some(Violation { at, rule, detail });
        for (client, c) in self.clients.iter().enumerate() {
            if let Some(c) = c {
                let core = format!("{:?}", c.core);
                let detail = format!("client {client} of gateway {}: {core:.300}", c.gateway);
                return left("a client is left over", detail);
            }
        }
        for (at, g) in self.gateways.iter().enumerate() {
            if let Some((id, client)) = g.registry.sessions.iter().next() {
                // A shard that panicked may have lost the word of an end; it looks for that in time.
                if self.counts.registry_panics == 0
                    && !self.counts.faults.contains_key("client actor panicked")
                {
                    return left(
                        "a registry entry is left over",
                        format!("gateway {at}: {id} of {client}"),
                    );
                }
            }
            if let Some((call, _)) = g.calls.made.iter().next() {
                // A client that panicked says no more on its calls.
                if !self.counts.faults.contains_key("client actor panicked") {
                    return left("a call is left over", format!("gateway {at}: {call}"));
                }
            }
            if let Some((call, served)) = g.calls.served.iter().next() {
                return left(
                    "a served call is left over",
                    format!("gateway {at}: {call:?} {served:?}"),
                );
            }
        }
        for (link, l) in self.links.iter().enumerate() {
            if let Some(client) = l.sessions.clients().next() {
                return left(
                    "a session is left on a link",
                    format!("link {link}: client {client}"),
                );
            }
        }
        None
    }
}
