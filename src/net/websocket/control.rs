//! Control frames (RFC 6455, 5.5).

use crate::session::closing::MessageFault;

/// Most bytes of a control frame's payload.
pub(super) const MAX_CONTROL_BYTES: usize = 125;

const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8A;

/// A control frame's payload, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Control {
    bytes: [u8; MAX_CONTROL_BYTES],
    len: u8,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            bytes: [0; MAX_CONTROL_BYTES],
            len: 0,
        }
    }
}

impl Control {
    /// Appends what has come of it. Its length was checked before.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let len = usize::from(self.len);
        if let Some(place) = self.bytes.get_mut(len..len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Returns the code of a Close, if it names one.
    pub(super) fn code(&self) -> Option<u16> {
        let code = self.payload().first_chunk();
        code.map(|code| u16::from_be_bytes(*code))
    }

    /// Checks a Close (RFC 6455, 5.5.1 and 7.4).
    ///
    /// # Errors
    /// Half a code, one that may not be said, or a reason that is no text.
    pub(super) fn check_close(&self) -> Result<(), MessageFault> {
        let is_good = match self.code() {
            None => self.len == 0,
            Some(code) => is_code(code) && std::str::from_utf8(&self.payload()[2..]).is_ok(),
        };
        match is_good {
            true => Ok(()),
            false => Err(MessageFault::Malformed),
        }
    }
}

/// Tells whether an endpoint may say this code: one of RFC 6455, 7.4.1, one registered since, or a free one.
fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Appends the answer to a PING.
pub(super) fn pong(payload: &[u8], out: &mut Vec<u8>) {
    encode(PONG, payload, out);
}

/// Appends a Close.
pub(super) fn close(code: Option<u16>, out: &mut Vec<u8>) {
    match code {
        Some(code) => encode(CLOSE, &code.to_be_bytes(), out),
        None => encode(CLOSE, &[], out),
    }
}

fn encode(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend([first, payload.len() as u8]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &[u8]) -> Result<(), MessageFault> {
        let mut control = Control::default();
        control.extend(payload);
        control.check_close()
    }

    #[test]
    fn a_close_has_no_code_or_one_that_may_be_said() {
        let good: [&[u8]; 5] = [b"", b"\x03\xE8", b"\x03\xE8bye", b"\x0B\xB8", b"\x13\x87"];
        for payload in good {
            assert_eq!(check(payload), Ok(()), "{payload:?}");
        }
        let bad: [&[u8]; 5] = [b"\x03", b"\x03\xED", b"\0\0", b"\x13\x88", b"\x03\xE8\xFF"];
        for payload in bad {
            assert_eq!(check(payload), Err(MessageFault::Malformed), "{payload:?}");
        }
    }
}
