//! Backends that play by themselves, and payloads.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use game_gateway::codec::link::{Kind, Multicast};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::support::wire::{Backend, Gateway, Link, Player, soon};
use game_gateway::codec::framed::LinkFrame;

/// Starts a player's session with `payload` to `service`.
pub(crate) async fn player(gateway: &Gateway, service: &str, payload: &[u8]) -> Player {
    let mut player = Player::connect(gateway).await;
    player.data(service, payload).await;
    player
}

/// Returns the payload of a CLOSE with `code`.
pub(crate) fn notice(code: u16) -> [u8; 6] {
    let mut payload = [0; 6];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload
}

/// Returns the payload of a MULTICAST.
pub(crate) fn multicast(sessions: &[u64], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Multicast::encode(&mut out, sessions, payload);
    out
}

/// Answers one frame at a time, and reads the next only after the answer is written, as simple
/// backends do.
pub(crate) async fn echo_link(mut link: Link) {
    while let Some(frame) = link.next().await {
        if frame.kind == Kind::Data as u8 {
            link.send(Kind::Data, frame.session_id, &frame.payload)
                .await;
        }
    }
}

/// Accepts links and echoes on each, until it is aborted.
pub(crate) fn echo(backend: Backend) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut links = tokio::task::JoinSet::new();
        loop {
            links.spawn(echo_link(backend.link().await));
        }
    })
}

type Command = (Kind, u64, Vec<u8>);

/// A backend with as many links as come; what they bring is seen in one place.
pub(crate) struct Hub {
    frames: UnboundedReceiver<(usize, LinkFrame)>,
    links: Arc<Mutex<Vec<UnboundedSender<Command>>>>,
}

impl Hub {
    pub(crate) fn start(backend: Backend) -> Hub {
        let (seen, frames) = mpsc::unbounded_channel();
        let links: Arc<Mutex<Vec<UnboundedSender<Command>>>> = Arc::default();
        let all = Arc::clone(&links);
        tokio::spawn(async move {
            loop {
                let mut link = backend.link().await;
                let (sender, mut commands) = mpsc::unbounded_channel::<Command>();
                let index = {
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(sender);
                    all.len() - 1
                };
                let seen = seen.clone();
                tokio::spawn(async move {
                    loop {
                        tokio::select! {
                            frame = link.next() => match frame {
                                Some(frame) => drop(seen.send((index, frame))),
                                None => return,
                            },
                            command = commands.recv() => match command {
                                Some((kind, id, payload)) => link.send(kind, id, &payload).await,
                                None => return,
                            },
                        }
                    }
                });
            }
        });
        Hub { frames, links }
    }

    /// Returns the number of links so far.
    pub(crate) fn links(&self) -> usize {
        self.links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Reads the next frame of any link; returns it with the index of the link.
    pub(crate) async fn next(&mut self) -> (usize, LinkFrame) {
        soon(self.frames.recv()).await.expect("a frame")
    }

    /// Polls as [`next`](Self::next) does, for several backends at a time.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(usize, LinkFrame)> {
        let frame = self.frames.poll_recv(cx);
        frame.map(|frame| frame.expect("a frame"))
    }

    /// Reads the next frame, which must be of this kind.
    pub(crate) async fn expect(&mut self, kind: Kind) -> (usize, LinkFrame) {
        let (link, frame) = self.next().await;
        assert_eq!(frame.kind, kind as u8, "{frame:?}");
        (link, frame)
    }

    /// Sends on one link.
    pub(crate) fn send(&self, link: usize, kind: Kind, session_id: u64, payload: &[u8]) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let command = (kind, session_id, payload.to_vec());
        links[link].send(command).expect("the link stands");
    }

    /// Hangs up on one link.
    pub(crate) fn lose(&self, link: usize) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links[link] = mpsc::unbounded_channel().0;
    }

    /// Starts a player of `game` that the backend has opened; returns it, its session and the link.
    pub(crate) async fn player(&mut self, gateway: &Gateway) -> (Player, u64, usize) {
        let player = player(gateway, "game", b"hello").await;
        let (link, open) = self.expect(Kind::Open).await;
        let (same, data) = self.expect(Kind::Data).await;
        assert_eq!((same, data.session_id), (link, open.session_id));
        (player, open.session_id, link)
    }
}
