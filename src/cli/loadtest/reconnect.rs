//! Connections of one frame each: connect, send, read the answer, close, and again.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use super::connect::connect;
use super::payload::Template;
use super::session::{Receiver, Run};
use super::wire::Writer;
use crate::net::dial::Stream;

/// Pause after a connection that could not be made, so that a target that is gone is not dialled without end.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// Makes one connection after another until the end of the load. The first one is there.
pub(super) async fn drive(run: Rc<Run>, index: u32, first: Stream) {
    let plan = &run.plan;
    let mut template = Template::new(plan, index);
    sleep_until(run.clock.start.into()).await;
    let mut next = Some(first);
    loop {
        let began = Instant::now();
        if began >= plan.progress.interrupted_at().unwrap_or(run.clock.stop) {
            return;
        }
        let made = match next.take() {
            Some(stream) => Ok(stream),
            None => connect(plan, index).await,
        };
        match made {
            Ok(stream) => exchange(&run, index, stream, &mut template, began).await,
            Err(error) => {
                run.tally.borrow_mut().not_connected(&error);
                sleep(FAILED_PAUSE).await;
            }
        }
    }
}

/// Sends one frame, waits for its answer, and closes the connection. Its latency counts from `began`.
async fn exchange(run: &Run, index: u32, stream: Stream, template: &mut Template, began: Instant) {
    let (plan, clock) = (&run.plan, &run.clock);
    let (reader, writer) = stream.into_split();
    let mut writer = Writer::new(writer);
    let transport = plan.transport(index);
    let mut receiver = Receiver::new(reader, transport, index, template.len());
    let mut out = Vec::new();
    template.append(&plan.pattern, 0, clock.nanos(began), &mut out);
    let answered = async {
        writer.flush(&mut out).await;
        while !receiver.has_ended() && receiver.outstanding(1) > 0 {
            let read = receiver.read().await;
            receiver.digest(read, run, 1);
        }
    };
    let interrupted = async {
        let at = plan.progress.interrupted().await;
        sleep_until((at + plan.grace).into()).await;
    };
    tokio::select! {
        biased;
        () = answered => {}
        () = interrupted => {}
        () = sleep_until(clock.end.into()) => {}
    }
    // Without a CLOSE: a proxy would pass it on to a backend, whose answer nobody reads.
    receiver.settle(run, 1);
    run.tally.borrow_mut().reconnected += 1;
}
