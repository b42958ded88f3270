//! Frames that came on links which do not carry their sessions, on their way to the clients.
//!
//! A frame for one session is counted from its link on as what it becomes, so it is passed on at once. Of a MULTICAST
//! only the ids are counted that came: a message for each session may take more. Where there is no room for that, they
//! wait here, and those that come later wait behind them; not for ever, for what waits may itself be all that is
//! held.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{ClientMessage, Relay, Relayed, SessionRegistry, Stray, StrayFrame, Strayed};
use crate::actors::session_registry::StraysRefused;
use crate::codec::code::Code;
use crate::memory::{self, Held, Part};
use crate::supervision::{CountedRecipient, Receive};

/// Time between two looks at whether there is room.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks after which what is first in line is passed on without a question, to one session a look: by then others have given
/// back what they could.
const PATIENCE: u32 = 20;

impl SessionRegistry {
    /// Passes on what waits, as far as there is room.
    pub(super) fn relay_on(&mut self, ctx: &mut Context<Self>) {
        self.shard.looks += 1;
        let mut unasked = u32::from(self.shard.looks > PATIENCE);
        while let Some(mut relay) = self.shard.relays.pop_front() {
            if !self.relay(&mut relay, &mut unasked) {
                self.shard.relays.push_front(relay);
                ctx.run_later(PAUSE, Self::relay_on);
                return;
            }
            self.shard.looks = 0;
        }
    }

    /// Passes frames on to their sessions' clients; `unasked`: to how many where there is no room. Returns false where
    /// there is none for all; then the others are left.
    fn relay(&self, relay: &mut Relay, unasked: &mut u32) -> bool {
        let mut unknown = Vec::new();
        let mut strays = std::mem::take(&mut relay.strays).into_iter();
        while let Some(relayed) = strays.next() {
            if let Some(left) = self.relay_one(relayed, relay, unasked, &mut unknown) {
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
        relay: &mut Relay,
        unasked: &mut u32,
        unknown: &mut Vec<u64>,
    ) -> Option<Relayed> {
        let cost = relayed.cost_of_one();
        match relayed {
            Relayed::One(stray) => {
                match self.client_of(stray.session_id) {
                    Some(client) => {
                        let held = relay.held.split(cost);
                        pass_on(&client, stray, relay, held);
                    }
                    None => refuse(&stray, relay, unknown),
                }
                None
            }
            Relayed::Many {
                mut session_ids,
                payload,
            } => {
                let mut passed = 0;
                for session_id in session_ids.iter().copied() {
                    let Some(client) = self.client_of(session_id) else {
                        unknown.push(session_id);
                        passed += 1;
                        continue;
                    };
                    if memory::is_scarce() && !memory::admits(cost) {
                        let Some(left) = unasked.checked_sub(1) else {
                            break;
                        };
                        *unasked = left;
                    }
                    let frame = StrayFrame::Data(payload.clone());
                    let stray = Stray { session_id, frame };
                    let held = Held::new(Part::Relayed, cost);
                    pass_on(&client, stray, relay, held);
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

    fn client_of(&self, session_id: u64) -> Option<CountedRecipient<ClientMessage>> {
        self.shard.sessions.get(&session_id)?.client.upgrade()
    }
}

/// Passes a stray on to its session's client.
fn pass_on(client: &CountedRecipient<ClientMessage>, stray: Stray, relay: &Relay, held: Held) {
    client.do_send(ClientMessage::Stray(Strayed {
        service: Arc::clone(&relay.service),
        from: relay.from,
        stray,
        origin: relay.origin.clone(),
        held,
    }));
}

/// Nobody here has the session.
fn refuse(stray: &Stray, relay: &Relay, unknown: &mut Vec<u64>) {
    match stray.frame {
        // One that crossed ours on the way: a CLOSE is never answered.
        StrayFrame::Close(_) => {}
        StrayFrame::Move(_) => relay.origin.do_send(StraysRefused {
            session_ids: vec![stray.session_id],
            moved: Some(Code::NO_ROUTE),
        }),
        StrayFrame::Data(_) | StrayFrame::Bind(_) | StrayFrame::Left => {
            unknown.push(stray.session_id)
        }
    }
}

impl Receive<Relay> for SessionRegistry {
    type Result = ();

    fn receive(&mut self, mut msg: Relay, ctx: &mut Context<Self>) {
        if !self.shard.relays.is_empty() {
            return self.shard.relays.push_back(msg);
        }
        if !self.relay(&mut msg, &mut 0) {
            self.shard.relays.push_back(msg);
            ctx.run_later(PAUSE, Self::relay_on);
        }
    }
}
