//! Identity of a session: claimed by the client, bound by a backend, and the consequences.

use game_gateway::codec::client::Header;
use game_gateway::codec::link::{self, Bind, Open};

use crate::scene::{Scene, data, quiet, routes, talk};
use crate::support::wire::{Backend, Gateway, Link, Player};

const BINDS: &str = "game_gateway_binds_total";

fn ids(user_id: u64, realm_id: u32) -> Header {
    Header {
        user_id,
        realm_id,
        ..Header::default()
    }
}

/// Sends BIND from a backend; returns when the gateway has handled it.
async fn bind(gateway: &Gateway, link: &mut Link, id: u64, user_id: u64, realm_id: u32) {
    let before = gateway.metric(BINDS).await;
    let bind = Bind { user_id, realm_id };
    link.send(link::Kind::Bind, id, &bind.encode()).await;
    gateway.until(BINDS, |n| n == before + 1).await;
}

/// Reads the next frame of a link, which must be BOUND with these ids.
async fn told(link: &mut Link, user_id: u64, realm_id: u32) {
    let frame = link.next().await.expect("BOUND");
    assert_eq!(frame.kind, link::Kind::Bound as u8, "{frame:?}");
    assert_eq!(Bind::decode(&frame.payload), Ok(Bind { user_id, realm_id }));
}

/// Sends DATA to `a` with these ids; returns whether the backend got it, or else the ERROR's code.
async fn say(scene: &mut Scene, header: Header) -> Result<(), u16> {
    scene.player.send(header, "a", b"who am I").await;
    scene.player.data("a", b"mark").await;
    let frame = scene.a.data().await;
    if &frame.payload[..] == b"who am I" {
        assert_eq!(&scene.a.data().await.payload[..], b"mark");
        return Ok(());
    }
    assert_eq!(&frame.payload[..], b"mark");
    let (code, service) = scene.player.error().await;
    assert_eq!(service, "a");
    Err(code)
}

#[tokio::test]
async fn a_bound_client_is_held_to_its_ids() {
    let mut scene = Scene::start().await;
    assert_eq!(say(&mut scene, ids(1, 1)).await, Ok(()));
    assert_eq!(say(&mut scene, ids(2, 2)).await, Ok(()), "not bound yet");
    bind(&scene.gateway, &mut scene.a, scene.id, 42, 6).await;
    told(&mut scene.b, 42, 6).await;
    for (header, expected) in [
        (ids(43, 0), Err(403)),
        (ids(42, 5), Err(403)),
        (ids(43, 6), Err(403)),
        (ids(42, 6), Ok(())),
        (ids(0, 6), Ok(())),
        (ids(42, 0), Ok(())),
        (ids(0, 0), Ok(())),
    ] {
        assert_eq!(say(&mut scene, header).await, expected, "{header:?}");
    }
    let metric = r#"game_gateway_refused_frames_total{code="403"}"#;
    assert_eq!(scene.gateway.metric(metric).await, 3);
    scene.unharmed().await;
}

#[tokio::test]
async fn zero_in_a_bind_changes_nothing() {
    let mut scene = Scene::start().await;
    bind(&scene.gateway, &mut scene.a, scene.id, 0, 6).await;
    told(&mut scene.b, 0, 6).await;
    assert_eq!(say(&mut scene, ids(1, 0)).await, Ok(()));
    assert_eq!(say(&mut scene, ids(2, 6)).await, Ok(()));
    assert_eq!(say(&mut scene, ids(2, 5)).await, Err(403));
    bind(&scene.gateway, &mut scene.b, scene.id, 42, 0).await;
    told(&mut scene.a, 42, 6).await;
    assert_eq!(say(&mut scene, ids(42, 5)).await, Err(403));
    assert_eq!(say(&mut scene, ids(2, 6)).await, Err(403));
    // Neither erases a login, whoever says it, nor tells anybody.
    bind(&scene.gateway, &mut scene.b, scene.id, 0, 0).await;
    bind(&scene.gateway, &mut scene.a, scene.id, 0, 6).await;
    assert_eq!(say(&mut scene, ids(2, 0)).await, Err(403));
    assert_eq!(say(&mut scene, ids(42, 6)).await, Ok(()));
}

#[tokio::test]
async fn only_services_that_may_bind_do_where_any_rule_says_so() {
    let backends = [Backend::start().await, Backend::start().await];
    let may = Backend::rule(&[&backends[0]]).replacen('{', r#"{"may_bind":true,"#, 1);
    let rules = routes(&[("login", may), ("game", Backend::rule(&[&backends[1]]))]);
    let gateway = Gateway::start(&rules).await;
    let mut player = Player::connect(&gateway).await;
    player.send(ids(1, 1), "game", b"x").await;
    let mut game = backends[1].link().await;
    let opened = game.opened().await;
    let open = Open::decode(&opened.payload).expect("OPEN");
    assert_eq!((open.user_id, open.flags), (1, 0), "claimed, not bound");
    game.data().await;
    let bind_to_7 = Bind {
        user_id: 7,
        realm_id: 0,
    };
    game.send(link::Kind::Bind, opened.session_id, &bind_to_7.encode())
        .await;
    let ignored = r#"game_gateway_dropped_frames_total{reason="may_not_bind"}"#;
    gateway.until(ignored, |n| n == 1).await;
    assert_eq!(gateway.metric(BINDS).await, 0);
    player.data("login", b"x").await;
    let mut login = backends[0].link().await;
    login.opened().await;
    login.data().await;
    bind(&gateway, &mut login, opened.session_id, 42, 0).await;
    told(&mut game, 42, 0).await;
}

#[tokio::test]
async fn frames_to_the_client_name_the_realm_of_the_session() {
    let mut scene = Scene::start().await;
    let realm = async |scene: &mut Scene| {
        scene.b.send(link::Kind::Data, scene.id, b"x").await;
        scene.player.answer().await.header.realm_id
    };
    assert_eq!(realm(&mut scene).await, 0);
    assert_eq!(say(&mut scene, ids(0, 4)).await, Ok(()));
    assert_eq!(realm(&mut scene).await, 4);
    bind(&scene.gateway, &mut scene.a, scene.id, 42, 6).await;
    assert_eq!(realm(&mut scene).await, 6);
    // Frames of one link are handled in order, even if they come in one read.
    let mut wire = Vec::new();
    let next = Bind {
        user_id: 42,
        realm_id: 7,
    };
    link::encode(&mut wire, link::Kind::Data, scene.id, b"before");
    link::encode(&mut wire, link::Kind::Bind, scene.id, &next.encode());
    link::encode(&mut wire, link::Kind::Data, scene.id, b"behind");
    scene.a.raw(&wire).await;
    for (payload, realm_id) in [(b"before", 6), (b"behind", 7)] {
        let answer = scene.player.answer().await;
        assert_eq!(&answer.payload[..], payload);
        assert_eq!(
            (answer.header.realm_id, answer.header.user_id),
            (realm_id, 0)
        );
    }
}

/// Routes for what follows: `lobby` anywhere, `world` by realm, `hash` by user, `safe` only bound.
async fn town() -> (Gateway, [Backend; 5]) {
    let backends = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let [lobby, five, six, left, right] = &backends;
    let hash = Backend::rule(&[left, right]).replace("round_robin", "consistent_hash");
    let safe = Backend::rule(&[six]).replacen('{', r#"{"require_bind":true,"#, 1);
    let rules = routes(&[
        ("lobby", Backend::rule(&[lobby])),
        ("world", r#"{"strategy":"realm_based"}"#.to_owned()),
        ("hash", hash),
        ("safe", safe),
    ]);
    let realms = format!(
        r#","realms":{{"5":"{}","6":"{}"}}}}"#,
        five.address, six.address
    );
    let rules = rules.strip_suffix('}').expect("an object").to_owned() + &realms;
    (Gateway::start(&rules).await, backends)
}

#[tokio::test]
async fn later_services_are_routed_by_the_bound_realm() {
    let (gateway, [lobby, _five, six, ..]) = town().await;
    let mut player = Player::connect(&gateway).await;
    player.send(ids(1, 5), "lobby", b"x").await;
    let mut link = lobby.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    bind(&gateway, &mut link, id, 42, 6).await;
    player.data("world", b"to realm 6").await;
    let mut world = six.link().await;
    let opened = world.opened().await;
    let open = Open::decode(&opened.payload).expect("OPEN");
    assert_eq!((open.user_id, open.realm_id), (42, 6));
    assert_eq!(open.flags, 2 + 4, "both are bound");
    assert_eq!(&world.data().await.payload[..], b"to realm 6");
    talk(&mut player, "lobby", &mut link).await;
}

#[tokio::test]
async fn later_services_are_routed_by_the_bound_user() {
    let (gateway, [lobby, _five, _six, left, right]) = town().await;
    // Both links of `hash`, opened by as many users as it takes.
    let mut openers = Vec::new();
    let (mut on_left, mut on_right) = (None, None);
    let mut home = std::collections::HashMap::new();
    for user in 1..=16 {
        let mut opener = Player::connect(&gateway).await;
        opener.send(ids(user, 0), "hash", b"x").await;
        openers.push(opener);
        let is_left = next_session(&left, &mut on_left, &right, &mut on_right).await;
        home.insert(user, is_left);
    }
    let mut link = None;
    for user in 1..=16 {
        let mut player = Player::connect(&gateway).await;
        player.send(ids(1000, 0), "lobby", b"x").await;
        let link = match &mut link {
            Some(link) => link,
            none => none.insert(lobby.link().await),
        };
        let id = link.opened().await.session_id;
        link.data().await;
        bind(&gateway, link, id, user, 0).await;
        player.data("hash", b"x").await;
        let is_left = next_session(&left, &mut on_left, &right, &mut on_right).await;
        assert_eq!(is_left, home[&user], "user {user}");
        openers.push(player);
    }
}

/// Takes OPEN and DATA from whichever backend gets them; returns whether it is the left one.
async fn next_session(
    left: &Backend,
    on_left: &mut Option<Link>,
    right: &Backend,
    on_right: &mut Option<Link>,
) -> bool {
    async fn take(backend: &Backend, link: &mut Option<Link>) {
        if link.is_none() {
            *link = Some(backend.link().await);
        }
        if let Some(link) = link {
            link.opened().await;
            link.data().await;
        }
    }
    tokio::select! {
        () = take(left, on_left) => true,
        () = take(right, on_right) => false,
    }
}

#[tokio::test]
async fn a_service_may_ask_for_a_bound_session() {
    let (gateway, [lobby, _five, six, ..]) = town().await;
    let mut player = Player::connect(&gateway).await;
    player.send(ids(42, 6), "safe", b"too early").await;
    assert_eq!(player.error().await, (401, "safe".to_owned()));
    let metric = r#"game_gateway_refused_frames_total{code="401"}"#;
    assert_eq!(gateway.metric(metric).await, 1);
    player.data("lobby", b"login").await;
    let mut link = lobby.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    bind(&gateway, &mut link, id, 0, 6).await;
    player.send(ids(42, 6), "safe", b"a realm is nobody").await;
    assert_eq!(player.error().await, (401, "safe".to_owned()));
    bind(&gateway, &mut link, id, 42, 0).await;
    player.data("safe", b"now").await;
    let mut safe = six.link().await;
    assert_eq!(safe.opened().await.session_id, id);
    assert_eq!(&safe.data().await.payload[..], b"now");
}

#[tokio::test]
async fn only_a_backend_of_the_session_binds_it() {
    let (gateway, [lobby, five, ..]) = town().await;
    let mut player = Player::connect(&gateway).await;
    player.data("lobby", b"x").await;
    let mut link = lobby.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let mut other = Player::connect(&gateway).await;
    other.raw(&data("nowhere", b"")).await;
    assert_eq!(other.error().await.0, 404);
    other.send(ids(0, 5), "world", b"x").await;
    let mut world = five.link().await;
    let other_id = world.opened().await.session_id;
    world.data().await;
    for stranger in [id, id ^ 1] {
        let bind = Bind {
            user_id: 42,
            realm_id: 6,
        };
        world.send(link::Kind::Bind, stranger, &bind.encode()).await;
        assert_eq!(world.closed().await, (stranger, 421));
    }
    assert_eq!(gateway.metric(BINDS).await, 0);
    player.send(ids(9, 9), "lobby", b"still free").await;
    assert_eq!(&link.data().await.payload[..], b"still free");
    quiet(&mut link).await;
    link.send(link::Kind::Data, id, b"x").await;
    assert_eq!(player.answer().await.header.realm_id, 9);
    world.send(link::Kind::Data, other_id, b"y").await;
    assert_eq!(&other.answer().await.payload[..], b"y");
}

/// Thousands come with one read, and each is a message of its own.
#[tokio::test]
async fn a_flood_of_binds_is_taken_in_turns() {
    const MANY: u64 = 3000;
    let mut scene = Scene::start().await;
    let mut frames = Vec::new();
    for user_id in 1..=MANY {
        let bind = Bind {
            user_id,
            realm_id: 0,
        };
        link::encode(&mut frames, link::Kind::Bind, scene.id, &bind.encode());
    }
    scene.a.raw(&frames).await;
    scene.gateway.until(BINDS, |n| n >= MANY).await;
    let peak = r#"game_gateway_waiting_messages_peak{kind="client"}"#;
    let waited = scene.gateway.metric(peak).await;
    assert!(waited < 200, "{waited} messages at a time");
}
