//! Inspection of a running gateway: its actors, sessions and backends; and an operator can end a
//! session.

use std::collections::BTreeSet;

use game_gateway::actors::backend_pool::{BackendHealth, Breaker};
use game_gateway::actors::client::{SessionFilter, SessionState, TransportName};
use game_gateway::actors::link::LinkState;
use game_gateway::codec::client::{HEADER_LEN, Header};
use game_gateway::codec::link::{Bind, Kind as LinkKind};
use game_gateway::inspection::{InspectError, MAX_PAGE};
use game_gateway::supervision::Kind;

use crate::stage::{Hub, notice};
use crate::support::wire::{Backend, Gateway, Player, soon};

/// Starts a session of a player with realm and user by a frame to `service`.
async fn player(gateway: &Gateway, service: &str, realm_id: u32, user_id: u64) -> Player {
    let mut player = Player::connect(gateway).await;
    let header = Header {
        realm_id,
        user_id,
        ..Header::default()
    };
    player.send(header, service, b"hello").await;
    player
}

fn two_services(one: &Backend, two: &Backend) -> String {
    let (a, b) = (Backend::rule(&[one]), Backend::rule(&[two]));
    format!(r#"{{"rules":{{"game":{a},"chat":{b}}}}}"#)
}

/// Returns the ids of all sessions that pass the filter, page by page.
async fn ids(gateway: &Gateway, filter: &SessionFilter, limit: usize) -> Vec<u64> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = gateway
            .inspector()
            .sessions(filter, cursor.as_deref(), limit);
        let page = page.await.expect("a page");
        assert!(page.sessions.len() <= limit);
        assert_eq!(page.silent_workers, [0; 0]);
        let id = |text: &str| text.parse::<u64>().expect("decimal");
        ids.extend(page.sessions.iter().map(|session| id(&session.session_id)));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_is_on_exactly_one_page() {
    let backend = Backend::start().await;
    let routes = backend.routes();
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 3).await;
    let mut hub = Hub::start(backend);
    let (mut players, mut sessions) = (Vec::new(), BTreeSet::new());
    for user in 1..=150 {
        players.push(player(&gateway, "game", 0, user).await);
        sessions.insert(hub.expect(LinkKind::Open).await.1.session_id);
        hub.expect(LinkKind::Data).await;
    }
    // A connection without a session is not listed.
    players.push(Player::connect(&gateway).await);
    gateway
        .until("game_gateway_connections", |n| n == 151)
        .await;
    let all = SessionFilter::default();
    for limit in [1, 7, 150, MAX_PAGE] {
        let listed = ids(&gateway, &all, limit).await;
        assert_eq!(listed.len(), sessions.len(), "none twice, limit {limit}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), sessions);
    }
    let page = gateway
        .inspector()
        .actors(Kind::Client, None, MAX_PAGE)
        .await;
    assert_eq!(page.expect("a page").actors.len(), 151);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table: one line a filter")]
async fn filters_find_who_is_meant_and_nobody_else() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start(&two_services(&one, &two)).await;
    let (endpoint, other_endpoint) = (one.address, two.address);
    let (mut game, mut chat) = (Hub::start(one), Hub::start(two));
    let _first = player(&gateway, "game", 1, 11).await;
    let first = game.expect(LinkKind::Open).await.1.session_id;
    let mut both = player(&gateway, "game", 2, 22).await;
    game.expect(LinkKind::Data).await;
    let second = game.expect(LinkKind::Open).await.1.session_id;
    game.expect(LinkKind::Data).await;
    both.data("chat", b"too").await;
    chat.expect(LinkKind::Open).await;
    let all = SessionFilter::default;
    let cases = [
        (all(), vec![first, second]),
        (
            SessionFilter {
                service: Some("chat".into()),
                ..all()
            },
            vec![second],
        ),
        (
            SessionFilter {
                service: Some("none".into()),
                ..all()
            },
            vec![],
        ),
        (
            SessionFilter {
                realm_id: Some(1),
                ..all()
            },
            vec![first],
        ),
        (
            SessionFilter {
                user_id: Some(22),
                ..all()
            },
            vec![second],
        ),
        (
            SessionFilter {
                user_id: Some(22),
                realm_id: Some(1),
                ..all()
            },
            vec![],
        ),
        (
            SessionFilter {
                bound: Some(true),
                ..all()
            },
            vec![],
        ),
        (
            SessionFilter {
                bound: Some(false),
                ..all()
            },
            vec![first, second],
        ),
        (
            SessionFilter {
                backend: Some(endpoint),
                ..all()
            },
            vec![first, second],
        ),
        (
            SessionFilter {
                backend: Some(other_endpoint),
                ..all()
            },
            vec![second],
        ),
        (
            SessionFilter {
                transport: Some(TransportName::Tcp),
                ..all()
            },
            vec![first, second],
        ),
        (
            SessionFilter {
                state: Some(SessionState::Active),
                ..all()
            },
            vec![first, second],
        ),
    ];
    // The second service is written to the stats when its link is there.
    let chat_only = SessionFilter {
        service: Some("chat".into()),
        ..all()
    };
    soon(async {
        while ids(&gateway, &chat_only, 9).await.is_empty() {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    for (filter, mut expected) in cases {
        let mut found = ids(&gateway, &filter, 9).await;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_session_is_shown_as_it_is() {
    let backend = Backend::start().await;
    let endpoint = backend.address;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut hub = Hub::start(backend);
    let mut player = player(&gateway, "game", 7, u64::MAX).await;
    let (link, open) = hub.expect(LinkKind::Open).await;
    hub.expect(LinkKind::Data).await;
    hub.send(link, LinkKind::Data, open.session_id, b"welcome");
    player.answer().await;
    let session = gateway.inspector().session(open.session_id).await;
    let session = session.expect("an answer").expect("it is there").session;
    assert_eq!(session.session_id, open.session_id.to_string());
    assert_eq!(session.global_id, format!("gw-test:{}", open.session_id));
    assert_eq!(session.user_id, u64::MAX.to_string());
    assert_eq!((session.realm_id, session.worker), (7, 0));
    assert_eq!((session.frames_in, session.frames_out), (1, 1));
    assert_eq!(
        (session.bytes_in, session.bytes_out),
        (HEADER_LEN as u64 + 4 + 5, HEADER_LEN as u64 + 4 + 7)
    );
    let [service] = &session.services[..] else {
        panic!("{session:?}");
    };
    assert_eq!(
        (service.service.as_str(), service.endpoint),
        ("game", endpoint)
    );
    // A BIND of its backend changes who it is.
    let bind = Bind {
        user_id: 4711,
        realm_id: 9,
    };
    let bind = bind.encode();
    hub.send(link, LinkKind::Bind, open.session_id, &bind);
    let bound = SessionFilter {
        user_id: Some(4711),
        realm_id: Some(9),
        ..Default::default()
    };
    soon(async {
        while ids(&gateway, &bound, 9).await != [open.session_id] {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    assert!(
        gateway
            .inspector()
            .session(open.session_id ^ 1)
            .await
            .expect("an answer")
            .is_none()
    );
}

/// Whichever workers have the sessions: those behind the last one are asked for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_last_page_is_the_last() {
    let backend = Backend::start().await;
    let routes = backend.routes();
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 8).await;
    let mut hub = Hub::start(backend);
    let all = SessionFilter::default();
    let mut players = Vec::new();
    for count in 1..=4 {
        players.push(hub.player(&gateway).await);
        let page = gateway.inspector().sessions(&all, None, count).await;
        let page = page.expect("an answer");
        assert_eq!((page.sessions.len(), page.next_cursor), (count, None));
        let actors = gateway.inspector().actors(Kind::Client, None, count).await;
        let actors = actors.expect("an answer");
        assert_eq!((actors.actors.len(), actors.next_cursor), (count, None));
    }
    let page = gateway.inspector().sessions(&all, None, 3).await;
    let next = page.expect("an answer").next_cursor;
    assert!(next.is_some());
    let page = gateway.inspector().sessions(&all, next.as_deref(), 3).await;
    let page = page.expect("an answer");
    assert_eq!((page.sessions.len(), page.next_cursor), (1, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kicked_player_is_told_and_so_is_its_backend() {
    let backend = Backend::start().await;
    let routes = backend.routes();
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    let mut hub = Hub::start(backend);
    let (mut victim, session, _) = hub.player(&gateway).await;
    let (mut other, other_session, link) = hub.player(&gateway).await;
    assert_eq!(gateway.inspector().kick(session).await, Ok(true));
    assert_eq!(victim.closed().await.0, 440);
    let (_, close) = hub.expect(LinkKind::Close).await;
    assert_eq!(
        (close.session_id, &close.payload[..]),
        (session, &notice(440)[..])
    );
    gateway.until("game_gateway_sessions", |n| n == 1).await;
    assert_eq!(
        gateway.inspector().kick(session).await,
        Ok(false),
        "only once"
    );
    assert_eq!(gateway.inspector().kick(12345).await, Ok(false));
    hub.send(link, LinkKind::Data, other_session, b"you stay");
    assert_eq!(&other.answer().await.payload[..], b"you stay");
}

#[tokio::test]
async fn backends_are_shown_with_their_links_and_health() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start(&two_services(&one, &two)).await;
    let (up, down) = (one.address, two.address);
    drop(two);
    let mut hub = Hub::start(one);
    let (mut player, session, link) = hub.player(&gateway).await;
    hub.send(link, LinkKind::Data, session, b"welcome");
    player.answer().await;
    player.data("chat", b"anybody?").await;
    assert_eq!(player.error().await, (502, "chat".to_owned()));
    let backends = gateway.inspector().backends().await;
    let [chat, game] = &backends[..] else {
        panic!("{backends:?}");
    };
    assert_eq!(
        (chat.service.as_str(), chat.endpoint.as_str(), chat.in_rules),
        ("chat", down.to_string().as_str(), true)
    );
    assert_eq!(chat.health, BackendHealth::Down);
    // It was never there: nothing fails again and again.
    assert_eq!(chat.breaker, Breaker::Closed);
    assert_eq!(
        (game.service.as_str(), game.endpoint.as_str(), game.in_rules),
        ("game", up.to_string().as_str(), true)
    );
    assert_eq!(
        (game.health, game.breaker),
        (BackendHealth::Up, Breaker::Closed)
    );
    assert_eq!((game.sessions, game.waiting_sessions), (1, 0));
    assert!(game.rtt_us.is_some());
    // HELLO, PING, OPEN and DATA went; PONG and DATA came.
    assert_eq!(
        (game.frames_in, game.frames_out, game.queued_bytes),
        (2, 4, 0)
    );
    assert_eq!(game.links[0].state, LinkState::Ready);
    // An endpoint that no rule names any more is shown while it is in use.
    gateway.set_routes(r#"{"rules":{}}"#);
    gateway
        .until("game_gateway_routes_services", |n| n == 0)
        .await;
    soon(async {
        loop {
            let backends = gateway.inspector().backends().await;
            let retired = |b: &&game_gateway::inspection::BackendSnapshot| b.address == Some(up);
            if backends
                .iter()
                .find(retired)
                .is_some_and(|b| !b.in_rules && b.sessions == 1)
            {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_or_is_not_there() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let inspector = gateway.inspector();
    let all = SessionFilter::default();
    for cursor in ["", "x", "1.0", "0.-1", "0.99999999999999999999999", "💣"] {
        let page = inspector.sessions(&all, Some(cursor), 9).await;
        assert_eq!(page.unwrap_err(), InspectError::BadCursor, "{cursor}");
        let page = inspector.actors(Kind::Client, Some(cursor), 9).await;
        assert_eq!(page.unwrap_err(), InspectError::BadCursor, "{cursor}");
        let page = inspector.actors(Kind::Link, Some(cursor), 9).await;
        assert_eq!(page.unwrap_err(), InspectError::BadCursor, "{cursor}");
    }
    // Beyond the end there is nothing.
    let page = inspector
        .sessions(&all, Some("0.999999"), 9)
        .await
        .expect("a page");
    assert!(page.sessions.is_empty() && page.next_cursor.is_none());
    for id in [
        "",
        "router",
        "router-9",
        "router-00",
        "client-1",
        "client-99999999999999999999",
        "x-1",
    ] {
        assert!(inspector.actor(id).await.is_none(), "{id}");
    }
}
