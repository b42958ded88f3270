use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

type Applied = Arc<Mutex<Vec<usize>>>;

fn configured() -> Config {
    let mut config = Config::default();
    config.gateway.id = "gw-t".to_owned();
    config
}

fn live() -> (LiveConfig, Applied) {
    let applied = Applied::default();
    let seen = Arc::clone(&applied);
    let apply = move |config: Config| seen.lock().unwrap().push(config.limits.connections_per_ip);
    (LiveConfig::new(configured(), apply), applied)
}

fn like(ends: Option<Instant>) -> Change {
    Change {
        value: String::new(),
        since: 7,
        ends,
        by: "anna".to_owned(),
        reason: "flood".to_owned(),
    }
}

fn wishes<const N: usize>(wishes: [(&str, Option<&str>); N]) -> BTreeMap<String, Option<String>> {
    let owned = |(key, value): (&str, Option<&str>)| (key.to_owned(), value.map(str::to_owned));
    wishes.map(owned).into()
}

const PER_IP: &str = "limits.connections_per_ip";

#[test]
fn all_or_nothing() {
    let (live, applied) = live();
    let good = wishes([(PER_IP, Some("5")), ("limits.patience", Some("2000ms"))]);
    let changed = live.change(&good, &like(None)).unwrap();
    assert_eq!(
        changed[0],
        Changed {
            key: PER_IP,
            before: "0".into(),
            after: "5".into()
        }
    );
    assert_eq!(live.changes()["limits.patience"].value, "2s");
    let wrong = wishes([
        (PER_IP, Some("6")),
        ("limits.connections_per_second", Some("many")),
        ("limits.ipv6_prefix", Some("0")),
        ("limits.nothing", Some("1")),
        ("listen.max_payload", Some("1")),
        ("listen.http.trusted_proxies", Some("::/0")),
    ]);
    let mistakes = live.change(&wrong, &like(None)).unwrap_err();
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
    assert_eq!(live.changes()[PER_IP].value, "5");
    // The same again is none.
    assert_eq!(live.change(&good, &like(None)), Ok(Vec::new()));
    assert_eq!(
        live.change(&wishes([(PER_IP, None)]), &like(None)).unwrap()[0].after,
        "0"
    );
    assert_eq!(*applied.lock().unwrap(), [5, 0]);
    assert_eq!(live.reset().len(), 1);
    assert!(live.changes().is_empty() && live.reset().is_empty());
}

#[test]
fn a_file_wins_for_the_keys_that_it_changes() {
    let (live, applied) = live();
    let changes = wishes([(PER_IP, Some("5")), ("limits.max_bans", Some("7"))]);
    live.change(&changes, &like(None)).unwrap();
    let mut file = configured();
    file.limits.connections_per_second = 100;
    assert!(
        live.reloaded(file.clone(), &["limits.connections_per_second"])
            .is_empty()
    );
    file.limits.connections_per_ip = 3;
    assert_eq!(live.reloaded(file.clone(), &[PER_IP]), [PER_IP]);
    assert_eq!(
        Vec::from_iter(live.changes().into_keys()),
        ["limits.max_bans"]
    );
    assert_eq!(*applied.lock().unwrap(), [5, 5, 3]);
    assert_eq!(live.configured(), file);
}

#[test]
fn a_change_ends_at_its_time() {
    let (live, applied) = live();
    let ends = Instant::now() + Duration::from_secs(10);
    live.change(&wishes([(PER_IP, Some("5"))]), &like(Some(ends)))
        .unwrap();
    assert!(live.sweep(ends - Duration::from_secs(1)).is_empty());
    assert_eq!(live.sweep(ends)[0].after, "0");
    assert_eq!(*applied.lock().unwrap(), [5, 0]);
}
