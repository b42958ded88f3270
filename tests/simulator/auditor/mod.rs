//! The auditor: judges a run from what goes over the wires alone.
//!
//! It shares no code with the session core and trusts nobody: not the gateways, not the libraries. It has
//! its own picture of a deployment (`model`), redrawn with every frame, and holds each frame against the
//! rules (`rules`):
//!
//! * `client_wire`: what a gateway says to a client;
//! * `resumes`: tokens, epochs, owners, when an OPENED may be said;
//! * `gateway_links`, `gateway_hears`: what a gateway says and hears on its links;
//! * `backends`, `applications`: what a backend and its library make of that;
//! * `delivery`: each numbered frame end to end, both ways, exact or told;
//! * `reasons`: GAPs, ERRORs and ends that nothing in the run explains.

mod applications;
mod backends;
mod client_wire;
mod delivery;
mod frames;
mod gateway_hears;
mod gateway_links;
mod identity;
mod model;
mod moves;
mod operators;
mod owners;
mod players;
mod reasons;
mod resumes;
mod rules;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{Auditor, Millis, Report, Scene, Seen, Side, Violation, WireEvent};
use model::{
    Backend, Cause, Conn, Form, Life, Link, LostConn, Moment, Process, Session, Suspicion,
};
use rules::Rule;
use wishes::Ends;

/// A user has no sessions at a gateway.
#[derive(Debug)]
struct Ban {
    gateway: Process,
    user_id: u64,
    since: Moment,
    until: Option<Moment>,
}

/// Judges one run.
#[derive(Debug)]
pub(crate) struct Audit {
    scene: Scene,
    now: Moment,
    violation: Option<Violation>,
    conns: BTreeMap<u64, Conn>,
    links: BTreeMap<u64, Link>,
    sessions: BTreeMap<u64, Session>,
    lives: BTreeMap<(usize, u32), Life>,
    backends: Vec<Backend>,
    /// Births of each gateway.
    gateways: Vec<u32>,
    draining: Vec<bool>,
    causes: Vec<(Moment, Cause)>,
    /// SUSPENDs that are to be followed by the end of the connection within the same moment.
    suspends: Vec<(u64, u64)>,
    /// Moves that have not ended: session, index.
    moves: Vec<(u64, usize)>,
    /// Moved to that link without a connection, and SUSPEND is due.
    unsuspended: Vec<(Moment, u64, u64)>,
    /// Opened on that link without the ids that were bound meanwhile, and BOUND is due.
    unbound: Vec<(Moment, u64, u64)>,
    /// Told by MOVED 404 on that link that the session ends.
    ending: Vec<(Moment, u64, u64)>,
    /// One whose end was not told.
    untold: Option<String>,
    /// ASSIGNs and TRANSFERs that are to be answered in time.
    unanswered: Vec<(Moment, u64, Ends)>,
    /// Connections whose client is to get a fresh OPENED, for a service of it was moved.
    unrenewed: Vec<(Moment, u64)>,
    /// Gateway, backend and service that an operator has had moved away.
    ordered: BTreeSet<(usize, usize, usize)>,
    bans: Vec<Ban>,
    /// Breaches unless that link's final CLOSE, or CLOSE 307, of the session is only on its way inside.
    suspicions: Vec<Suspicion>,
    /// Connections that were lost, whose backends are to be told in time; that which is due first comes first.
    lost: Vec<LostConn>,
    quiet: Option<Moment>,
    closing: Option<Moment>,
    report: Report,
}

impl Audit {
    pub(crate) fn new(scene: Scene) -> Audit {
        let backends = (0..scene.backends).map(|_| Backend::default()).collect();
        Audit {
            gateways: vec![0; scene.gateways],
            draining: vec![false; scene.gateways],
            backends,
            scene,
            now: Moment::default(),
            violation: None,
            conns: BTreeMap::new(),
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lives: BTreeMap::new(),
            causes: Vec::new(),
            suspends: Vec::new(),
            moves: Vec::new(),
            unsuspended: Vec::new(),
            unbound: Vec::new(),
            ending: Vec::new(),
            untold: None,
            unanswered: Vec::new(),
            unrenewed: Vec::new(),
            ordered: BTreeSet::new(),
            bans: Vec::new(),
            suspicions: Vec::new(),
            lost: Vec::new(),
            quiet: None,
            closing: None,
            report: Report::default(),
        }
    }

    /// One that sees nothing.
    pub(crate) fn new_empty() -> Audit {
        Audit::new(Scene {
            players: 0,
            gateways: 0,
            backends: 0,
            services: Vec::new(),
            resume_window: 0,
            connect_timeout: 0,
            replay_bytes: 0,
            peer_channel: false,
            slow: false,
        })
    }

    /// Tells whether a rule is broken already.
    pub(crate) fn is_broken(&self) -> bool {
        self.violation.is_some()
    }

    /// Notes the first breach.
    fn breach(&mut self, rule: &Rule, seen: impl Into<String>) {
        let now = self.now;
        let seen = seen.into();
        self.violation.get_or_insert_with(|| Violation {
            at: now.at,
            rule: rule.name,
            detail: format!("{seen} [docs/protocol.md {}: {}]", rule.section, rule.says),
        });
    }

    fn gateway(&self, index: usize) -> Process {
        let life = self.gateways[index];
        Process { index, life }
    }

    fn backend(&self, index: usize) -> Process {
        let life = self.backends[index].life;
        Process { index, life }
    }

    fn service(&self, name: &str) -> Option<usize> {
        self.scene.services.iter().position(|known| *known == name)
    }

    fn cause(&mut self, cause: Cause) {
        self.causes.push((self.now, cause));
    }

    fn client_wire(&mut self, id: u64, gateway: usize, player: usize, what: &WireEvent<'_>) {
        if let WireEvent::Opened = what {
            let gateway = self.gateway(gateway);
            self.conns.insert(id, Conn::new(gateway, player));
            return;
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return self.breach(&rules::C_FRAMING, format!("connection {id} was never made"));
        };
        let frames = match what {
            WireEvent::Opened => return,
            WireEvent::Cut => {
                conn.remote_gone = true;
                return;
            }
            WireEvent::Sent { from, bytes } => match from {
                Side::Gateway => conn.down.send(bytes),
                Side::Remote => conn.up.send(bytes),
            },
            WireEvent::Delivered { to, bytes } => match to {
                Side::Gateway => conn.up.deliver(bytes.len()),
                Side::Remote => conn.down.deliver(bytes.len()),
            },
            WireEvent::Ended { side } | WireEvent::Lost { side } => {
                conn.remote_gone |= *side == Side::Remote;
                if *side == Side::Gateway && !conn.gone {
                    conn.gone = true;
                    let broke = conn.closed.is_none() && !conn.player_closed;
                    if let Some(session) = conn.session.and_then(|id| self.sessions.get_mut(&id))
                        && conn.incarnation.is_some()
                    {
                        session.lost = Some(self.now);
                        if conn.incarnation == session.incarnations.len().checked_sub(1) {
                            session.away = Some(self.now);
                        }
                    }
                    let plain = (conn.form == Form::Plain).then_some(conn.session).flatten();
                    if broke && conn.incarnation.is_some() {
                        let (since, timeout) = (self.now, self.scene.connect_timeout);
                        let due = since.at + timeout;
                        self.lost.push(LostConn {
                            since,
                            due,
                            conn: id,
                        });
                    }
                    if let Some(id) = plain {
                        self.session_ends(id);
                    }
                }
                return;
            }
        };
        let Some(frames) = frames else {
            return self.breach(&rules::C_FRAMING, format!("on connection {id}: {what:?}"));
        };
        for frame in frames {
            match what {
                WireEvent::Sent {
                    from: Side::Gateway,
                    ..
                } => self.said_to_client(id, &frame),
                WireEvent::Sent { .. } => self.player_wrote(id, &frame),
                WireEvent::Delivered {
                    to: Side::Gateway, ..
                } => self.gateway_read(id, &frame),
                _ => self.player_read(id, &frame),
            }
        }
    }

    fn link_wire(&mut self, id: u64, link: (usize, usize, &str), what: &WireEvent<'_>) {
        if let WireEvent::Opened = what {
            let (gateway, backend, service) = link;
            let Some(service) = self.service(service) else {
                return;
            };
            let link = Link::new(self.gateway(gateway), self.backend(backend), service);
            self.links.insert(id, link);
            return;
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else {
            if let WireEvent::Cut | WireEvent::Lost { .. } | WireEvent::Ended { .. } = what {
                return; // It was never made.
            }
            return self.breach(&rules::L_FRAMING, format!("link {id} was never made"));
        };
        let frames = match what {
            WireEvent::Opened => return,
            WireEvent::Cut => {
                link.cut = true;
                return;
            }
            WireEvent::Sent { from, bytes } => match from {
                Side::Gateway => link.to_backend.send(bytes),
                Side::Remote => link.to_gateway.send(bytes),
            },
            WireEvent::Delivered { to, bytes } => match to {
                Side::Gateway => link.to_gateway.deliver(bytes.len()),
                Side::Remote => link.to_backend.deliver(bytes.len()),
            },
            WireEvent::Ended { side } | WireEvent::Lost { side } => {
                match side {
                    Side::Gateway if link.lost.is_none() => {
                        link.lost = Some(now);
                        self.gateway_lost_link(id);
                    }
                    Side::Remote if link.backend_lost.is_none() => {
                        link.backend_lost = Some(now);
                        self.backend_lost_link(id);
                    }
                    Side::Gateway | Side::Remote => {}
                }
                return;
            }
        };
        let Some(frames) = frames else {
            return self.breach(&rules::L_FRAMING, format!("on link {id}: {what:?}"));
        };
        for frame in frames {
            match what {
                WireEvent::Sent {
                    from: Side::Gateway,
                    ..
                } => self.said_to_backend(id, &frame),
                WireEvent::Sent { .. } => self.backend_said(id, &frame),
                WireEvent::Delivered {
                    to: Side::Gateway, ..
                } => self.gateway_heard(id, &frame),
                _ => self.backend_heard(id, &frame),
            }
        }
    }

    fn fault(&mut self, seen: &Seen<'_>) {
        match *seen {
            Seen::BackendDied { backend } => {
                self.cause(Cause::BackendDied(backend));
                let life = self.backends[backend].life + 1;
                self.backends[backend] = Backend {
                    life,
                    ..Backend::default()
                };
            }
            Seen::BackendGoesAway { backend } => self.cause(Cause::BackendGone(backend)),
            Seen::GatewayDied { gateway } => {
                self.cause(Cause::GatewayDied(gateway));
                self.gateways[gateway] += 1;
                self.draining[gateway] = false;
            }
            Seen::GatewayStalls { gateway, until } => self.cause(Cause::Stalled(gateway, until)),
            Seen::GatewayPanicked {
                gateway,
                session_id,
            } => {
                self.cause(Cause::Panicked(gateway));
                self.forgets_wishes(session_id, self.gateway(gateway));
            }
            Seen::GatewayDrains { gateway, .. } => self.draining[gateway] = true,
            Seen::DrainEnds { gateway } => self.cause(Cause::Drained(gateway)),
            Seen::PeersParted {
                gateways: (a, b),
                until,
            } => self.cause(Cause::Parted(a, b, until)),
            Seen::BackendUnreachable { backend, until } => {
                self.cause(Cause::BackendUnreachable(backend, until));
            }
            Seen::Kicked { session_id, .. } | Seen::GivenUp { session_id, .. } => {
                self.session_ends(session_id);
            }
            Seen::Slow => self.cause(Cause::Slow),
            Seen::LinkFull { link } => {
                self.causes.push((self.now, Cause::Slow));
                if let Some(link) = self.links.get_mut(&link) {
                    link.full = true;
                }
            }
            Seen::Quiet => self.quiet = Some(self.now),
            Seen::Closing => {
                self.settled();
                self.closing = Some(self.now);
            }
            _ => {}
        }
    }
}

impl Auditor for Audit {
    fn see(&mut self, at: Millis, seen: &Seen<'_>) {
        if self.is_broken() {
            return;
        }
        let seq = self.now.seq + 1;
        if at > self.now.at {
            self.check_suspends();
            self.check_suspicions(self.now.at);
            self.check_moves(self.now.at);
            self.check_unbound(self.now.at);
        }
        self.now = Moment { seq, at };
        match seen {
            Seen::ClientWire {
                conn,
                gateway,
                player,
                what,
            } => self.client_wire(*conn, *gateway, *player, what),
            Seen::LinkWire {
                link,
                gateway,
                backend,
                service,
                what,
            } => self.link_wire(*link, (*gateway, *backend, service), what),
            Seen::PlayerSent { .. }
            | Seen::PlayerTold { .. }
            | Seen::PlayerCloses { .. }
            | Seen::PlayerGone { .. } => self.player(seen),
            Seen::BackendGives {
                backend,
                service,
                session_id,
                state,
            } => self.gives((*backend, service), *session_id, state),
            Seen::BackendTakes {
                backend,
                service,
                session_id,
                state,
                refused,
            } => {
                let refused = refused.map(|code| code.0);
                self.takes((*backend, service), *session_id, state, refused);
            }
            Seen::BackendGot { .. }
            | Seen::BackendSent { .. }
            | Seen::BackendTold { .. }
            | Seen::BackendBinds { .. }
            | Seen::BackendCloses { .. } => self.application(seen),
            Seen::Ordered { .. }
            | Seen::Assigned { .. }
            | Seen::Banned { .. }
            | Seen::MemoryShort { .. } => self.operator(seen),
            _ => self.fault(seen),
        }
    }

    fn finish(mut self) -> Result<Report, Violation> {
        if !self.is_broken() {
            self.check_suspends();
            self.check_suspicions(Millis::MAX);
            self.check_moves(Millis::MAX);
            self.check_unbound(Millis::MAX);
            self.finished();
        }
        match self.violation {
            Some(violation) => Err(violation),
            None => Ok(self.report),
        }
    }
}

impl Conn {
    /// Tells whether the gateway takes it for alive, and a CLOSE would get out.
    fn stands(&self) -> bool {
        let over = self.gone || self.remote_gone || self.player_closed;
        self.closed.is_none() && !over
    }

    fn new(gateway: Process, player: usize) -> Conn {
        Conn {
            gateway,
            player,
            up: Default::default(),
            down: Default::default(),
            form: Form::Unknown,
            life: None,
            session: None,
            incarnation: None,
            closed: None,
            player_closed: false,
            gone: false,
            remote_gone: false,
            replaced: false,
            data: 0,
            base: 0,
            received: 0,
            owed_errors: Vec::new(),
            contradicted: false,
            first_realms: Vec::new(),
            renewed: None,
        }
    }
}

impl Link {
    /// Whose link it is.
    fn ends(&self) -> (Process, Process, usize) {
        (self.gateway, self.backend, self.service)
    }

    fn new(gateway: Process, backend: Process, service: usize) -> Link {
        Link {
            gateway,
            backend,
            service,
            to_backend: Default::default(),
            to_gateway: Default::default(),
            lost: None,
            backend_lost: None,
            due: Default::default(),
            resume_window: 30_000,
            transfers: false,
            evacuated: false,
            greeted: false,
            full: false,
            cut: false,
            realms: BTreeMap::new(),
        }
    }
}
