//! Protocol 3.2, case 3: nobody has the session, but its backends know it.

use std::time::Duration;

use game_gateway::codec::link::{Assign, Kind, Open};
use game_gateway::config::{Config, Secret};

use crate::stage::{Answer, Scene, Ticket, begin, opened, resume, resume_on, says};
use crate::support::wire::{Backend, Gateway, Link, Player};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const GAP: Answer = Answer {
    received: 0,
    gap: true,
};

fn shared(config: &mut Config) {
    config.session.token_keys = vec![Secret::new(KEY.to_owned())];
    config.backend.connect_timeout = Duration::from_secs(1);
}

/// Starts another gateway of the same deployment.
async fn other(backend: &Backend, id: &str) -> Gateway {
    Gateway::start_with(&backend.routes(), |config| {
        shared(config);
        config.gateway.id = id.to_owned();
    })
    .await
}

/// Reads the OPEN of a session that another gateway has taken over; returns epoch and gateway before.
async fn taken_up(link: &mut Link) -> (u32, String) {
    let frame = link.opened().await;
    let open = Open::decode(&frame.payload).expect("a payload");
    assert_eq!((open.flags, open.user_id, open.realm_id), (1, 42, 7));
    (open.epoch, open.previous_gateway.to_owned())
}

async fn accept(link: &mut Link, id: u64, epoch: u32) {
    link.send(Kind::Accept, id, &epoch.to_be_bytes()).await;
}

#[tokio::test]
async fn another_gateway_takes_it_up_with_a_gap() {
    let mut scene = Scene::start_with(shared).await;
    let second = other(&scene.backend, "gw-b").await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    // Frames that it sends before OPENED are delivered after it.
    accept(&mut link, id, 2).await;
    link.send(Kind::Data, id, b"b").await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, GAP);
    assert_eq!(ticket.session_id, id);
    says(&mut player, "b").await;
    player.data("game", b"2").await;
    assert_eq!(&link.data().await.payload[..], b"2");
    // From here it resumes like any other session, and the used token is invalid.
    let mut thief = resume(&second, &scene.ticket, 0).await;
    assert_eq!(thief.closed().await.0, 410);
    drop(player);
    link.next().await.expect("SUSPEND");
    let mut player = resume(&second, &ticket, 1).await;
    assert_eq!(taken_up(&mut link).await, (3, "gw-b".to_owned()));
    accept(&mut link, id, 3).await;
    let answer = Answer {
        received: 1,
        gap: false,
    };
    assert_eq!(opened(&mut player, &mut ticket).await, answer);
}

/// A session whose game has assigned another service of it to a server that no rule names.
struct Assigned {
    routes: String,
    _gateway: Gateway,
    player: Player,
    ticket: Ticket,
    game: Backend,
    _link: Link,
    battle: Backend,
}

impl Assigned {
    async fn start() -> Assigned {
        let (game, battle) = (Backend::start().await, Backend::start().await);
        let assigned = r#"{"strategy":"assigned","assignable":["127.0.0.0/8"]}"#;
        let rule = Backend::rule(&[&game]);
        let routes = format!(r#"{{"rules":{{"game":{rule},"battle":{assigned}}}}}"#);
        let gateway = Gateway::start_with(&routes, shared).await;
        let mut player = Player::connect(&gateway).await;
        begin(&mut player, "game", b"1").await;
        let mut link = game.link().await;
        let id = link.opened().await.session_id;
        link.data().await;
        let mut ticket = Ticket::default();
        opened(&mut player, &mut ticket).await;
        let mut payload = Vec::new();
        let endpoint = &battle.address.to_string();
        let service = "battle";
        Assign { service, endpoint }.encode(&mut payload);
        link.send(Kind::Assign, id, &payload).await;
        // Its content has changed.
        opened(&mut player, &mut ticket).await;
        Assigned {
            routes,
            _gateway: gateway,
            player,
            ticket,
            game,
            _link: link,
            battle,
        }
    }

    /// The player comes back at another gateway, which cannot ask the first one.
    async fn resumes_elsewhere(&mut self) -> Gateway {
        let second = Gateway::start_with(&self.routes, |config| {
            shared(config);
            config.gateway.id = "gw-b".to_owned();
        })
        .await;
        self.player = resume(&second, &self.ticket, 0).await;
        second
    }

    /// A server takes the session that the second gateway opens.
    async fn takes(backend: &Backend, id: u64) -> Link {
        let mut link = backend.link().await;
        assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
        accept(&mut link, id, 2).await;
        link
    }
}

#[tokio::test]
async fn an_assignment_outlives_its_gateway() {
    let mut scene = Assigned::start().await;
    let id = scene.ticket.session_id;
    let _second = scene.resumes_elsewhere().await;
    let _link = Assigned::takes(&scene.game, id).await;
    assert_eq!(opened(&mut scene.player, &mut scene.ticket).await, GAP);
    scene.player.data("battle", b"here").await;
    let mut fight = scene.battle.link().await;
    assert_eq!(fight.opened().await.session_id, id);
    assert_eq!(&fight.data().await.payload[..], b"here");
}

#[tokio::test]
async fn a_session_at_an_assigned_server_outlives_its_gateway() {
    let mut scene = Assigned::start().await;
    let id = scene.ticket.session_id;
    scene.player.data("battle", b"here").await;
    let mut fight = scene.battle.link().await;
    assert_eq!(fight.opened().await.session_id, id);
    fight.data().await;
    // The token names its place.
    opened(&mut scene.player, &mut scene.ticket).await;
    let _second = scene.resumes_elsewhere().await;
    let _link = Assigned::takes(&scene.game, id).await;
    let _fight = Assigned::takes(&scene.battle, id).await;
    assert_eq!(opened(&mut scene.player, &mut scene.ticket).await, GAP);
}

#[tokio::test]
async fn what_backends_do_not_know_is_gone() {
    for code in [404_u16, 410] {
        let mut scene = Scene::start_with(shared).await;
        let second = other(&scene.backend, "gw-b").await;
        let id = scene.ticket.session_id;
        let mut player = resume(&second, &scene.ticket, 0).await;
        let mut link = scene.backend.link().await;
        taken_up(&mut link).await;
        link.send(Kind::Close, id, &code.to_be_bytes()).await;
        assert_eq!(player.closed().await.0, 410, "{code}");
        second.until("game_gateway_sessions", |n| n == 0).await;
        scene.send("untouched").await;
        says(&mut scene.player, "untouched").await;
    }
}

#[tokio::test]
async fn a_gateway_without_routes_sends_nobody_away_for_good() {
    let scene = Scene::start_with(shared).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    let second = Gateway::start_unready("{}", |config| {
        shared(config);
        config.gateway.id = "gw-b".to_owned();
        config.routes.file = file.clone();
    });
    let mut early = resume(&second, &scene.ticket, 0).await;
    assert_eq!(early.closed().await.0, 503);

    std::fs::write(&file, scene.backend.routes()).expect("written");
    second.until("game_gateway_ready", |ready| ready == 1).await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    accept(&mut link, scene.ticket.session_id, 2).await;
    assert_eq!(opened(&mut player, &mut scene.ticket.clone()).await, GAP);
}

#[tokio::test]
async fn a_token_alone_makes_nobody_dial_what_no_rule_names() {
    let mut scene = Scene::start_with(shared).await;
    let elsewhere = Backend::start().await;
    let second = other(&elsewhere, "gw-b").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 410);
    assert_eq!(second.metric("game_gateway_started_links_total").await, 0);
    scene.send("untouched").await;
    says(&mut scene.player, "untouched").await;
}

#[tokio::test]
async fn a_backend_that_is_gone_or_silent_takes_nobody_up() {
    let scene = Scene::start_with(shared).await;
    let second = other(&scene.backend, "gw-b").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    assert_eq!(player.closed().await.0, 410);
    // It may have taken the OPEN: the link is left in order.
    assert_eq!(link.closed().await.1, 307);
}

#[tokio::test]
async fn a_token_without_bindings_is_good_on_its_owner_only() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), shared).await;
    let mut player = Player::connect(&gateway).await;
    crate::stage::begin(&mut player, "nobody", b"1").await;
    let mut ticket = Ticket::default();
    opened(&mut player, &mut ticket).await;
    assert_eq!(player.error().await.0, 404);
    let second = other(&backend, "gw-b").await;
    let mut player = resume(&second, &ticket, 0).await;
    assert_eq!(player.closed().await.0, 410);
}

#[tokio::test]
async fn a_draining_gateway_takes_nobody_up() {
    let scene = Scene::start_with(shared).await;
    let second = Gateway::start_with(&scene.backend.routes(), |config| {
        shared(config);
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(3600);
    })
    .await;
    // Somebody has to be there, or the drain is over at once.
    let mut player = Player::connect(&second).await;
    let mut other = Player::connect(&second).await;
    other.data("nowhere", b"x").await;
    other.error().await;
    second.drain();
    loop {
        let (_, body) = second.get("/api/v1/drain").await;
        if body.contains("refusing") {
            break;
        }
    }
    resume_on(&mut player, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 503);
}
