//! `/api/v1/top-talkers`: who sends and gets the most.

use std::net::SocketAddr;
use std::time::Instant;

use game_gateway::codec::client::Header;
use game_gateway::codec::link::Kind;
use serde_json::{Value, json};

use crate::http::get;
use crate::support::wire::{Backend, DEADLINE, Gateway, Link, Player};
use crate::terminal::serve;

/// One of two players talks ten times as much as the other; its backend answers half of it.
struct Talk {
    loud: Player,
    quiet: Player,
    link: Link,
    ids: [u64; 2],
}

impl Talk {
    async fn begin(backend: &Backend, players: SocketAddr) -> Talk {
        let mut both = [
            Player::connect_to(players).await,
            Player::connect_to(players).await,
        ];
        let mut link = None;
        let mut ids = [0; 2];
        for ((player, id), user_id) in both.iter_mut().zip(&mut ids).zip([4711, 4712]) {
            let header = Header {
                user_id,
                ..Header::default()
            };
            player.send(header, "game", b"hello").await;
            if link.is_none() {
                link = Some(backend.link().await);
            }
            let link = link.as_mut().expect("a link");
            *id = link.opened().await.session_id;
            link.data().await;
        }
        let [loud, quiet] = both;
        Talk {
            loud,
            quiet,
            link: link.expect("a link"),
            ids,
        }
    }

    /// Talks for ever.
    async fn go_on(&mut self) {
        loop {
            self.loud.data("game", &[b'x'; 1000]).await;
            self.quiet.data("game", &[b'x'; 50]).await;
            self.link.data().await;
            self.link.data().await;
            self.link.send(Kind::Data, self.ids[0], &[b'y'; 500]).await;
            self.loud.answer().await;
        }
    }

    /// Talks until something is done.
    async fn during<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::select! {
            done = what => done,
            () = self.go_on() => unreachable!("it talks for ever"),
        }
    }
}

/// Asks until somebody has talked between two samples.
async fn talkers(gateway: &Gateway, query: &str) -> Value {
    let begun = Instant::now();
    loop {
        let path = format!("/api/v1/top-talkers{query}");
        let answer = get(gateway.admin, &path).await.json();
        if answer["talkers"]
            .as_array()
            .is_some_and(|talkers| !talkers.is_empty())
        {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "{answer}");
    }
}

#[tokio::test]
async fn the_loudest_comes_first() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut talk = Talk::begin(&backend, gateway.players).await;
    let (loud, address) = (talk.ids[0].to_string(), "127.0.0.1");
    let answer = talk.during(talkers(&gateway, "")).await;
    assert_eq!(
        (&answer["by"], &answer["sort"]),
        (&json!("session"), &json!("bytes"))
    );
    assert!(answer["window_ms"].as_u64() >= Some(2_000), "{answer}");
    assert_eq!(answer["silent_workers"], json!([]));
    let first = &answer["talkers"][0];
    for (member, expected) in [
        ("name", json!(loud)),
        ("user_id", json!("4711")),
        ("address", json!(address)),
        ("sessions", json!(1)),
    ] {
        assert_eq!(first[member], expected, "{member}");
    }
    let rate = |row: &Value, name: &str| row[name].as_u64().expect("a rate");
    assert!(rate(first, "bytes_in_per_second") > 0, "{first}");
    for (query, found) in [("", 1), ("&user_id=4711", 1), ("&transport=http", 0)] {
        let path = format!("/api/v1/sessions?sort=bytes_in&limit=1{query}");
        let answer = talk.during(get(gateway.admin, &path)).await.json();
        let sessions = answer["sessions"].as_array().expect("rows");
        assert_eq!(sessions.len(), found, "{query}");
        let ids = sessions.iter().map(|row| &row["session_id"]);
        assert!(ids.into_iter().all(|id| *id == json!(loud)), "{answer}");
    }
    for (query, name, sessions) in [
        ("?by=user&sort=bytes_in", "4711", 1),
        ("?by=user&sort=bytes_out&limit=1", "4711", 1),
        ("?by=address&sort=frames", address, 2),
        ("?by=service&sort=frames_in", "game", 2),
    ] {
        let answer = talk.during(talkers(&gateway, query)).await;
        let first = &answer["talkers"][0];
        assert_eq!(
            (&first["name"], &first["sessions"]),
            (&json!(name), &json!(sessions)),
            "{query}"
        );
        if query.ends_with("limit=1") {
            assert_eq!(answer["talkers"].as_array().map(Vec::len), Some(1));
        }
    }
}

/// Many who ask at once share two samples.
#[tokio::test]
async fn whoever_asks_meanwhile_gets_the_same_samples() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut talk = Talk::begin(&backend, gateway.players).await;
    let ask = || get(gateway.admin, "/api/v1/top-talkers?by=service");
    let all = futures_util::future::join_all((0..20).map(|_| ask()));
    let answers = talk.during(all).await;
    let bodies: std::collections::BTreeSet<String> =
        answers.into_iter().map(|answer| answer.body).collect();
    // One pair of samples, or two where answers took longer than the window.
    assert!(bodies.len() < 10, "{bodies:?}");
}

#[tokio::test]
async fn talkers_from_a_terminal() {
    let backend = Backend::start().await;
    let served = serve("", &backend.routes());
    let mut talk = Talk::begin(&backend, served.players).await;
    let url = served.url();
    let table = talk
        .during(async {
            let ask = move || {
                let arguments = ["--url", &url, "top-talkers", "--by", "user", "--limit", "1"];
                crate::terminal::run(&arguments)
            };
            tokio::task::spawn_blocking(ask).await.expect("it runs")
        })
        .await;
    assert_eq!((table.0, table.2.as_str()), (0, ""));
    assert!(table.1.starts_with("NAME "), "{}", table.1);
    assert!(table.1.lines().count() <= 2, "{}", table.1);
    let (code, _, said) = crate::terminal::run(&["top-talkers", "--by", "nobody"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("possible values: session, user, address, service"),
        "{said}"
    );
}
