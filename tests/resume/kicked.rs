//! Sessions that end while they wait for a link, and come back under the same id.

use std::time::Duration;

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::link::Kind;
use game_gateway::config::Config;

use crate::stage::{Ticket, accept, begin, opened, resume, says};
use crate::support::wire::{Backend, Gateway, Link, Player, ask, soon};

const PAUSED: &str = "game_gateway_paused_clients_total";
const WATERMARK: usize = 64 * 1024;

/// A player on `game`, beside a service `full` whose backend reads only when the test does.
struct Scene {
    gateway: Gateway,
    player: Player,
    game: Link,
    ticket: Ticket,
    full: Backend,
    _game: Backend,
}

impl Scene {
    async fn start() -> Scene {
        let (game, full) = (Backend::start().await, Backend::start_narrow().await);
        let rules = format!(
            r#"{{"rules":{{"game":{},"full":{}}}}}"#,
            Backend::rule(&[&game]),
            Backend::rule(&[&full])
        );
        let gateway = Gateway::start_with(&rules, |config: &mut Config| {
            config.backend.high_watermark = WATERMARK;
            config.backend.ping_interval = Duration::from_secs(3600);
            config.backend.connect_timeout = Duration::from_secs(3600);
        })
        .await;
        let (mut player, mut ticket) = (Player::connect(&gateway).await, Ticket::default());
        begin(&mut player, "game", b"1").await;
        let mut link = game.link().await;
        link.opened().await;
        link.data().await;
        opened(&mut player, &mut ticket).await;
        Scene {
            gateway,
            player,
            game: link,
            ticket,
            full,
            _game: game,
        }
    }

    /// Waits until the row of `full` is as it must become: its sessions and the bytes that wait for it.
    async fn until(&self, right: impl Fn(u64, u64) -> bool) {
        soon(async {
            loop {
                let rows = self.gateway.inspector().backends().await;
                let row = rows.into_iter().find(|row| row.service == "full");
                if row.is_some_and(|row| right(row.sessions, row.queued_bytes)) {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// An operator ends the session.
    async fn kicked(&mut self) {
        let id = self.ticket.session_id;
        let line = format!("DELETE /api/v1/sessions/{id}");
        let (status, answer) = ask(self.gateway.admin, &line, "").await;
        assert!(status < 300, "{status}: {answer}");
        assert_eq!(self.game.closed().await, (id, 440));
    }

    /// Its player resumes at once, and names `full` again.
    async fn back(&mut self) -> Player {
        let id = self.ticket.session_id;
        let mut again = resume(&self.gateway, &self.ticket, 0).await;
        accept(&mut self.game, id).await;
        assert!(opened(&mut again, &mut self.ticket).await.gap);
        again.data("full", b"again").await;
        again
    }

    /// Reads the next frame of the session on the link.
    async fn next(&self, link: &mut Link) -> (u8, Vec<u8>) {
        loop {
            let frame = link.next().await.expect("a frame");
            if frame.session_id == self.ticket.session_id {
                return (frame.kind, frame.payload.to_vec());
            }
        }
    }

    /// The session is open on the link, once, and is gone from it when its player says so.
    async fn plays_and_leaves(self, mut again: Player, mut link: Link) {
        let id = self.ticket.session_id;
        assert_eq!(self.next(&mut link).await.0, Kind::Open as u8);
        let data = (Kind::Data as u8, b"again".to_vec());
        assert_eq!(self.next(&mut link).await, data);
        link.send(Kind::Data, id, b"here").await;
        says(&mut again, "here").await;
        let close = Header {
            kind: client::Kind::Close as u8,
            ..Header::default()
        };
        again.send(close, "", &[0; 6]).await;
        assert_eq!(self.next(&mut link).await, (Kind::Close as u8, vec![0; 6]));
        self.until(|sessions, _| sessions == 0).await;
        drop(self.player);
    }
}

/// Its OPEN would stand beside that of the session that has come back, and its CLOSE would end that one.
#[tokio::test]
async fn a_session_that_ends_while_it_waits_for_room_opens_nothing() {
    let mut scene = Scene::start().await;
    let mut filler = Player::connect(&scene.gateway).await;
    filler.data("full", b"1").await;
    let mut link = scene.full.link().await;
    link.opened().await;
    link.data().await;
    while scene.gateway.metric(PAUSED).await == 0 {
        filler.data("full", &[9; 32_000]).await;
    }
    scene.player.data("full", b"first").await;
    scene.until(|sessions, _| sessions == 2).await;
    scene.kicked().await;
    let again = scene.back().await;
    // Both wait.
    scene.until(|sessions, _| sessions == 3).await;
    drop(filler);
    scene.plays_and_leaves(again, link).await;
}

/// The same where it is open, and what has gathered for it waits.
#[tokio::test]
async fn a_session_that_ends_while_its_first_frames_wait_is_closed_at_once() {
    const OTHERS: u64 = 8;
    let mut scene = Scene::start().await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let mut other = Player::connect(&scene.gateway).await;
        other.data("full", &[9; 30_000]).await;
        others.push(other);
    }
    let frames = "game_gateway_client_in_frames_total";
    scene.gateway.until(frames, |n| n == OTHERS + 1).await;
    scene.player.data("full", b"first").await;
    scene.gateway.until(frames, |n| n == OTHERS + 2).await;
    let mut link = scene.full.link().await;
    scene
        .until(|_, queued| queued as usize >= WATERMARK / 2)
        .await;
    scene.kicked().await;
    // Before anything is read.
    scene.until(|sessions, _| sessions == OTHERS).await;
    let again = scene.back().await;
    assert_eq!(scene.next(&mut link).await.0, Kind::Open as u8);
    let (kind, payload) = scene.next(&mut link).await;
    assert_eq!((kind, &payload[..2]), (Kind::Close as u8, &[1, 184][..]));
    drop(others);
    scene.plays_and_leaves(again, link).await;
}
