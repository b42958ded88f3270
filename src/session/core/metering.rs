//! The rates of one client's frames and bytes. Where no limit is configured it costs a read one branch.

use super::{Core, Hold, Millis, State, Step};
use crate::codec::client::{Frame, Kind};
use crate::codec::code::Code;
use crate::session::closing::Closing;
use crate::session::rate::{Bucket, Nanos};

/// A client over the rate is told so at most this often, and has no longer been over it when nothing was
/// dropped for so long.
const CALM: Millis = 1_000;
/// Nanoseconds of a millisecond.
const MILLI: Nanos = 1_000_000;

/// Limits of what is read from a client; 0: none, except for `max_payload` and `patience`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadLimits {
    /// `listen.max_payload`, in bytes.
    pub max_payload: u32,
    /// `limits.frames_per_second`.
    pub frames_per_second: u64,
    /// `limits.bytes_per_second`: of whole frames.
    pub bytes_per_second: u64,
    /// `limits.patience`.
    pub patience: Millis,
}

impl ReadLimits {
    #[inline]
    pub(super) fn are_metered(&self) -> bool {
        (self.frames_per_second | self.bytes_per_second) != 0
    }
}

/// What a client has used of its rates.
#[derive(Debug, Default)]
pub(super) struct Meter {
    frames: Bucket,
    bytes: Bucket,
    /// Both before the last frame, which may be held back and shown again.
    before: (Bucket, Bucket),
    over: Option<Over>,
}

/// Since when a client has been over a rate without a calm second.
#[derive(Debug)]
struct Over {
    since: Millis,
    last: Millis,
    told: Millis,
}

/// The fate of a frame that is over a rate.
#[derive(Debug, PartialEq, Eq)]
enum Excess {
    Dropped,
    /// The client has not been told for a while; it can send again after so long.
    Told(Millis),
    /// For too long.
    Closed,
}

impl Meter {
    /// Takes a frame of so many bytes.
    fn take(&mut self, bytes: usize, now: Millis, limits: &ReadLimits) -> Result<(), Excess> {
        let at = now * MILLI;
        let of = |bucket: Bucket, cost, rate| match rate {
            0 => Ok(bucket),
            _ => bucket.after(at, cost, rate),
        };
        let frames = of(self.frames, 1, limits.frames_per_second);
        let bytes = of(self.bytes, bytes as u64, limits.bytes_per_second);
        match (frames, bytes) {
            (Ok(frames), Ok(bytes)) => {
                self.before = (self.frames, self.bytes);
                (self.frames, self.bytes) = (frames, bytes);
                Ok(())
            }
            (frames, bytes) => {
                let wait = frames.err().unwrap_or(0).max(bytes.err().unwrap_or(0));
                Err(self.excess(now, wait.div_ceil(MILLI), limits.patience))
            }
        }
    }

    /// The frame that was taken last is held back, and will be shown again.
    pub(super) fn put_back(&mut self) {
        (self.frames, self.bytes) = self.before;
    }

    fn excess(&mut self, now: Millis, wait: Millis, patience: Millis) -> Excess {
        let fresh = || Over {
            since: now,
            last: now,
            told: now,
        };
        match &mut self.over {
            Some(over) if now.saturating_sub(over.last) < CALM => {
                over.last = now;
                if now.saturating_sub(over.since) >= patience {
                    Excess::Closed
                } else if now.saturating_sub(over.told) >= CALM {
                    over.told = now;
                    Excess::Told(wait)
                } else {
                    Excess::Dropped
                }
            }
            over => {
                *over = Some(fresh());
                match patience {
                    0 => Excess::Closed,
                    _ => Excess::Told(wait),
                }
            }
        }
    }
}

impl<L: Hold> Core<L> {
    /// Takes a frame of `bytes` bytes out of the client's rates. Returns false if it is over them, and is
    /// dropped: of a session it counts as taken, and names its service, as other refused frames do.
    pub(super) fn admit_frame(
        &mut self,
        frame: &Frame<'_>,
        bytes: usize,
        limits: &ReadLimits,
        step: &mut Step<'_>,
    ) -> Result<bool, Closing> {
        let is_data = frame.header.kind == Kind::Data as u8;
        // The one that starts a session is shown again when it has started; an end is always heard.
        let starts = is_data && !matches!(self.state, State::Active { .. });
        if starts || frame.header.kind == Kind::Close as u8 {
            return Ok(true);
        }
        let meter = self.meter.get_or_insert_default();
        let Err(excess) = meter.take(bytes, step.now, limits) else {
            return Ok(true);
        };
        if let State::Active { session, .. } = &mut self.state
            && is_data
        {
            session.on_dropped(frame.service);
        }
        match excess {
            Excess::Dropped => {}
            Excess::Told(wait) => {
                let named = self.session().map_or("", |session| session.last_named());
                let service: Box<str> = if is_data { named.into() } else { "".into() };
                let retry_ms = u32::try_from(wait).unwrap_or(u32::MAX);
                let text = "over the rate limit; frames are dropped";
                self.tell_error(Code::RATE_LIMITED, retry_ms, text, &service, step);
            }
            Excess::Closed => return Err(Closing::TooFast),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(frames_per_second: u64, bytes_per_second: u64) -> ReadLimits {
        ReadLimits {
            max_payload: 65_536,
            frames_per_second,
            bytes_per_second,
            patience: 3_000,
        }
    }

    #[test]
    fn an_excess_is_told_once_a_second_and_ends_when_patience_does() {
        let (mut meter, limits) = (Meter::default(), limits(2, 0));
        let mut seen = Vec::new();
        for now in (0..=3_000).step_by(250) {
            for _ in 0..3 {
                if let Err(excess) = meter.take(40, now, &limits)
                    && excess != Excess::Dropped
                {
                    seen.push((now, excess));
                }
            }
        }
        let told = |at| (at, Excess::Told(500));
        assert_eq!(seen[0], told(0));
        assert!(matches!(
            seen[1..3],
            [(1_000, Excess::Told(_)), (2_000, Excess::Told(_))]
        ));
        assert_eq!(seen[3], (3_000, Excess::Closed));
    }

    #[test]
    fn a_calm_second_is_forgiven() {
        let (mut meter, limits) = (Meter::default(), limits(1, 0));
        for second in 0..20 {
            // Each time one frame too many, and a calm second behind it.
            let now = second * 1_500;
            assert_eq!(meter.take(40, now, &limits), Ok(()));
            let excess = meter.take(40, now, &limits);
            assert!(matches!(excess, Err(Excess::Told(_))), "{excess:?}");
        }
    }

    #[test]
    fn what_is_dropped_uses_up_nothing() {
        let (mut meter, limits) = (Meter::default(), limits(10, 1_000));
        assert!(meter.take(900, 0, &limits).is_ok());
        assert!((0..50).all(|_| meter.take(900, 0, &limits).is_err()));
        assert!(meter.take(100, 0, &limits).is_ok(), "frames are left");
        assert!(meter.take(900, 900, &limits).is_ok(), "and bytes come back");
        let before = (meter.frames, meter.bytes);
        assert!(meter.take(50, 1_000, &limits).is_ok());
        meter.put_back();
        assert_eq!((meter.frames, meter.bytes), before);
    }
}
