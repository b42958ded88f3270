//! Finds the master by the sentinels' answers.
//!
//! The master that more than half of them name is tried first: after a failover, one that was cut
//! off still names the old one, which may itself not know yet.

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::RedisConnectionInfo;

use super::connect::{Address, Connected, Server, with_credentials};
use crate::config::redis_url::show_server;

/// The sentinels' answers.
#[derive(Debug, Default)]
struct Votes {
    /// Addresses with the number of sentinels that name each, most first.
    named: Vec<(Address, usize)>,
    /// Answers of those that named none.
    errors: Vec<String>,
}

impl Votes {
    fn count(&mut self, address: Address) {
        match self.named.iter_mut().find(|(known, _)| *known == address) {
            Some((_, votes)) => *votes += 1,
            None => self.named.push((address, 1)),
        }
        // Stable: of those with as many votes, the first to be named stays first.
        self.named
            .sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    }

    /// Returns the address that more than half of this number of sentinels name.
    fn elected(&self, sentinels: usize) -> Option<&Address> {
        let (address, votes) = self.named.first()?;
        (votes * 2 > sentinels).then_some(address)
    }
}

impl Server {
    /// Asks the sentinels, and connects to the server that itself claims to be the master.
    pub(super) async fn connect_to_master(&self, service: &str) -> Result<Connected, String> {
        let Votes { named, mut errors } = self.ask_sentinels(service).await;
        for (address, _) in named {
            let connected = match self.connect_to(&address).await {
                Ok(connected) => self.is_master(&connected).await.map(|()| connected),
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => return Ok(connected),
                Err(error) => errors.push(format!("{}: {error}", show_server(&address))),
            }
        }
        errors.sort();
        Err(format!(
            "no master found for {service}: {}",
            errors.join("; ")
        ))
    }

    /// Checks that the sentinels still name the server of this connection. It is left only for one
    /// that more than half of them name.
    ///
    /// # Errors
    /// They name another.
    pub async fn is_elected(&self, connected: &Connected) -> Result<(), String> {
        let Some(service) = &self.url.service else {
            return Ok(());
        };
        let votes = self.ask_sentinels(service).await;
        match votes.elected(self.url.servers.len()) {
            Some(address) if *address != connected.address => {
                let (new, old) = (show_server(address), show_server(&connected.address));
                Err(format!("{old}: the sentinels name {new} as the master"))
            }
            _ => Ok(()),
        }
    }

    /// Asks all at once, and waits no longer than until more than half agree.
    async fn ask_sentinels(&self, service: &str) -> Votes {
        let asked = self.url.servers.iter().map(|sentinel| async move {
            let answer = self.ask_sentinel(sentinel, service).await;
            (sentinel, answer)
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut votes = Votes::default();
        while let Some((sentinel, answer)) = answers.next().await {
            match answer {
                Ok(address) => votes.count(address),
                Err(error) => {
                    let sentinel = show_server(sentinel);
                    votes.errors.push(format!("sentinel {sentinel}: {error}"));
                }
            }
            if votes.elected(self.url.servers.len()).is_some() {
                break;
            }
        }
        votes
    }

    async fn ask_sentinel(&self, sentinel: &Address, service: &str) -> Result<Address, String> {
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let settings = with_credentials(settings, &None, &self.sentinel_password);
        let connected = self.open(sentinel, settings).await?;
        let mut sentinel = connected.commands.clone();
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(service);
        let answer = self.in_time(question.query_async(&mut sentinel)).await?;
        let address: Option<Address> = answer;
        address.ok_or_else(|| format!("unknown service {service}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_elect() {
        let address = |host: &str| (host.to_owned(), 1);
        let mut votes = Votes::default();
        assert_eq!(votes.elected(1), None);
        votes.count(address("old"));
        assert_eq!(votes.elected(1), Some(&address("old")));
        assert_eq!(votes.elected(2), None, "half is not more than half");
        votes.count(address("new"));
        assert_eq!(votes.named[0].0, address("old"), "first named, first tried");
        votes.count(address("new"));
        assert_eq!(votes.elected(3), Some(&address("new")));
        assert_eq!(votes.elected(4), None);
    }
}
