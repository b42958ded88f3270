//! The dashboards and alerts, each expression asked of a real Prometheus that scrapes a gateway.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use game_gateway::codec::link::Kind;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::renderings::validated;
use crate::rules;
use crate::support::process::Process;
use crate::support::redis::free_port;
use crate::support::wire::{Backend, Gateway, Player, soon};
use crate::tools::{HELM, HELMS, object, output, parse, rendered, repository, template, tool};

const DASHBOARDS: [&str; 3] = ["overview", "backends", "gateway"];

/// Returns a dashboard as it lies in the chart.
fn dashboard(name: &str) -> Value {
    let path = repository("helm/game-gateway/dashboards").join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).expect("a dashboard")).expect("JSON")
}

/// Returns the expressions of a dashboard's panels and variables, as Grafana sends them.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let exprs = targets.map(|target| target["expr"].as_str().expect("an expression").to_owned());
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let queries = variables
        .iter()
        .filter_map(|one| one["query"]["query"].as_str());
    let selectors = queries.map(|query| {
        let inside = query.strip_prefix("label_values(").expect("label_values");
        inside.rsplit_once(", ").expect("a label").0.to_owned()
    });
    let filled = |text: String| {
        let text = text.replace("$__rate_interval", "1m");
        ["$job", "$instance", "$service_type"]
            .iter()
            .fold(text, |text, variable| text.replace(variable, ".*"))
    };
    exprs.chain(selectors).map(filled).collect()
}

/// Returns the selectors of an expression; without the states, of which a scrape has only those that there are.
fn selectors(expression: &str) -> Vec<String> {
    let starts = expression.match_indices("game_gateway_").map(|(at, _)| at);
    starts
        .map(|at| {
            let rest = &expression[at..];
            let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = inside.map_or("", |(inside, _)| inside).split(", ");
            let kept: Vec<_> = matchers.filter(|one| !one.starts_with("state")).collect();
            format!("{name}{{{}}}", kept.join(", "))
        })
        .collect()
}

/// Asks in HTTP/1.0, so that the answer comes in one piece; returns its first line and its body.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut socket = soon(TcpStream::connect(address)).await.expect("Prometheus");
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    soon(socket.write_all(request.as_bytes()))
        .await
        .expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.lines().next().expect("a first line");
    (status.to_owned(), body.to_owned())
}

struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes this admin API as that of a pod, and waits until it has done so twice.
    async fn start(admin: SocketAddr) -> Prometheus {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let target = "namespace: games, service: gg-game-gateway-admin, endpoint: admin, pod: gg-0";
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             scrape_configs:\n  - job_name: gg\n    static_configs:\n\
             \x20     - {{targets: [\"{admin}\"], labels: {{{target}}}}}\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, text).expect("written");
        let program = tool("prometheus");
        let mut command = Command::new(program.get_program());
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let prometheus = Prometheus {
            address,
            _process: Process::spawn(&mut command),
            _folder: folder,
        };
        soon(async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while prometheus
                .ask("count_over_time(game_gateway_ready[1m]) > 1")
                .await
                .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        prometheus
    }

    /// Returns the samples of an expression. One that is not accepted fails; while Prometheus starts there are none.
    async fn ask(&self, expression: &str) -> Vec<Value> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let (status, body) = get(self.address, &format!("/api/v1/query?query={encoded}")).await;
        if status.ends_with("503 Service Unavailable") {
            return Vec::new();
        }
        assert!(status.ends_with("200 OK"), "{expression}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {body}");
        answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    async fn has_series_of(&self, expression: &str) {
        for selector in selectors(expression) {
            assert!(
                !self.ask(&selector).await.is_empty(),
                "no {selector}, of {expression}"
            );
        }
    }
}

#[tokio::test]
async fn prometheus_evaluates_every_expression() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.send(Kind::Data, session_id, b"welcome").await;
    player.answer().await;
    let prometheus = Prometheus::start(gateway.admin).await;
    // The gateway's labels are not those of the target.
    let kept =
        "game_gateway_endpoint_health{service=\"gg-game-gateway-admin\",service_type=\"game\"}";
    assert_eq!(prometheus.ask(kept).await.len(), 1);
    for name in DASHBOARDS {
        let expressions = expressions(&dashboard(name));
        assert!(expressions.len() > 10);
        for expression in expressions {
            let samples = prometheus.ask(&expression).await;
            // What shows only what is wrong is empty here.
            let may_be_empty = expression.contains("> 0") || expression.contains("state");
            assert!(
                may_be_empty || !samples.is_empty(),
                "{name}: nothing for {expression}"
            );
            prometheus.has_series_of(&expression).await;
        }
    }
    for alert in rules::alerts() {
        let expression = alert["expr"].as_str().expect("an expression");
        prometheus.ask(expression).await;
        prometheus.has_series_of(expression).await;
    }
}

#[test]
fn a_selector_is_found_with_its_matchers() {
    let expression = "sum(rate(game_gateway_a_total{job=~\".*\", reason=\"b\"}[1m])) + \
                      max by (x) (game_gateway_c{state!=\"d\"}) + game_gateway_e";
    let found = [
        "game_gateway_a_total{job=~\".*\", reason=\"b\"}",
        "game_gateway_c{}",
        "game_gateway_e{}",
    ];
    assert_eq!(selectors(expression), found);
}

/// Grafana refers to a panel by its id, and to a dashboard by its uid.
#[test]
fn dashboards_are_well_formed() {
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let board = dashboard(name);
        assert!(uids.insert(board["uid"].as_str().expect("a uid").to_owned()));
        let panels = board["panels"].as_array().expect("panels");
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}");
        let place = |panel: &Value, of: &str| panel["gridPos"][of].as_u64().expect("a place");
        for (at, one) in panels.iter().enumerate() {
            assert!(
                place(one, "x") + place(one, "w") <= 24,
                "{name}: {}",
                one["title"]
            );
            for other in &panels[at + 1..] {
                let apart = |from: &str, size: &str| {
                    place(one, from) + place(one, size) <= place(other, from)
                        || place(other, from) + place(other, size) <= place(one, from)
                };
                let (one, other) = (&one["title"], &other["title"]);
                assert!(
                    apart("x", "w") || apart("y", "h"),
                    "{name}: {one} over {other}"
                );
            }
        }
    }
}

#[test]
fn the_chart_has_them_where_they_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    for helm in HELMS {
        let set = "dashboards.enabled=true,dashboards.namespace=grafana,dashboards.annotations.grafana_folder=Games";
        let rendering = output(&mut template(helm, &["--set", set]));
        let objects = parse(&rendering);
        for name in DASHBOARDS {
            let map = object(
                &objects,
                "ConfigMap",
                &format!("gg-game-gateway-dashboard-{name}"),
            );
            let metadata = &map["metadata"];
            assert_eq!(metadata["namespace"], "grafana");
            assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
            assert_eq!(metadata["annotations"]["grafana_folder"], "Games");
            let text = map["data"][format!("game-gateway-{name}.json")]
                .as_str()
                .expect("text");
            let board: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(board, dashboard(name));
        }
        let file = folder.path().join("dashboards.yaml");
        fs::write(&file, &rendering).expect("written");
        assert_eq!(validated("1.30", &file), objects.len());
    }
    assert!(!rendered(HELM, &[]).contains("dashboard"));
}
