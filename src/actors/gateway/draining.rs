//! The gateway's drain: it serves newcomers for a while, asks clients that can to go elsewhere, cuts
//! off those that are left, and closes the links.

use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;

use super::super::peers;
use super::drain::{
    AskDrain, Begun, BySignal, CancelDrain, Drain, DrainSnapshot, Initiator, UnderWay, progress,
};
use super::{Gateway, HEALTH_TIMEOUT, State};
use crate::actors::worker::{
    AskAway, ClientCounts, CloseLinks, CountClients, CutOffClients, StopAsking,
};
use crate::supervision::Receive;

/// Interval at which a draining gateway checks for clients that have left.
const DRAIN_TICK: Duration = Duration::from_millis(50);
/// Time that clients that are cut off have to be gone; the process waits no longer.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(7);
/// Time that all links have to write what they hold.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval at which a drain's progress is logged, and its clients counted.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

impl Gateway {
    /// One look at a drain that is under way.
    fn drain_tick(&mut self, ctx: &mut Context<Self>) {
        let Some(drain) = &mut self.drain else { return };
        let connections = self.gate.connections();
        // Sessions that wait for their players wait for the whole window.
        let nobody = self.gate.is_empty() && self.gate.suspended() == 0;
        if self.state == State::Draining && drain.grace_is_over() {
            self.state = State::Refusing;
            drain.grace_ends(&self.gate);
            self.gate.refuse_sessions();
            tracing::info!(connections, "no session starts any more");
        }
        if self.state == State::Refusing {
            let (share, all) = (drain.share_asked(), self.config.drain.moves_at_once);
            let at_once = all.div_ceil(self.workers.len().max(1));
            for worker in &self.workers {
                worker.do_send(AskAway { at_once, share });
            }
        }
        if drain.counted_at.elapsed() >= PROGRESS_INTERVAL {
            drain.counted_at = Instant::now();
            self.count_clients(ctx);
        }
        let Some(drain) = &mut self.drain else { return };
        if self.state == State::Refusing && (nobody || drain.window_is_over()) {
            drain.cut_off(&self.gate);
            let go_on_accepting = drain.by == Initiator::Admin;
            for worker in &self.workers {
                worker.do_send(CutOffClients { go_on_accepting });
            }
            if go_on_accepting {
                self.state = State::Drained;
                self.stop_ticks(ctx);
                self.span_drain(false);
                tracing::info!(
                    cut_off = connections,
                    "drained; waiting to be undone or ended"
                );
                return;
            }
            self.state = State::Closing;
            self.close_by = Some(Instant::now() + CUT_OFF_TIMEOUT);
            return;
        }
        let late = self.close_by.is_some_and(|by| Instant::now() >= by);
        if self.state == State::Closing && (self.gate.is_empty() || late) {
            self.stop_ticks(ctx);
            self.close_links(ctx);
        }
    }

    /// Asks the workers who is still there.
    fn counted(&self) -> impl Future<Output = ClientCounts> + use<> {
        let counts = join_all(self.workers.iter().map(|worker| worker.send(CountClients)));
        async move {
            let mut remaining = ClientCounts::default();
            // A worker that is just being rebuilt is counted the next time.
            let counts = counts.await.into_iter().flatten();
            counts.for_each(|count| remaining += count);
            remaining
        }
    }

    /// Asks the workers who is still there, and says so.
    fn count_clients(&mut self, ctx: &mut Context<Self>) {
        let counted = self.counted().into_actor(self);
        ctx.spawn(counted.map(|remaining, gateway, _| {
            let Some(drain) = &mut gateway.drain else {
                return;
            };
            drain.remaining = Some(remaining);
            let progress = gateway.progress();
            tracing::info!(
                state = progress.state.name(),
                moved = progress.moved,
                left = progress.left,
                resumable = remaining.resumable,
                plain = remaining.plain,
                http = remaining.http,
                suspended = progress.suspended,
                "draining"
            );
        }));
    }

    fn start_ticks(&mut self, ctx: &mut Context<Self>) {
        if self.drain_ticks.is_none() {
            self.drain_ticks = Some(ctx.run_interval(DRAIN_TICK, Self::drain_tick));
        }
    }

    fn stop_ticks(&mut self, ctx: &mut Context<Self>) {
        if let Some(ticks) = self.drain_ticks.take() {
            ctx.cancel_future(ticks);
        }
    }

    fn close_links(&mut self, ctx: &mut Context<Self>) {
        let closing = join_all(self.workers.iter().map(|worker| worker.send(CloseLinks)));
        let peers = self.around.peering.seat().send(peers::Flush);
        // Sessions that were handed over last are still on their way.
        let closing = async move { (closing.await, peers.await) };
        let closing = actix::clock::timeout(CLOSE_TIMEOUT, closing);
        self.span_drain(false);
        let exporter = self.around.exporter.clone();
        let closing = async move {
            let closed = closing.await;
            // Behind the links: by now sessions have ended.
            if let Some(exporter) = exporter {
                exporter.finish().await;
            }
            closed
        };
        ctx.spawn(closing.into_actor(self).map(|result, gateway, _| {
            if result.is_err() {
                tracing::warn!("some links did not take their last frames in time");
            }
            let cut_off = gateway.drain.as_ref().map_or(0, UnderWay::cut_off_count);
            tracing::info!(cut_off, "drained");
            System::current().stop_with_code(i32::from(gateway.failed));
        }));
    }

    /// Has a drain that is over recorded as a span, in a trace of its own.
    fn span_drain(&self, is_undone: bool) {
        if let (Some(exporter), Some(drain)) = (&self.around.exporter, &self.drain) {
            exporter
                .spans()
                .record(drain.span(&self.progress(), is_undone));
        }
    }

    fn progress(&self) -> DrainSnapshot {
        progress(self.state, self.drain.as_ref(), &self.gate)
    }

    pub(super) fn begin_drain(
        &mut self,
        msg: Drain,
        ctx: &mut Context<Self>,
    ) -> Result<Begun, BySignal> {
        let window = msg.window.unwrap_or(self.config.drain.window);
        let (now, by) = (self.drain.is_none(), msg.by);
        match &mut self.drain {
            None => {
                let grace = self.config.drain.accept_grace;
                self.state = State::Draining;
                let drain = UnderWay::begin(msg, window, grace, &self.gate);
                self.gate.drain_until(drain.ends());
                self.drain = Some(drain);
                tracing::info!(
                    ?by,
                    ?window,
                    connections = self.gate.connections(),
                    "draining"
                );
                self.start_ticks(ctx);
            }
            Some(drain) => match (drain.by, msg.by) {
                (Initiator::Signal, Initiator::Admin) if msg.window.is_some() => {
                    return Err(BySignal);
                }
                (Initiator::Signal, _) => {}
                (Initiator::Admin, Initiator::Admin) => {
                    // Once everybody is gone a window means nothing any more.
                    if msg.window.is_some() && self.state != State::Drained {
                        drain.asked_again(msg.asked);
                        drain.set_window(window);
                        self.gate.drain_until(drain.ends());
                    }
                }
                (Initiator::Admin, Initiator::Signal) => {
                    drain.take_over(window);
                    self.gate.drain_until(drain.ends());
                    if self.state == State::Drained {
                        self.state = State::Refusing;
                    }
                    tracing::info!(
                        ?window,
                        connections = self.gate.connections(),
                        "a signal takes over the drain"
                    );
                    self.start_ticks(ctx);
                }
            },
        }
        let progress = self.progress();
        Ok(Begun { now, progress })
    }
}

impl Receive<Drain> for Gateway {
    type Result = Result<Begun, BySignal>;

    fn receive(&mut self, msg: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.begin_drain(msg, ctx)
    }
}

impl Receive<AskDrain> for Gateway {
    type Result = ResponseActFuture<Self, DrainSnapshot>;

    fn receive(&mut self, _: AskDrain, _: &mut Context<Self>) -> Self::Result {
        // While it goes on it is counted once a second; once it is over there are few to count.
        let over = self.state == State::Drained;
        let counted = over.then(|| self.counted());
        let answer = async move {
            let counted = actix::clock::timeout(HEALTH_TIMEOUT, counted?);
            counted.await.ok()
        };
        Box::pin(answer.into_actor(self).map(|counted, gateway, _| {
            if let (Some(drain), Some(counted)) = (&mut gateway.drain, counted) {
                drain.remaining = Some(counted);
            }
            gateway.progress()
        }))
    }
}

impl Receive<CancelDrain> for Gateway {
    type Result = Result<DrainSnapshot, BySignal>;

    fn receive(&mut self, _: CancelDrain, ctx: &mut Context<Self>) -> Self::Result {
        if self
            .drain
            .as_ref()
            .is_some_and(|drain| drain.by == Initiator::Signal)
        {
            return Err(BySignal);
        }
        if self.drain.is_some() {
            if self.state != State::Drained {
                self.span_drain(true);
            }
            self.drain = None;
            self.stop_ticks(ctx);
            self.state = State::Serving;
            self.gate.allow_sessions();
            for worker in &self.workers {
                worker.do_send(StopAsking);
            }
            tracing::info!("the drain is undone");
        }
        Ok(self.progress())
    }
}
