//! Breaches in resumes and handovers.

use game_gateway::codec::code::Code;

use super::Bad;
use super::trace::*;
use crate::auditor::rules;
use crate::wire::{BackendLearns, Side, WireEvent};

/// The session waits for its player, and gateway 0 has sent OPEN for a resume.
fn reopened(t: &mut Trace) {
    t.begin();
    t.breaks(0, 0);
    t.asks(0, 1, b"t1");
    t.to(0, &open(2, true));
    let (epoch, resumed) = (2, true);
    t.learns(0, BackendLearns::Opened { epoch, resumed });
}

/// Gateway 1 has opened the session for a resume, and its backend has taken that.
fn claimed(t: &mut Trace) -> usize {
    t.begin();
    let conn = t.asks(1, 1, b"t1");
    let link = t.link(1, 0, 0);
    t.opens(link, 2, true);
    conn
}

pub(super) const BAD: &[Bad] = &[
    (&rules::GAP_UNFOUNDED, |t| {
        reopened(t);
        t.from(0, &accept(2));
        t.down(1, &opened(0, true, b"t2"));
    }),
    (&rules::TOKEN_USED, |t| {
        t.moves();
        t.passes_up(1, 1, 2);
        t.wait(5);
        let conn = t.asks(1, 1, b"t1");
        t.opens(1, 3, true);
        t.down(conn, &opened(2, false, b"t3"));
    }),
    // The link of a claim that has failed is late, and is not left again.
    (&rules::L_TWO_LINKS, |t| {
        t.begin();
        let failed = t.asks(1, 1, b"t1");
        t.down(failed, &close(503));
        t.asks(1, 1, b"t1");
        let link = t.link(1, 0, 0);
        t.opens(link, 2, true);
        let late = t.link(1, 0, 0);
        t.to(late, &open(2, true));
        t.wait(500);
    }),
    (&rules::TOKEN_FORGED, |t| {
        t.begin();
        t.breaks(0, 0);
        let conn = t.asks(0, 1, b"forged");
        t.down(conn, &opened(1, false, b"t2"));
    }),
    (&rules::OPENED_EARLY, |t| {
        reopened(t);
        t.down(1, &opened(1, false, b"t2"));
    }),
    (&rules::ERROR_OWED, |t| {
        reopened(t);
        t.wait(2_000);
        t.to(0, &link_close(502));
        let code = Code(502);
        t.learns(0, BackendLearns::Ended { code });
        t.down(1, &opened(1, false, b"t2"));
        t.wait(1);
        t.down(1, &data_down(1));
    }),
    (&rules::C_OLD_STANDS, |t| {
        t.begin();
        let conn = t.asks(0, 1, b"t1");
        t.opens(0, 2, true);
        t.down(conn, &opened(1, false, b"t2"));
    }),
    (&rules::L_CLAIM_CLOSED, |t| {
        let conn = claimed(t);
        t.down(conn, &close(503));
        t.to(1, &link_close(502));
    }),
    (&rules::L_OVERTAKEN, |t| {
        let conn = t.connect(0, 0);
        t.send(1, 0);
        t.up(conn, &data_up(1));
        t.down(conn, &opened(1, false, b"t1"));
        t.link(0, 0, 0);
        let (from, bytes) = (Side::Gateway, &open(1, false));
        t.on(0, WireEvent::Sent { from, bytes });
        t.asks(1, 0, b"t1");
        let link = t.link(1, 0, 0);
        t.to(link, &open(2, true));
    }),
    (&rules::LEFT_EARLY, |t| {
        let conn = claimed(t);
        t.to(0, &link_close(307));
        t.down(conn, &opened(1, false, b"t2"));
    }),
    (&rules::TWO_OWNERS, |t| {
        let conn = claimed(t);
        t.to(0, &link_close(307));
        t.from(0, &link_close(307));
        t.down(conn, &opened(1, false, b"t2"));
        t.backend_sends(payload_down(2));
        t.from(1, &link_data(payload_down(2)));
        t.down(0, &data_down(2));
    }),
    (&rules::EPOCH_SKIPPED, |t| {
        t.begin();
        t.breaks(0, 0);
        t.asks(0, 1, b"t1");
        t.to(0, &open(3, true));
    }),
    (&rules::EPOCH_TWICE, |t| {
        t.moves();
        // Gateway 0 was told the old token, and opens in an epoch that is taken.
        t.asks(0, 1, b"t1");
        let link = t.link(0, 0, 0);
        t.to(link, &open(2, true));
        t.from(link, &accept(2));
    }),
    (&rules::L_DATA_EARLY, |t| {
        reopened(t);
        t.send(2, 0);
        t.up(1, &data_up(2));
        t.to(0, &link_data(payload_up(0, 2, 0)));
    }),
    (&rules::L_AFTER_307, |t| {
        claimed(t);
        t.to(0, &link_close(307));
        t.to(0, &suspend());
    }),
    (&rules::B_ACCEPT, |t| {
        reopened(t);
        t.backend_sends(payload_down(2));
        t.from(0, &link_data(payload_down(2)));
    }),
    (&rules::B_LINK, |t| {
        t.moves();
        t.backend_sends(payload_down(2));
        t.from(0, &link_data(payload_down(2)));
    }),
];
