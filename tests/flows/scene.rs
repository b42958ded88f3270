//! Support of the flows: frames as bytes, and a session with two services on two backends.

use game_gateway::codec::client::{Header, Kind};
use game_gateway::codec::link;
use game_gateway::config::Config;

pub(crate) use crate::support::frames::{data, frame};
use crate::support::wire::{Backend, Gateway, Link, Player};

/// Returns a header of this kind without ids.
pub(crate) fn header(kind: Kind) -> Header {
    Header {
        kind: kind as u8,
        ..Header::default()
    }
}

/// Routes with these rules.
pub(crate) fn routes(rules: &[(&str, String)]) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|(service, rule)| format!("\"{service}\":{rule}"))
        .collect();
    format!(r#"{{"rules":{{{}}}}}"#, rules.join(","))
}

/// Checks that nothing more has come on a link: the gateway answers its PING in order.
pub(crate) async fn quiet(link: &mut Link) {
    link.send(link::Kind::Ping, 0, b"quiet").await;
    let frame = link.next().await.expect("a frame");
    assert_eq!(frame.kind, link::Kind::Pong as u8, "{frame:?}");
    assert_eq!(&frame.payload[..], b"quiet");
}

/// Exchanges a frame and its answer with a service that is open on this link.
pub(crate) async fn talk(player: &mut Player, service: &str, link: &mut Link) {
    player.data(service, b"there?").await;
    let data = link.data().await;
    assert_eq!(&data.payload[..], b"there?");
    link.send(link::Kind::Data, data.session_id, b"here").await;
    let answer = player.answer().await;
    assert_eq!(answer.header.session_id, data.session_id);
    assert_eq!(
        (answer.service.as_str(), &answer.payload[..]),
        (service, &b"here"[..])
    );
}

/// Sends PING and asserts that the next frame is its PONG.
pub(crate) async fn ping(player: &mut Player, payload: &[u8]) {
    player.send(header(Kind::Ping), "", payload).await;
    let pong = player.next().await.expect("a frame");
    assert_eq!(pong.header.kind, Kind::Pong as u8, "{pong:?}");
    assert_eq!(&pong.payload[..], payload);
}

/// One session that uses the services `a` and `b`, each on a backend of its own.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) player: Player,
    pub(crate) a: Link,
    pub(crate) b: Link,
    pub(crate) id: u64,
    _backends: [Backend; 2],
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        Scene::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Scene {
        let backends = [Backend::start().await, Backend::start().await];
        let rules = routes(&[
            ("a", Backend::rule(&[&backends[0]])),
            ("b", Backend::rule(&[&backends[1]])),
        ]);
        let gateway = Gateway::start_with(&rules, change).await;
        let mut player = Player::connect(&gateway).await;
        player
            .raw(&[data("a", b"1"), data("b", b"2")].concat())
            .await;
        let (mut a, mut b) = (backends[0].link().await, backends[1].link().await);
        let id = a.opened().await.session_id;
        assert_eq!(b.opened().await.session_id, id);
        assert_eq!(&a.data().await.payload[..], b"1");
        assert_eq!(&b.data().await.payload[..], b"2");
        Scene {
            gateway,
            player,
            a,
            b,
            id,
            _backends: backends,
        }
    }

    /// Asserts that both services still work.
    pub(crate) async fn unharmed(&mut self) {
        talk(&mut self.player, "a", &mut self.a).await;
        talk(&mut self.player, "b", &mut self.b).await;
    }
}
