//! Every rule that a run is held against: its name, where the protocol has it, and what that says.

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// Section of docs/protocol.md.
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
}

macro_rules! rules {
    ($($id:ident, $name:literal, $section:literal, $says:literal;)*) => {
        $(pub(crate) const $id: Rule = Rule { name: $name, section: $section, says: $says };)*
        pub(crate) const ALL: &[&Rule] = &[$(&$id),*];
    };
}

rules! {
    // Both ways, end to end.
    UP_TWICE, "frame to a backend twice", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    UP_ORDER, "frames to a backend reordered", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    UP_LOST, "frame to a backend lost untold", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    UP_STRANGE, "frame to a backend of another session", "2.3", "a session's DATA goes to that session's service alone";
    DOWN_TWICE, "frame to a player twice", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    DOWN_ORDER, "frames to a player reordered", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    DOWN_LOST, "frame to a player lost untold", "3.2", "nothing is lost, doubled or reordered, or the client is told";
    DOWN_STRANGE, "answer of another session", "1.2", "session_id and service_type are those of the session and of the service that answers";
    DOWN_REALM, "DATA with another realm", "1.2", "realm_id is that of the session";
    LOSS_UNTOLD, "lost link untold", "3.1", "when a link is lost, each session bound over it gets one ERROR 502 with that service_type";
    GAP_UNFOUNDED, "GAP without a reason", "3.2", "GAP where the resume could not be exact: a lost link, a late answer, an owner that is gone, a ring that is too small";
    ERROR_UNFOUNDED, "ERROR 502 without a reason", "1.4", "502: the backend cannot be reached, or its link was lost";
    END_UNFOUNDED, "session ended without a reason", "3.2", "a session ends by its client, a backend, an operator, or when its window is over";

    // The connection of a client.
    C_FRAMING, "bytes to a client that are no frames", "1.1", "a frame is header and body";
    C_AFTER_CLOSE, "frame behind CLOSE", "1.2", "CLOSE is the last frame of its sender";
    C_FIRST, "frame before OPENED", "3.1", "a RESUMABLE client gets OPENED before anything else";
    C_PLAIN, "OPENED or GOAWAY to a plain client", "1.3", "a client that does not set RESUMABLE sees only DATA, PONG, ERROR, CLOSE";
    C_DATA, "DATA that is not the session's", "1.2", "session_id, service_type are those of the session and of the service that answers; user_id is 0";
    C_GAP_FLAG, "GAP in an OPENED that answers no RESUME", "1.3", "GAP: this resume could not be exact";
    C_RECEIVED, "received is wrong", "1.2", "received: how many DATA frames the session has taken from this client";
    C_GOAWAY, "GOAWAY without a drain", "3.3", "a draining gateway sends each RESUMABLE client a GOAWAY";
    C_REPLACED, "CLOSE 205 without a resume", "1.4", "205: the session was resumed on another connection";
    C_OLD_STANDS, "old connection not closed", "3.2", "the owner attaches the session to the new connection and closes the old one (205)";
    C_FORBIDDEN, "ERROR 403 without a contradiction", "1.4", "403: user_id or realm_id contradicts what the session is bound to";
    C_BOUND, "contradiction forwarded", "2.2", "from BIND on the gateway holds the client to it";

    // Resumes and owners.
    TOKEN_USED, "used token was good", "3.2", "a used, forged or expired token: CLOSE 410";
    TOKEN_FORGED, "unknown token was good", "3.2", "a used, forged or expired token: CLOSE 410";
    OPENED_EARLY, "OPENED before the last ACCEPT", "3.2", "the gateway waits for each ACCEPT, then answers OPENED";
    ERROR_OWED, "dropped binding untold", "3.2", "a binding that is dropped: ERROR 502 for it behind OPENED";
    LEFT_EARLY, "handed over before CLOSE 307 was answered", "3.2", "the owner leaves its links in order, then hands over; where a CLOSE 307 is not answered OPENED has the flag GAP";
    TWO_OWNERS, "word of a gateway that handed over", "3.2", "the owner hands over, closes its client (205) and forgets the session";
    EPOCH_SKIPPED, "epoch not raised by one", "3.2", "OPEN (resumed, epoch + 1)";
    EPOCH_TWICE, "epoch taken from two gateways", "2.3", "epoch equal and from another gateway: CLOSE 410";

    // A gateway on its links.
    L_FRAMING, "bytes on a link that are no frames", "2.1", "a frame is header and body";
    L_KIND, "kind that a gateway does not send", "2.2", "kinds have a direction";
    L_IDENTITY, "OPEN without the bound ids", "2.2", "BIND: who this session is; the gateway routes by it";
    L_BOUND, "BOUND without a BIND", "2.2", "BOUND: to every other backend that has the session open, when a BIND has changed it";
    L_DATA_CLOSED, "DATA without OPEN", "2.2", "OPEN before a session's first DATA on this link";
    L_DATA_EARLY, "DATA before ACCEPT", "3.2", "OPEN to each bound backend, each ACCEPT, OPENED, and only then what the new connection brings";
    L_OPEN_TWICE, "second OPEN", "3.1", "each backend sees one OPEN; more only by resume or after a lost link";
    L_OPEN_RESUMED, "OPEN (resumed) without RESUME", "2.2", "the flag resumed: this OPEN follows a resume";
    L_TWO_LINKS, "two links for one backend", "2.4", "a session uses one link for each backend at a time";
    L_AFTER_307, "frame behind CLOSE 307", "2.4", "after 307 a gateway sends nothing more for that session on that link";
    L_307_UNASKED, "CLOSE 307 without a claim", "2.4", "307: the session goes on elsewhere";
    L_CLOSE_TWICE, "second final CLOSE", "3.1", "each backend sees one OPEN, then one final CLOSE, whatever happens";
    L_CLOSE_STRAY, "CLOSE of a session that was not open", "2.3", "CLOSE to a backend ends a session that it has, or answers its frame";
    L_CLAIM_CLOSED, "final CLOSE of a claim that failed", "3.2", "links whose OPEN was taken, or may still be, by a resume that then fails are left with CLOSE 307";
    L_OVERTAKEN, "OPEN of a resume before the session's first", "7, f", "the owner first makes sure that every backend has taken its OPEN";
    L_SUSPEND, "SUSPEND with a connection", "2.2", "SUSPEND: the client's connection is lost";
    L_LEFT_OVER, "session left over at a backend", "3.1", "one OPEN, then one final CLOSE, or the end of its window";
    L_NO_SUSPEND, "lost connection untold to a backend", "3.2", "when a connection breaks without CLOSE the gateway sends SUSPEND";

    // Moves.
    M_UNASKED, "move that nobody asked for", "2.5", "because a matchmaker says so (ASSIGN), because its own backend does (TRANSFER), or because that one leaves";
    M_STATE, "state lost or changed", "2.5", "the state at its end";
    M_TWICE, "state offered twice", "2.5", "refused, or not answered: the old backend gets the session back";
    M_LARGE, "state over the limit", "2.5", "the state: opaque, at most 65,536 bytes";
    M_EPOCH, "epoch of a move not raised", "2.5", "OPEN with the flag transferred, the epoch raised by one";
    M_MOVED, "MOVED with another code", "2.5", "MOVED with the reason";
    M_UNTOLD, "end of a move untold", "2.5", "the old backend gets MOVED";
    M_ORDER, "old backend behind the new one", "2.5", "the client has the old one's last DATA before the new one's first";
    M_UNANSWERED, "ASSIGN or TRANSFER unanswered", "2.5", "MOVED: how its ASSIGN or TRANSFER ended";
    M_AGAIN, "MOVED without an ASSIGN or TRANSFER", "2.5", "MOVED comes when that has ended, to the one that asked and to the one that had it";
    M_OPENED, "no OPENED behind a move", "2.5", "a RESUMABLE client gets a fresh OPENED";
    M_ASSIGNED, "assigned service opened elsewhere", "2.5", "where the service is not open in this session, its next DATA that names it goes there";
    M_SUSPEND, "moved session not suspended", "2.5", "the new backend gets SUSPEND with what is left of the window behind its OPEN";

    // Operators.
    BANNED, "banned user served", "7, z", "every session that a ban concerns ends with CLOSE 440";

    // A backend by its library.
    B_ACCEPT, "answer to OPEN", "2.3", "ACCEPT before anything else for that session on that link; CLOSE 410 or 404 to what is not taken";
    B_307, "answer to CLOSE 307", "2.4", "the backend answers it once with CLOSE 307 behind its own last DATA for that session on that link";
    B_LINK, "frame of a backend on a link without the session", "2.3", "a backend answers on the newest OPEN's link, or another of that gateway";
    B_APPLICATION, "the application learns something else", "2.3", "a backend keeps, for each service, what the newest OPEN said";
    B_WINDOW, "session ended before its window", "2.2", "SUSPEND: the session is kept for that long";
    S_APPLICATION, "the player's library tells something else", "3.2", "on OPENED the client throws away what it held back and re-sends what is lacking";
}
