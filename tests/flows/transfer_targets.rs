//! Where sessions may be moved to, and whom nobody hears any more (protocol 2.3, 2.5).

use game_gateway::codec::client::Kind as ClientKind;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{Assign, Bind, Kind};

use crate::scene::{quiet, routes, talk};
use crate::support::wire::{Backend, Gateway, Player, get, soon};
use crate::transfers::{Scene, accepts, next};

/// Waits until the gateway knows that this backend leaves.
async fn leaves(gateway: &Gateway, address: &str) {
    let line = format!(
        r#"game_gateway_endpoint_health{{service_type="game",endpoint_address="{address}",state="leaving"}} 1"#
    );
    soon(async {
        // The row is there from then on.
        while !get(gateway.admin, "/metrics").await.1.contains(&line) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_moved_to_a_backend_that_leaves() {
    let mut scene = Scene::start(0).await;
    scene.new.send(Kind::Goaway, 0, &[]).await;
    leaves(&scene.gateway, &scene.new_address).await;
    let to = scene.new_address.clone();
    let (id, mut assign) = (scene.id, Vec::new());
    let (service, endpoint) = ("game", to.as_str());
    Assign { service, endpoint }.encode(&mut assign);
    for endpoint in ["", &to] {
        scene.transfer(endpoint).await;
        scene.moved(503).await;
    }
    scene.old.send(Kind::Assign, id, &assign).await;
    scene.moved(503).await;
    // Nor does one go in circles when all leave.
    scene.old.send(Kind::Goaway, 0, &[1]).await;
    talk(&mut scene.player, "game", &mut scene.old).await;
    quiet(&mut scene.old).await;
}

#[tokio::test]
async fn who_has_handed_a_session_over_is_not_heard() {
    let mut scene = Scene::start(0).await;
    let to = scene.new_address.clone();
    scene.transfer(&to).await;
    scene.parts().await;
    scene.hands_over(b"").await;
    scene.opens().await;
    let id = scene.id;
    accepts(&mut scene.new, id, 2).await;
    scene.moved(0).await;
    let bind = Bind {
        user_id: 7,
        realm_id: 0,
    };
    for (kind, payload) in [
        (Kind::Data, &b"late"[..]),
        (Kind::Bind, &bind.encode()),
        (Kind::Close, &440_u16.to_be_bytes()),
    ] {
        scene.old.send(kind, id, payload).await;
        let close = next(&mut scene.old, Kind::Close).await;
        let notice = Notice::decode(&close.payload, Code::KICKED);
        assert_eq!((close.session_id, notice.code), (id, Code::NOT_HERE));
    }
    // It has nothing of the session open, so that it may not take it back either.
    let mut assign = Vec::new();
    let endpoint = scene.old_address.as_str();
    let service = "game";
    Assign { service, endpoint }.encode(&mut assign);
    scene.old.send(Kind::Assign, id, &assign).await;
    scene.moved(404).await;
    talk(&mut scene.player, "game", &mut scene.new).await;
}

#[tokio::test]
async fn an_assigned_service_asks_who_its_players_are() {
    let [lobby, battle] = [Backend::start().await, Backend::start().await];
    let rule = Backend::rule(&[&battle]).replacen('{', r#"{"require_bind":true,"#, 1);
    let rules = routes(&[("lobby", Backend::rule(&[&lobby])), ("battle", rule)]);
    let gateway = Gateway::start(&rules).await;
    let mut player = Player::connect(&gateway).await;
    player.data("lobby", b"hello").await;
    let mut link = lobby.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let (service, endpoint) = ("battle", &*battle.address.to_string());
    let mut payload = Vec::new();
    Assign { service, endpoint }.encode(&mut payload);
    link.send(Kind::Assign, id, &payload).await;
    next(&mut link, Kind::Moved).await;
    player.data("battle", b"who am I").await;
    let refused = player.next().await.expect("ERROR");
    let notice = Notice::decode(&refused.payload, Code::INTERNAL);
    assert_eq!(
        (refused.header.kind, notice.code),
        (ClientKind::Error as u8, Code::NOT_BOUND)
    );
    let bind = Bind {
        user_id: 7,
        realm_id: 0,
    };
    link.send(Kind::Bind, id, &bind.encode()).await;
    link.send(Kind::Data, id, b"you are 7").await;
    player.answer().await;
    player.data("battle", b"here I am").await;
    let mut fight = battle.link().await;
    assert_eq!(fight.opened().await.session_id, id);
    assert_eq!(&fight.data().await.payload[..], b"here I am");
}
