//! Who sends and gets the most: the differences of two samples of everybody's counters.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use actix::clock::timeout;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ANSWER_TIMEOUT, Inspector};
use crate::actors::client::{ClientSample, Traffic};
use crate::actors::worker::{SampleClients, Worker};
use crate::config::Network;
use crate::supervision::Seat;

/// Members of a group that share its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Each session by itself.
    #[default]
    Session,
    /// Sessions of the same user.
    User,
    /// Connections from the same address; of IPv6 from the same network, by `limits.ipv6_prefix`.
    Address,
    /// Sessions of the same service.
    Service,
}

/// What makes somebody the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names suffice")]
pub enum SortBy {
    #[default]
    Bytes,
    BytesIn,
    BytesOut,
    Frames,
    FramesIn,
    FramesOut,
}

/// Somebody who sends or gets something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Talker {
    /// The session, user, address, network or service.
    #[schema(example = "1234567890123456789")]
    pub name: String,
    /// The user of a session, decimal; `null` for others, and where it is not known.
    pub user_id: Option<String>,
    /// The player's address of a session or user, without its port; `null` for others.
    pub address: Option<String>,
    /// Number of sessions now; of an address, of connections.
    pub sessions: u64,
    /// Frames from players a second.
    pub frames_in_per_second: u64,
    /// Frames to players a second.
    pub frames_out_per_second: u64,
    /// Bytes from players a second.
    pub bytes_in_per_second: u64,
    /// Bytes to players a second.
    pub bytes_out_per_second: u64,
}

/// Counters at one time.
#[derive(Debug, Default)]
pub struct Sample {
    clients: HashMap<u64, ClientSample, foldhash::fast::RandomState>,
    /// By service, from links.
    services: BTreeMap<String, (Traffic, u64)>,
    /// Workers that have not answered in time.
    pub silent_workers: Vec<usize>,
}

impl Inspector {
    /// Reads everybody's counters.
    pub async fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        let workers = self.workers.iter().map(clients_of);
        for (worker, clients) in join_all(workers).await.into_iter().enumerate() {
            match clients {
                Some(clients) => {
                    let numbered = clients.into_iter().map(|c| (c.client_number, c));
                    sample.clients.extend(numbered);
                }
                None => sample.silent_workers.push(worker),
            }
        }
        for row in self.backends().await {
            // What a backend gets comes from players.
            let traffic = Traffic {
                frames_in: row.frames_out,
                frames_out: row.frames_in,
                bytes_in: row.bytes_out,
                bytes_out: row.bytes_in,
            };
            let (sum, sessions) = sample.services.entry(row.service).or_default();
            sum.add(traffic);
            *sessions += row.sessions;
        }
        sample
    }
}

async fn clients_of(worker: &Seat<Worker>) -> Option<Vec<ClientSample>> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let answer = timeout(ANSWER_TIMEOUT, worker.send(SampleClients { from })).await;
        let answer = answer.ok()?.ok()?;
        all.extend(answer.clients);
        match answer.next {
            Some(next) => from = next,
            None => return Some(all),
        }
    }
}

impl SortBy {
    fn rank(self, traffic: &Traffic) -> u64 {
        match self {
            SortBy::Bytes => traffic.bytes_in.saturating_add(traffic.bytes_out),
            SortBy::BytesIn => traffic.bytes_in,
            SortBy::BytesOut => traffic.bytes_out,
            SortBy::Frames => traffic.frames_in.saturating_add(traffic.frames_out),
            SortBy::FramesIn => traffic.frames_in,
            SortBy::FramesOut => traffic.frames_out,
        }
    }
}

/// A group on its way to be a [`Talker`].
#[derive(Debug, Default)]
struct Group {
    traffic: Traffic,
    sessions: u64,
    user_id: u64,
    ip: Option<IpAddr>,
}

/// Ranks who has sent and got the most between two samples, at most `limit` of them; those that were silent are left out.
pub fn rank(
    (before, after): (&Sample, &Sample),
    passed: Duration,
    by: GroupBy,
    sort: SortBy,
    ipv6_prefix: u8,
    limit: usize,
) -> Vec<Talker> {
    let mut groups: Vec<(String, Group)> = match by {
        GroupBy::Service => by_service(before, after),
        GroupBy::Session => grouped(before, after, |c| has_session(c).then_some(c.session_id)),
        GroupBy::User => grouped(before, after, |c| {
            (has_session(c) && c.user_id != 0).then_some(c.user_id)
        }),
        GroupBy::Address => grouped(before, after, |c| {
            // Of HTTP the connection counts.
            (!c.is_request).then(|| network(c.ip, ipv6_prefix))
        }),
    };
    groups.retain(|(_, group)| sort.rank(&group.traffic) > 0);
    groups.sort_by(|(a, one), (b, other)| {
        let ranks = (sort.rank(&other.traffic), sort.rank(&one.traffic));
        ranks.0.cmp(&ranks.1).then_with(|| a.cmp(b))
    });
    groups.truncate(limit);
    let talker = |(name, group): (String, Group)| talker(name, &group, by, passed);
    groups.into_iter().map(talker).collect()
}

fn has_session(client: &ClientSample) -> bool {
    client.session_id != 0
}

fn grouped<K: ToString + std::hash::Hash + Eq>(
    before: &Sample,
    after: &Sample,
    key: impl Fn(&ClientSample) -> Option<K>,
) -> Vec<(String, Group)> {
    let mut groups: HashMap<K, Group> = HashMap::new();
    for client in after.clients.values() {
        let Some(key) = key(client) else { continue };
        let base = before.clients.get(&client.client_number);
        // Whoever has come meanwhile began with nothing.
        let base = base.map_or(Traffic::default(), |base| base.traffic);
        let group = groups.entry(key).or_default();
        group.traffic.add(client.traffic.since(base));
        group.sessions += 1;
        group.user_id = client.user_id;
        group.ip = Some(client.ip);
    }
    let named = |(key, group): (K, Group)| (key.to_string(), group);
    groups.into_iter().map(named).collect()
}

fn by_service(before: &Sample, after: &Sample) -> Vec<(String, Group)> {
    let all = after.services.iter();
    let group = |(name, (traffic, sessions)): (&String, &(Traffic, u64))| {
        let base = before
            .services
            .get(name)
            .map_or(Traffic::default(), |b| b.0);
        let group = Group {
            traffic: traffic.since(base),
            sessions: *sessions,
            ..Group::default()
        };
        (name.clone(), group)
    };
    all.map(group).collect()
}

fn network(ip: IpAddr, ipv6_prefix: u8) -> String {
    let network = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(_) => Network::around(ip, ipv6_prefix),
    };
    network.map_or_else(|| ip.to_string(), |network| network.to_string())
}

fn talker(name: String, group: &Group, by: GroupBy, passed: Duration) -> Talker {
    let millis = passed.as_millis().max(1);
    let rate = |n: u64| u64::try_from(u128::from(n) * 1000 / millis).unwrap_or(u64::MAX);
    let of_one = matches!(by, GroupBy::Session | GroupBy::User);
    let user_id = (by == GroupBy::Session && group.user_id != 0).then_some(group.user_id);
    Talker {
        name,
        user_id: user_id.map(|id| id.to_string()),
        address: group.ip.filter(|_| of_one).map(|ip| ip.to_string()),
        sessions: group.sessions,
        frames_in_per_second: rate(group.traffic.frames_in),
        frames_out_per_second: rate(group.traffic.frames_out),
        bytes_in_per_second: rate(group.traffic.bytes_in),
        bytes_out_per_second: rate(group.traffic.bytes_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client with so many bytes in: its number, session, user and address.
    fn client(number: u64, session_id: u64, user_id: u64, ip: &str, bytes: u64) -> ClientSample {
        ClientSample {
            client_number: number,
            session_id,
            user_id,
            ip: ip.parse().expect("an address"),
            is_request: false,
            traffic: Traffic {
                bytes_in: bytes,
                bytes_out: bytes / 2,
                frames_in: bytes / 100,
                frames_out: 0,
            },
        }
    }

    fn sample(clients: &[ClientSample]) -> Sample {
        Sample {
            clients: clients.iter().map(|c| (c.client_number, *c)).collect(),
            ..Sample::default()
        }
    }

    fn ranked(before: &Sample, after: &Sample, by: GroupBy, limit: usize) -> Vec<(String, u64)> {
        let passed = Duration::from_secs(2);
        let ranked = rank((before, after), passed, by, SortBy::BytesIn, 64, limit);
        ranked
            .into_iter()
            .map(|talker| (talker.name, talker.bytes_in_per_second))
            .collect()
    }

    fn named<const N: usize>(rows: [(&str, u64); N]) -> Vec<(String, u64)> {
        rows.map(|(name, rate)| (name.to_owned(), rate)).to_vec()
    }

    #[test]
    fn rates_are_differences_and_the_silent_are_left_out() {
        let before = sample(&[
            client(1, 10, 7, "192.0.2.1", 1_000),
            client(2, 20, 8, "192.0.2.2", 9_000),
            client(3, 30, 0, "2001:db8::1", 0),
        ]);
        let after = sample(&[
            client(1, 10, 7, "192.0.2.1", 5_000),
            client(2, 20, 8, "192.0.2.2", 9_000),
            client(3, 30, 0, "2001:db8::1", 600),
            // It has come meanwhile, and so has a connection without a session.
            client(4, 40, 7, "2001:db8::2", 2_000),
            client(5, 0, 0, "192.0.2.1", 800),
        ]);
        let by = |by, limit| ranked(&before, &after, by, limit);
        assert_eq!(
            by(GroupBy::Session, 9),
            named([("10", 2_000), ("40", 1_000), ("30", 300)])
        );
        assert_eq!(by(GroupBy::Session, 1), named([("10", 2_000)]));
        assert_eq!(by(GroupBy::User, 9), named([("7", 3_000)]));
        assert_eq!(
            by(GroupBy::Address, 9),
            named([("192.0.2.1", 2_400), ("2001:db8::/64", 1_300)])
        );
        assert_eq!(by(GroupBy::Service, 9), []);
    }

    #[test]
    fn of_http_the_connection_counts_and_not_the_request_too() {
        let request = ClientSample {
            is_request: true,
            ..client(2, 20, 7, "192.0.2.1", 500)
        };
        let after = sample(&[client(1, 0, 0, "192.0.2.1", 600), request]);
        let none = Sample::default();
        let by = |by| ranked(&none, &after, by, 9);
        assert_eq!(by(GroupBy::Address), named([("192.0.2.1", 300)]));
        assert_eq!(by(GroupBy::User), named([("7", 250)]));
    }

    #[test]
    fn services_are_their_links_which_may_have_ended() {
        let traffic = |bytes_in| Traffic {
            bytes_in,
            ..Traffic::default()
        };
        let services = |game, chat| Sample {
            services: BTreeMap::from([
                ("chat".to_owned(), (traffic(chat), 1)),
                ("game".to_owned(), (traffic(game), 2)),
            ]),
            ..Sample::default()
        };
        let (before, after) = (services(1_000, 9_000), services(3_000, 100));
        let found = ranked(&before, &after, GroupBy::Service, 9);
        assert_eq!(found, named([("game", 1_000)]));
    }

    #[test]
    fn each_order_has_its_own_first() {
        let traffic = |frames_in, frames_out, bytes_in, bytes_out| Traffic {
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
        };
        for (sort, rank) in [
            (SortBy::Bytes, 7),
            (SortBy::BytesIn, 3),
            (SortBy::BytesOut, 4),
            (SortBy::Frames, 3),
            (SortBy::FramesIn, 1),
            (SortBy::FramesOut, 2),
        ] {
            assert_eq!(sort.rank(&traffic(1, 2, 3, 4)), rank, "{sort:?}");
        }
    }
}
