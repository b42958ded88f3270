//! The page's view of a whole deployment, and of the routes in Redis.

use std::process::Command;

use game_gateway::codec::client::{FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::config::{RouteSource, Secret};
use game_gateway::sdk::backend::{Backend, echo};
use serde_json::json;

use crate::scene::Page;
use crate::support::address;
use crate::support::redis::RedisServer;
use crate::support::wire::{Gateway, Player, ask, soon};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Starts the gateways of one deployment.
async fn gateways<const N: usize>(routes: &str, ids: [&str; N]) -> [Gateway; N] {
    let addresses = ids.map(|_| address::fixed());
    let all = addresses.map(|address| address.to_string()).join(",");
    let start = async |at: usize| {
        Gateway::start_with(routes, |config| {
            config.gateway.id = ids[at].to_owned();
            config.session.token_keys = vec![Secret::new(KEY.to_owned())];
            config.peer.address = Some(addresses[at]);
            config.peer.gateways = all.parse().expect("gateways");
        })
        .await
    };
    let mut started = Vec::new();
    for at in 0..N {
        started.push(start(at).await);
    }
    started.try_into().ok().expect("as many")
}

/// A player of this user, whose frame its backend has answered, and whose session can be resumed by this token.
async fn player(gateway: &Gateway, user_id: u64) -> (Player, u64, Vec<u8>) {
    let mut player = Player::connect(gateway).await;
    let header = Header {
        user_id,
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    let mut token = Vec::new();
    loop {
        let frame = player.next().await.expect("a frame");
        if frame.header.kind == Kind::Data as u8 {
            return (player, frame.header.session_id, token);
        }
        token = Opened::decode(&frame.payload)
            .expect("OPENED")
            .token
            .to_vec();
    }
}

/// Resumes that session, of which the player has had one DATA.
async fn resume(gateway: &Gateway, session_id: u64, token: &[u8]) -> Player {
    let mut player = Player::connect(gateway).await;
    let header = Header {
        kind: Kind::Resume as u8,
        session_id,
        ..Header::default()
    };
    let payload = [&1_u64.to_be_bytes()[..], token].concat();
    player.send(header, "", &payload).await;
    let opened = player.next().await.expect("OPENED");
    assert_eq!(opened.header.kind, Kind::Opened as u8, "{opened:?}");
    player
}

#[tokio::test]
async fn a_deployment_is_seen_and_told_as_one() {
    let backend = Backend::start(address::own(), echo).await.expect("a port");
    let endpoint = backend.address();
    let rule = json!({"strategy": "round_robin", "endpoints": [endpoint]});
    let routes = json!({"rules": {"game": rule}}).to_string();
    let [a, b] = gateways(&routes, ["gw-a", "gw-b"]).await;
    let mut page = Page::of(&a.admin.to_string()).await;
    page.open().await;
    let begun = r###"view("#gateways");
        await until(() => text("main [role=status]") === "0 sessions on 2 gateways");
        view("#traces"); await press("Trace…"); const asked = await answer("4711", "10m"); await closed();
        await until(() => text("main [role=status]") === "live on 2 gateways"); return asked;"###;
    let asked = page.run(begun).await;
    assert!(
        asked
            .as_str()
            .is_some_and(|a| a.contains("On all gateways")),
        "{asked}"
    );
    let (_left, moving, token) = player(&a, 4711).await;
    let (_stays, ..) = player(&b, 4711).await;
    let traced = r###"const log = document.querySelector(".log");
        await until(() => log.textContent.includes("gw-a:") && log.textContent.includes("gw-b:"));
        view("#sessions/4711"); await until(() => text("main [role=status]") === "2 sessions on all gateways");
        view("#gateways");
        await until(() => card("Backends, over all gateways")?.querySelectorAll("tbody td")[4]?.textContent === "2");
        return text("main [role=status]");"###;
    assert_eq!(page.run(traced).await, "2 sessions on 2 gateways");
    let _player = resume(&b, moving, &token).await;
    let followed = format!(
        r###"view("#session/gw-a%3A{moving}"); await until(() => text("main dl").includes("Goes on") && text(".timeline").includes("Ended"));
        all("main dd a").find((link) => link.textContent === "gw-b").click();
        await until(() => location.hash === "#session/gw-b%3A{moving}" && text("main dl").includes("active"));
        await until(() => text(".timeline").includes("Came from gw-a, where it had been for ")); view("#gateways");"###
    );
    page.run(&followed).await;
    let out = r###"await press("Maintenance"); await answer(); await closed();
        const cells = () => [...card("Backends, over all gateways").querySelectorAll("tbody td")].map((cell) => cell.textContent);
        await until(() => cells()[3] === "maintenance" && cells()[4] === "0");
        const found = all("main tbody button").filter((b) => !b.hidden).map((b) => b.textContent);
        return found;"###;
    assert_eq!(page.run(out).await, json!(["Ready", "Drain", "Move away"]));
    let state = format!("GET /api/v1/backends/{}/state", endpoint);
    let (_, there) = soon(ask(b.admin, &state, "")).await;
    assert!(there.contains("maintenance"), "{there}");
    page.end().await;
}

/// Writes routes to Redis as an operator does.
fn set_routes(redis: &RedisServer, routes: &str, message: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    std::fs::write(&file, routes).expect("routes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command
        .args(["routes", "set", "--yes", "--author", "anna", "--redis-url"])
        .arg(redis.url())
        .args(["--message", message])
        .arg(file);
    assert!(command.output().expect("it runs").status.success());
}

#[tokio::test]
async fn a_bad_change_is_undone() {
    let redis = RedisServer::start();
    let rule = |port: u16| {
        let rule = json!({"strategy": "round_robin", "endpoints": [format!("127.0.0.1:{port}")]});
        json!({"rules": {"game": rule}}).to_string()
    };
    set_routes(&redis, &rule(1), "the first");
    set_routes(&redis, &rule(2), "typing error");
    let [here, gone] = [address::fixed(), address::fixed()];
    let gateway = Gateway::start_with("{}", |config| {
        config.routes.source = RouteSource::Redis;
        config.redis.url = redis.url().parse().expect("a URL");
        // One of the deployment is gone.
        config.session.token_keys = vec![Secret::new(KEY.to_owned())];
        config.peer.address = Some(here);
        config.peer.gateways = format!("{here},{gone}").parse().expect("gateways");
    })
    .await;
    let mut page = Page::of(&gateway.admin.to_string()).await;
    page.open().await;
    // The page may make its first view twice: nothing of it is kept.
    let undone = r###"view("#rules"); const versions = () => card("Versions in Redis")?.textContent ?? "";
        await until(() => card("Rules")?.textContent.includes("127.0.0.1:2") && versions().includes("typing error"));
        const offered = all("main button").filter((b) => !b.hidden && b.textContent === "Put back").map((b) => b.getAttribute("aria-label"));
        fill(card("Where would a player go?").querySelector("form"), ["game"]);
        await until(() => [...card("Where would a player go?").querySelectorAll("td")].some((cell) => cell.checkVisibility() && cell.textContent === "127.0.0.1:2"));
        const in_force = all("tr").find((row) => row.querySelector(".pill.good")).firstChild.textContent;
        await press("Put back"); const asked = await answer("ticket 815"); await closed();
        await until(() => card("Rules").textContent.includes("127.0.0.1:1") && versions().includes("ticket 815"));
        await until(() => card("Changes").querySelectorAll("tbody tr").length === 2);
        const seen = [offered, asked, card("Versions in Redis").querySelectorAll("tbody tr").length, card("Changes").textContent, in_force];
        view("#overview"); await until(() => all(".verdict li.bad").some((one) => one.textContent.endsWith(" does not answer")));
        return seen;"###;
    let undone = page.run(undone).await;
    assert_eq!(undone[0], json!(["Put version 1 back"]));
    let asked = undone[1].as_str().expect("a question");
    assert!(asked.starts_with("Put version 1 back?"), "{asked}");
    let change = "~ rule game: endpoints [127.0.0.1:2] -> [127.0.0.1:1]";
    assert!(asked.contains(change), "{asked}");
    assert_eq!((&undone[2], &undone[4]), (&json!(3), &json!("2")));
    let changes = undone[3].as_str().expect("a text");
    assert!(changes.contains("ticket 815"), "{changes}");
    page.end().await;
}
