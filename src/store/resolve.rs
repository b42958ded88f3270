//! Names to addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::routing::EndpointName;

/// Names that are looked up at once. Each takes a thread of tokio's blocking pool.
pub const MAX_LOOKUPS_AT_ONCE: usize = 32;

/// The addresses of a set of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Addresses of each name, sorted and each once. A name without any is not in the map.
    pub addresses: BTreeMap<EndpointName, Vec<SocketAddr>>,
    /// Names that could not be looked up, with the reason. They keep their last good addresses.
    pub failures: Vec<(EndpointName, String)>,
}

/// Looks all names up, each within `timeout`, at most [`MAX_LOOKUPS_AT_ONCE`] at a time. An IP
/// address is its own answer. A look-up that fails or finds nothing leaves what is in `last_good`.
///
/// A look-up that is late is not waited for, but goes on in its thread until the system's resolver
/// gives it up.
pub async fn resolve<'a>(
    names: impl Iterator<Item = &'a EndpointName>,
    timeout: Duration,
    last_good: &BTreeMap<EndpointName, Vec<SocketAddr>>,
) -> Resolved {
    let names: BTreeSet<&EndpointName> = names.collect();
    resolve_by(names, timeout, last_good, look_up).await
}

async fn look_up(name: EndpointName) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((name.host.as_str(), name.port)).await?;
    Ok(found.collect())
}

/// Implements [`resolve`] with any resolver.
async fn resolve_by<F>(
    names: BTreeSet<&EndpointName>,
    timeout: Duration,
    last_good: &BTreeMap<EndpointName, Vec<SocketAddr>>,
    look_up: impl Fn(EndpointName) -> F,
) -> Resolved
where
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let mut resolved = Resolved::default();
    let mut unknown: Vec<EndpointName> = Vec::new();
    for name in names {
        match name.literal() {
            Some(address) => {
                resolved.addresses.insert(name.clone(), vec![address]);
            }
            None => unknown.push(name.clone()),
        }
    }
    let look_up = &look_up;
    let mut answers = stream::iter(unknown)
        .map(|name| async move {
            let answer = tokio::time::timeout(timeout, look_up(name.clone())).await;
            (name, answer)
        })
        .buffer_unordered(MAX_LOOKUPS_AT_ONCE);
    while let Some((name, answer)) = answers.next().await {
        let failure = match answer {
            Ok(Ok(found)) if !found.is_empty() => {
                let sorted: BTreeSet<SocketAddr> = found.into_iter().collect();
                resolved
                    .addresses
                    .insert(name, sorted.into_iter().collect());
                continue;
            }
            Ok(Ok(_)) => "no address found".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("timed out after {timeout:?}"),
        };
        if let Some(addresses) = last_good.get(&name) {
            resolved.addresses.insert(name.clone(), addresses.clone());
        }
        resolved.failures.push((name, failure));
    }
    resolved.failures.sort();
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Never reached by an answer that comes.
    const LONG: Duration = Duration::from_secs(60);

    fn name(text: &str) -> EndpointName {
        text.parse().unwrap()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    async fn by(names: &[EndpointName], last_good: &[(&str, &str)]) -> Resolved {
        let last_good = last_good
            .iter()
            .map(|(n, a)| (name(n), vec![address(a)]))
            .collect();
        let names = names.iter().collect();
        resolve_by(
            names,
            Duration::from_millis(1),
            &last_good,
            |name| async move {
                match name.host.as_str() {
                    "two" => Ok(vec![
                        address("10.0.0.2:9"),
                        address("10.0.0.1:9"),
                        address("10.0.0.2:9"),
                    ]),
                    "empty" => Ok(Vec::new()),
                    "late" => std::future::pending().await,
                    _ => Err(io::Error::other("no such host")),
                }
            },
        )
        .await
    }

    #[tokio::test]
    async fn addresses_are_sorted_and_each_once() {
        let resolved = by(&[name("two:9"), name("[::1]:7"), name("two:9")], &[]).await;
        let expected = BTreeMap::from([
            (
                name("two:9"),
                vec![address("10.0.0.1:9"), address("10.0.0.2:9")],
            ),
            (name("[::1]:7"), vec![address("[::1]:7")]),
        ]);
        assert_eq!(resolved.addresses, expected);
        assert_eq!(resolved.failures, []);
    }

    #[tokio::test]
    async fn what_fails_is_told_and_keeps_its_last_good_addresses() {
        let names = ["empty:1", "late:2", "gone:3", "new:4"].map(name);
        let good = [
            ("empty:1", "10.0.0.1:1"),
            ("late:2", "10.0.0.1:2"),
            ("gone:3", "10.0.0.1:3"),
        ];
        let resolved = by(&names, &good).await;
        let kept = good.iter().map(|(n, a)| (name(n), vec![address(a)]));
        assert_eq!(resolved.addresses, kept.collect());
        let failures = [
            ("empty:1", "no address found"),
            ("gone:3", "no such host"),
            ("late:2", "timed out after 1ms"),
            ("new:4", "no such host"),
        ];
        assert_eq!(
            resolved.failures,
            failures.map(|(n, why)| (name(n), why.to_owned()))
        );
    }

    #[tokio::test]
    async fn a_bounded_number_of_lookups_at_once() {
        let names: Vec<_> = (0..100).map(|n| name(&format!("host-{n}:1"))).collect();
        let (now, most) = (Cell::new(0), Cell::new(0));
        let resolved = resolve_by(names.iter().collect(), LONG, &BTreeMap::new(), |_| async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
            Ok(vec![address("10.0.0.1:1")])
        })
        .await;
        assert_eq!(resolved.addresses.len(), 100);
        assert_eq!(most.get(), MAX_LOOKUPS_AT_ONCE);
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let names = [name("localhost:7")];
        let resolved = resolve(names.iter(), LONG, &BTreeMap::new()).await;
        let found = &resolved.addresses[&names[0]];
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7));
        assert!(!found.is_empty());
    }
}
