//! The game server's side of a backend.

use super::{Replies, SessionInfo};
use crate::codec::code::Code;

/// A game server behind the links. [`Backend`](crate::sdk::backend::Backend) calls it under a lock: it
/// is to be quick, and never to block.
pub trait Service: Send + 'static {
    /// Takes one DATA of a session. Answers go into `out`.
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>);

    /// Takes note that a session was opened here, or again after a resume or a lost link.
    fn opened(&mut self, session: &SessionInfo, out: &mut Replies<'_>) {
        let _ = (session, out);
    }

    /// Takes note that another backend has bound the session: `realm_id`, `user_id` and the flags of `session`
    /// are the new ones.
    fn bound(&mut self, session: &SessionInfo) {
        let _ = session;
    }

    /// Takes note that a session is suspended: its client's connection or its last link is lost, or it
    /// goes on over another link. [`opened`](Self::opened) or [`ended`](Self::ended) follows.
    fn suspended(&mut self, session: &SessionInfo) {
        let _ = session;
    }

    /// Tells whether this server hands sessions over to others of its kind, and takes them (protocol 2.5); gateways are
    /// told when a link begins.
    fn transfers(&self) -> bool {
        false
    }

    /// Gives the session's state away, at most 64 KiB: it is to go on at another backend, and all of its DATA has
    /// come. What is said in `out` is the last that its client gets from here. The session is to be kept until
    /// [`departed`](Self::departed), for it may come back by [`opened`](Self::opened).
    fn on_transfer(&mut self, session: &SessionInfo, out: &mut Replies<'_>) -> Vec<u8> {
        let _ = (session, out);
        Vec::new()
    }

    /// Takes a session over from another backend, with the state that that one has given away;
    /// [`opened`](Self::opened) follows.
    ///
    /// # Errors
    /// This server will not have it; the other one gets it back and hears the code.
    fn on_arrival(&mut self, session: &SessionInfo, state: &[u8]) -> Result<(), Code> {
        let _ = (session, state);
        Err(Code::NO_ROUTE)
    }

    /// Takes note that a session whose state was given away lives at another backend now, and is forgotten here;
    /// [`ended`](Self::ended) does not follow.
    fn departed(&mut self, session: &SessionInfo) {
        let _ = session;
    }

    /// Takes note how an ASSIGN of this session has ended, or why its move or TRANSFER came to nothing: it is still here.
    fn moved(&mut self, session: &SessionInfo, code: Code) {
        let _ = (session, code);
    }

    /// Takes note that a session has ended, by the gateway's CLOSE or because its window for a resume
    /// passed (then with 408). Not called where the service closed it.
    fn ended(&mut self, session: &SessionInfo, code: Code) {
        let _ = (session, code);
    }
}

impl Service for Box<dyn Service> {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        (**self).data(session, payload, out);
    }

    fn opened(&mut self, session: &SessionInfo, out: &mut Replies<'_>) {
        (**self).opened(session, out);
    }

    fn bound(&mut self, session: &SessionInfo) {
        (**self).bound(session);
    }

    fn suspended(&mut self, session: &SessionInfo) {
        (**self).suspended(session);
    }

    fn transfers(&self) -> bool {
        (**self).transfers()
    }

    fn on_transfer(&mut self, session: &SessionInfo, out: &mut Replies<'_>) -> Vec<u8> {
        (**self).on_transfer(session, out)
    }

    fn on_arrival(&mut self, session: &SessionInfo, state: &[u8]) -> Result<(), Code> {
        (**self).on_arrival(session, state)
    }

    fn departed(&mut self, session: &SessionInfo) {
        (**self).departed(session);
    }

    fn moved(&mut self, session: &SessionInfo, code: Code) {
        (**self).moved(session, code);
    }

    fn ended(&mut self, session: &SessionInfo, code: Code) {
        (**self).ended(session, code);
    }
}

impl<F> Service for F
where
    F: FnMut(&SessionInfo, &[u8], &mut Replies<'_>) + Send + 'static,
{
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        self(session, payload, out);
    }
}

/// Sends everything back: a service.
pub fn echo(session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
    out.send(session.session_id, payload);
}

/// Counters of a backend since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links whose HELLO was taken.
    pub links: u64,
    /// Connections that were dropped: no HELLO, broken framing, a full outbox, too many links.
    pub links_dropped: u64,
    /// OPENs taken.
    pub opens: u64,
    /// OPENs answered with CLOSE.
    pub opens_refused: u64,
    /// Sessions that were handed over to other backends, and are theirs.
    pub moved_away: u64,
    /// Sessions that were taken over from other backends.
    pub arrived: u64,
    /// DATA given to the service.
    pub data_in: u64,
    /// DATA sent, a MULTICAST counting once for each session.
    pub data_out: u64,
    /// DATA, CLOSE and SUSPEND for sessions that are not open on that link.
    pub strays: u64,
    /// Frames of kinds that this version does not know.
    pub skipped: u64,
    /// Replies to sessions that have no link.
    pub undelivered: u64,
}
