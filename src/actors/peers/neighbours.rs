//! Where the other gateways of the deployment are: `peer.gateways`, looked up again and again, because pods come and
//! go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::HostPort;

/// Addresses that are asked; the others are counted.
pub const MAX_NEIGHBOURS: usize = 256;
/// Interval at which names are looked up.
const INTERVAL: Duration = Duration::from_secs(5);

/// The addresses that all names have resolved to of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Addresses of peer channels, at most [`MAX_NEIGHBOURS`]; this gateway's own may be among them.
    pub addresses: Vec<SocketAddr>,
    /// Addresses beyond them.
    pub left_out: usize,
    /// Names whose last look-up has failed, and why. Their last good addresses stay.
    pub errors: Vec<(String, String)>,
}

/// Neighbours as they are known now.
pub(super) type NeighboursNow = Arc<ArcSwap<Neighbours>>;

/// What one entry of the configuration has resolved to.
#[derive(Debug, Clone, Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    error: Option<String>,
}

/// Looks all entries up for as long as the thread's runtime runs, each with its own clock.
pub(super) fn keep(entries: &[HostPort], now: &NeighboursNow) {
    let names: Arc<[String]> = entries.iter().map(ToString::to_string).collect();
    let all: Vec<Resolved> = names.iter().map(|name| Resolved::before(name)).collect();
    now.store(Arc::new(gather(&names, &all)));
    let looked_up = all.iter().enumerate();
    let looked_up = looked_up.filter(|(_, entry)| entry.error.is_some());
    let looked_up: Vec<usize> = looked_up.map(|(index, _)| index).collect();
    let all = Arc::new(Mutex::new(all));
    for index in looked_up {
        let (names, all, now) = (Arc::clone(&names), Arc::clone(&all), Arc::clone(now));
        actix::spawn(async move {
            loop {
                let found = tokio::net::lookup_host(&*names[index]).await;
                let found = found.map(Iterator::collect::<Vec<_>>);
                if let Ok(mut all) = all.lock() {
                    note(&mut all[index], &names[index], found);
                    now.store(Arc::new(gather(&names, &all)));
                }
                actix::clock::sleep(INTERVAL).await;
            }
        });
    }
}

impl Resolved {
    /// Returns what is known before the first look-up, which an address does not need.
    fn before(name: &str) -> Resolved {
        match name.parse() {
            Ok(address) => Resolved {
                addresses: vec![address],
                error: None,
            },
            Err(_) => Resolved {
                addresses: Vec::new(),
                error: Some("not looked up yet".to_owned()),
            },
        }
    }
}

fn note(entry: &mut Resolved, name: &str, found: std::io::Result<Vec<SocketAddr>>) {
    match found {
        Ok(addresses) => {
            let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
            entry.addresses = addresses.into_iter().map(canonical).collect();
            // More than are asked of all entries together are never asked.
            entry.addresses.truncate(MAX_NEIGHBOURS * 4);
            entry.error = None;
        }
        Err(error) => {
            let error = error.to_string();
            // Once, not each time.
            if entry.error.as_ref() != Some(&error) {
                tracing::warn!(name, error, "peer.gateways cannot be looked up");
            }
            entry.error = Some(error);
        }
    }
}

fn gather(names: &[String], all: &[Resolved]) -> Neighbours {
    let addresses: BTreeSet<SocketAddr> =
        all.iter().flat_map(|one| &one.addresses).copied().collect();
    let errors = names.iter().zip(all);
    let errors = errors.filter_map(|(name, one)| Some((name.clone(), one.error.clone()?)));
    Neighbours {
        left_out: addresses.len().saturating_sub(MAX_NEIGHBOURS),
        addresses: addresses.into_iter().take(MAX_NEIGHBOURS).collect(),
        errors: errors.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u16) -> SocketAddr {
        ([10, 0, (last >> 8) as u8, last as u8], 7001).into()
    }

    #[test]
    fn the_last_good_addresses_stay_and_the_error_is_told() {
        let mut entry = Resolved::default();
        let mapped: SocketAddr = "[::ffff:10.0.0.2]:7001".parse().expect("an address");
        note(&mut entry, "peers", Ok(vec![mapped, at(1)]));
        note(&mut entry, "peers", Err(std::io::Error::other("no answer")));
        let names = ["peers:7001".to_owned(), "other:7001".to_owned()];
        let other = Resolved {
            addresses: vec![at(2), at(3)],
            error: None,
        };
        let now = gather(&names, &[entry.clone(), other]);
        assert_eq!(now.addresses, [at(1), at(2), at(3)]);
        assert_eq!(now.errors, [("peers:7001".into(), "no answer".into())]);
        note(&mut entry, "peers", Ok(Vec::new()));
        assert_eq!(gather(&names[..1], &[entry]), Neighbours::default());
    }

    #[test]
    fn beyond_the_bound_they_are_counted() {
        let many = Resolved {
            addresses: (0..300).map(at).collect(),
            error: None,
        };
        let now = gather(&["peers:1".to_owned()], &[many]);
        assert_eq!((now.addresses.len(), now.left_out), (MAX_NEIGHBOURS, 44));
    }
}
