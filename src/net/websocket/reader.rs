//! What a client's bytes mean (RFC 6455, 5): without I/O and without a buffer. Payload is unmasked where it lies.
//!
//! ```text
//!   header ──▶ payload ──▶ header …      of a message in one frame or in fragments
//!      └─────▶ control ──▶ header …      gathered, for it is one thing: PING, PONG or Close
//! ```

use std::ops::Range;

use super::control::{Control, MAX_CONTROL_BYTES};
use crate::session::closing::MessageFault;

/// Longest header of a client's frame, in bytes: with a length of eight bytes, and the mask.
const MAX_HEADER: usize = 14;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Place in what a client sends.
#[derive(Debug)]
pub(super) struct Reader {
    /// Most bytes of one message.
    most: u64,
    header: [u8; MAX_HEADER],
    /// Bytes of the header that have come.
    known: u8,
    /// The header is whole, and the end of its frame has not been told.
    is_in_frame: bool,
    /// Of the payload's next four bytes.
    mask: [u8; 4],
    /// Bytes of the frame's payload that are missing.
    missing: u64,
    /// Bytes of the message: of its frames so far, this one included.
    message: u64,
    /// A message has begun, and its last fragment has not.
    is_open: bool,
    is_text: bool,
    /// A control frame that has not come whole.
    control: Option<Box<Control>>,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Payload of a message, where it lies, unmasked.
    Payload(Range<usize>),
    /// The message is whole.
    End,
    Ping(Control),
    Pong,
    Close(Control),
    /// All bytes are used.
    Nothing,
}

impl Reader {
    pub(super) fn new(most: u64) -> Reader {
        Reader {
            most,
            header: [0; MAX_HEADER],
            known: 0,
            is_in_frame: false,
            mask: [0; 4],
            missing: 0,
            message: 0,
            is_open: false,
            is_text: false,
            control: None,
        }
    }

    /// Tells whether the message under way is one of text.
    pub(super) fn is_text(&self) -> bool {
        self.is_text
    }

    /// Takes the next thing from `bytes`, from `at` on, which it moves behind that.
    ///
    /// # Errors
    /// The client may not send this; nothing behind it means anything.
    pub(super) fn next(&mut self, bytes: &mut [u8], at: &mut usize) -> Result<Read, MessageFault> {
        loop {
            if self.is_in_frame && self.missing == 0 {
                if let Some(whole) = self.end_frame()? {
                    return Ok(whole);
                }
            } else if *at == bytes.len() {
                return Ok(Read::Nothing);
            } else if !self.is_in_frame {
                self.take_header(bytes, at)?;
            } else {
                let range = self.take_payload(bytes, at);
                match &mut self.control {
                    Some(control) => control.extend(&bytes[range]),
                    None => return Ok(Read::Payload(range)),
                }
            }
        }
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0F
    }

    fn take_header(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), MessageFault> {
        while let Some(&byte) = bytes.get(*at) {
            let known = usize::from(self.known);
            self.header[known] = byte;
            *at += 1;
            self.known += 1;
            // Whole with its last place at the latest.
            if let Some(length) = length(&self.header[..=known])? {
                self.mask.copy_from_slice(&self.header[known - 3..=known]);
                return self.begin_frame(length);
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self, length: u64) -> Result<(), MessageFault> {
        (self.known, self.is_in_frame, self.missing) = (0, true, length);
        let is_last = self.header[0] & FIN != 0;
        match self.opcode() {
            CONTINUATION if self.is_open => self.message = self.message.saturating_add(length),
            TEXT | BINARY if !self.is_open => {
                self.is_text = self.opcode() == TEXT;
                (self.message, self.is_open) = (length, true);
            }
            CLOSE | PING | PONG if is_last && length <= MAX_CONTROL_BYTES as u64 => {
                self.control = Some(Box::default());
                return Ok(());
            }
            _ => return Err(MessageFault::Malformed),
        }
        match self.message > self.most {
            true => Err(MessageFault::TooLarge),
            false => Ok(()),
        }
    }

    /// Unmasks what has come of the payload.
    fn take_payload(&mut self, bytes: &mut [u8], at: &mut usize) -> Range<usize> {
        let come = bytes.len() - *at;
        let come = usize::try_from(self.missing).map_or(come, |missing| missing.min(come));
        let range = *at..*at + come;
        unmask(&mut bytes[range.clone()], self.mask);
        self.mask.rotate_left(come % 4);
        *at = range.end;
        self.missing -= come as u64;
        range
    }

    fn end_frame(&mut self) -> Result<Option<Read>, MessageFault> {
        self.is_in_frame = false;
        let is_last = self.header[0] & FIN != 0;
        let Some(control) = self.control.take() else {
            self.is_open = !is_last;
            return Ok(is_last.then_some(Read::End));
        };
        Ok(Some(match self.opcode() {
            PING => Read::Ping(*control),
            PONG => Read::Pong,
            _ => {
                control.check_close()?;
                Read::Close(*control)
            }
        }))
    }
}

/// Returns the length of the payload behind a client's header, or none while more of the header is to come
/// (RFC 6455, 5.2).
fn length(header: &[u8]) -> Result<Option<u64>, MessageFault> {
    let (first, Some(second)) = (header[0], header.get(1)) else {
        return Ok(None);
    };
    if first & RESERVED != 0 || second & MASKED == 0 {
        return Err(MessageFault::Malformed);
    }
    let (extended, length) = match second & !MASKED {
        126 => {
            let length = header.get(2..4).and_then(|bytes| bytes.first_chunk());
            (2, length.map(|bytes| u64::from(u16::from_be_bytes(*bytes))))
        }
        127 => {
            let length = header.get(2..10).and_then(|bytes| bytes.first_chunk());
            (8, length.map(|bytes| u64::from_be_bytes(*bytes)))
        }
        short => (0, Some(u64::from(short))),
    };
    if length.is_some_and(|length| length > u64::MAX / 2) {
        return Err(MessageFault::Malformed);
    }
    Ok(length.filter(|_| header.len() == 2 + extended + 4))
}

/// Unmasks a part of a payload, of which the mask belongs to the first four bytes (RFC 6455, 5.3).
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u32::from_ne_bytes(mask);
    let wide = u64::from(wide) << 32 | u64::from(wide);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
