//! A service goes on at another backend, in order and not.

use game_gateway::codec::client::Kind;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{
    Assign, Bind, Features, Kind as LinkKind, MOVE, OPEN_TRANSFERRED, Open, Transfer,
};

use super::Bad;
use super::trace::*;
use crate::auditor::rules;
use crate::wire::{BackendLearns, Payload, Seen};

pub(super) const STATE: &[u8] = b"cards";

pub(super) fn arrival(epoch: u32, state: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Open {
        realm_id: 0,
        user_id: 0,
        transport: 1,
        flags: OPEN_TRANSFERRED,
        epoch,
        client: "192.0.2.1:1",
        previous_gateway: "",
        state,
    }
    .encode(&mut payload);
    on_link(LinkKind::Open, ID, &payload)
}

fn bind(user_id: u64) -> Vec<u8> {
    let realm_id = 0;
    on_link(LinkKind::Bind, ID, &Bind { user_id, realm_id }.encode())
}

pub(super) fn moved(code: u16) -> Vec<u8> {
    on_link(LinkKind::Moved, ID, &code.to_be_bytes())
}

impl Trace {
    /// Its backend asks to have the session taken to the other one.
    pub(super) fn asks_for_a_move(&mut self) {
        self.asks_to_go(0, "10.0.1.0:7000");
    }

    pub(super) fn transfers(&mut self, link: usize) {
        let features = Features { transfer: true }.encode();
        self.from(link, &on_link(LinkKind::Features, 0, &features));
    }

    pub(super) fn asks_to_go(&mut self, link: usize, endpoint: &str) {
        self.transfers(link);
        let mut to = Vec::new();
        Transfer { endpoint }.encode(&mut to);
        self.from(link, &on_link(LinkKind::Transfer, ID, &to));
    }

    pub(super) fn part(&mut self, link: usize) {
        let mut leave = Vec::new();
        Notice {
            code: Code::LEAVES_LINK,
            retry_after_ms: 0,
            text: MOVE,
        }
        .encode(&mut leave);
        self.to(link, &on_link(LinkKind::Close, ID, &leave));
    }

    /// The old backend gives the state away.
    pub(super) fn gives(&mut self, link: usize, state: &[u8]) {
        self.see(&Seen::BackendGives {
            backend: usize::from(link == 1),
            service: SERVICES[0],
            session_id: ID,
            state,
        });
        let answer = [&notice(307)[..], state].concat();
        self.from(link, &on_link(LinkKind::Close, ID, &answer));
    }

    /// And so far in order.
    pub(super) fn parts(&mut self) {
        self.asks_for_a_move();
        self.part(0);
        self.gives(0, STATE);
    }

    /// The new backend takes the session; returns its link.
    pub(super) fn arrives(&mut self) -> usize {
        let link = self.offers();
        self.from(link, &accept(2));
        link
    }

    pub(super) fn is_told(&mut self) {
        self.to(0, &moved(0));
        let code = Code::NORMAL;
        self.learns(0, BackendLearns::Moved { code });
    }
}

#[test]
fn a_move_in_order() {
    let mut t = Trace::new();
    t.begin();
    t.parts();
    let link = t.arrives();
    t.is_told();
    t.down(0, &opened(1, false, b"t2"));
    t.wait(10);
    t.passes_up(0, link, 2);
    t.leaves(0, link);
    assert_eq!(t.finish().err(), None);
}

pub(super) const BAD: &[Bad] = &[
    (&rules::M_UNASKED, |t| {
        t.begin();
        t.part(0);
    }),
    (&rules::M_STATE, |t| {
        t.begin();
        t.parts();
        let link = t.link(0, 1, 0);
        t.to(link, &arrival(2, b"other cards"));
    }),
    (&rules::M_TWICE, |t| {
        t.begin();
        t.parts();
        t.arrives();
        let link = t.link(0, 1, 0);
        t.to(link, &arrival(3, STATE));
    }),
    (&rules::M_LARGE, |t| {
        let state = [7; 65_537];
        t.begin();
        t.asks_for_a_move();
        t.part(0);
        t.gives(0, &state);
        let link = t.link(0, 1, 0);
        t.to(link, &arrival(2, &state));
    }),
    (&rules::M_EPOCH, |t| {
        t.begin();
        t.parts();
        let link = t.link(0, 1, 0);
        t.to(link, &arrival(1, STATE));
    }),
    (&rules::M_MOVED, |t| {
        t.begin();
        t.parts();
        t.arrives();
        t.to(0, &moved(502));
    }),
    (&rules::M_UNTOLD, |t| {
        t.begin();
        t.parts();
        t.arrives();
    }),
    (&rules::M_ORDER, |t| {
        t.begin();
        t.backend_sends(payload_down(2));
        t.from(0, &link_data(payload_down(2)));
        t.parts();
        let link = t.arrives();
        t.is_told();
        let first = Payload {
            backend: 1,
            ..payload_down(1)
        };
        t.see(&Seen::BackendSent {
            backend: 1,
            service: SERVICES[0],
            session_id: ID,
            payload: &first.encode(),
            multicast: false,
            written: true,
        });
        t.from(link, &link_data(first));
        t.down(0, &frame(header(Kind::Data), SERVICES[0], &first.encode()));
        t.told(first);
        t.down(0, &data_down(2));
        t.told(payload_down(2));
    }),
    (&rules::M_UNANSWERED, |t| {
        t.begin();
        t.asks_for_a_move();
        t.wait(100_000);
        t.passes_up(0, 0, 2);
    }),
    (&rules::M_AGAIN, |t| {
        t.begin();
        t.parts();
        t.arrives();
        t.is_told();
        t.to(0, &moved(409));
    }),
    (&rules::M_OPENED, |t| {
        t.begin();
        t.wait(1_000);
        t.parts();
        t.arrives();
        t.is_told();
        t.wait(1_000);
        t.passes_up(0, 1, 2);
    }),
    (&rules::BANNED, |t| {
        t.begin();
        t.from(0, &bind(7));
        t.see(&Seen::Banned {
            gateway: 0,
            user_id: 7,
            on: true,
        });
        t.wait(1_000);
        t.passes_up(0, 0, 2);
    }),
    (&rules::M_ASSIGNED, |t| {
        t.begin();
        let mut assign = Vec::new();
        let (service, endpoint) = (SERVICES[1], "10.0.1.1:7000");
        Assign { service, endpoint }.encode(&mut assign);
        t.from(0, &on_link(LinkKind::Assign, ID, &assign));
        t.to(0, &moved(0));
        let link = t.link(0, 0, 1);
        t.to(link, &open(1, false));
    }),
    (&rules::M_SUSPEND, |t| {
        t.begin();
        t.breaks(0, 0);
        t.parts();
        t.arrives();
        t.is_told();
    }),
    (&rules::M_SUSPEND, |t| {
        t.begin();
        t.breaks(0, 0);
        t.asks_for_a_move();
        t.part(0);
        t.gives(0, &[7; 65_537]);
        t.to(0, &open(2, true));
        t.to(0, &moved(413));
        t.learns_of(0, 2, true);
        let code = Code(413);
        t.learns(0, BackendLearns::Moved { code });
        t.from(0, &accept(2));
    }),
];
