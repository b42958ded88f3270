//! The trace id of a session, which joins log lines, answers of the admin API, and spans; and which sessions have spans.

use std::fmt;

use ring::digest;

/// Keeps these hashes apart from all others of the same number.
const DOMAIN: &[u8] = b"game-gateway session trace 1";
/// Bits of a trace id, the last ones, that say whether it is sampled.
const RANDOM_BITS: u32 = 56;
const RANDOM_MASK: u64 = (1 << RANDOM_BITS) - 1;

/// A trace id as of W3C Trace Context: 16 bytes, not all of them zero.
///
/// It follows from the session id alone. So it costs a session nothing, and is the same on every gateway that the
/// session comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A session's trace: its id, and that of the root span, which follows from the session id too (protocol 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTrace {
    /// The trace.
    pub id: TraceId,
    /// The root, the span of the session on the gateway where it began.
    pub root: SpanId,
}

impl SessionTrace {
    /// Returns the trace of a session; `None` for 0, which is none.
    pub fn of(session_id: u64) -> Option<SessionTrace> {
        if session_id == 0 {
            return None;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN);
        context.update(&session_id.to_be_bytes());
        let digest = context.finish();
        let (mut id, mut root) = ([0; 16], [0; 8]);
        id.copy_from_slice(&digest.as_ref()[..16]);
        root.copy_from_slice(&digest.as_ref()[16..24]);
        Some(SessionTrace {
            id: TraceId(id),
            root: SpanId(root),
        })
    }

    /// Returns the header `traceparent` (W3C Trace Context, level 1) of what is caused by the session.
    pub fn traceparent(&self, threshold: Threshold) -> String {
        let sampled = u8::from(threshold.samples(self.id));
        format!("00-{}-{}-{sampled:02x}", self.id, self.root)
    }
}

impl TraceId {
    /// Returns the trace id of a session; `None` for 0, which is none.
    pub fn of(session_id: u64) -> Option<TraceId> {
        SessionTrace::of(session_id).map(|trace| trace.id)
    }

    /// A trace that is no session's, of random bits.
    pub fn new(random: u128) -> TraceId {
        TraceId(random.max(1).to_be_bytes())
    }

    /// Returns its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// A span id of random bits.
    pub fn new(random: u64) -> SpanId {
        SpanId(random.max(1).to_be_bytes())
    }

    /// Returns its bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// 32 lowercase hexadecimal digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// 16 lowercase hexadecimal digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The rejection threshold of OpenTelemetry's consistent probability sampling: a trace is sampled if the last 56 bits of
/// its id are at least this. So all gateways of a deployment, and backends, decide alike without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold(u64);

impl Threshold {
    /// The threshold that samples so many traces in a million; `None` for 0, which samples none.
    pub fn of_ppm(ppm: u32) -> Option<Threshold> {
        const ALL: u128 = 1_000_000;
        let rejected = ALL.checked_sub(u128::from(ppm))?;
        (ppm > 0).then_some(Threshold(((rejected << RANDOM_BITS) / ALL) as u64))
    }

    /// Reads 14 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Option<Threshold> {
        let threshold = Threshold(u64::from_str_radix(text, 16).ok()?);
        (text.len() == 14 && threshold.to_string() == text).then_some(threshold)
    }

    /// Tells whether a trace is sampled.
    pub fn samples(self, trace: TraceId) -> bool {
        (u128::from_be_bytes(trace.0) as u64 & RANDOM_MASK) >= self.0
    }

    /// Returns the member `tracestate` of sampled spans, by which whoever counts them knows how many there were.
    pub fn tracestate(self) -> String {
        let digits = self.to_string();
        let digits = digits.trim_end_matches('0');
        format!("ot=th:{}", if digits.is_empty() { "0" } else { digits })
    }
}

/// 14 lowercase hexadecimal digits.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_in_every_version() {
        // Gateways of two releases log about the same session.
        let text = |id| TraceId::of(id).map(|id| id.to_string());
        assert_eq!(text(1).as_deref(), Some("03459b7d0f0b98209f5152d2e818e4ba"));
        assert_eq!(
            text(u64::MAX).as_deref(),
            Some("1efe4a5728d1e493be4ce818653bbd85")
        );
        assert_eq!(text(0), None);
        let trace = SessionTrace::of(1).unwrap();
        assert_eq!(
            trace.traceparent(Threshold(0)),
            "00-03459b7d0f0b98209f5152d2e818e4ba-6c07074188c453da-01"
        );
    }

    #[test]
    fn a_share_of_all_sessions_is_sampled() {
        assert_eq!(Threshold::of_ppm(0), None);
        assert_eq!(Threshold::of_ppm(1_000_001), None);
        assert_eq!(Threshold::of_ppm(1_000_000), Some(Threshold(0)));
        let one_percent = Threshold::of_ppm(10_000).unwrap();
        assert_eq!(one_percent.to_string(), "fd70a3d70a3d70");
        assert_eq!(one_percent.tracestate(), "ot=th:fd70a3d70a3d7");
        assert_eq!(Threshold(0).tracestate(), "ot=th:0");
        assert_eq!(Threshold::parse("fd70a3d70a3d70"), Some(one_percent));
        for rubbish in [
            "",
            "fd70",
            "FD70A3D70A3D70",
            "+d70a3d70a3d70",
            "1fd70a3d70a3d70",
        ] {
            assert_eq!(Threshold::parse(rubbish), None, "{rubbish}");
        }
        // A rule for whoever has only texts: the last 14 digits, as they are sorted.
        let texts = |trace: TraceId| trace.to_string()[18..] >= *one_percent.to_string();
        let sampled = (1..=100_000).filter(|id| {
            let trace = TraceId::of(*id).unwrap();
            assert_eq!(texts(trace), one_percent.samples(trace));
            one_percent.samples(trace)
        });
        let sampled = sampled.count();
        assert!((900..1100).contains(&sampled), "{sampled}");
    }
}
