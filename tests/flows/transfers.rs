//! Sessions that go on at another backend (protocol 2.5).

use std::time::Duration;

use game_gateway::codec::client::{FLAG_RESUMABLE, Header, Kind as ClientKind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::LinkFrame;
use game_gateway::codec::link::{
    Assign, Features, Kind, OPEN_RESUMED, OPEN_TRANSFERRED, Open, Transfer,
};
use game_gateway::config::Config;

use crate::scene::{quiet, routes, talk};
use crate::support::wire::{Backend, Gateway, Link, Player, soon};

/// A session of `game` at one of two backends that hand sessions over.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) player: Player,
    pub(crate) old: Link,
    pub(crate) new: Link,
    pub(crate) old_address: String,
    pub(crate) new_address: String,
    pub(crate) id: u64,
    _backends: [Backend; 2],
}

async fn can_transfer(link: &mut Link) {
    let features = Features { transfer: true }.encode();
    link.send(Kind::Features, 0, &features).await;
}

impl Scene {
    pub(crate) async fn start(flags: u8) -> Scene {
        let backends = [Backend::start().await, Backend::start().await];
        let rules = routes(&[("game", Backend::rule(&[&backends[0], &backends[1]]))]);
        // Each is dialled, for a rule names it.
        let probed = |config: &mut Config| config.backend.probe_interval = Duration::from_secs(5);
        let gateway = Gateway::start_with(&rules, probed).await;
        let (mut one, mut two) = (backends[0].link().await, backends[1].link().await);
        can_transfer(&mut one).await;
        can_transfer(&mut two).await;
        let mut player = Player::connect(&gateway).await;
        let header = Header {
            flags,
            ..Header::default()
        };
        player.send(header, "game", b"hello").await;
        let is_first = tokio::select! {
            frame = one.next() => frame.map(|frame| (true, frame)),
            frame = two.next() => frame.map(|frame| (false, frame)),
        };
        let (is_first, open) = is_first.expect("OPEN");
        assert_eq!(open.kind, Kind::Open as u8);
        let old_address = backends[usize::from(!is_first)].address.to_string();
        let new_address = backends[usize::from(is_first)].address.to_string();
        let (mut old, new) = if is_first { (one, two) } else { (two, one) };
        assert_eq!(&old.data().await.payload[..], b"hello");
        Scene {
            gateway,
            player,
            old,
            new,
            old_address,
            new_address,
            id: open.session_id,
            _backends: backends,
        }
    }

    pub(crate) async fn transfer(&mut self, endpoint: &str) {
        let mut payload = Vec::new();
        Transfer { endpoint }.encode(&mut payload);
        self.old.send(Kind::Transfer, self.id, &payload).await;
    }

    /// Reads the CLOSE 307 with which a move begins.
    pub(crate) async fn parts(&mut self) {
        let frame = next(&mut self.old, Kind::Close).await;
        let notice = Notice::decode(&frame.payload, Code::KICKED);
        assert_eq!((notice.code, notice.text), (Code::LEAVES_LINK, "move"));
    }

    pub(crate) async fn hands_over(&mut self, state: &[u8]) {
        let mut payload = 307_u16.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        payload.extend(state);
        self.old.send(Kind::Close, self.id, &payload).await;
    }

    /// Reads an OPEN with these flags on the new backend's link, and returns its epoch and state.
    pub(crate) async fn opens(&mut self) -> (u32, Vec<u8>) {
        let frame = next(&mut self.new, Kind::Open).await;
        let open = Open::decode(&frame.payload).expect("a payload");
        assert_eq!((frame.session_id, open.flags), (self.id, OPEN_TRANSFERRED));
        (open.epoch, open.state.to_vec())
    }

    pub(crate) async fn moved(&mut self, code: u16) {
        let frame = next(&mut self.old, Kind::Moved).await;
        assert_eq!(frame.session_id, self.id);
        assert_eq!(&frame.payload[..], code.to_be_bytes());
    }
}

pub(crate) async fn next(link: &mut Link, kind: Kind) -> LinkFrame {
    let frame = soon(link.next()).await.expect("a frame");
    assert_eq!(frame.kind, kind as u8, "{frame:?}");
    frame
}

pub(crate) async fn accepts(link: &mut Link, id: u64, epoch: u32) {
    link.send(Kind::Accept, id, &epoch.to_be_bytes()).await;
}

#[tokio::test]
async fn a_session_goes_on_with_its_state() {
    let mut scene = Scene::start(0).await;
    let to = scene.new_address.clone();
    scene.transfer(&to).await;
    scene.parts().await;
    // Both sides go on talking.
    scene.player.data("game", b"one").await;
    let id = scene.id;
    scene.old.send(Kind::Data, id, b"the old one's last").await;
    scene.hands_over(&[7; 65_536]).await;
    let (epoch, state) = scene.opens().await;
    assert_eq!((epoch, state), (2, vec![7; 65_536]));
    scene.player.data("", b"two").await;
    accepts(&mut scene.new, id, 2).await;
    scene.new.send(Kind::Data, id, b"the new one's first").await;
    for expected in [&b"the old one's last"[..], b"the new one's first"] {
        assert_eq!(&scene.player.answer().await.payload[..], expected);
    }
    assert_eq!(&scene.new.data().await.payload[..], b"one");
    assert_eq!(&scene.new.data().await.payload[..], b"two");
    scene.moved(0).await;
    quiet(&mut scene.old).await;
    talk(&mut scene.player, "game", &mut scene.new).await;
    let moved = r#"game_gateway_moves_total{code="0"}"#;
    scene.gateway.until(moved, |n| n == 1).await;
    let (_, story) = scene.gateway.get(&format!("/api/v1/sessions/{id}")).await;
    let told = format!("game from {} to {to}", scene.old_address);
    assert!(
        story.contains("\"service_moved\"") && story.contains(&told),
        "{story}"
    );
    assert!(!story.contains("service_left"), "{story}");
    assert_eq!(
        scene.gateway.metric("game_gateway_moves_under_way").await,
        0
    );
    // The old one is told nothing of its end any more.
    drop(scene.player);
    next(&mut scene.new, Kind::Close).await;
    quiet(&mut scene.old).await;
}

#[tokio::test]
async fn who_is_refused_stays_where_it_was() {
    let mut scene = Scene::start(FLAG_RESUMABLE).await;
    scene.transfer("").await;
    scene.parts().await;
    scene.hands_over(b"cards").await;
    assert_eq!(scene.opens().await, (2, b"cards".to_vec()));
    scene.player.data("game", b"meanwhile").await;
    let id = scene.id;
    scene
        .new
        .send(Kind::Close, id, &503_u16.to_be_bytes())
        .await;
    let open = next(&mut scene.old, Kind::Open).await;
    let open = Open::decode(&open.payload).expect("a payload");
    assert_eq!(
        (open.epoch, open.flags, open.state),
        (3, OPEN_RESUMED, &[][..])
    );
    scene.moved(503).await;
    accepts(&mut scene.old, id, 3).await;
    assert_eq!(&scene.old.data().await.payload[..], b"meanwhile");
    quiet(&mut scene.new).await;
    // OPENED of its start, and of the end of the move.
    for _ in 0..2 {
        let opened = scene.player.next().await.expect("OPENED");
        assert_eq!(opened.header.kind, ClientKind::Opened as u8);
    }
    talk(&mut scene.player, "game", &mut scene.old).await;
}

#[tokio::test]
async fn transfers_that_cannot_be() {
    let mut scene = Scene::start(0).await;
    let stranger = "127.0.0.1:1".to_owned();
    for to in [stranger.as_str(), "nonsense", ""] {
        // There is no such session, so not even where that could go is looked at.
        let mut payload = Vec::new();
        Transfer { endpoint: to }.encode(&mut payload);
        scene.old.send(Kind::Transfer, 4711, &payload).await;
        let frame = next(&mut scene.old, Kind::Moved).await;
        assert_eq!(
            (frame.session_id, &frame.payload[..]),
            (4711, &404_u16.to_be_bytes()[..])
        );
    }
    scene.transfer(&stranger).await;
    scene.moved(404).await;
    // Another backend's session.
    let mut payload = Vec::new();
    Transfer { endpoint: "" }.encode(&mut payload);
    let id = scene.id;
    scene.new.send(Kind::Transfer, id, &payload).await;
    let frame = next(&mut scene.new, Kind::Moved).await;
    assert_eq!(&frame.payload[..], 404_u16.to_be_bytes());
    // Payloads that are none cost neither the link nor the session.
    for (kind, payload) in [
        (Kind::Transfer, &b""[..]),
        (Kind::Transfer, b"\x05abcd"),
        (Kind::Assign, b"\x04game"),
        (Kind::Assign, b"\x01\xff\x01a"),
    ] {
        scene.old.send(kind, id, payload).await;
        scene.moved(400).await;
    }
    scene.old.send(Kind::Features, 0, b"{").await;
    scene.old.send(Kind::Moved, id, &[0, 0]).await;
    talk(&mut scene.player, "game", &mut scene.old).await;
    let malformed = r#"game_gateway_dropped_frames_total{reason="malformed_move"}"#;
    assert_eq!(scene.gateway.metric(malformed).await, 5);
    // Twice at a time.
    let to = scene.new_address.clone();
    scene.transfer(&to).await;
    scene.transfer(&to).await;
    scene.parts().await;
    scene.moved(409).await;
}

#[tokio::test]
async fn a_backend_without_the_feature() {
    let mut scene = Scene::start(0).await;
    scene
        .old
        .send(Kind::Features, 0, br#"{"features":[]}"#)
        .await;
    let to = scene.new_address.clone();
    scene.transfer(&to).await;
    scene.moved(501).await;
    // ASSIGN ends the session there, and opens it anew.
    let mut payload = Vec::new();
    let (service, endpoint) = ("game", to.as_str());
    Assign { service, endpoint }.encode(&mut payload);
    let id = scene.id;
    scene.old.send(Kind::Assign, id, &payload).await;
    let close = next(&mut scene.old, Kind::Close).await;
    assert_eq!(
        Notice::decode(&close.payload, Code::KICKED).code,
        Code::NORMAL
    );
    scene.moved(0).await;
    scene.player.data("game", b"on").await;
    let open = next(&mut scene.new, Kind::Open).await;
    let open = Open::decode(&open.payload).expect("a payload");
    assert_eq!((open.epoch, open.flags), (1, 0));
    assert_eq!(&scene.new.data().await.payload[..], b"on");
}

#[tokio::test]
async fn a_lobby_sends_its_players_to_a_server_that_no_rule_names() {
    let [lobby, battle] = [Backend::start().await, Backend::start().await];
    let network = battle.address.ip();
    let rules = routes(&[
        ("lobby", Backend::rule(&[&lobby])),
        (
            "battle",
            format!(r#"{{"strategy":"realm_based","assignable":["{network}/32"]}}"#),
        ),
    ]);
    let gateway = Gateway::start(&rules).await;
    let mut player = Player::connect(&gateway).await;
    player.data("lobby", b"hello").await;
    let mut link = lobby.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let mut assign = async |service: &str, endpoint: &str| {
        let mut payload = Vec::new();
        Assign { service, endpoint }.encode(&mut payload);
        link.send(Kind::Assign, id, &payload).await;
        let moved = next(&mut link, Kind::Moved).await;
        u16::from_be_bytes(*moved.payload.first_chunk().expect("a code"))
    };
    assert_eq!(
        assign("battle", "127.0.0.1:1").await,
        404,
        "not in its networks"
    );
    assert_eq!(
        assign("chat", &battle.address.to_string()).await,
        404,
        "no such service"
    );
    assert_eq!(assign("battle", &battle.address.to_string()).await, 0);
    link.send(Kind::Data, id, b"go").await;
    assert_eq!(&player.answer().await.payload[..], b"go");
    player.data("battle", b"here I am").await;
    let mut fight = battle.link().await;
    assert_eq!(fight.opened().await.session_id, id);
    assert_eq!(&fight.data().await.payload[..], b"here I am");
    talk(&mut player, "battle", &mut fight).await;
}

#[tokio::test]
async fn a_backend_that_leaves_has_its_sessions_moved() {
    let mut scene = Scene::start(0).await;
    scene.old.send(Kind::Goaway, 0, &[1]).await;
    scene.parts().await;
    scene.hands_over(b"cards").await;
    assert_eq!(scene.opens().await, (2, b"cards".to_vec()));
    let id = scene.id;
    accepts(&mut scene.new, id, 2).await;
    scene.moved(0).await;
    talk(&mut scene.player, "game", &mut scene.new).await;
}
