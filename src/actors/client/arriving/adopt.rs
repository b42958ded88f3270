//! A player who comes back has the session.

use actix::prelude::*;

use super::{Arriving, Client};
use crate::actors::client::{Changed, Hold, Resumable};
use crate::actors::peers::CancelCall;
use crate::codec::buffers;
use crate::codec::peer::HandOver;
use crate::metrics::Resumed;
use crate::session::replay::Replay;
use crate::session::resume::Numbering;

/// What a player lacks.
pub(super) struct Lacking {
    /// Whole frames.
    bytes: Vec<u8>,
    /// How many of them are DATA.
    frames: u64,
    /// DATA frames that were sent before them.
    sent_before: u64,
}

impl Resumable {
    /// What the player lacks of a session that is here.
    fn lacking(&self, arriving: &Arriving) -> Lacking {
        let lacking = self.replay.since(arriving.has);
        let mut bytes = buffers::take();
        bytes.extend_from_slice(lacking.bytes.0);
        bytes.extend_from_slice(lacking.bytes.1);
        Lacking {
            bytes,
            frames: lacking.frames,
            sent_before: self.replay.sent() - lacking.frames,
        }
    }

    /// The ring that another gateway has handed over, and behind it what backends have sent here
    /// since. All of it is lacking.
    fn inherit(&mut self, handed: &HandOver, limit: usize) -> Lacking {
        let ring = Replay::adopt(limit, handed.before, &handed.ring);
        let ring = ring.unwrap_or_else(|| Replay::new(limit));
        let since = std::mem::replace(&mut self.replay, ring);
        let (held, news) = (self.replay.since(0), since.since(0));
        let mut bytes = buffers::take();
        for part in [held.bytes.0, held.bytes.1, news.bytes.0, news.bytes.1] {
            bytes.extend_from_slice(part);
        }
        let lacking = Lacking {
            frames: held.frames + news.frames,
            sent_before: self.replay.sent() - held.frames,
            bytes,
        };
        let news_bytes = [news.bytes.0, news.bytes.1].concat();
        self.replay.push(&news_bytes, &[], news.frames as u32);
        lacking
    }
}

impl Client {
    /// The session is here, and the connection in use: OPENED, what the player lacks, and on.
    pub(super) fn adopt(&mut self, gap: bool, ctx: &mut Context<Self>) {
        let limit = self.shared.scope.config.session.outbound_queue;
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let Some(mut arriving) = resumable.arriving.take() else {
            return;
        };
        for (call, _) in &arriving.calls {
            self.shared.peers.cancel(CancelCall { call: *call });
        }
        let before = resumable.replay.len();
        let (replay, numbering) = match &resumable.holder {
            Some(holder) => (resumable.lacking(&arriving), holder.numbering().clone()),
            None => {
                let handed = arriving.handed.take();
                if let (Some(session), Some(handed)) = (&mut self.session, &handed) {
                    session.count_on(handed.received);
                    session.identify(handed.bound, handed.newest);
                }
                let handed = handed.map(|handed| *handed).unwrap_or_default();
                let numbering = Numbering::from_starts(handed.starts.iter().copied());
                (
                    resumable.inherit(&handed, limit),
                    numbering.unwrap_or_default(),
                )
            }
        };
        self.shared.replay_grows(before, resumable.replay.len());
        if gap && let Some(session) = &mut self.session {
            session.count_anew();
        }
        resumable.holder = arriving.machine.into_holder(numbering, replay.sent_before);
        resumable.in_use = true;
        self.connection_is_in_use(gap, replay, ctx);
    }

    pub(super) fn connection_is_in_use(
        &mut self,
        gap: bool,
        lacking: Lacking,
        ctx: &mut Context<Self>,
    ) {
        let how = if gap { Resumed::Gap } else { Resumed::Exact };
        self.shared.scope.metrics.sessions_resumed.add(how, 1);
        if let Some(session) = &self.session {
            self.stats.realm_id.set(session.realm_id());
            self.stats.user_id.set(session.user_id());
        }
        let received = self.received();
        self.tell_opened(received, gap, ctx);
        if !lacking.bytes.is_empty() {
            self.send(lacking.bytes, None, lacking.frames as u32, ctx);
        }
        self.keep_up_to(self.shared.scope.config.session.replay_bytes);
        self.hold = Hold::None;
        self.alive_ms = self.shared.now_ms();
        self.ask_away(ctx);
        ctx.notify(Changed);
    }
}
