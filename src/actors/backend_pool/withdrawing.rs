//! A pool whose endpoint an operator has withdrawn: in drain it takes no new sessions, in maintenance it ends those
//! that it has, some at a time. In either they are moved to other endpoints first where the operator wants that.

use std::time::Duration;

use actix::prelude::*;
use futures_util::stream;

use super::{BackendPool, Bind};
use crate::actors::link::{EndSome, Evacuate};
use crate::routing::health::OperatorState;

/// Interval at which `drain.moves_at_once` sessions are ended.
const STEP: Duration = Duration::from_millis(250);

impl BackendPool {
    fn operator_state(&self) -> OperatorState {
        self.shared.limits.operator.state(self.endpoint)
    }

    /// Tells whether a session may not come here: the backend leaves, perhaps by what was said on another worker's
    /// link, or an operator says so.
    pub(super) fn is_closed_to(&self, bind: &Bind) -> bool {
        match self.operator_state() {
            OperatorState::Maintenance => true,
            OperatorState::Drain => !bind.goes_on(),
            OperatorState::Ready => {
                let limits = &self.shared.limits;
                !bind.goes_on() && limits.is_leaving(&self.service.name, self.endpoint)
            }
        }
    }

    /// Does what operators say from now on.
    pub(super) fn follow_operator(&mut self, ctx: &mut Context<Self>) {
        let changes = self.shared.limits.operator.changes();
        let news = stream::unfold(changes, |mut changes| async {
            changes.changed().await.ok()?;
            Some(((), changes))
        });
        let news = news.into_actor(self);
        ctx.spawn(news.map(|(), pool, ctx| pool.obey(ctx)).finish());
        self.obey(ctx);
    }

    fn obey(&mut self, ctx: &mut Context<Self>) {
        let withdrawn = self.shared.limits.operator.withdrawn();
        let state = withdrawn.state(self.endpoint);
        let moves = withdrawn.moves(self.endpoint);
        self.occupancy.evacuation.order(moves);
        if moves {
            for slot in &self.state.links {
                slot.link.do_send(Evacuate);
            }
        }
        if state != OperatorState::Maintenance {
            if let Some(ending) = self.ending.take() {
                ctx.cancel_future(ending);
            }
        } else if self.ending.is_none() {
            self.end_some();
            let ending = ctx.run_interval(STEP, |pool, _| pool.end_some());
            self.ending = Some(ending);
        }
        if state != OperatorState::Ready {
            // A dropped answer sends them elsewhere.
            let stays = |goes_on| goes_on && state == OperatorState::Drain;
            self.state
                .waiting
                .retain(|waiter| stays(waiter.bind.goes_on()));
        }
    }

    /// Ends this worker's share of the next sessions.
    fn end_some(&self) {
        let config = &self.scope.config;
        let share = config.drain.moves_at_once / config.gateway.worker_count();
        let links = self
            .state
            .links
            .iter()
            .filter(|slot| slot.gauge.sessions() > 0);
        let most = (share / links.clone().count().max(1)).max(1);
        for slot in links {
            slot.link.do_send(EndSome { most });
        }
    }
}
