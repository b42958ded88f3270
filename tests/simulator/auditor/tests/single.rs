//! Breaches within one connection and one link.

use game_gateway::codec::client::Kind;
use game_gateway::codec::code::Code;
use game_gateway::sdk::client::Told;
use game_gateway::sdk::client::session::{End, Event};

use super::Bad;
use super::trace::*;
use crate::auditor::rules;
use crate::wire::{BackendLearns, Seen, Side, WireEvent};

fn garbage() -> WireEvent<'static> {
    let (from, bytes) = (Side::Gateway, &[9; 40]);
    WireEvent::Sent { from, bytes }
}

/// Two frames have arrived at gateway 0, and only there.
fn two_read(t: &mut Trace) {
    t.begin();
    for number in [2, 3] {
        t.send(number, 0);
        t.up(0, &data_up(number));
    }
}

/// Two frames are on their way to the player.
fn two_sent(t: &mut Trace) {
    t.begin();
    for number in [2, 3] {
        t.backend_sends(payload_down(number));
        t.from(0, &link_data(payload_down(number)));
    }
}

pub(super) const BAD: &[Bad] = &[
    (&rules::UP_TWICE, |t| {
        t.begin();
        t.passes_up(0, 0, 2);
        t.to(0, &link_data(payload_up(0, 2, 0)));
        t.got(0, payload_up(0, 2, 0));
    }),
    (&rules::UP_ORDER, |t| {
        two_read(t);
        for number in [3, 2] {
            t.to(0, &link_data(payload_up(0, number, 0)));
            t.got(0, payload_up(0, number, 0));
        }
    }),
    (&rules::UP_LOST, |t| {
        two_read(t);
        t.to(0, &link_data(payload_up(0, 3, 0)));
        t.got(0, payload_up(0, 3, 0));
        t.leaves(0, 0);
    }),
    (&rules::UP_STRANGE, |t| {
        t.begin();
        t.to(0, &link_data(payload_up(1, 1, 0)));
    }),
    (&rules::DOWN_TWICE, |t| {
        t.begin();
        t.passes_down(0, 0, 2);
        t.told(payload_down(2));
    }),
    (&rules::DOWN_ORDER, |t| {
        two_sent(t);
        t.told(payload_down(3));
        t.told(payload_down(2));
    }),
    (&rules::DOWN_LOST, |t| {
        two_sent(t);
        t.down(0, &data_down(3));
        t.told(payload_down(3));
        t.leaves(0, 0);
    }),
    (&rules::DOWN_STRANGE, |t| {
        t.begin();
        t.told(payload_down(9));
    }),
    (&rules::DOWN_REALM, |t| {
        two_sent(t);
        let mut header = header(Kind::Data);
        header.realm_id = 5;
        t.down(0, &frame(header, SERVICES[0], &payload_down(2).encode()));
    }),
    (&rules::LOSS_UNTOLD, |t| {
        t.begin();
        t.lose(0);
        t.see(&Seen::Quiet);
        t.wait(100);
        t.see(&Seen::Closing);
    }),
    (&rules::ERROR_UNFOUNDED, |t| {
        t.begin();
        t.down(0, &error(502));
    }),
    (&rules::END_UNFOUNDED, |t| {
        t.begin();
        t.tell(&Event::Ended(End::Closed(Told {
            code: Code(410),
            retry_after: std::time::Duration::ZERO,
            service: String::new(),
            text: String::new(),
        })));
    }),
    (&rules::C_FRAMING, |t| {
        t.begin();
        t.client(0, garbage());
    }),
    (&rules::C_AFTER_CLOSE, |t| {
        two_sent(t);
        t.down(0, &close(500));
        t.down(0, &data_down(2));
    }),
    (&rules::C_FIRST, |t| {
        t.connect(0, 0);
        t.send(1, 0);
        t.up(0, &data_up(1));
        t.down(0, &data_down(1));
    }),
    (&rules::C_PLAIN, |t| {
        t.connect(0, 0);
        t.send(1, 0);
        let payload = payload_up(0, 1, 0).encode();
        t.up(0, &frame(header(Kind::Data), SERVICES[0], &payload));
        t.down(0, &opened(1, false, b"t1"));
    }),
    (&rules::C_DATA, |t| {
        two_sent(t);
        let mut header = header(Kind::Data);
        header.session_id = 8;
        t.down(0, &frame(header, SERVICES[0], &payload_down(2).encode()));
    }),
    (&rules::C_GAP_FLAG, |t| {
        t.begin();
        t.down(0, &opened(1, true, b"t2"));
    }),
    (&rules::C_RECEIVED, |t| {
        t.begin();
        t.down(0, &opened(5, false, b"t2"));
    }),
    (&rules::C_GOAWAY, |t| {
        t.begin();
        t.down(0, &frame(header(Kind::Goaway), "", &[0, 0, 0, 9]));
    }),
    (&rules::C_REPLACED, |t| {
        t.begin();
        t.down(0, &close(205));
    }),
    (&rules::C_FORBIDDEN, |t| {
        t.begin();
        t.down(0, &error(403));
    }),
    (&rules::C_BOUND, |t| {
        t.begin();
        t.from(0, &bind(42, 0));
        t.wait(5);
        t.send(2, 0);
        let mut header = header(Kind::Data);
        header.user_id = 43;
        let payload = payload_up(0, 2, 0);
        t.up(0, &frame(header, SERVICES[0], &payload.encode()));
        t.to(0, &link_data(payload));
    }),
    (&rules::L_FRAMING, |t| {
        t.begin();
        t.on(0, garbage());
    }),
    (&rules::L_KIND, |t| {
        t.begin();
        t.to(0, &accept(1));
    }),
    (&rules::L_IDENTITY, |t| {
        t.begin();
        t.from(0, &bind(42, 0));
        t.wait(1_000);
        let link = t.link(0, 1, 0);
        t.lose(0);
        t.to(link, &open(1, false));
    }),
    (&rules::L_IDENTITY, |t| {
        t.binds_in_a_claim();
        t.wait(1_000);
    }),
    (&rules::L_BOUND, |t| {
        t.begin();
        t.from(0, &bind(42, 0));
        t.wait(1_000);
        t.to(0, &bound(43, 0));
    }),
    (&rules::L_DATA_CLOSED, |t| {
        two_read(t);
        let link = t.link(0, 1, 0);
        t.to(link, &link_data(payload_up(0, 2, 0)));
    }),
    (&rules::L_OPEN_TWICE, |t| {
        t.begin();
        t.to(0, &open(1, false));
    }),
    (&rules::L_OPEN_RESUMED, |t| {
        t.begin();
        t.to(0, &open(2, true));
    }),
    (&rules::L_TWO_LINKS, |t| {
        t.begin();
        let link = t.link(0, 0, 0);
        t.to(link, &open(1, false));
    }),
    (&rules::L_307_UNASKED, |t| {
        t.begin();
        t.to(0, &link_close(307));
    }),
    (&rules::L_CLOSE_TWICE, |t| {
        t.begin();
        t.to(0, &link_close(0));
        t.to(0, &link_close(0));
    }),
    (&rules::L_CLOSE_STRAY, |t| {
        t.begin();
        let link = t.link(0, 1, 0);
        t.to(link, &link_close(0));
    }),
    (&rules::L_SUSPEND, |t| {
        t.begin();
        t.to(0, &suspend());
    }),
    (&rules::L_LEFT_OVER, |t| {
        t.begin();
        t.up(0, &close(0));
        t.cut(0);
        t.tell(&Event::Ended(End::Local));
    }),
    (&rules::L_NO_SUSPEND, |t| {
        t.begin();
        t.cut(0);
        t.wait(5_000);
        t.see(&Seen::Quiet);
        t.wait(1);
        t.see(&Seen::Closing);
    }),
    // Frames that wait for their link go first, but not for ever.
    (&rules::L_NO_SUSPEND, |t| {
        two_read(t);
        t.cut(0);
        for _ in 0..10 {
            t.wait(2_000);
            t.see(&Seen::Quiet);
        }
    }),
    (&rules::B_307, |t| {
        t.begin();
        t.from(0, &link_close(307));
    }),
    (&rules::B_APPLICATION, |t| {
        t.begin();
        t.got(0, payload_up(0, 1, 0));
    }),
    (&rules::B_WINDOW, |t| {
        t.begin();
        t.breaks(0, 0);
        let code = Code(408);
        t.learns(0, BackendLearns::Ended { code });
    }),
    (&rules::S_APPLICATION, |t| {
        t.begin();
        t.told_resumed(false);
    }),
];
