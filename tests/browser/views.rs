//! The page's views of actors, traces and backends, as operators use them.

use game_gateway::codec::client;
use game_gateway::codec::code::{Code, Notice};
use serde_json::json;

use crate::scene::Scene;

/// Restarts are offered where nothing is lost by them, and done; loads are shown.
#[tokio::test]
async fn actors_are_shown_and_restarted() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let (mut player, mut link, session_id) = scene.player(4711).await;
    let shown = r###"view("#actors"); await until(() => card("Tree")?.textContent.includes("backend_pool-"));
        const kind = (row) => row.querySelector(".mono").textContent.replace(/-\d+$/, "");
        const offered = all("main section tr").filter((row) => [...row.querySelectorAll("button")].some((b) => !b.hidden)).map(kind);
        await until(() => card("Busiest").querySelectorAll("tbody tr").length > 0);
        await press("Messages");
        await until(() => all("[aria-pressed=true]").some((b) => b.textContent === "Messages"));
        await until(() => card("Time by type of message").textContent.includes("OpenSession"));
        return [[...new Set(offered)].sort(), card("Workers").querySelectorAll("tbody tr").length, cards()];"###;
    let shown = scene.run(shown).await;
    let expected = json!([
        ["backend_pool", "config_watcher", "router"],
        1,
        [
            "Workers",
            "Busiest",
            "Tree",
            "Kinds",
            "Time by type of message"
        ]
    ]);
    assert_eq!(shown, expected);
    let restarted = r###"const button = document.querySelector("[aria-label='Restart router-0']"); button.click();
        const asked = await answer(); await closed();
        const row = () => all("tr").find((row) => row.textContent.startsWith("├─ router-0") || row.querySelector(".mono")?.textContent === "router-0");
        await until(() => row().children[5].textContent === "1");
        return [asked, text("#said"), card("Kinds").textContent.includes("by hand")];"###;
    let restarted = scene.run(restarted).await;
    let asked = restarted[0].as_str().expect("a question");
    assert!(asked.contains("Nothing is lost by it."), "{asked}");
    assert_eq!(restarted[1], "router-0 was restarted.");
    player.data("game", b"again").await;
    assert_eq!(link.data().await.session_id, session_id);
    scene.end().await;
}

/// A user is traced before it comes; the trace ends by hand, and another one by itself.
#[tokio::test]
async fn a_user_is_traced() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let begun = r###"view("#traces"); await press("Trace…"); await answer("4711", "10m"); await closed();
        await until(() => location.hash.startsWith("#trace/") && cards().includes("Trace of user 4711"));
        await until(() => text("main [role=status]") === "live" || text("main").includes("Nothing yet."));"###;
    scene.run(begun).await;
    let (mut player, _link, session_id) = scene.player(4711).await;
    let seen = format!(
        r###"const log = await until(() => document.querySelector(".log"));
        const line = (text) => until(() => [...log.children].some((line) => line.textContent.includes(text)));
        await line("> DATA game 5 B user_id=4711"); await line("gw-test:{session_id}"); await line("routed game at ");
        const said = log.textContent;
        const shown = () => [...log.children].filter((line) => line.checkVisibility());
        const frames = () => shown().filter((line) => line.textContent.includes("DATA game")).length;
        const before = frames(); await press("Decisions only");
        const decisions = [frames(), shown().some((line) => line.textContent.includes("routed game"))];
        await press("Everything"); await press("Pause");
        return [said, before, decisions];"###
    );
    let seen = scene.run(&seen).await;
    let said = seen[0].as_str().expect("a text");
    assert!(!said.contains("hello"), "a payload is shown: {said}");
    assert_eq!((&seen[1], &seen[2]), (&json!(1), &json!([0, true])));
    player.data("game", b"again").await;
    let goes_on = r###"const log = document.querySelector(".log");
        const frames = () => [...log.children].filter((line) => line.textContent.includes("> DATA game")).length;
        const button = await until(() => all("main button").find((b) => /^Go on \(\d+ events? waits?\)$/.test(b.textContent)));
        const paused = frames(); button.click();
        await until(() => frames() === 2);
        await press("End the trace"); await answer(); await closed();
        await until(() => location.hash === "#traces" && text("main").includes("Nobody is traced."));
        return paused;"###;
    assert_eq!(scene.run(goes_on).await, 1);
    let by_itself = format!(
        r###"view("#session/gw-test:{session_id}"); await press("Trace the session…"); await answer("1s"); await closed();
        await until(() => cards().includes("Trace of session {session_id}"));
        await until(() => text("main [role=status]") === "It is over.");
        view("#traces"); await until(() => text("tbody").includes("over"));"###
    );
    scene.run(&by_itself).await;
    scene.end().await;
}

/// All sessions of a backend go when it is taken out, and it comes back.
#[tokio::test]
async fn a_backend_is_taken_out_for_maintenance() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let (mut player, mut link, session_id) = scene.player(4711).await;
    let taken_out = r###"view("#backends"); await until(() => text("tbody").includes("game"));
        const cells = () => all("tbody td").map((cell) => cell.textContent);
        await until(() => cells()[3] === "1");
        await press("Maintenance"); const asked = await answer("10m", "a new kernel"); await closed();
        await until(() => cells()[2].startsWith("maintenance") && cells()[3] === "0" && text("tbody").includes("a new kernel"));
        view("#overview"); await until(() => text(".verdict strong") === "One thing to look at");
        const said = text(".verdict li.bad");
        view("#backends"); await until(() => cells()[2]?.startsWith("maintenance"));
        const sorted = () => document.querySelector("main th:nth-child(4)").getAttribute("aria-sort");
        await press("Sessions"); const first = sorted(); await press("Sessions"); const second = sorted(); await press("Sessions");
        return [asked, said, [first, second, sorted()]];"###;
    let seen = scene.run(taken_out).await;
    let asked = seen[0].as_str().expect("a question");
    // Backends that answer players late, or nobody, would take minutes.
    let slow = r###"const { troubles } = await import("/page/verdict.js");
        const row = { service: "game", endpoint: "b:1", in_rules: true, health: "up", breaker: "closed", operator_state: "ready", usual_answer_us: 2000, answer: { p50_us: 400000 } };
        const said = (rows) => troubles({ backends: { rows } }).map(([, words]) => words);
        const late = { ...row, slow: "late" };
        return [said([row]), said([late]), said([late, { ...row, endpoint: "b:2", slow: "silent", silent_us: 7e6 }])];"###;
    let late = "b:1 of game is slow: half of its answers take 400 ms, usually 2.00 ms";
    let silent =
        "2 backends are slow; b:2 of game: nothing has come from it for 7 s, though players send";
    assert_eq!(scene.run(slow).await, json!([[], [late], [silent]]));
    let said = format!(
        "game has no backend that takes sessions: {} is in maintenance",
        scene.backend.address
    );
    assert_eq!(seen[1], said);
    assert_eq!(seen[2], json!(["descending", "ascending", null]));
    assert!(
        asked.contains("1 session is there in game on this gateway."),
        "{asked}"
    );
    assert_eq!(link.closed().await.0, session_id);
    let told = player.next().await.expect("a frame");
    assert_eq!(told.header.kind, client::Kind::Error as u8);
    let code = Notice::decode(&told.payload, Code::NORMAL).code;
    assert_eq!(code.0, 502);
    let back = r###"await press("Ready"); await answer(); await closed();
        await until(() => !all("tbody td")[2].textContent.startsWith("maintenance"));
        await until(() => !all("main button").find((b) => b.textContent === "Maintenance").hidden);"###;
    scene.run(back).await;
    player.data("game", b"again").await;
    let again = r###"await until(() => all("tbody td")[3].textContent === "1");"###;
    scene.run(again).await;
    scene.end().await;
}

/// A limit is changed for a time, with what is wrong with it said where it was asked, and taken back.
#[tokio::test]
async fn limits_are_changed_and_taken_back() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let changed = r###"view("#settings");
        const row = () => [...(card("Limits")?.querySelectorAll("tbody tr") ?? [])].find((row) => row.textContent.startsWith("limits.connections_per_ip"));
        const pressed = (name) => row().querySelector(`[aria-label="${name}"]`).click();
        await until(row); pressed("Change limits.connections_per_ip");
        await answer("many"); const wrong = await until(() => text("dialog .error"));
        await answer("20", "1h", "flood"); await closed();
        await until(() => row().textContent.includes("by anna at "));
        const cells = [...row().children].map((cell) => cell.textContent);
        pressed("Take the change of limits.connections_per_ip back"); await answer(); await closed();
        await until(() => row().children[2].textContent === "the same");
        return [wrong, cells[1], cells[2], cells[3], row().children[1].textContent];"###;
    let changed = scene.run(changed).await;
    let text = |at: usize| changed[at].as_str().expect("a text").to_owned();
    assert!(text(0).contains("limits.connections_per_ip"), "{changed}");
    assert_eq!((text(1), text(2)), ("20".to_owned(), "0".to_owned()));
    assert!(text(3).ends_with(": flood"), "{changed}");
    assert_eq!(text(4), "0");
    scene.end().await;
}
