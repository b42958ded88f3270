//! Start of the peer channel: the listening socket, and the supervised actor.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Answering, PeerCounts, Peering, Peers, Shared, neighbours};
use crate::actors::session_registry::Shards;
use crate::codec::peer::PeerGateway;
use crate::config::Config;
use crate::session::token::Keyring;
use crate::supervision::{self, ActorId, ActorRegistry, Budget, Kind, ROOT, Seat};

/// A peer channel that is listened on, and nobody answers yet.
pub struct Listening {
    listener: Arc<TcpListener>,
    peering: Peering,
    answering: Answering,
}

impl Listening {
    /// The way to it.
    pub fn peering(&self) -> &Peering {
        &self.peering
    }

    /// Where it is listened on.
    ///
    /// # Errors
    /// The socket has none.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Listens on `peer.address`, if there is one; questions of other gateways' operators go to `answering`.
///
/// # Errors
/// The address cannot be had.
pub fn listen(config: &Config, answering: Answering) -> io::Result<Option<Listening>> {
    let Some(address) = config.peer.address else {
        return Ok(None);
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let listener = TcpListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let own = Arc::new(PeerGateway {
        gateway: config.gateway.id.clone(),
        address: config.peer.advertised(bound),
    });
    let peering = Peering::new(own, Seat::default(), Arc::<PeerCounts>::default());
    let listener = Arc::new(listener);
    Ok(Some(Listening {
        listener,
        peering,
        answering,
    }))
}

/// Starts the supervised actor on this thread.
pub fn launch(
    listening: &Listening,
    config: &Arc<Config>,
    tokens: &Arc<ArcSwap<Keyring>>,
    shards: &Shards,
    actors: &Arc<ActorRegistry>,
    budget: Arc<Budget>,
) {
    let Some(own) = &listening.peering.own else {
        return;
    };
    let shared = Shared {
        config: Arc::clone(config),
        tokens: Arc::clone(tokens),
        shards: shards.clone(),
        own: Arc::clone(own),
        counts: Arc::clone(listening.peering.counts()),
        listener: Arc::clone(&listening.listener),
        answering: listening.answering.clone(),
    };
    let id = ActorId {
        kind: Kind::Peers,
        number: 0,
    };
    let entry = actors.register(id, String::new(), None, Some(ROOT));
    let seat = listening.peering.seat().clone();
    neighbours::keep(
        config.peer.gateways.as_slice(),
        listening.peering.neighbours_now(),
    );
    supervision::supervise(seat, entry, budget, move |registration| {
        Peers::new(registration, shared.clone())
    });
}
