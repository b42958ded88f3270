//! More sessions wait for their players than the budget has room for.

use std::collections::HashSet;

use game_gateway::codec::client::{FLAG_RESUMABLE, Header};
use game_gateway::codec::link::Kind;

use crate::rings::{Resumable, opened};
use crate::stage::{MIB, Served};
use crate::support::wire::{Link, Player};

/// Sessions that are left together. Within a batch nobody knows who was first.
const BATCH: usize = 100;
/// Batches that are left while sessions may still start, and those that are left in the end: more than 94% of the
/// budget at 2.2 KB each, with what is remembered of them.
const EARLY: usize = 31;
const LATE: usize = 9;

struct Stage {
    served: Served,
    link: Option<Link>,
}

impl Stage {
    async fn start_batch(&mut self) -> Vec<Resumable> {
        let header = Header {
            flags: FLAG_RESUMABLE,
            ..Header::default()
        };
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let mut player = Player::connect_to(self.served.players).await;
            player.send(header, "game", b"hello").await;
            batch.push(player);
        }
        if self.link.is_none() {
            self.link = Some(self.served.backend.link().await);
        }
        let link = self.link.as_mut().expect("a link");
        let mut begun = 0;
        while begun < BATCH {
            let frame = link.next().await.expect("a frame");
            begun += usize::from(frame.kind == Kind::Data as u8);
        }
        let mut sessions = Vec::new();
        for mut player in batch {
            let (session_id, _, token) = opened(&mut player).await;
            sessions.push(Resumable::new(player, session_id, token));
        }
        sessions
    }

    /// Has all players of a batch leave. Returns the sessions that have ended in the meantime.
    async fn leave(&mut self, batch: &mut [Resumable]) -> Vec<u64> {
        batch.iter_mut().for_each(Resumable::leave);
        let (mut suspended, mut ended) = (0, Vec::new());
        while suspended < BATCH {
            let link = self.link.as_mut().expect("a link");
            let frame = link.next().await.expect("a frame");
            match frame.kind {
                kind if kind == Kind::Suspend as u8 => suspended += 1,
                kind if kind == Kind::Close as u8 => ended.push(frame.session_id),
                _ => panic!("{frame:?}"),
            }
        }
        ended
    }
}

#[tokio::test]
async fn those_who_have_waited_for_longest_give_way() {
    let settings = "limits.memory = \"8MiB\"\nsession.resume_window = \"1h\"";
    let served = Served::start(settings).await;
    let mut stage = Stage { served, link: None };
    let mut late = Vec::new();
    for _ in 0..LATE {
        late.push(stage.start_batch().await);
    }
    let mut batches = Vec::new();
    for _ in 0..EARLY {
        let mut batch = stage.start_batch().await;
        assert_eq!(stage.leave(&mut batch).await, [0; 0]);
        batches.push(batch);
    }
    let mut ended = Vec::new();
    for mut batch in late {
        ended.extend(stage.leave(&mut batch).await);
        let held = stage.served.held().await;
        assert!(held <= 8 * MIB, "{held}");
        batches.push(batch);
    }
    stage
        .served
        .until_pressure(|pressure| pressure != "queues")
        .await;
    let given_up = "game_gateway_memory_ended_sessions_total";
    let given_up = stage.served.metric(given_up).await as usize;
    let (left, held) = (BATCH * (EARLY + LATE), stage.served.held().await);
    println!("{left} sessions were left, {given_up} have given way, {held} held");
    assert!(given_up > 0);
    while ended.len() < given_up {
        let link = stage.link.as_mut().expect("a link");
        ended.push(link.closed().await.0);
    }
    let ended: HashSet<u64> = ended.into_iter().collect();
    for (number, batch) in batches.iter().enumerate() {
        let of_these = batch
            .iter()
            .filter(|s| ended.contains(&s.session_id))
            .count();
        let expected = given_up.saturating_sub(number * BATCH).min(BATCH);
        assert_eq!(of_these, expected, "of batch {number}");
    }
    let nobody = "game_gateway_memory_ended_queues_total";
    assert_eq!(stage.served.metric(nobody).await, 0);

    // The others can still come back, also while no new session may start.
    let Stage { served, link } = stage;
    let (mut link, last) = (link.expect("a link"), batches.len() - 1);
    assert!(!batches[last][0].resume(&served, &mut link).await);
}
