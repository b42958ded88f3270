//! The trace id of a session, which joins log lines, answers of the admin API, and spans.

use std::fmt;

use ring::digest;

/// Keeps these hashes apart from all others of the same number.
const DOMAIN: &[u8] = b"game-gateway session trace 1";

/// A trace id as of W3C Trace Context: 16 bytes, not all of them zero.
///
/// It follows from the session id alone. So it costs a session nothing, and is the same on every gateway that the
/// session comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Returns the trace id of a session; `None` for 0, which is none.
    pub fn of(session_id: u64) -> Option<TraceId> {
        if session_id == 0 {
            return None;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN);
        context.update(&session_id.to_be_bytes());
        let digest = context.finish();
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_ref()[..16]);
        Some(TraceId(id))
    }

    /// Returns its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// 32 lowercase hexadecimal digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
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
    }
}
