//! Replay rings, and sessions that wait for their players.

use game_gateway::codec::client::{self, FLAG_GAP, FLAG_RESUMABLE, Header};
use game_gateway::codec::link::Kind;

use crate::stage::{MIB, Served};
use crate::support::wire::{Link, Player};

const LIMIT: u64 = 16 * MIB;
const SESSIONS: usize = 64;
/// Bytes of DATA for each session, of which the rings could hold all.
const BYTES: usize = 512 * 1024;
const FRAME: usize = 16 * 1024;

/// A player who can resume.
pub(crate) struct Resumable {
    /// None: it has left.
    player: Option<Player>,
    pub(crate) session_id: u64,
    token: Vec<u8>,
    /// DATA frames taken.
    taken: u64,
}

impl Resumable {
    pub(crate) fn new(player: Player, session_id: u64, token: Vec<u8>) -> Resumable {
        Resumable {
            player: Some(player),
            session_id,
            token,
            taken: 0,
        }
    }

    /// Starts a session. The link is the only one; the first session brings it.
    pub(crate) async fn start(served: &Served, link: &mut Option<Link>) -> Resumable {
        let mut player = Player::connect_to(served.players).await;
        let header = Header {
            flags: FLAG_RESUMABLE,
            ..Header::default()
        };
        player.send(header, "game", b"hello").await;
        let link = match link {
            Some(link) => link,
            None => link.insert(served.backend.link().await),
        };
        let session_id = link.next_open().await;
        link.data().await;
        let (_, _, token) = opened(&mut player).await;
        Resumable::new(player, session_id, token)
    }

    /// Breaks the connection.
    pub(crate) fn leave(&mut self) {
        self.player = None;
    }

    pub(crate) async fn take(&mut self) {
        let player = self.player.as_mut().expect("a connection");
        let frame = player.answer().await;
        assert_eq!(frame.payload.len(), FRAME);
        self.taken += 1;
    }

    /// Sends RESUME on a new connection.
    async fn come_back(&self, served: &Served) -> Player {
        let mut payload = self.taken.to_be_bytes().to_vec();
        payload.extend_from_slice(&self.token);
        let header = Header {
            kind: client::Kind::Resume as u8,
            session_id: self.session_id,
            ..Header::default()
        };
        let mut player = Player::connect_to(served.players).await;
        player.send(header, "", &payload).await;
        player
    }

    /// Comes back on a new connection; returns whether with a gap.
    pub(crate) async fn resume(&mut self, served: &Served, link: &mut Link) -> bool {
        let mut player = self.come_back(served).await;
        let open = link.opened().await;
        assert_eq!(open.session_id, self.session_id);
        link.send(Kind::Accept, self.session_id, &open.payload[14..18])
            .await;
        let (_, gap, token) = opened(&mut player).await;
        (self.player, self.token) = (Some(player), token);
        gap
    }
}

/// Reads OPENED; returns its session, whether it tells a gap, and its token.
pub(crate) async fn opened(player: &mut Player) -> (u64, bool, Vec<u8>) {
    let frame = player.next().await.expect("a frame");
    assert_eq!(frame.header.kind, client::Kind::Opened as u8, "{frame:?}");
    (
        frame.header.session_id,
        frame.header.flags & FLAG_GAP != 0,
        frame.payload[12..].to_vec(),
    )
}

#[tokio::test]
async fn rings_shrink_and_no_session_ends() {
    let settings = "limits.memory = \"16MiB\"\nsession.replay_bytes = \"1MiB\"";
    let served = Served::start(settings).await;
    let mut link = None;
    let mut players = Vec::new();
    for _ in 0..SESSIONS {
        players.push(Resumable::start(&served, &mut link).await);
    }
    let mut link = link.expect("a link");
    for number in 0..BYTES / FRAME {
        for player in &mut players {
            link.send(Kind::Data, player.session_id, &[number as u8; FRAME])
                .await;
            player.take().await;
        }
        let held = served.held().await;
        assert!(held <= LIMIT, "{held} of {LIMIT}");
    }
    assert!(
        served
            .metric("game_gateway_memory_squeezed_rings_total")
            .await
            > 0
    );

    // Their connections break; the backend goes on.
    for player in &mut players {
        player.leave();
        let suspended = link.next().await.expect("a frame");
        assert_eq!(suspended.kind, Kind::Suspend as u8, "{suspended:?}");
    }
    for number in 0..BYTES / FRAME {
        for player in &players {
            link.send(Kind::Data, player.session_id, &[number as u8; FRAME])
                .await;
        }
        let held = served.held().await;
        assert!(held <= LIMIT, "{held} of {LIMIT}");
    }
    assert_eq!(
        served.metric("game_gateway_waiting_sessions").await,
        SESSIONS as u64
    );

    let mut gaps = 0;
    for player in &mut players {
        gaps += usize::from(player.resume(&served, &mut link).await);
    }
    println!(
        "{SESSIONS} sessions, {} bytes sent to each: {gaps} gaps",
        2 * BYTES
    );
    assert_eq!(gaps, SESSIONS, "more was sent than the budget holds");
    assert_eq!(
        served
            .metric("game_gateway_memory_ended_sessions_total")
            .await,
        0
    );
    assert_eq!(served.metric("game_gateway_ended_sessions_total").await, 0);
}
