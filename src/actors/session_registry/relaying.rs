//! Frames that came on links which do not carry their sessions, on their way to the clients.
//!
//! A message for each session may take more memory than what came: where there is no room for that the frames wait
//! here, counted as they came, and those that come later wait behind them.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{ClientMessage, Relay, Relayed, SessionRegistry, Stray, StrayFrame, Strayed};
use crate::actors::session_registry::StraysRefused;
use crate::codec::code::Code;
use crate::memory::{self, Held, Part};
use crate::supervision::Receive;

/// Time between two looks at whether there is room.
const PAUSE: Duration = Duration::from_millis(50);

impl SessionRegistry {
    /// Passes on what waits, as far as there is room.
    pub(super) fn relay_on(&mut self, ctx: &mut Context<Self>) {
        while let Some(mut relay) = self.shard.relays.pop_front() {
            if !self.relay(&mut relay) {
                self.shard.relays.push_front(relay);
                ctx.run_later(PAUSE, Self::relay_on);
                return;
            }
        }
    }

    /// Passes frames on to their sessions' clients. Returns false where there is no room for all; then the others are
    /// left.
    fn relay(&self, relay: &mut Relay) -> bool {
        let mut unknown = Vec::new();
        let mut strays = std::mem::take(&mut relay.strays).into_iter();
        while let Some(relayed) = strays.next() {
            if let Some(left) = self.relay_one(relayed, relay, &mut unknown) {
                relay.strays = std::iter::once(left).chain(strays).collect();
                break;
            }
        }
        if !unknown.is_empty() {
            relay.origin.do_send(StraysRefused {
                session_ids: unknown,
                moved: None,
            });
        }
        relay.strays.is_empty()
    }

    /// Returns what there is no room for.
    fn relay_one(
        &self,
        relayed: Relayed,
        relay: &Relay,
        unknown: &mut Vec<u64>,
    ) -> Option<Relayed> {
        let cost = relayed.cost_of_one();
        let fits = || !memory::is_scarce() || memory::admits(cost);
        match relayed {
            Relayed::One(stray) => {
                if !fits() {
                    return Some(Relayed::One(stray));
                }
                let is_close = matches!(stray.frame, StrayFrame::Close(_));
                let is_move = matches!(stray.frame, StrayFrame::Move(_));
                match self.pass_on(stray, relay, cost) {
                    Err(session_id) if is_move => relay.origin.do_send(StraysRefused {
                        session_ids: vec![session_id],
                        moved: Some(Code::NO_ROUTE),
                    }),
                    // A CLOSE that crossed ours on the way: a CLOSE is never answered.
                    Err(session_id) if !is_close => unknown.push(session_id),
                    Err(_) | Ok(()) => {}
                }
                None
            }
            Relayed::Many {
                mut session_ids,
                payload,
            } => {
                let mut passed = 0;
                for session_id in &session_ids {
                    if !fits() {
                        break;
                    }
                    let session_id = *session_id;
                    let frame = StrayFrame::Data(payload.clone());
                    let stray = Stray { session_id, frame };
                    unknown.extend(self.pass_on(stray, relay, cost).err());
                    passed += 1;
                }
                session_ids.drain(..passed);
                (!session_ids.is_empty()).then_some(Relayed::Many {
                    session_ids,
                    payload,
                })
            }
        }
    }

    /// Passes a stray on to its session's client.
    ///
    /// # Errors
    /// Nobody here has that session.
    fn pass_on(&self, stray: Stray, relay: &Relay, cost: usize) -> Result<(), u64> {
        let entry = self.shard.sessions.get(&stray.session_id);
        let client = entry.and_then(|entry| entry.client.upgrade());
        let client = client.ok_or(stray.session_id)?;
        client.do_send(ClientMessage::Stray(Strayed {
            service: Arc::clone(&relay.service),
            from: relay.from,
            stray,
            origin: relay.origin.clone(),
            held: Held::new(Part::Relayed, cost),
        }));
        Ok(())
    }
}

impl Receive<Relay> for SessionRegistry {
    type Result = ();

    fn receive(&mut self, mut msg: Relay, ctx: &mut Context<Self>) {
        if !self.shard.relays.is_empty() {
            return self.shard.relays.push_back(msg);
        }
        if !self.relay(&mut msg) {
            self.shard.relays.push_back(msg);
            ctx.run_later(PAUSE, Self::relay_on);
        }
    }
}
