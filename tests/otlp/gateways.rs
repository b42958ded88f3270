//! A session is one trace on all gateways.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use game_gateway::config::{Config, Secret};

use crate::collector::Collector;
use crate::sessions::{derived, farewell, trace_of};
use crate::stage::{Scene, opened, resume, says};
use crate::support::wire::Gateway;

fn peered(config: &mut Config) {
    config.session.token_keys = vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())];
    // Nothing of this depends on how quick the backend is.
    config.backend.connect_timeout = Duration::from_secs(60);
    config.peer.address = Some(([127, 0, 0, 1], 0).into());
}

/// A session on the first gateway, and the second one.
async fn two(collector: &Collector, first: impl FnOnce(&mut Config)) -> (Scene, Gateway) {
    let scene = Scene::start_with(|config| {
        peered(config);
        collector.configure(config);
        first(config);
    })
    .await;
    let second = Gateway::start_with(&scene.backend.routes(), |config| {
        peered(config);
        collector.configure(config);
        config.gateway.id = "gw-b".to_owned();
    })
    .await;
    (scene, second)
}

/// Takes the session to the second gateway; its old link is left in order, or not.
async fn goes_on(scene: &mut Scene, second: &Gateway, in_order: bool, gap: bool) {
    let id = scene.ticket.session_id;
    // It shows that the backend has taken the session.
    scene.send("here").await;
    says(&mut scene.player, "here").await;
    let mut player = resume(second, &scene.ticket, 1).await;
    let mut link = scene.backend.link().await;
    link.opened().await;
    link.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
    assert_eq!(scene.link.closed().await, (id, 307));
    if in_order {
        scene
            .link
            .send(Kind::Close, id, &307_u16.to_be_bytes())
            .await;
    }
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await.gap, gap);
    link.send(Kind::Data, id, b"on").await;
    says(&mut player, "on").await;
    farewell(&mut player).await;
    assert_eq!(link.closed().await, (id, 0));
}

async fn is_one_trace(mut collector: Collector, session_id: u64) {
    let (trace, _) = derived(session_id);
    let root = collector.until("gw-test", "session").await;
    let handover = collector.until("gw-test", "handover").await;
    let later = collector.until("gw-b", "session").await;
    let resume = collector.until("gw-b", "resume").await;
    for told in [&root, &handover, &later, &resume] {
        assert_eq!(trace_of(told), trace);
        assert_eq!(told.error(), None);
    }
    assert!(root.span.parent_span_id.is_empty(), "{root:?}");
    assert!(handover.is_under(&root) && later.is_under(&root));
    assert!(resume.is_under(&later), "{resume:?}");
    assert_eq!(root.attribute("game_gateway.code"), "307");
    assert_eq!(resume.attribute("game_gateway.taken_up"), "true");
    assert!(
        collector
            .find("gw-b", "open")
            .is_some_and(|open| open.is_under(&later))
    );
}

#[tokio::test]
async fn a_session_that_is_handed_over_is_one_trace() {
    let collector = Collector::start().await;
    let (mut scene, second) = two(&collector, |_| ()).await;
    goes_on(&mut scene, &second, true, false).await;
    is_one_trace(collector, scene.ticket.session_id).await;
}

#[tokio::test]
async fn so_is_one_whose_backend_does_not_let_it_go() {
    let collector = Collector::start().await;
    // Three times this is what the other gateway has to claim it.
    let soon = |config: &mut Config| config.backend.connect_timeout = Duration::from_secs(3);
    let (mut scene, second) = two(&collector, soon).await;
    goes_on(&mut scene, &second, false, true).await;
    is_one_trace(collector, scene.ticket.session_id).await;
}

#[tokio::test]
async fn a_session_that_is_promised_and_never_claimed_is_told() {
    let mut collector = Collector::start().await;
    // Three times this is what the other gateway has to claim it; the handshake of the two has it once.
    let soon = |config: &mut Config| config.backend.connect_timeout = Duration::from_secs(3);
    let (mut scene, second) = two(&collector, soon).await;
    scene.send("here").await;
    says(&mut scene.player, "here").await;
    let _player = resume(&second, &scene.ticket, 1).await;
    // It is opened over there, and nobody accepts it.
    let mut link = scene.backend.link().await;
    link.opened().await;
    let handover = collector.until("gw-test", "handover").await;
    assert_eq!(trace_of(&handover), derived(scene.ticket.session_id).0);
    assert_eq!(
        handover.error(),
        Some("the other gateway did not come back for it")
    );
}

#[tokio::test]
async fn a_resume_that_fails_is_told() {
    let mut collector = Collector::start().await;
    let (mut scene, second) = two(&collector, |_| ()).await;
    // Its session ends; nobody has it any more, and its token opens nothing.
    let ticket = scene.ticket.clone();
    farewell(&mut scene.player).await;
    assert_eq!(scene.link.closed().await, (ticket.session_id, 0));
    let mut player = resume(&second, &ticket, 0).await;
    let mut link = scene.backend.link().await;
    link.opened().await;
    link.send(Kind::Close, ticket.session_id, &404_u16.to_be_bytes())
        .await;
    assert_eq!(player.closed().await.0, 410);
    let resume = collector.until("gw-b", "resume").await;
    assert_eq!(resume.error(), Some("not_resumable"));
    assert_eq!(trace_of(&resume), derived(ticket.session_id).0);
}
