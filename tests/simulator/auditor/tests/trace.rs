//! Writes a trace: single frames, and what a deployment in order does with them.

use bytes::Bytes;
use game_gateway::codec::client::{self, FLAG_GAP, FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{
    self, Bind, Hello, Kind as LinkKind, Multicast, OPEN_RESUMED, Open,
};
use game_gateway::sdk::client::session::{End, Event};
use game_gateway::sdk::client::{Data, Told};

use crate::auditor::Audit;
use crate::wire::{
    Auditor, BackendLearns, Payload, Report, Scene, Seen, Side, Violation, WireEvent,
};

/// The session of most traces.
pub(super) const ID: u64 = 7;
pub(super) const SERVICES: [&str; 2] = ["game", "chat"];

pub(super) struct Trace {
    audit: Audit,
    pub(super) at: u64,
    /// Gateway and player of each connection.
    conns: Vec<(usize, usize)>,
    /// Gateway, backend and service of each link.
    links: Vec<(usize, usize, usize)>,
}

pub(super) fn payload_up(player: usize, number: u64, service: u8) -> Payload {
    Payload {
        player: player as u32,
        life: 0,
        service,
        backend: 255,
        number,
    }
}

pub(super) fn payload_down(number: u64) -> Payload {
    Payload {
        player: 0,
        life: 0,
        service: 0,
        backend: 0,
        number,
    }
}

pub(super) fn header(kind: Kind) -> Header {
    Header {
        kind: kind as u8,
        session_id: ID,
        ..Header::default()
    }
}

pub(super) fn frame(header: Header, service: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    client::encode(&mut bytes, &header, service, payload);
    bytes
}

/// DATA of player 0 to service 0; the first one wants to be resumable.
pub(super) fn data_up(number: u64) -> Vec<u8> {
    let mut header = header(Kind::Data);
    header.session_id = 0;
    header.flags = if number == 1 { FLAG_RESUMABLE } else { 0 };
    frame(header, SERVICES[0], &payload_up(0, number, 0).encode())
}

pub(super) fn data_down(number: u64) -> Vec<u8> {
    frame(
        header(Kind::Data),
        SERVICES[0],
        &payload_down(number).encode(),
    )
}

pub(super) fn opened(received: u64, gap: bool, token: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let idle_timeout_ms = 0;
    Opened {
        received,
        idle_timeout_ms,
        token,
    }
    .encode(&mut payload);
    let mut header = header(Kind::Opened);
    header.flags = if gap { FLAG_GAP } else { 0 };
    frame(header, "", &payload)
}

pub(super) fn resume(count: u64, token: &[u8]) -> Vec<u8> {
    let payload = [&count.to_be_bytes()[..], token].concat();
    frame(header(Kind::Resume), "", &payload)
}

pub(super) fn notice(code: u16) -> Vec<u8> {
    let mut payload = Vec::new();
    Notice {
        code: Code(code),
        retry_after_ms: 0,
        text: "",
    }
    .encode(&mut payload);
    payload
}

pub(super) fn close(code: u16) -> Vec<u8> {
    frame(header(Kind::Close), "", &notice(code))
}

pub(super) fn error(code: u16) -> Vec<u8> {
    frame(header(Kind::Error), SERVICES[0], &notice(code))
}

pub(super) fn on_link(kind: LinkKind, session_id: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    link::encode(&mut bytes, kind, session_id, payload);
    bytes
}

pub(super) fn open(epoch: u32, resumed: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    Open {
        realm_id: 0,
        user_id: 0,
        transport: 1,
        flags: if resumed { OPEN_RESUMED } else { 0 },
        epoch,
        client: "192.0.2.1:1",
        previous_gateway: if resumed { "g0" } else { "" },
        state: &[],
    }
    .encode(&mut payload);
    on_link(LinkKind::Open, ID, &payload)
}

pub(super) fn link_close(code: u16) -> Vec<u8> {
    on_link(LinkKind::Close, ID, &notice(code))
}

pub(super) fn link_data(payload: Payload) -> Vec<u8> {
    on_link(LinkKind::Data, ID, &payload.encode())
}

pub(super) fn suspend() -> Vec<u8> {
    on_link(LinkKind::Suspend, ID, &30_000_u32.to_be_bytes())
}

pub(super) fn accept(epoch: u32) -> Vec<u8> {
    on_link(LinkKind::Accept, ID, &epoch.to_be_bytes())
}

pub(super) fn bind(user_id: u64, realm_id: u32) -> Vec<u8> {
    on_link(LinkKind::Bind, ID, &Bind { user_id, realm_id }.encode())
}

pub(super) fn bound(user_id: u64, realm_id: u32) -> Vec<u8> {
    on_link(LinkKind::Bound, ID, &Bind { user_id, realm_id }.encode())
}

pub(super) fn multicast(sessions: &[u64], payload: Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    Multicast::encode(&mut bytes, sessions, &payload.encode());
    on_link(LinkKind::Multicast, 0, &bytes)
}

impl Trace {
    pub(super) fn new() -> Trace {
        let scene = Scene {
            players: 2,
            gateways: 2,
            backends: 2,
            services: SERVICES.to_vec(),
            resume_window: 30_000,
            connect_timeout: 2_000,
            replay_bytes: 600,
            peer_channel: true,
            slow: false,
        };
        Trace {
            audit: Audit::new(scene),
            at: 1_000,
            conns: Vec::new(),
            links: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Result<Report, Violation> {
        self.audit.finish()
    }

    /// The rule that is broken so far.
    pub(super) fn broken(&self) -> Option<&Violation> {
        self.audit.violation.as_ref()
    }

    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        self.audit.see(self.at, seen);
    }

    /// Time passes.
    pub(super) fn wait(&mut self, ms: u64) {
        self.at += ms;
    }

    /// Makes a connection of a player; the first one is 0.
    pub(super) fn connect(&mut self, gateway: usize, player: usize) -> usize {
        self.conns.push((gateway, player));
        let conn = self.conns.len() - 1;
        self.client(conn, WireEvent::Opened);
        conn
    }

    pub(super) fn client(&mut self, conn: usize, what: WireEvent<'_>) {
        let (gateway, player) = self.conns[conn];
        let conn = conn as u64;
        self.see(&Seen::ClientWire {
            conn,
            gateway,
            player,
            what,
        });
    }

    /// A player's frame is sent and arrives.
    pub(super) fn up(&mut self, conn: usize, bytes: &[u8]) {
        let (from, to) = (Side::Remote, Side::Gateway);
        self.client(conn, WireEvent::Sent { from, bytes });
        self.client(conn, WireEvent::Delivered { to, bytes });
    }

    /// A gateway's frame is sent and arrives.
    pub(super) fn down(&mut self, conn: usize, bytes: &[u8]) {
        let (from, to) = (Side::Gateway, Side::Remote);
        self.client(conn, WireEvent::Sent { from, bytes });
        self.client(conn, WireEvent::Delivered { to, bytes });
    }

    pub(super) fn cut(&mut self, conn: usize) {
        for side in [Side::Gateway, Side::Remote] {
            self.client(conn, WireEvent::Lost { side });
        }
    }

    /// Makes a link; the first one is 0.
    pub(super) fn link(&mut self, gateway: usize, backend: usize, service: usize) -> usize {
        self.links.push((gateway, backend, service));
        let link = self.links.len() - 1;
        self.on(link, WireEvent::Opened);
        let hello = Hello {
            protocol: 1,
            gateway_id: format!("g{gateway}"),
            service_type: SERVICES[service].to_owned(),
            resume_window_ms: 30_000,
            ping_interval_ms: 5_000,
            token: None,
            trace_threshold: None,
        };
        let hello = serde_json::to_vec(&hello).unwrap_or_default();
        self.to(link, &on_link(LinkKind::Hello, 0, &hello));
        link
    }

    pub(super) fn on(&mut self, link: usize, what: WireEvent<'_>) {
        let (gateway, backend, service) = self.links[link];
        let (link, service) = (link as u64, SERVICES[service]);
        self.see(&Seen::LinkWire {
            link,
            gateway,
            backend,
            service,
            what,
        });
    }

    /// A gateway's frame is sent and arrives at a backend.
    pub(super) fn to(&mut self, link: usize, bytes: &[u8]) {
        let (from, to) = (Side::Gateway, Side::Remote);
        self.on(link, WireEvent::Sent { from, bytes });
        self.on(link, WireEvent::Delivered { to, bytes });
    }

    /// A backend's frame is sent and arrives at its gateway.
    pub(super) fn from(&mut self, link: usize, bytes: &[u8]) {
        let (from, to) = (Side::Remote, Side::Gateway);
        self.on(link, WireEvent::Sent { from, bytes });
        self.on(link, WireEvent::Delivered { to, bytes });
    }

    pub(super) fn lose(&mut self, link: usize) {
        for side in [Side::Gateway, Side::Remote] {
            self.on(link, WireEvent::Lost { side });
        }
    }

    /// Player 0's application sends a frame to a service.
    pub(super) fn send(&mut self, number: u64, service: u8) {
        let payload = payload_up(0, number, service).encode();
        self.see(&Seen::PlayerSent {
            player: 0,
            life: 0,
            service: SERVICES[usize::from(service)],
            number,
            payload: &payload,
        });
    }

    pub(super) fn tell(&mut self, event: &Event) {
        let (player, life) = (0, 0);
        self.see(&Seen::PlayerTold {
            player,
            life,
            event,
        });
    }

    pub(super) fn told(&mut self, payload: Payload) {
        self.tell(&Event::Data(Data {
            service: SERVICES[0].to_owned(),
            realm_id: 0,
            session_id: ID,
            payload: Bytes::copy_from_slice(&payload.encode()),
        }));
    }

    pub(super) fn told_error(&mut self, code: u16) {
        self.tell(&Event::Error(Told {
            code: Code(code),
            retry_after: std::time::Duration::ZERO,
            service: SERVICES[0].to_owned(),
            text: String::new(),
        }));
    }

    pub(super) fn told_resumed(&mut self, gap: bool) {
        self.tell(&Event::Resumed { gap, unknown: 0 });
    }

    pub(super) fn got(&mut self, backend: usize, payload: Payload) {
        self.see(&Seen::BackendGot {
            backend,
            service: SERVICES[usize::from(payload.service)],
            session_id: ID,
            payload: &payload.encode(),
        });
    }

    pub(super) fn learns(&mut self, backend: usize, what: BackendLearns) {
        self.see(&Seen::BackendTold {
            backend,
            service: SERVICES[0],
            session_id: ID,
            what,
        });
    }

    pub(super) fn backend_sends(&mut self, payload: Payload) {
        self.see(&Seen::BackendSent {
            backend: 0,
            service: SERVICES[0],
            session_id: ID,
            payload: &payload.encode(),
            multicast: payload.player == u32::MAX,
            written: true,
        });
    }

    /// OPEN, and the backend takes it; with ACCEPT where it is resumed.
    pub(super) fn opens(&mut self, link: usize, epoch: u32, resumed: bool) {
        self.to(link, &open(epoch, resumed));
        self.learns_of(link, epoch, resumed);
        if resumed {
            self.from(link, &accept(epoch));
        }
    }

    /// The backend's application has the session, which it `knew` before.
    pub(super) fn learns_of(&mut self, link: usize, epoch: u32, knew: bool) {
        let (backend, resumed) = (self.links[link].1, knew);
        self.learns(backend, BackendLearns::Opened { epoch, resumed });
    }

    /// A frame goes all the way from player 0 to its backend.
    pub(super) fn passes_up(&mut self, conn: usize, link: usize, number: u64) {
        self.send(number, 0);
        self.up(conn, &data_up(number));
        self.to(link, &link_data(payload_up(0, number, 0)));
        let backend = self.links[link].1;
        self.got(backend, payload_up(0, number, 0));
    }

    /// A frame goes all the way from backend 0 to player 0.
    pub(super) fn passes_down(&mut self, conn: usize, link: usize, number: u64) {
        self.backend_sends(payload_down(number));
        self.from(link, &link_data(payload_down(number)));
        self.down(conn, &data_down(number));
        self.told(payload_down(number));
    }

    /// Player 0's session begins at gateway 0: connection 0, link 0, one frame each way.
    pub(super) fn begin(&mut self) {
        let conn = self.connect(0, 0);
        self.send(1, 0);
        self.up(conn, &data_up(1));
        self.down(conn, &opened(1, false, b"t1"));
        self.tell(&Event::Started(ID));
        let link = self.link(0, 0, 0);
        self.opens(link, 1, false);
        self.to(link, &link_data(payload_up(0, 1, 0)));
        self.got(0, payload_up(0, 1, 0));
        self.passes_down(conn, link, 1);
        self.wait(10);
    }

    /// The connection breaks; backends are told.
    pub(super) fn breaks(&mut self, conn: usize, link: usize) {
        self.cut(conn);
        self.tell(&Event::Interrupted);
        self.to(link, &suspend());
        self.learns(0, BackendLearns::Suspended);
        self.wait(10);
    }

    /// RESUME with a token on a new connection to a gateway.
    pub(super) fn asks(&mut self, gateway: usize, count: u64, token: &[u8]) -> usize {
        let conn = self.connect(gateway, 0);
        self.up(conn, &resume(count, token));
        conn
    }

    /// A session that began is handed over from gateway 0 to gateway 1: connection 1, link 1, epoch 2.
    pub(super) fn moves(&mut self) {
        self.begin();
        self.breaks(0, 0);
        let conn = self.asks(1, 1, b"t1");
        let link = self.link(1, 0, 0);
        self.opens(link, 2, true);
        self.to(0, &link_close(307));
        self.from(0, &link_close(307));
        self.down(conn, &opened(1, false, b"t2"));
        self.told_resumed(false);
        self.wait(10);
    }

    /// The player leaves in order.
    pub(super) fn leaves(&mut self, conn: usize, link: usize) {
        let (player, life) = (0, 0);
        self.see(&Seen::PlayerCloses { player, life });
        self.up(conn, &close(0));
        self.to(link, &link_close(0));
        let code = Code(0);
        self.learns(self.links[link].1, BackendLearns::Ended { code });
        self.cut(conn);
        self.tell(&Event::Ended(End::Local));
    }
}
