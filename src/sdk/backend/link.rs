//! One link's socket: read a buffer, handle all of it, write all that came of it.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::frames::{Fault, State};
use super::sessions::LinkId;
use super::{HELLO_TIMEOUT, MAX_LINK_PAYLOAD, Shared, WRITE_TIMEOUT, lock};
use crate::codec::Decoded;
use crate::codec::link;

/// Room for one read, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("no HELLO in time")]
    NoHello,
    #[error("the gateway did not read in time")]
    Stuck,
}

/// Takes the link out of the tables however its task ends, by a panic of the service too.
struct Registered {
    state: Shared,
    link: LinkId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.state).lose_link(self.link);
    }
}

/// Serves one link to its end.
pub(super) async fn serve(stream: TcpStream, state: Shared) {
    let peer = stream.peer_addr();
    if let Err(end) = run(stream, &state).await {
        match &end {
            // A gateway that goes away is nothing to report.
            End::Io(_) => tracing::debug!(?peer, %end, "link lost"),
            End::Fault(_) | End::NoHello | End::Stuck => {
                lock(&state).counts.links_dropped += 1;
                tracing::warn!(?peer, %end, "link dropped");
            }
        }
    }
}

async fn run(mut stream: TcpStream, state: &Shared) -> Result<(), End> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let wake = Arc::new(Notify::new());
    let link = timeout(HELLO_TIMEOUT, hello(&mut stream, &mut input, state, &wake))
        .await
        .map_err(|_| End::NoHello)??;
    let registered = Registered {
        state: state.clone(),
        link,
    };
    let mut output = Vec::new();
    loop {
        {
            let mut state = lock(&registered.state);
            let used = state.take(link, &input)?;
            input.advance(used);
            swap_outbox(&mut state, link, &mut output);
        }
        if !output.is_empty() {
            timeout(WRITE_TIMEOUT, stream.write_all(&output))
                .await
                .map_err(|_| End::Stuck)??;
            output.clear();
        }
        input.reserve(READ_BYTES);
        tokio::select! {
            biased;
            read = stream.read_buf(&mut input) => if read? == 0 {
                return Ok(());
            },
            () = wake.notified() => {}
        }
    }
}

/// The empty buffer goes in, what waits to be written comes out.
fn swap_outbox(state: &mut State, link: LinkId, output: &mut Vec<u8>) {
    if let Some(slot) = state.links.get_mut(link) {
        std::mem::swap(&mut slot.outbox, output);
    }
}

async fn hello(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    state: &Shared,
    wake: &Arc<Notify>,
) -> Result<LinkId, End> {
    loop {
        if let Decoded::Frame(frame, used) =
            link::decode(input, MAX_LINK_PAYLOAD).map_err(Fault::from)?
        {
            let link = lock(state).hello(&frame, wake.clone())?;
            input.advance(used);
            return Ok(link);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
