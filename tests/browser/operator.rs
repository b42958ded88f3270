//! The page of the admin API as operators use it: in Chromium, against a gateway's process.

use game_gateway::codec::link::{Features, Kind, OPEN_TRANSFERRED, Open};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{Scene, addresses, serve};
use crate::support::wire::{Backend, soon};

/// What must not run.
const MARKUP: &str =
    r###"<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>"###;

#[tokio::test]
async fn an_operator_signs_in_looks_and_acts() {
    let mut scene = Scene::begin().await;
    let url = scene.page.url.clone();
    scene.page.chromium.open(&url).await;
    let wrong = r###"fill(await until(() => document.querySelector("form")), ["wrong"]); return until(() => text("form .error"));"###;
    assert_eq!(scene.run(wrong).await, "The token is not known here.");
    scene.sign_in("touch").await;
    scene.run(r###"await until(() => text(".verdict strong") === "All is well" && text(".figure .big") === "0sessions");"###).await;
    let shown = scene.run(r###"return [text("#role"), text("#gateway-id"), text(".figure .big"), text(".verdict strong"), document.title];"###).await;
    assert_eq!(
        shown,
        json!([
            "anna",
            "gw-test",
            "0sessions",
            "All is well",
            "Overview · gw-test · game-gateway"
        ])
    );
    let (mut player, mut link, session_id) = scene.player(4711).await;
    let there = r###"await until(() => text(".figure .big") === "1sessions");"###;
    scene.run(there).await;
    let find = r###"view("#sessions/10.0.0.0%2F8"); await until(() => text("main [role=status]") === "0 sessions");
        view("#sessions/127.0.0.1"); await until(() => text("main [role=status]") === "1 session");
        view("#sessions"); fill(await until(() => document.querySelector("form[role=search]")), ["4711"]);
        await until(() => location.hash === "#sessions/4711" && text("tbody").includes("4711"));
        await press("Kick");
        const asked = await answer();
        await closed();
        await until(() => text("tbody").includes("ended"));
        document.querySelector("tbody a").click();
        await until(() => text(".timeline").includes("Ended: kicked"));
        return asked;"###;
    let asked = scene.run(find).await;
    let asked = asked.as_str().expect("a question");
    assert!(asked.contains("of user 4711 ends with code 440"), "{asked}");
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(link.closed().await, (session_id, 440));
    // Whom nobody sees asks for nothing, until somebody does.
    let unseen = r###"const seen = (is) => { Object.defineProperty(document, "visibilityState", { value: is, configurable: true }); document.dispatchEvent(new Event("visibilitychange")); };
        let [asked, waits] = [0, false];
        const [fetches, later, listens] = [window.fetch, window.setTimeout, document.addEventListener];
        window.fetch = (path, ...more) => { asked += String(path).startsWith("/api/v1/bans"); return fetches(path, ...more); };
        window.setTimeout = (then, pause) => later(then, pause === 5_000 ? 0 : pause);
        document.addEventListener = function (name, ...more) { waits ||= name === "visibilitychange"; return listens.call(this, name, ...more); };
        seen("hidden"); view("#bans"); await until(() => waits); const before = asked;
        seen("visible"); await until(() => asked > before);
        [window.fetch, window.setTimeout] = [fetches, later]; delete document.visibilityState; delete document.addEventListener; return before;"###;
    assert_eq!(scene.run(unseen).await, 1);
    let level = r###"view("#settings"); await press("Change…"); const wrong = await answer("loud");
        await until(() => text("dialog .error").includes("loud")); await answer("debug"); await closed();
        await until(() => text("main code") === "debug"); return wrong;"###;
    let asked = scene.run(level).await;
    assert!(
        asked
            .as_str()
            .is_some_and(|asked| asked.contains("until the next change")),
        "{asked}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_drain_is_seen_and_undone() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let (_player, _link, _) = scene.player(1).await;
    let begun = r###"await until(() => text(".figure .big") === "1sessions");
        await press("Drain this gateway"); const asked = await answer("10m"); await closed();
        await until(() => ["draining", "refusing"].includes(text("#state")));
        await until(() => card("Drain") && !card("Drain").hidden && card("Drain").textContent.includes("1 connection is still here. Of 1 at the beginning 0 went in time, 0 were cut off"));
        await until(() => card("Drain").textContent.includes("by anna at 127.0.0.1:"));
        return [asked, card("Drain").querySelector(".meter").getAttribute("aria-label"), text(".verdict li")];"###;
    let begun = scene.run(begun).await;
    assert!(
        begun[0]
            .as_str()
            .is_some_and(|asked| asked.contains("1 sessions are here now")),
        "{begun}"
    );
    assert_eq!(begun[1], "Drain: 0 of 1 have gone, 0 were cut off");
    assert!(
        begun[2]
            .as_str()
            .is_some_and(|said| said.starts_with("it drains, and ")),
        "{begun}"
    );
    let undone = r###"await press("Undo"); await answer(); await closed();
        await until(() => text("#state") === "serving" && card("Drain").hidden); return text("#said");"###;
    scene.run(undone).await;
    scene.end().await;
}

#[tokio::test]
async fn a_backend_is_emptied_by_a_button() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let (mut player, mut link, id) = scene.player(4711).await;
    let features = Features { transfer: true }.encode();
    link.send(Kind::Features, 0, &features).await;
    let other = Backend::start().await;
    let (old, new) = (scene.backend.address, other.address);
    let rule = Backend::rule(&[&scene.backend, &other]);
    let routes = format!(r#"{{"rules":{{"game":{rule}}}}}"#);
    std::fs::write(&scene.routes, routes).expect("routes");
    let pressed = format!(
        r###"view("#backends");
        await until(() => text("tbody").includes("{new}") && text("tbody").includes("{old}"));
        const name = "Move away: {old} of game";
        const away = () => all("main button").find((b) => b.getAttribute("aria-label") === name && !b.hidden && !b.disabled);
        (await until(away)).click(); const asked = await answer(); await closed(); return asked;"###
    );
    let asked = scene.run(&pressed).await;
    let asked = asked.as_str().expect("a question");
    assert!(asked.contains("go on at other backends"), "{asked}");
    assert_eq!(link.closed().await, (id, 307));
    let state = [&307_u16.to_be_bytes()[..], &[0; 4], b"the state"].concat();
    link.send(Kind::Close, id, &state).await;
    let mut there = other.link().await;
    let open = there.opened().await;
    let open = Open::decode(&open.payload).expect("a payload");
    assert_eq!(
        (open.flags, open.state),
        (OPEN_TRANSFERRED, &b"the state"[..])
    );
    there
        .send(Kind::Accept, id, &open.epoch.to_be_bytes())
        .await;
    let moved = format!(
        r###"const row = () => all("tbody tr").find((row) => row.textContent.includes("{old}"));
        const cells = () => [...row().querySelectorAll("td")].map((cell) => cell.textContent);
        await until(() => row()?.textContent.includes("1 moved away"));
        await until(() => cells()[3] === "0"); return cells()[2];"###
    );
    let order = scene.run(&moved).await;
    let order = order.as_str().expect("a cell");
    assert!(
        order.starts_with("drain") && order.contains("by anna"),
        "{order}"
    );
    player.data("game", b"on").await;
    assert_eq!(&there.data().await.payload[..], b"on");
    scene.end().await;
}

#[tokio::test]
async fn whoever_may_only_read_can_press_nothing_that_changes() {
    let mut scene = Scene::begin().await;
    scene.sign_in("look").await;
    let (_player, _link, _) = scene.player(4711).await;
    let pressable = r###"const left = [];
        for (const link of all("#views a")) {
          link.click();
          await until(() => link.hasAttribute("aria-current") && cards().length);
          if (link.hash === "#sessions") await until(() => text("tbody").includes("4711"));
          left.push(...all("main button:not(.sort)").filter((b) => !b.disabled && /drain|kick|ban|lift|change|undo|maintenance|restart|trace|back/i.test(b.textContent)).map((b) => b.textContent));
        }
        view("#sessions");
        const kick = await until(() => all("main button").find((b) => b.textContent === "Kick"));
        return [left, text("#role"), kick.disabled, kick.title];"###;
    let pressable = scene.run(pressable).await;
    let expected = json!([
        [],
        "wall, may only read",
        true,
        "The token wall may only read."
    ]);
    assert_eq!(pressable, expected);
    scene.end().await;
}

/// Reasons, last words and mistakes are others' texts, and so is the part of the address behind the #.
#[tokio::test]
async fn what_others_say_is_text() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let (mut player, mut link, session_id) = scene.player(4711).await;
    let close = [&[0x0f, 0xa0, 0, 0, 0, 0], MARKUP.as_bytes()].concat();
    link.send(Kind::Close, session_id, &close).await;
    player.closed().await;
    std::fs::write(&scene.routes, format!("{{\"rules\": {{{MARKUP:?}: 1}}}}")).expect("routes");
    let script = format!(
        r###"const markup = {MARKUP:?};
        await until(() => card("Rules in force").textContent.includes("is not in force"));
        view("#sessions/4711"); (await until(() => document.querySelector("tbody a"))).click();
        await until(() => text("main dl").includes(markup));
        view("#bans"); await press("Ban…"); await answer("nobody"); await until(() => text("dialog .error"));
        await answer("192.0.2.0/24", "10m", markup); await closed();
        await until(() => text("tbody").includes(markup));
        await press("Lift"); await answer(); await closed();
        await until(() => text("main").includes("Nobody is banned."));
        for (const name of ["session", "sessions", "trace", "nothing"]) {{
          view(`#${{name}}/${{encodeURIComponent(markup)}}`);
          await until(() => cards().length);
        }}
        view("#session/%E0%A4%A"); await until(() => cards().length);
        view("#overview"); await until(() => card("Rules in force"));
        return all("img, main script, iframe, main style").length;"###
    );
    assert_eq!(scene.run(&script).await, 0);
    scene.end().await;
}

#[tokio::test]
async fn on_a_phone_and_at_night() {
    let mut scene = Scene::begin().await;
    let screen = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    scene
        .page
        .chromium
        .command("Emulation.setDeviceMetricsOverride", screen)
        .await;
    scene.sign_in("touch").await;
    let (_player, _link, _) = scene.player(4711).await;
    let widths = r###"const wide = [];
        for (const link of all("#views a")) {
          link.click();
          await until(() => link.hasAttribute("aria-current") && cards().length && text("main").length > 40);
          if (document.documentElement.scrollWidth > 360) wide.push(link.hash);
          const place = link.getBoundingClientRect();
          if (place.left < 0 || place.right > 360) wide.push(`${link.hash}: its tab`);
          // Not a figure is cut, and not a button out of reach.
          const cut = (part) => part.checkVisibility() && part.getBoundingClientRect().right > 360;
          wide.push(...all(".table td, .table button").filter(cut).map((part) => `${link.hash}: ${part.textContent}`));
        }
        return wide;"###;
    assert_eq!(scene.run(widths).await, json!([]));
    let ground = "return getComputedStyle(document.body).backgroundColor;";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        scene
            .page
            .chromium
            .command("Emulation.setEmulatedMedia", features)
            .await;
        grounds.push(scene.run(ground).await);
    }
    assert_ne!(grounds[0], grounds[1]);
    // The switch goes from what the system says to light, then to dark, whatever that says.
    let pressed = format!(r###"document.getElementById("theme").click(); {ground}"###);
    assert_eq!(scene.run(&pressed).await, grounds[0]);
    assert_eq!(scene.run(&pressed).await, grounds[1]);
    scene.end().await;
}

#[tokio::test]
async fn by_keyboard() {
    let mut scene = Scene::begin().await;
    scene.sign_in("touch").await;
    let key = async |scene: &mut Scene, key: &str, text: &str| {
        for kind in ["keyDown", "keyUp"] {
            let code = if key == "Escape" { 27 } else { 0 };
            let params = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "text": if kind == "keyDown" { text } else { "" }});
            scene
                .page
                .chromium
                .command("Input.dispatchKeyEvent", params)
                .await;
        }
    };
    key(&mut scene, "3", "3").await;
    scene.run(r###"await until(() => location.hash === "#sessions" && cards().includes("Sessions"));"###).await;
    key(&mut scene, "/", "/").await;
    scene
        .run(r###"await until(() => document.activeElement.id === "search");"###)
        .await;
    // In a field they are letters.
    key(&mut scene, "1", "1").await;
    let typed = r###"await until(() => document.activeElement.value === "1"); document.activeElement.blur(); return location.hash;"###;
    assert_eq!(scene.run(typed).await, "#sessions");
    key(&mut scene, "?", "?").await;
    scene.run(r###"await until(() => document.querySelector("dialog[open]")?.textContent.includes("Search sessions"));"###).await;
    key(&mut scene, "Escape", "").await;
    scene.run("await closed();").await;
    let order = r###"const marks = [document.querySelector("header, [role=banner]"), document.querySelector("nav[aria-label]"), document.querySelector("main"), document.querySelector("footer")];
        const unnamed = all("button, input, a").filter((e) => !e.hidden && !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length));
        return [marks.every(Boolean), all("h1").length, unnamed.length, all("[tabindex]").filter((e) => e.tabIndex > 0).length];"###;
    assert_eq!(scene.run(order).await, json!([true, 1, 0, 0]));
    scene.end().await;
}

/// Fifty more look on, whom nobody reads for; the gateway goes, which the page says, and comes back.
#[tokio::test]
async fn it_says_when_it_is_out_of_date() {
    let mut scene = Scene::begin().await;
    let admin = scene
        .page
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut others = Vec::new();
    for _ in 0..50 {
        let mut socket = soon(TcpStream::connect(&admin))
            .await
            .expect("the admin port");
        let asked =
            "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer look\r\n\r\n";
        soon(socket.write_all(asked.as_bytes()))
            .await
            .expect("sent");
        let mut status = [0; 12];
        soon(socket.read_exact(&mut status))
            .await
            .expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        others.push(socket);
    }
    scene.sign_in("look").await;
    scene.process.signal("TERM");
    assert!(
        scene.process.wait_for_exit().success(),
        "{}",
        scene.process.output()
    );
    let lost = r###"await until(() => document.body.classList.contains("stale")); return text("#live");"###;
    let lost = scene.run(lost).await;
    assert!(
        lost.as_str()
            .is_some_and(|said| said.contains("Trying again in")),
        "{lost}"
    );
    drop(others);
    scene.process = serve(scene.routes.parent().expect("a folder"), &admin);
    addresses(&scene.process);
    scene.run(r###"await until(() => text("#live") === "live" && !document.body.classList.contains("stale"));"###).await;
    scene.end().await;
}
