//! `/api/v1/sessions/{id}`: a player's story, also behind its end.

use game_gateway::codec::client::{self, FLAG_RESUMABLE, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::Kind;
use serde_json::{Value, json};

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway, Link, Player};
use crate::terminal::serve;

struct Scene {
    gateway: Gateway,
    backend: Backend,
    link: Link,
}

impl Scene {
    /// A gateway, and a first player whose session opens the link.
    async fn start(change: impl FnOnce(&mut game_gateway::config::Config)) -> (Scene, Player, u64) {
        let backend = Backend::start().await;
        let gateway = Gateway::start_with(&backend.routes(), change).await;
        let mut player = Player::connect(&gateway).await;
        begin(&mut player, 4711).await;
        let mut link = backend.link().await;
        let id = link.opened().await.session_id;
        link.data().await;
        let scene = Scene {
            gateway,
            backend,
            link,
        };
        (scene, player, id)
    }

    async fn another(&mut self, user_id: u64) -> (Player, u64) {
        let mut player = Player::connect(&self.gateway).await;
        begin(&mut player, user_id).await;
        let id = self.link.opened().await.session_id;
        self.link.data().await;
        (player, id)
    }

    async fn story(&self, id: u64) -> Value {
        let path = format!("/api/v1/sessions/{id}");
        get(self.gateway.admin, &path).await.json()
    }

    async fn ended(&self, query: &str) -> Vec<String> {
        let path = format!("/api/v1/sessions?state=ended{query}");
        let page = get(self.gateway.admin, &path).await.json();
        assert_eq!(page["next_cursor"], json!(null), "{page}");
        let sessions = page["sessions"].as_array();
        let sessions = sessions.unwrap_or_else(|| panic!("{query}: {page}")).iter();
        let ids = sessions.map(|session| session["session_id"].as_str().expect("an id").to_owned());
        ids.collect()
    }
}

async fn begin(player: &mut Player, user_id: u64) {
    let header = Header {
        user_id,
        realm_id: 7,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
}

async fn close(player: &mut Player, code: u16) {
    let header = Header {
        kind: client::Kind::Close as u8,
        ..Header::default()
    };
    player.send(header, "", &code.to_be_bytes()).await;
}

fn events(story: &Value) -> Vec<(&str, u64)> {
    let events = story["events"].as_array().expect("events").iter();
    let told = |event: &Value| event["count"].as_u64().expect("a count");
    events
        .map(|event| (event["event"].as_str().expect("a name"), told(event)))
        .collect()
}

#[tokio::test]
async fn a_live_session_says_where_it_is_and_since_when() {
    let (mut scene, mut player, id) = Scene::start(|_| ()).await;
    player.data("nothing", b"x").await;
    assert_eq!(player.error().await.0, 404);
    player.data("nothing", b"y").await;
    assert_eq!(player.error().await.0, 404);
    let story = scene.story(id).await;
    let since = story["since_seconds"].as_u64().expect("a time");
    assert!(since > 1_700_000_000, "{story}");
    let service = &story["services"][0];
    assert_eq!(service["service"], "game");
    assert_eq!(service["endpoint"], scene.backend.address.to_string());
    assert!(service["since_seconds"].as_u64() >= Some(since), "{story}");
    for (member, expected) in [
        ("state", json!("active")),
        ("user_id", json!("4711")),
        (
            "client",
            json!(format!("127.0.0.1:{}", player.local_port())),
        ),
        ("frames_in", json!(3)),
        ("resumes", json!(0)),
        ("omitted_events", json!(0)),
        ("end", json!(null)),
    ] {
        assert_eq!(story[member], expected, "{member}");
    }
    assert_eq!(events(&story), [("refused", 2)]);
    let detail = &story["events"][0]["detail"];
    assert_eq!(detail, "404: no such service (nothing)");
    // Its backend's link is lost: what it has left is a part of its story.
    drop(std::mem::replace(
        &mut scene.link,
        Link::new(
            tokio::net::TcpStream::connect(scene.backend.address)
                .await
                .expect("a socket"),
        ),
    ));
    assert_eq!(player.error().await.0, 502);
    let story = scene.story(id).await;
    assert_eq!(story["services"], json!([]));
    let left = format!("game at {}", scene.backend.address);
    let told = story["events"].as_array().expect("events");
    let is_it = |event: &&Value| event["event"] == "service_left" && event["detail"] == left;
    assert!(told.iter().any(|event| is_it(&event)), "{story}");
    assert_eq!(told.len(), 3, "{story}");
}

/// Sessions that end: kicked, by their backend, by their player, and just so.
async fn four_ends() -> (Scene, [u64; 4]) {
    let (mut scene, mut first, kicked) = Scene::start(|_| ()).await;
    let path = format!("DELETE /api/v1/sessions/{kicked}");
    assert_eq!(
        request(scene.gateway.admin, &path, &[], "").await.status,
        204
    );
    assert_eq!(first.closed().await.0, 440);
    assert_eq!(scene.link.closed().await, (kicked, 440));
    let (mut second, by_backend) = scene.another(4712).await;
    let notice = Notice {
        code: Code(1007),
        retry_after_ms: 0,
        text: "cheating\u{1b}[2J",
    };
    let mut payload = Vec::new();
    notice.encode(&mut payload);
    scene.link.send(Kind::Close, by_backend, &payload).await;
    assert_eq!(second.closed().await.0, 1007);
    let (mut third, by_player) = scene.another(4711).await;
    close(&mut third, 1234).await;
    while third.next().await.is_some() {}
    assert_eq!(scene.link.closed().await, (by_player, 1234));
    let (fourth, gone) = scene.another(4714).await;
    drop(fourth);
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    (scene, [kicked, by_backend, by_player, gone])
}

#[tokio::test]
async fn why_it_ended_and_who_said_the_last_words() {
    let (scene, [kicked, by_backend, by_player, gone]) = four_ends().await;
    for (id, reason, code, last_words) in [
        (
            kicked,
            "kicked",
            440,
            json!({"by": "gateway", "code": 440, "text": "ended by an operator"}),
        ),
        (
            by_backend,
            "backend",
            1007,
            json!({"by": "backend", "code": 1007, "text": "cheating\u{1b}[2J"}),
        ),
        (
            by_player,
            "client",
            1234,
            json!({"by": "player", "code": 1234, "text": ""}),
        ),
        (gone, "disconnected", 0, json!(null)),
    ] {
        let story = scene.story(id).await;
        let end = &story["end"];
        assert_eq!(story["state"], "ended", "{story}");
        assert_eq!(
            (&end["reason"], &end["code"]),
            (&json!(reason), &json!(code))
        );
        assert_eq!(end["last_words"], last_words, "{reason}");
        assert!(end["at_seconds"].as_u64() >= story["since_seconds"].as_u64());
        assert_eq!(story["services"][0]["service"], "game");
        assert_eq!(
            (&story["frames_in"], &story["queued_bytes"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(events(&story), []);
    }
}

#[tokio::test]
async fn sessions_that_have_ended_are_found() {
    let (scene, [kicked, by_backend, by_player, gone]) = four_ends().await;
    let text = |id: u64| id.to_string();
    let newest_first = [gone, by_player, by_backend, kicked].map(text);
    assert_eq!(scene.ended("").await.len(), 4);
    for (query, expected) in [
        ("&user_id=4711", vec![text(by_player), text(kicked)]),
        (
            "&user_id=4712&service=game&transport=tcp",
            vec![text(by_backend)],
        ),
        ("&realm_id=8", vec![]),
        ("&bound=true", vec![]),
        ("&service=other", vec![]),
    ] {
        let mut found = scene.ended(query).await;
        found.sort_by_key(|id| newest_first.iter().position(|other| other == id));
        assert_eq!(found, expected, "{query}");
    }
    assert_eq!(scene.ended("&limit=1").await.len(), 1);
    // Only who lives is listed unasked, and nobody is kicked twice.
    let live = get(scene.gateway.admin, "/api/v1/sessions").await.json();
    assert_eq!(live["sessions"], json!([]));
    let path = format!("DELETE /api/v1/sessions/{kicked}");
    let again = request(scene.gateway.admin, &path, &[], "").await;
    again.error(404, "not_found");
    let paged = get(
        scene.gateway.admin,
        "/api/v1/sessions?state=ended&cursor=0.0",
    )
    .await;
    assert!(paged.error(400, "bad_request").starts_with("cursor: "));
}

#[tokio::test]
async fn limits_that_a_session_hits_are_counted_in_its_story() {
    let (scene, mut player, id) = Scene::start(|config| {
        config.limits.frames_per_second = 5;
        config.limits.patience = std::time::Duration::ZERO;
    })
    .await;
    let mut frames = Vec::new();
    for _ in 0..50 {
        client::encode(&mut frames, &Header::default(), "game", b"x");
    }
    player.raw(&frames).await;
    assert_eq!(player.closed().await.0, 429);
    let story = scene.story(id).await;
    assert_eq!(story["end"]["reason"], "too_fast");
    assert_eq!(story["end"]["last_words"]["code"], 429);
}

#[tokio::test]
async fn frames_over_a_rate_are_events_with_their_number() {
    let (scene, mut player, id) = Scene::start(|config| {
        config.limits.frames_per_second = 5;
    })
    .await;
    let mut frames = Vec::new();
    for _ in 0..50 {
        client::encode(&mut frames, &Header::default(), "game", b"x");
    }
    player.raw(&frames).await;
    assert_eq!(player.error().await.0, 429);
    // Frames may come in several reads.
    let dropped = "game_gateway_dropped_frames_total{reason=\"rate_limited\"}";
    scene
        .gateway
        .until("game_gateway_client_in_frames_total", |n| n == 51)
        .await;
    let expected = scene.gateway.metric(dropped).await;
    let story = scene.story(id).await;
    let over = events(&story)
        .into_iter()
        .find(|(name, _)| *name == "over_rate");
    assert_eq!(over, Some(("over_rate", expected)));
}

#[tokio::test]
async fn who_starts_a_story_anew_does_not_push_it_out_of_its_bound() {
    let (scene, mut player, id) = Scene::start(|_| ()).await;
    for n in 0..40 {
        player.data(&format!("x{}", n % 6), b"x").await;
        let header = Header {
            session_id: id ^ 1,
            realm_id: 7,
            ..Header::default()
        };
        player.send(header, &format!("y{n}"), b"x").await;
        player.error().await;
        player.error().await;
    }
    let story = scene.story(id).await;
    let told = events(&story);
    assert_eq!(told.len(), 16, "{story}");
    let told: u64 = told.into_iter().map(|(_, count)| count).sum();
    let omitted = story["omitted_events"].as_u64().expect("a count");
    assert_eq!(told + omitted, 80);
}

#[tokio::test]
async fn requests_that_went_well_are_not_remembered() {
    let (mut scene, _player, _) = Scene::start(|_| ()).await;
    let admin = scene.gateway.admin;
    let asking = request(scene.gateway.players, "POST /game", &["X-User-Id: 9"], "x");
    let answering = async {
        let id = scene.link.opened().await.session_id;
        scene.link.data().await;
        scene.link.send(Kind::Data, id, b"answer").await;
        scene.link.closed().await;
        id
    };
    let (answer, id) = tokio::join!(asking, answering);
    assert_eq!(answer.status, 200);
    let path = format!("/api/v1/sessions/{id}");
    get(admin, &path).await.error(404, "not_found");
    assert_eq!(scene.ended("").await, [] as [String; 0]);
}

#[tokio::test]
async fn a_story_from_a_terminal() {
    let backend = Backend::start().await;
    let served = serve("", &backend.routes());
    let mut player = Player::connect_to(served.players).await;
    let header = Header {
        user_id: 4711,
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id.to_string();
    player.next().await.expect("OPENED");
    player.data("nothing", b"x").await;
    assert_eq!(player.error().await.0, 404);
    let live = served.says(&["session", &id]);
    has_lines(&live, &["state active", "AT SERVICE ENDPOINT"]);
    assert!(live.contains("404: no such service (nothing)"), "{live}");
    served.says(&["kick", &id]);
    assert_eq!(player.closed().await.0, 440);
    let ended = served.says(&["session", &id]);
    has_lines(
        &ended,
        &[
            "state ended",
            "end_reason kicked",
            "end_code 440",
            "last_words gateway: 440 ended by an operator",
        ],
    );
    assert!(ended.contains("404: no such service (nothing)"), "{ended}");
    let listed = served.json(&["sessions", "--state", "ended", "--user-id", "4711"]);
    assert_eq!(listed["sessions"][0]["session_id"], id);
    assert_eq!(served.json(&["session", &id])["end"]["reason"], "kicked");
}

/// Asserts lines, whatever is between their words.
fn has_lines(text: &str, lines: &[&str]) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in lines {
        assert!(
            text.lines().any(|said| words(said) == *line),
            "{line}: {text}"
        );
    }
}
