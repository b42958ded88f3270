//! A session of the closed loop, which sends when it was answered; and an idle one, which sends
//! one frame and then only what keeps it alive.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::payload::Template;
use super::session::{Receiver, Run, append_plain};
use super::wire::Writer;
use crate::codec::client::Kind;
use crate::net::dial::Stream;

/// Interval between PINGs of an idle session; below a third of the gateway's default idle timeout.
const PING_INTERVAL: Duration = Duration::from_secs(60);

/// Volume of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Frames outstanding at a time.
    pub(super) in_flight: u64,
    /// Between an answer and the next frame.
    pub(super) think: Duration,
    /// Frames in all.
    pub(super) frames: u64,
}

impl Pace {
    /// One frame, then silence.
    pub(super) const IDLE: Pace = Pace {
        in_flight: 1,
        think: Duration::ZERO,
        frames: 1,
    };
}

struct Closed {
    run: Rc<Run>,
    pace: Pace,
    template: Template,
    writer: Writer,
    receiver: Receiver,
    out: Vec<u8>,
    sent: u64,
    /// Nothing is sent before.
    resume_at: Instant,
    /// The last frame was sent; missing answers count as lost after `end`. Both come sooner on an early end.
    stop: Instant,
    end: Instant,
    next_ping: Instant,
}

/// Drives one session to its end.
pub(super) async fn drive(run: Rc<Run>, pace: Pace, index: u32, stream: Stream) {
    let (reader, writer) = stream.into_split();
    let template = Template::new(&run.plan, index);
    let burst = template.len().saturating_mul(pace.in_flight as usize);
    let mut session = Closed {
        receiver: Receiver::new(reader, run.plan.transport(index), index, burst),
        resume_at: run.clock.start,
        stop: run.clock.stop,
        end: run.clock.end,
        next_ping: run.clock.start + PING_INTERVAL,
        run,
        pace,
        template,
        writer: Writer::new(writer),
        out: Vec::new(),
        sent: 0,
    };
    session.play().await;
    let Closed {
        receiver,
        mut writer,
        run,
        sent,
        ..
    } = session;
    receiver.finish(&mut writer, &run, sent);
}

impl Closed {
    async fn play(&mut self) {
        let run = Rc::clone(&self.run);
        let timer = sleep_until(run.clock.start.into());
        let interrupted = run.plan.progress.interrupted();
        tokio::pin!(timer, interrupted);
        let mut early = false;
        while !self.receiver.has_ended() {
            let now = Instant::now();
            let outstanding = self.receiver.outstanding(self.sent);
            if now >= self.end || (now >= self.stop && outstanding == 0) {
                return;
            }
            if now < self.stop && now >= self.resume_at {
                self.fill(now, outstanding);
            }
            let blocked = !self.writer.try_flush(&mut self.out);
            let wake = self.wake(now).into();
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
            tokio::select! {
                biased;
                read = self.receiver.read() => {
                    self.receiver.digest(read, &self.run, self.sent);
                    self.pause();
                }
                () = self.writer.flush(&mut self.out), if blocked => {}
                () = &mut timer => {}
                at = &mut interrupted, if !early => {
                    early = true;
                    self.stop = self.stop.min(at);
                    self.end = self.end.min(at + run.plan.grace);
                }
            }
        }
    }

    /// Puts as many frames into `out` as may be outstanding.
    fn fill(&mut self, now: Instant, outstanding: u64) {
        let run = &self.run;
        let room = self.pace.in_flight.saturating_sub(outstanding);
        let sent_nanos = run.clock.nanos(now);
        for _ in 0..room.min(self.pace.frames - self.sent) {
            let pattern = &run.plan.pattern;
            self.template
                .append(pattern, self.sent, sent_nanos, &mut self.out);
            self.sent += 1;
        }
        if self.sent == self.pace.frames && now >= self.next_ping {
            append_plain(self.receiver.transport(), Kind::Ping, b"", &mut self.out);
            self.next_ping = now + PING_INTERVAL;
        }
    }

    fn pause(&mut self) {
        let refused = self.receiver.take_pause().unwrap_or_default();
        let pause = refused.max(self.pace.think);
        if !pause.is_zero() {
            self.resume_at = Instant::now() + pause;
        }
    }

    /// Returns the time of the next action without input.
    fn wake(&self, now: Instant) -> Instant {
        if now >= self.stop {
            self.end
        } else if now < self.resume_at {
            self.resume_at.min(self.stop)
        } else if self.sent == self.pace.frames {
            self.next_ping.min(self.stop)
        } else {
            self.end
        }
    }
}
