//! Bytes to values and back. Nothing here does I/O, knows the clock, or allocates for what the
//! peer merely claims: a length is believed only once that many bytes have arrived.
//!
//! * [`client`]: the client protocol, GGP/1 section 1.
//! * [`link`]: the link protocol between gateway and backends, section 2.
//! * [`buffers`]: buffers that encoders write into, shared by a thread.
//! * [`code`]: the numbers in ERROR and CLOSE, section 1.4.
//! * [`proxy`]: PROXY protocol headers, section 1.6.
//! * [`forwarded`]: headers of HTTP proxies that name the client.
//! * [`sniff`]: which transport the first bytes of a connection announce, section 1.6.
//! * [`foreign`]: what speaks something else, for error texts.
//! * [`framed`]: the same codecs as [`actix_codec::Decoder`] and [`actix_codec::Encoder`], for
//!   everything that is not the gateway's hot path.

pub mod buffers;
pub mod client;
pub mod code;
pub mod foreign;
pub mod forwarded;
pub mod framed;
pub mod link;
pub mod network;
pub mod peer;
pub mod proxy;
pub mod sniff;

/// Result of a decoder.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<F> {
    /// A whole frame, and how many bytes of the input it took.
    Frame(F, usize),
    /// Not yet a frame. The value says how many bytes the frame has in all, as far as the bytes so
    /// far tell; it is always more than were shown.
    Need(usize),
}

/// Reads `N` bytes at `at`. Callers have checked the length; a short input reads as zeros rather
/// than panicking.
#[inline]
fn array<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    match buf.get(at..at + N) {
        Some(bytes) => {
            let mut out = [0; N];
            out.copy_from_slice(bytes);
            out
        }
        None => [0; N],
    }
}
