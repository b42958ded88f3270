//! One link's socket: read a buffer, have all of it handled, write all that came of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::core::{LinkError, LinkId};
use super::{HELLO_TIMEOUT, Shared, WRITE_TIMEOUT};

/// Room for one read, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Reason for the end of a link.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] LinkError),
    #[error("timed out after {HELLO_TIMEOUT:?} without HELLO")]
    NoHello,
    #[error("timed out after {WRITE_TIMEOUT:?}: the gateway does not read")]
    Stuck,
    #[error("timed out after {0:?}: the gateway is silent")]
    Silent(Duration),
}

/// A link in the tables. Dropping it takes it out, so that a panic of the service does so too.
struct Registered {
    shared: Arc<Shared>,
    link: LinkId,
    wake: Arc<Notify>,
}

impl Registered {
    fn new(shared: Arc<Shared>) -> Registered {
        let wake = Arc::new(Notify::new());
        let link = shared.lock().link_up(wake.clone());
        Registered { shared, link, wake }
    }

    fn silence_limit(&self) -> Option<Duration> {
        let limit = self.shared.lock().core.silence_limit(self.link)?;
        Some(Duration::from_millis(limit))
    }

    /// Hands over what was read and takes what is to be written; returns how many bytes were used.
    fn exchange(&self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, LinkError> {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        let used = state.core.received(now, self.link, input)?;
        state.core.take_output(self.link, output);
        state.wake(Some(self.link));
        Ok(used)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.lock().link_down(now, self.link);
    }
}

/// Serves one link to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let gateway = stream.peer_addr();
    if let Err(end) = run(stream, &shared).await {
        match &end {
            // A gateway that goes away is nothing to report.
            End::Io(_) => tracing::debug!(?gateway, %end, "link lost"),
            End::Protocol(_) | End::NoHello | End::Stuck | End::Silent(_) => {
                shared.lock().core.counts.links_dropped += 1;
                tracing::warn!(?gateway, %end, "link dropped");
            }
        }
    }
}

async fn run(mut stream: TcpStream, shared: &Arc<Shared>) -> Result<(), End> {
    stream.set_nodelay(true)?;
    let registered = Registered::new(shared.clone());
    let hello_by = Instant::now() + HELLO_TIMEOUT;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let (mut output, mut greeted) = (Vec::new(), false);
    // A gateway that is gone may have said something before; that is read all the same.
    let mut written = Ok(());
    // A host that is gone sends no FIN: only its silence tells.
    let (mut heard, mut silence) = (Instant::now(), None);
    loop {
        let used = registered.exchange(&input, &mut output)?;
        greeted |= used > 0;
        input.advance(used);
        if !output.is_empty() && written.is_ok() {
            written = timeout(WRITE_TIMEOUT, stream.write_all(&output))
                .await
                .map_err(|_| End::Stuck)?;
        }
        output.clear();
        input.reserve(READ_BYTES);
        if greeted && silence.is_none() {
            silence = registered.silence_limit();
        }
        let silent_at = silence.map_or(hello_by, |limit| heard + limit);
        tokio::select! {
            biased;
            read = stream.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(written?);
                }
                heard = Instant::now();
            }
            () = registered.wake.notified() => {}
            () = tokio::time::sleep_until(silent_at), if !greeted || silence.is_some() => {
                return Err(silence.map_or(End::NoHello, End::Silent));
            }
        }
    }
}
