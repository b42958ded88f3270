//! Invalid tokens, and RESUME in the wrong place.

use game_gateway::codec::client::{Header, Kind};

use crate::stage::{Answer, Scene, Ticket, begin, opened, resume, says};
use crate::support::frames::{data, encoded};
use crate::support::wire::Player;

#[tokio::test]
async fn a_token_that_was_not_made_here_is_refused_and_harms_nobody() {
    let mut scene = Scene::start().await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    let mut bad: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 40], vec![1; 2048], vec![1; 3000]];
    let token = &scene.ticket.token;
    for bit in (0..token.len()).step_by(5) {
        let mut forged = token.clone();
        forged[bit] ^= 1;
        bad.push(forged);
    }
    bad.push(token[..token.len() - 1].to_vec());
    for token in bad {
        let ticket = Ticket {
            session_id: scene.ticket.session_id,
            token,
        };
        let mut thief = resume(&scene.gateway, &ticket, 1).await;
        assert_eq!(thief.closed().await.0, 410);
    }
    // Somebody else's token.
    let mut other = Player::connect(&scene.gateway).await;
    begin(&mut other, "game", b"1").await;
    let mut ticket = Ticket::default();
    opened(&mut other, &mut ticket).await;
    ticket.session_id = scene.ticket.session_id;
    let mut thief = resume(&scene.gateway, &ticket, 0).await;
    assert_eq!(thief.closed().await.0, 410);
    scene.send("b").await;
    says(&mut scene.player, "b").await;
}

#[tokio::test]
async fn resume_belongs_to_the_beginning() {
    let mut scene = Scene::start().await;
    crate::stage::resume_on(&mut scene.player, &scene.ticket, 0).await;
    assert_eq!(scene.player.error().await.0, 400);
    scene.send("a").await;
    says(&mut scene.player, "a").await;
}

#[tokio::test]
async fn another_connection_may_be_late_with_its_first_words() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    // Frames behind RESUME in the same packet are handled after OPENED.
    let header = Header {
        kind: Kind::Resume as u8,
        session_id: scene.ticket.session_id,
        ..Default::default()
    };
    let payload = [&0_u64.to_be_bytes()[..], &scene.ticket.token].concat();
    let bytes = [encoded(header, "", &payload), data("game", b"2")].concat();
    scene.player.raw(&bytes).await;
    crate::stage::accept(&mut scene.link, scene.ticket.session_id).await;
    let answer = opened(&mut scene.player, &mut scene.ticket).await;
    assert_eq!(
        answer,
        Answer {
            received: 1,
            gap: false
        }
    );
    assert_eq!(&scene.link.data().await.payload[..], b"2");
}
