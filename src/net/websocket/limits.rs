//! Limits of the WebSocket library.

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::codec::client::{HEADER_LEN, MAX_SERVICE_LEN};

/// Read buffer of an idle WebSocket, in bytes; a larger message gets a buffer of its own.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes that are gathered before they are written; one message more may wait with them.
pub(super) const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Least limit of a message in bytes, whatever `listen.max_payload` is, because several small frames
/// may share one.
const LEAST_MESSAGE_BYTES: usize = 16 * 1024;

fn largest_message(max_payload: u32) -> usize {
    let largest = max_payload as usize + HEADER_LEN + MAX_SERVICE_LEN;
    largest.max(LEAST_MESSAGE_BYTES)
}

/// Returns the library's limits.
pub(super) fn limits(max_payload: u32) -> WebSocketConfig {
    let limit = Some(largest_message(max_payload));
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(limit)
        .max_frame_size(limit)
}
