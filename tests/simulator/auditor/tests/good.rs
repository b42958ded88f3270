//! Traces in which all is well.

use game_gateway::codec::code::Code;
use game_gateway::sdk::client::session::{End, Event};

use super::trace::*;
use crate::wire::{BackendLearns, Report, Seen};

fn passes(write: impl FnOnce(&mut Trace)) -> Report {
    let mut trace = Trace::new();
    write(&mut trace);
    trace.finish().expect("nothing is wrong")
}

#[test]
fn a_session_from_first_to_last_frame() {
    let report = passes(|t| {
        t.begin();
        t.passes_up(0, 0, 2);
        t.passes_down(0, 0, 2);
        t.leaves(0, 0);
    });
    assert_eq!((report.frames_up, report.frames_down), (2, 2));
}

#[test]
fn a_resume_where_it_was() {
    let report = passes(|t| {
        t.begin();
        t.breaks(0, 0);
        // Sent while the player is away, and replayed.
        t.backend_sends(payload_down(2));
        t.from(0, &link_data(payload_down(2)));
        let conn = t.asks(0, 1, b"t1");
        t.opens(0, 2, true);
        t.down(conn, &opened(1, false, b"t2"));
        t.told_resumed(false);
        t.down(conn, &data_down(2));
        t.told(payload_down(2));
        t.passes_up(conn, 0, 2);
        t.leaves(conn, 0);
    });
    assert_eq!((report.resumes_exact, report.resumes_gap), (1, 0));
}

#[test]
fn a_handover() {
    let report = passes(|t| {
        t.moves();
        t.passes_up(1, 1, 2);
        t.passes_down(1, 1, 2);
        t.leaves(1, 1);
    });
    assert_eq!(report.resumes_exact, 1);
}

#[test]
fn a_gateway_that_dies_is_told_as_a_gap() {
    let report = passes(|t| {
        t.begin();
        t.send(2, 0);
        t.up(0, &data_up(2));
        t.see(&Seen::GatewayDied { gateway: 0 });
        t.cut(0);
        t.lose(0);
        t.tell(&Event::Interrupted);
        let conn = t.asks(1, 1, b"t1");
        let link = t.link(1, 0, 0);
        t.opens(link, 2, true);
        t.down(conn, &opened(0, true, b"t2"));
        t.told_resumed(true);
        t.passes_up(conn, link, 3);
        t.leaves(conn, link);
    });
    assert_eq!(report.resumes_gap, 1);
}

#[test]
fn a_lost_link_is_told() {
    passes(|t| {
        t.begin();
        t.send(2, 0);
        t.up(0, &data_up(2));
        t.backend_sends(payload_down(2));
        t.lose(0);
        t.down(0, &error(502));
        t.told_error(502);
        let link = t.link(0, 0, 0);
        t.to(link, &open(1, false));
        t.learns_of(link, 1, true);
        t.passes_up(0, link, 3);
        t.passes_down(0, link, 3);
        t.leaves(0, link);
    });
}

#[test]
fn a_window_ends() {
    passes(|t| {
        t.begin();
        t.breaks(0, 0);
        t.wait(30_000);
        let code = Code(408);
        t.to(0, &link_close(408));
        t.learns(0, BackendLearns::Ended { code });
        let conn = t.asks(0, 1, b"t1");
        t.down(conn, &close(410));
        let told = game_gateway::sdk::client::Told {
            code: Code(410),
            retry_after: std::time::Duration::ZERO,
            service: String::new(),
            text: String::new(),
        };
        t.tell(&Event::Ended(End::Closed(told)));
    });
}

#[test]
fn a_multicast_reaches_each_session_once() {
    let payload = crate::wire::Payload {
        player: u32::MAX,
        ..payload_down(1)
    };
    passes(|t| {
        t.begin();
        t.backend_sends(payload);
        t.from(0, &multicast(&[ID], payload));
        let header = header(game_gateway::codec::client::Kind::Data);
        t.down(0, &frame(header, SERVICES[0], &payload.encode()));
        t.told(payload);
        t.leaves(0, 0);
    });
}
