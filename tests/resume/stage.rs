//! A player who resumes, and what its backends see of it.

use game_gateway::codec::client::{FLAG_GAP, FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::codec::link::{self, Open};

use crate::support::wire::{Backend, Gateway, Link, Player};

/// A player's record of its session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket {
    pub(crate) session_id: u64,
    pub(crate) token: Vec<u8>,
}

/// The contents of an OPENED.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) received: u64,
    pub(crate) gap: bool,
}

/// Reads the next frame, which must be OPENED.
pub(crate) async fn opened(player: &mut Player, ticket: &mut Ticket) -> Answer {
    let frame = player.next().await.expect("OPENED");
    assert_eq!(frame.header.kind, Kind::Opened as u8, "{frame:?}");
    let opened = Opened::decode(&frame.payload).expect("a payload");
    ticket.session_id = frame.header.session_id;
    ticket.token = opened.token.to_vec();
    Answer {
        received: opened.received,
        gap: frame.header.flags & FLAG_GAP != 0,
    }
}

/// Starts a session that can be resumed, without waiting for anything.
pub(crate) async fn begin(player: &mut Player, service: &str, payload: &[u8]) {
    let header = Header {
        flags: FLAG_RESUMABLE,
        user_id: 42,
        realm_id: 7,
        ..Header::default()
    };
    player.send(header, service, payload).await;
}

/// Sends RESUME on a new connection.
pub(crate) async fn resume(gateway: &Gateway, ticket: &Ticket, count: u64) -> Player {
    let mut player = Player::connect(gateway).await;
    resume_on(&mut player, ticket, count).await;
    player
}

pub(crate) async fn resume_on(player: &mut Player, ticket: &Ticket, count: u64) {
    let header = Header {
        kind: Kind::Resume as u8,
        session_id: ticket.session_id,
        ..Header::default()
    };
    let payload = [&count.to_be_bytes()[..], &ticket.token].concat();
    player.send(header, "", &payload).await;
}

/// Reads the next DATA, which must contain this.
pub(crate) async fn says(player: &mut Player, text: &str) {
    let frame = player.answer().await;
    assert_eq!(String::from_utf8_lossy(&frame.payload), text);
}

/// Reads the next frame of a link, which must be an OPEN after a resume; returns epoch and gateway before.
pub(crate) async fn reopened(link: &mut Link) -> (u32, String) {
    let frame = link.opened().await;
    let open = Open::decode(&frame.payload).expect("a payload");
    assert_eq!((open.flags, open.user_id, open.realm_id), (1, 42, 7));
    (open.epoch, open.previous_gateway.to_owned())
}

/// Takes the OPEN of a resume.
pub(crate) async fn accept(link: &mut Link, session_id: u64) -> u32 {
    let (epoch, previous) = reopened(link).await;
    assert_eq!(previous, "gw-test");
    link.send(link::Kind::Accept, session_id, &epoch.to_be_bytes())
        .await;
    epoch
}

/// Reads the next frame of a link, which must be SUSPEND; returns the window.
pub(crate) async fn suspended(link: &mut Link) -> u32 {
    let frame = link.next().await.expect("SUSPEND");
    assert_eq!(frame.kind, link::Kind::Suspend as u8, "{frame:?}");
    u32::from_be_bytes(frame.payload[..].try_into().expect("four bytes"))
}

/// One player on one backend, with a session that can be resumed.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) player: Player,
    pub(crate) link: Link,
    pub(crate) ticket: Ticket,
    pub(crate) backend: Backend,
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        Scene::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(
        change: impl FnOnce(&mut game_gateway::config::Config),
    ) -> Scene {
        let backend = Backend::start().await;
        let gateway = Gateway::start_with(&backend.routes(), change).await;
        let mut player = Player::connect(&gateway).await;
        begin(&mut player, "game", b"1").await;
        let mut ticket = Ticket::default();
        let mut link = backend.link().await;
        link.opened().await;
        assert_eq!(&link.data().await.payload[..], b"1");
        let told = opened(&mut player, &mut ticket).await;
        assert_eq!((told.received, told.gap), (1, false));
        Scene::of(gateway, player, link, ticket, backend)
    }

    pub(crate) fn of(
        gateway: Gateway,
        player: Player,
        link: Link,
        ticket: Ticket,
        backend: Backend,
    ) -> Scene {
        Scene {
            gateway,
            player,
            link,
            ticket,
            backend,
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        let id = self.ticket.session_id;
        self.link.send(link::Kind::Data, id, text.as_bytes()).await;
    }

    /// Ends the player's connection and waits for SUSPEND at the backend.
    pub(crate) async fn cut(&mut self) {
        let fresh = Player::connect(&self.gateway).await;
        drop(std::mem::replace(&mut self.player, fresh));
        suspended(&mut self.link).await;
    }

    /// Resumes with the newest token, and accepts at the backend.
    pub(crate) async fn resume(&mut self, count: u64) -> Answer {
        resume_on(&mut self.player, &self.ticket, count).await;
        accept(&mut self.link, self.ticket.session_id).await;
        opened(&mut self.player, &mut self.ticket).await
    }
}
