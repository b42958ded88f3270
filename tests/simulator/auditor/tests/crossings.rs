//! Traces in which frames cross, and all is well although it does not look so.

use game_gateway::codec::code::Code;
use game_gateway::codec::link::{Assign, Kind as LinkKind};

use super::moves::{STATE, arrival, moved};
use super::trace::*;
use crate::wire::{BackendLearns, Payload, Seen, Side, WireEvent};

fn passes(write: impl FnOnce(&mut Trace)) {
    let mut trace = Trace::new();
    write(&mut trace);
    // What is due is due by now.
    trace.wait(60_000);
    trace.see(&Seen::Slow);
    assert_eq!(trace.broken(), None);
}

/// A frame of the new backend.
fn from_new(number: u64) -> Payload {
    Payload {
        backend: 1,
        ..payload_down(number)
    }
}

impl Trace {
    fn gets_back(&mut self, link: usize, epoch: u32, code: u16) {
        self.to(link, &open(epoch, true));
        self.to(link, &moved(code));
        let backend = usize::from(link == 1);
        self.learns_of(link, epoch, true);
        let code = Code(code);
        self.learns(backend, BackendLearns::Moved { code });
        self.from(link, &accept(epoch));
    }

    /// The new backend sends a frame, which goes nowhere yet.
    fn new_sends(&mut self, number: u64) {
        self.see(&Seen::BackendSent {
            backend: 1,
            service: SERVICES[0],
            session_id: ID,
            payload: &from_new(number).encode(),
            multicast: false,
            written: true,
        });
    }

    /// A gateway's frame is sent, and does not arrive for now.
    fn says_only(&mut self, link: usize, bytes: &[u8]) {
        let from = Side::Gateway;
        self.on(link, WireEvent::Sent { from, bytes });
    }

    /// A backend's frame is sent, and does not arrive for now.
    fn says_back(&mut self, link: usize, bytes: &[u8]) {
        let from = Side::Remote;
        self.on(link, WireEvent::Sent { from, bytes });
    }

    /// All that was sent before must have come through.
    fn settles(&mut self) {
        self.wait(5_000);
        self.see(&Seen::Quiet);
        self.wait(1);
        self.see(&Seen::Closing);
    }
}

/// The final CLOSE waits on a full link, and the new backend does not know that it was given up.
#[test]
fn a_new_backend_that_was_given_up_speaks_in_vain() {
    passes(|t| {
        t.begin();
        t.parts();
        let link = t.offers();
        t.see(&Seen::LinkFull { link: link as u64 });
        t.wait(2_001);
        t.gets_back(0, 3, 502);
        t.down(0, &opened(1, false, b"t2"));
        t.new_sends(1);
        t.from(link, &accept(2));
        t.from(link, &link_data(from_new(1)));
        t.settles();
        t.leaves(0, 0);
    });
}

/// It is offered the session again, and does not know yet that it was too late for the first time.
#[test]
fn a_new_backend_that_was_too_late_refuses_the_next_offer() {
    passes(|t| {
        t.begin();
        t.parts();
        let link = t.offers();
        t.wait(2_001);
        t.gets_back(0, 3, 502);
        t.down(0, &opened(1, false, b"t2"));
        t.new_sends(1);
        let early = [accept(2), link_data(from_new(1))].concat();
        t.says_back(link, &early);
        t.to(link, &link_close(502));
        t.learns(1, BackendLearns::Ended { code: Code(502) });
        t.asks_for_a_move();
        t.part(0);
        t.gives(0, b"more cards");
        t.to(link, &arrival(4, b"more cards"));
        t.see(&Seen::BackendTakes {
            backend: 1,
            service: SERVICES[0],
            session_id: ID,
            state: b"more cards",
            refused: Some(Code(4_000)),
        });
        let (to, bytes) = (Side::Gateway, &early[..]);
        t.on(link, WireEvent::Delivered { to, bytes });
        t.from(link, &link_close(4_000));
        t.gets_back(0, 5, 4_000);
        t.down(0, &opened(1, false, b"t3"));
        t.settles();
    });
}

/// The link is lost before its gateway can say that it does not have the session there.
#[test]
fn a_backend_speaks_while_its_final_close_is_on_its_way() {
    passes(|t| {
        t.begin();
        t.breaks(0, 0);
        t.backend_sends(payload_down(2));
        t.from(0, &link_data(payload_down(2)));
        let conn = t.asks(1, 1, b"t1");
        let link = t.link(1, 0, 0);
        t.says_only(link, &open(2, true));
        t.wait(2_001);
        t.to(0, &link_close(307));
        t.from(0, &link_close(307));
        t.down(conn, &opened(1, false, b"t2"));
        t.told_resumed(false);
        t.down(conn, &error(502));
        t.told_error(502);
        t.down(conn, &data_down(2));
        t.told(payload_down(2));
        t.says_only(link, &link_close(502));
        let (to, bytes) = (Side::Remote, &open(2, true)[..]);
        t.on(link, WireEvent::Delivered { to, bytes });
        t.learns_of(link, 2, true);
        t.says_back(link, &accept(2));
        t.backend_sends(payload_down(3));
        t.says_back(link, &link_data(payload_down(3)));
        t.lose(link);
        t.settles();
    });
}

/// An owner that cannot be asked gives a session back in an epoch more than the one that its player has elsewhere.
#[test]
fn an_owner_that_was_passed_over_takes_a_backend_back() {
    passes(|t| {
        t.begin();
        t.parts();
        t.see(&Seen::PeersParted {
            gateways: (0, 1),
            until: u64::MAX,
        });
        t.breaks_unseen(0);
        let conn = t.asks(1, 1, b"t1");
        let link = t.link(1, 0, 0);
        t.opens(link, 2, true);
        t.down(conn, &opened(0, true, b"t2"));
        t.told_resumed(true);
        t.wait(2_000);
        t.gets_back(0, 3, 502);
        t.to(0, &suspend());
        t.learns(0, BackendLearns::Suspended);
        t.send(2, 0);
        t.up(conn, &data_up(2));
        t.to(0, &link_close(0));
        let code = Code(0);
        t.learns(0, BackendLearns::Ended { code });
        t.to(link, &link_data(payload_up(0, 2, 0)));
        t.settles();
    });
}

/// It is moved on before its SUSPEND is due, and comes back.
#[test]
fn a_session_that_goes_on_at_once_is_suspended_where_it_ends_up() {
    passes(|t| {
        let state = [7; 65_537];
        t.begin();
        t.breaks(0, 0);
        t.parts();
        let link = t.arrives();
        t.is_told();
        t.to(link, &suspend());
        t.learns(1, BackendLearns::Suspended);
        t.asks_to_go(link, "10.0.0.0:7000");
        t.part(link);
        t.wait(101);
        t.gives(link, &state);
        t.to(link, &open(3, true));
        t.to(link, &moved(413));
        t.learns_of(link, 3, true);
        let code = Code(413);
        t.learns(1, BackendLearns::Moved { code });
        t.wait(101);
        t.from(link, &accept(3));
        t.to(link, &suspend());
        t.learns(1, BackendLearns::Suspended);
    });
}

/// "… bans it": not a claim that fails, but the session's end.
#[test]
fn a_claim_of_a_user_who_turns_out_to_be_banned_ends_the_session() {
    passes(|t| {
        t.begin();
        t.breaks(0, 0);
        t.see(&Seen::Banned {
            gateway: 1,
            user_id: 42,
            on: true,
        });
        let conn = t.asks(1, 1, b"t1");
        let link = t.link(1, 0, 0);
        t.opens(link, 2, true);
        t.wait(200);
        t.from(link, &bind(42, 0));
        t.down(conn, &close(440));
        t.to(link, &link_close(440));
        let code = Code(440);
        t.learns(0, BackendLearns::Ended { code });
    });
}

/// Its final CLOSE waits on a full link: what it binds meanwhile is refused.
#[test]
fn a_backend_that_was_replaced_binds_nothing() {
    passes(|t| {
        t.begin();
        let old = t.link(0, 0, 1);
        t.to(old, &open(1, false));
        t.see(&Seen::LinkFull { link: old as u64 });
        let mut assign = Vec::new();
        let (service, endpoint) = (SERVICES[1], "10.0.1.1:7000");
        Assign { service, endpoint }.encode(&mut assign);
        t.from(0, &on_link(LinkKind::Assign, ID, &assign));
        t.to(0, &moved(0));
        let code = Code::NORMAL;
        t.learns(0, BackendLearns::Moved { code });
        let new = t.link(0, 1, 1);
        t.to(new, &open(1, false));
        t.from(old, &bind(42, 0));
        t.wait(1_000);
        t.lose(0);
        let link = t.link(0, 1, 0);
        t.to(link, &open(1, false));
        t.learns_of(link, 1, false);
    });
}

/// BOUND follows an OPEN that was made before, and has waited for its link.
#[test]
fn a_bind_comes_while_a_claim_waits_for_a_link() {
    passes(|t| {
        let link = t.binds_in_a_claim();
        t.to(link, &bound(42, 0));
        t.wait(1_000);
    });
}

/// A backend of another service has said that the session has gone on elsewhere: nothing more is said of it.
#[test]
fn an_owner_that_learns_in_a_move_that_it_was_passed_over_is_silent() {
    passes(|t| {
        t.begin();
        let chat = t.link(0, 1, 1);
        t.to(chat, &open(1, false));
        t.transfers(chat);
        t.parts();
        t.asks_to_go(chat, "10.0.0.1:7000");
        t.breaks_unseen(0);
        t.asks(1, 1, b"t1");
        let link = t.link(1, 1, 1);
        t.to(link, &open(2, true));
        t.from(link, &accept(2));
        t.part(chat);
        t.from(chat, &link_close(410));
        t.wait(10_000);
        t.see(&Seen::Quiet);
    });
}

impl Trace {
    /// A session with two services is claimed, and a BIND comes while one of them waits for its link; its OPEN is said
    /// without. Returns that link.
    pub(super) fn binds_in_a_claim(&mut self) -> usize {
        self.begin();
        let chat = self.link(0, 0, 1);
        self.to(chat, &open(1, false));
        self.breaks(0, 0);
        self.to(chat, &suspend());
        self.asks(1, 1, b"t1");
        let link = self.link(1, 0, 0);
        self.opens(link, 2, true);
        self.from(link, &bind(42, 0));
        self.wait(1_000);
        let link = self.link(1, 0, 1);
        self.to(link, &open(2, true));
        link
    }

    /// The new backend is offered the session, and has it; nobody else knows. Returns its link.
    pub(super) fn offers(&mut self) -> usize {
        let link = self.link(0, 1, 0);
        self.to(link, &arrival(2, STATE));
        self.see(&Seen::BackendTakes {
            backend: 1,
            service: SERVICES[0],
            session_id: ID,
            state: STATE,
            refused: None,
        });
        self.learns_of(link, 2, false);
        link
    }

    /// The connection breaks while its backend is not to be told.
    fn breaks_unseen(&mut self, conn: usize) {
        self.cut(conn);
        self.tell(&game_gateway::sdk::client::session::Event::Interrupted);
    }
}
