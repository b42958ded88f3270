//! `/metrics`: its two forms, and what docs/metrics.md says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use game_gateway::codec::link::Kind;

use crate::http::{Answer, get, request};
use crate::support::wire::{Backend, Gateway, Link, Player, metric};

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

async fn scrape(gateway: &Gateway, accept: &[&str]) -> Answer {
    request(gateway.admin, "GET /metrics", accept, "").await
}

/// A family's type, and the labels of its samples.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Reads a scrape. A sample that belongs to no family that was named before it fails.
fn families(text: &str) -> Families {
    let mut families = Families::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            last = name.to_owned();
            let before = families.insert(last.clone(), (kind.to_owned(), BTreeSet::new()));
            assert!(before.is_none(), "{name} is there twice");
        } else if !line.starts_with('#') {
            let end = line.find(['{', ' ']).expect("a sample");
            let (sample, rest) = line.split_at(end);
            let suffix = sample.strip_prefix(&last);
            let family = families.get_mut(&last).filter(|_| suffix.is_some());
            let (kind, labels) = family.unwrap_or_else(|| panic!("{line} is behind {last}"));
            let suffixes: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "counter" => &["", "_total"],
                _ => &[""],
            };
            assert!(suffix.is_some_and(|s| suffixes.contains(&s)), "{line}");
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let pairs = inside.map_or("", |(inside, _)| inside).split("\",");
            let names = pairs.filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()));
            labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// Reads the table of docs/metrics.md.
fn documented() -> Families {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = fs::read_to_string(path).expect("docs/metrics.md");
    let rows = page
        .lines()
        .filter(|row| row.starts_with("| `game_gateway_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        // `reason (…), worker`: what is in brackets are values.
        let mut labels = cells[3].to_owned();
        while let (Some(open), Some(close)) = (labels.find('('), labels.find(')')) {
            labels.replace_range(open..=close, "");
        }
        let labels = labels.split(',').map(|label| label.trim().to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name, (cells[2].to_owned(), labels))
    })
    .collect()
}

/// A gateway with one player, who has an answer.
struct Used {
    gateway: Gateway,
    player: Player,
    backend: Backend,
    link: Link,
    session_id: u64,
}

async fn used() -> Used {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    link.send(Kind::Data, session_id, b"welcome").await;
    player.answer().await;
    // Workers are asked once a second.
    let sessions = "game_gateway_service_sessions";
    gateway.until(sessions, |sessions| sessions == 1).await;
    Used {
        gateway,
        player,
        backend,
        link,
        session_id,
    }
}

#[tokio::test]
async fn the_document_has_just_what_a_scrape_has() {
    let used = used().await;
    let gateway = &used.gateway;
    let (scraped, documented) = (families(&scrape(gateway, &[]).await.body), documented());
    let names = |families: &Families| families.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&scraped), names(&documented));
    for (name, (kind, labels)) in &scraped {
        let (its_kind, its_labels) = &documented[name];
        assert_eq!(kind, its_kind, "{name}");
        assert_eq!(labels, its_labels, "{name}");
    }
}

#[tokio::test]
async fn both_forms_say_the_same() {
    let used = used().await;
    let gateway = &used.gateway;
    let plain = scrape(gateway, &[]).await;
    let open = scrape(gateway, &[OPEN_METRICS]).await;
    let types = [
        "text/plain; version=0.0.4",
        "application/openmetrics-text; version=1.0.0",
    ];
    for (answer, media_type) in [&plain, &open].into_iter().zip(types) {
        let expected = format!("{media_type}; charset=utf-8");
        assert_eq!(answer.header("content-type"), Some(&*expected));
        assert_eq!(answer.header("vary"), Some("Accept"));
    }
    assert!(open.body.ends_with("\n# EOF\n"));
    assert!(!plain.body.contains("# EOF") && !plain.body.contains("# UNIT"));
    // A counter is its family with `_total` in the one, and has it in the name in the other.
    let prometheus = |(name, of): (String, (String, BTreeSet<String>))| match of.0.as_str() {
        "counter" => (format!("{name}_total"), of),
        _ => (name, of),
    };
    let open: Families = families(&open.body).into_iter().map(prometheus).collect();
    assert_eq!(open, families(&plain.body));
}

#[tokio::test]
async fn no_accept_header_makes_a_scrape_fail() {
    let used = used().await;
    let gateway = &used.gateway;
    let long = format!("Accept: {}", "text/plain;q=0.1,".repeat(500));
    for accept in [
        "Accept: image/png",
        "Accept: ;;q=,,/,\"",
        "Accept: application/openmetrics-text;q=nan",
        "Accept: */*;q=0",
        &long,
    ] {
        let answer = scrape(gateway, &[accept]).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
    }
    let two = [
        "Accept: text/plain;q=0.2",
        "Accept: application/openmetrics-text",
    ];
    assert!(scrape(gateway, &two).await.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_takes_time_is_counted_once() {
    let mut used = used().await;
    let (gateway, player) = (&used.gateway, &mut used.player);
    player.data("nobody", b"?").await;
    assert_eq!(player.error().await.0, 404);
    let body = scrape(gateway, &[]).await.body;
    let count = |labels: &str| metric(&body, &format!("game_gateway_route_seconds_count{labels}"));
    assert_eq!(count("{outcome=\"found\"}"), 1, "{body}");
    assert_eq!(count("{outcome=\"refused\"}"), 1, "{body}");
    let all = "game_gateway_route_seconds_bucket{le=\"+Inf\",outcome=\"found\"}";
    assert_eq!(metric(&body, all), 1, "{body}");
    assert!(metric(&body, "game_gateway_connect_seconds_count") >= 1);
    gateway
        .until("game_gateway_event_loop_lag_seconds_count", |ticks| {
            ticks >= 2
        })
        .await;
}

#[tokio::test]
async fn services_and_endpoints_have_figures_of_their_own() {
    let mut used = used().await;
    let address = used.backend.address;
    let backends = get(used.gateway.admin, "/api/v1/backends").await.json();
    let row = &backends["backends"][0];
    assert_eq!(row["first_answer"]["count"], 1, "{row}");
    assert!(row["connect"]["p50_us"].as_u64() > Some(0), "{row}");

    let body = scrape(&used.gateway, &[]).await.body;
    let service = |name: &str| {
        metric(
            &body,
            &format!("game_gateway_{name}{{service_type=\"game\"}}"),
        )
    };
    assert_eq!(service("service_first_answer_seconds_count"), 1);
    assert_eq!(service("service_sessions"), 1);
    assert_eq!(service("service_connect_failures_total"), 0);
    for (of_service, all) in [
        ("service_in_frames_total", "link_in_frames_total"),
        ("service_out_frames_total", "link_out_frames_total"),
        ("service_in_bytes_total", "link_in_bytes_total"),
        ("service_out_bytes_total", "link_out_bytes_total"),
    ] {
        let total = metric(&body, &format!("game_gateway_{all}"));
        assert!(total > 0 && service(of_service) == total, "{of_service}");
    }
    for line in [
        format!("endpoint_sessions{{service_type=\"game\",endpoint_address=\"{address}\"}} 1.0"),
        format!(
            "endpoint_health{{service_type=\"game\",endpoint_address=\"{address}\",state=\"up\"}} 1"
        ),
        format!(
            "endpoint_breaker{{service_type=\"game\",endpoint_address=\"{address}\",state=\"closed\"}} 1"
        ),
    ] {
        assert!(
            body.contains(&format!("\ngame_gateway_{line}\n")),
            "{line}: {body}"
        );
    }
    // The second answer is none.
    let session_id = used.session_id;
    used.link.send(Kind::Data, session_id, b"more").await;
    used.player.answer().await;
    let body = scrape(&used.gateway, &[]).await.body;
    assert_eq!(
        metric(&body, "game_gateway_service_first_answer_seconds_count"),
        1
    );
    // Nobody listens there any more: once the link is lost, attempts to connect fail.
    let Used {
        gateway,
        backend,
        link,
        ..
    } = used;
    drop((backend, link));
    gateway
        .until("game_gateway_service_connect_failures_total", |failures| {
            failures >= 1
        })
        .await;
}

#[tokio::test]
async fn what_has_no_series_of_its_own_is_summed_up() {
    let backend = Backend::start().await;
    let endpoints: Vec<String> = (1..=250).map(|n| format!("\"127.0.1.{n}:9\"")).collect();
    let routes = format!(
        r#"{{"rules":{{"game":{},"z":{{"strategy":"round_robin","endpoints":[{}]}}}}}}"#,
        Backend::rule(&[&backend]),
        endpoints.join(",")
    );
    let gateway = Gateway::start_with(&routes, |config| {
        config.backend.probe_interval = std::time::Duration::ZERO;
    })
    .await;
    let body = scrape(&gateway, &[]).await.body;
    let series = |start: &str| body.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(series("game_gateway_endpoint_sessions{"), 201);
    let others = "{service_type=\"_other\",endpoint_address=\"_other\",state=\"unknown\"}";
    assert_eq!(
        metric(&body, &format!("game_gateway_endpoint_health{others}")),
        51
    );
    assert_eq!(metric(&body, "game_gateway_endpoint_health"), 251);
}

#[tokio::test]
async fn one_frame_in_many_is_timed_each_way() {
    let mut used = used().await;
    let session_id = used.session_id;
    let ways = ["{way=\"to_backend\"}", "{way=\"to_client\"}"];
    let counts = |body: &str| {
        ways.map(|way| metric(body, &format!("game_gateway_frame_seconds_count{way}")))
    };
    assert_eq!(counts(&scrape(&used.gateway, &[]).await.body), [0, 0]);
    // Each is written, and read at the other end, before the next one.
    for _ in 0..1100 {
        used.player.data("game", b"there").await;
        assert_eq!(&used.link.data().await.payload[..], b"there");
        used.link.send(Kind::Data, session_id, b"back").await;
        used.player.answer().await;
    }
    assert_eq!(counts(&scrape(&used.gateway, &[]).await.body), [1, 1]);
}
