//! A connection that does not begin with a frame: the client leaves its socket to an entry
//! ([`crate::net::entry`]) and goes on with what comes back. Off the way of a frame.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::Notify;

use super::entry_view::{Admitted, EntryView};
use super::{Changed, Client, Closing, Connection, Entering, Sniffing};
use crate::codec::link::Transport;
use crate::net::entry::{self, Entered, Refused};
use crate::net::entry_host::EntryParams;
use crate::net::websocket::fault_of;
use crate::supervision::Pumped;

/// The client's own word that its socket is to be left to an entry, behind the read that brought it
/// about.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Enter;

impl Client {
    /// Tells whether a PROXY header or TLS must come first and has not come.
    pub(super) fn owes_entry(&self) -> bool {
        let entered =
            matches!(&self.connection, Connection::Sniffing(sniffing) if sniffing.entered);
        let config = &self.shared.scope.config;
        !entered && (config.listen.tls.required || entry::owes_proxy(config, self.stats.remote()))
    }

    /// The first bytes are no frame, or not alone: the rest is off this path.
    pub(super) fn leave_socket_to_entry(&mut self, ctx: &mut Pumped<Self>) {
        if let Connection::Sniffing(sniffing) = &mut self.connection {
            let refusal = sniffing.refusal.take();
            let admitted = Rc::new(Admitted::new(self.permit.take(), refusal));
            let leaving = Rc::new(Notify::new());
            self.connection = Connection::Entering(Box::new(Entering { admitted, leaving }));
            ctx.notify(Enter);
        }
    }

    /// Takes back what the connection counts for, where an entry has it.
    pub(super) fn reclaim_permit(&mut self) {
        if let Connection::Entering(entering) = &self.connection {
            let permit = entering.admitted.permit.take();
            self.permit = permit.or(self.permit.take());
        }
    }

    /// Has a connection whose address is banned end where an entry serves HTTP on it: behind the request under
    /// way, or not at all where it is a proxy's, which others share. Returns false if it is no HTTP.
    pub(super) fn ends_in_entry(&self, entering: &Entering) -> bool {
        let is_http = self.stats.transport().is_http();
        if is_http && !entering.admitted.is_passed_on() {
            entering.admitted.refuse(Closing::Banned);
            entering.leaving.notify_one();
        }
        is_http
    }

    fn entered(&mut self, result: Result<Entered, Refused>, ctx: &mut Pumped<Self>) {
        self.reclaim_permit();
        let Connection::Entering(entering) = &mut self.connection else {
            return; // Its end has begun meanwhile.
        };
        match result {
            Ok(Entered::Frames(socket, read)) => {
                let refusal = entering.admitted.refusal.take();
                self.use_socket(socket, read);
                self.connection = Connection::Sniffing(Sniffing {
                    refusal,
                    entered: true,
                });
            }
            Ok(Entered::WebSocket(socket)) => {
                self.use_socket(socket, Default::default());
                self.stats.becomes(Transport::WebSocket);
                self.greet();
                let (remote, source) = (self.stats.remote().ip(), self.stats.source());
                // While its handshake was answered.
                if self.shared.scope.doors.bans_address(remote, source) {
                    self.close(Closing::Banned, ctx);
                }
            }
            Ok(Entered::Served) => self.close(Closing::Served, ctx),
            Err(Refused::Denied) if entering.admitted.is_banned() => {
                self.close(Closing::BannedUnheard, ctx);
            }
            Err(refused) => self.close(refused.into(), ctx),
        }
        ctx.notify(Changed);
    }
}

impl Handler<Enter> for Client {
    type Result = ();

    fn handle(&mut self, _: Enter, ctx: &mut Pumped<Self>) {
        // From itself.
        let Connection::Entering(entering) = &self.connection else {
            return; // Its end has begun meanwhile.
        };
        let config = Arc::clone(&self.shared.scope.config);
        let waited = self.lasted();
        let timeout = config.listen.sniff_timeout;
        let host = EntryView {
            shared: Rc::clone(&self.shared),
            stats: Rc::clone(&self.stats),
            admitted: Rc::clone(&entering.admitted),
        };
        let params = EntryParams {
            timeout: timeout.saturating_sub(waited),
            remote: self.stats.remote(),
            tls: Arc::clone(&self.shared.scope.tls),
            host: Rc::new(host),
            drain: Rc::clone(&entering.leaving),
            config,
        };
        let entry = entry::enter(self.socket.take(), std::mem::take(&mut self.inbox), params);
        let entry = entry.into_actor(self);
        ctx.spawn(entry.map(|result, client, ctx| client.entered(result, ctx)));
    }
}

impl From<Refused> for Closing {
    fn from(refused: Refused) -> Closing {
        match refused {
            Refused::Unrecognised => Closing::Unrecognised,
            Refused::ProxyUnexpected => Closing::ProxyUnexpected,
            Refused::ProxyMissing => Closing::ProxyMissing,
            Refused::ProxyMalformed => Closing::ProxyMalformed,
            Refused::Denied => Closing::Denied,
            Refused::TlsFailed => Closing::TlsFailed,
            Refused::TlsBusy => Closing::TlsBusy,
            Refused::TlsMissing => Closing::TlsMissing,
            Refused::Disconnected => Closing::Disconnected,
            Refused::Failed => Closing::Failed,
        }
    }
}

/// Why a connection ends whose socket cannot be read any more.
pub(super) fn closing_of(error: &io::Error) -> Closing {
    fault_of(error).map_or(Closing::Failed, Closing::BadMessage)
}
