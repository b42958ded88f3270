//! Every metric family once: its name, what it says, where its figures come from.

use super::family::{
    Family,
    Source::{
        Counter, Gauge, KindCounter, KindGauge, Labelled, Process, Status, StatusCounter,
        StatusReasons,
    },
    family, joined, listed, owned,
};
use super::{
    actor_families, assignments, bans, endpoint_families as endpoints, event_streams, memory,
    otlp_families as otlp, peer_families as peers, process_families as process,
    question_families as questions, service_families as services, timing_families as timings,
    traces,
};

/// Every family but `build_info`. Directions are the gateway's: `in` is what it read.
pub const FAMILIES: [Family; OWN.len() + OTHERS] = joined(&[
    &OWN,
    &memory::FAMILIES,
    &bans::FAMILIES,
    &event_streams::FAMILIES,
    &traces::FAMILIES,
    &otlp::FAMILIES,
    &questions::FAMILIES,
    &assignments::FAMILIES,
    &peers::FAMILIES,
    &services::FAMILIES,
    &endpoints::FAMILIES,
    &timings::FAMILIES,
    &process::FAMILIES,
    &actor_families::FAMILIES,
]);

const OTHERS: usize = memory::FAMILIES.len()
    + bans::FAMILIES.len()
    + event_streams::FAMILIES.len()
    + traces::FAMILIES.len()
    + otlp::FAMILIES.len()
    + questions::FAMILIES.len()
    + assignments::FAMILIES.len()
    + peers::FAMILIES.len()
    + services::FAMILIES.len()
    + endpoints::FAMILIES.len()
    + timings::FAMILIES.len()
    + process::FAMILIES.len()
    + actor_families::FAMILIES.len();

const OWN: [Family; 66] = [
    family(
        "connections",
        "Client connections now",
        Status(|s| s.connections as u64),
    ),
    family(
        "connections_being_refused",
        "Connections that are kept only until they are told that they are not served",
        Status(|s| s.refusals as u64),
    ),
    family(
        "connections_peak",
        "The most client connections at a time",
        Status(|s| s.peak as u64),
    ),
    family(
        "connections_limit",
        "Client connections served at a time",
        Status(|s| s.limit as u64),
    ),
    family(
        "ready",
        "1 while new sessions are welcome",
        Status(|s| u64::from(s.reasons_not_ready().is_empty())),
    ),
    family(
        "routes_version",
        "Version of the routes in force; 0: none yet",
        Status(|s| s.routes.as_ref().map_or(0, |r| r.version)),
    ),
    family(
        "routes_services",
        "Services that the routes in force name",
        Status(|s| s.routes.as_ref().map_or(0, |r| r.services as u64)),
    ),
    family(
        "routes_rejected",
        "1 while the newest routing data cannot be read or has mistakes",
        Status(|s| u64::from(s.routes.as_ref().is_some_and(|r| r.error.is_some()))),
    ),
    family(
        "rejected_routes",
        "Times that new routing data was refused, by reason",
        StatusReasons(|s| {
            let counts = s
                .routes
                .as_ref()
                .map_or((0, 0), |r| (r.unreadable, r.mistaken));
            vec![("unreadable", counts.0), ("mistaken", counts.1)]
        }),
    ),
    family(
        "routes_loads",
        "Reads of the routing data, successful or not",
        StatusCounter(|s| s.routes.as_ref().map_or(0, |r| r.loads)),
    ),
    family(
        "routes_notifications",
        "Notifications that the routing data may have changed",
        StatusCounter(|s| s.routes.as_ref().map_or(0, |r| r.notifications)),
    ),
    family(
        "redis_connected",
        "1 while the subscription to Redis is there; 0 where routes come from a file",
        Status(|s| u64::from(s.routes.as_ref().is_some_and(|r| r.redis_connected))),
    ),
    family(
        "redis_reconnects",
        "Times that the subscription to Redis was there again after it was lost",
        StatusCounter(|s| s.routes.as_ref().map_or(0, |r| r.reconnects)),
    ),
    family(
        "pod_deletion_cost_failures",
        "Times that Kubernetes could not be told what this pod would cost",
        StatusCounter(|s| s.pod.failures()),
    ),
    family(
        "tls_handshakes_under_way",
        "TLS handshakes with players that are under way",
        Status(|s| s.tls.handshakes),
    ),
    family(
        "tls_handshakes",
        "TLS handshakes with players that were completed",
        Counter(|m| m.tls_handshakes.get()),
    ),
    family(
        "tls_reloads",
        "Times that changed files of TLS were put in force",
        StatusCounter(|s| s.tls.reloads),
    ),
    family(
        "tls_reload_failures",
        "Times that changed files of TLS could not be used and the old ones stayed in force",
        StatusCounter(|s| s.tls.reload_failures),
    ),
    family(
        "tls_certificate_expiry_timestamp_seconds",
        "When the first of the certificates for players and for the admin API ends, in seconds since 1970; 0: there is none",
        Status(|s| s.tls.expires_at),
    ),
    family(
        "accepted_connections",
        "Connections accepted",
        Counter(|m| m.accepted.get()),
    ),
    family(
        "accept_errors",
        "Failures to accept a connection, by reason",
        Labelled("reason", |m| owned(m.accept_errors.iter())),
    ),
    family(
        "closed_connections",
        "Connections ended, by reason",
        Labelled("reason", |m| owned(m.closings.iter())),
    ),
    family(
        "sessions",
        "Sessions now",
        Gauge(|m| {
            m.sessions_started
                .total()
                .saturating_sub(m.sessions_ended.get())
        }),
    ),
    family(
        "started_sessions",
        "Sessions started, by transport",
        Labelled("transport", |m| owned(m.sessions_started.iter())),
    ),
    family(
        "ended_sessions",
        "Sessions ended",
        Counter(|m| m.sessions_ended.get()),
    ),
    family(
        "suspended_sessions",
        "Sessions that lost their connection and waited for their player",
        Counter(|m| m.sessions_suspended.get()),
    ),
    family(
        "resumed_sessions",
        "Sessions that went on over another connection: exactly, or with a gap",
        Labelled("how", |m| owned(m.sessions_resumed.iter())),
    ),
    family(
        "waiting_sessions",
        "Sessions that wait for their player now",
        Status(|s| s.suspended as u64),
    ),
    family(
        "handed_over_sessions",
        "Sessions that other gateways have taken over",
        StatusCounter(|s| s.handed_over),
    ),
    family(
        "goaways",
        "Players who were asked to go to another gateway",
        Counter(|m| m.goaways.get()),
    ),
    family(
        "http_responses",
        "HTTP responses to players, by status",
        Labelled("status", |m| listed(&m.http_responses)),
    ),
    family(
        "client_in_frames",
        "Frames from clients",
        Counter(|m| m.client_frames_in.get()),
    ),
    family(
        "client_out_frames",
        "Frames to clients",
        Counter(|m| m.client_frames_out.get()),
    ),
    family(
        "client_in_bytes",
        "Bytes read from clients",
        Counter(|m| m.client_bytes_in.get()),
    ),
    family(
        "client_out_bytes",
        "Bytes written to clients",
        Counter(|m| m.client_bytes_out.get()),
    ),
    family(
        "client_reads",
        "Reads from client sockets that brought bytes",
        Counter(|m| m.client_reads.get()),
    ),
    family(
        "forward_messages",
        "Forward messages from clients to links",
        Counter(|m| m.forwards.get()),
    ),
    family(
        "deliver_messages",
        "Deliver messages from links to clients",
        Counter(|m| m.delivers.get()),
    ),
    family(
        "refused_frames",
        "ERROR frames sent to clients, by code",
        Labelled("code", |m| listed(&m.errors_sent)),
    ),
    family(
        "moves",
        "Moves of sessions to other backends that have ended, by the code that the old backend was told; 0: moved",
        Labelled("code", |m| listed(&m.moves_ended)),
    ),
    family(
        "moved_frames",
        "MOVED frames sent to backends, by code: answers to ASSIGN and TRANSFER, and how moves have ended",
        Labelled("code", |m| listed(&m.moved_told)),
    ),
    family(
        "moves_under_way",
        "Sessions that are being moved to other backends now",
        Gauge(|m| m.moves_now()),
    ),
    family(
        "paused_clients",
        "Times that a client was not read because its link was full",
        Counter(|m| m.paused.get()),
    ),
    family(
        "links",
        "Links that stand now, those to backends that take no new sessions included",
        Gauge(|m| m.links_now()),
    ),
    family(
        "started_links",
        "Links that began to connect",
        Counter(|m| m.links_started.get()),
    ),
    family(
        "ready_links",
        "Links whose first PONG came",
        Counter(|m| m.links_ready.get()),
    ),
    family(
        "suspect_links",
        "Times that the PONG of a link was overdue and nothing else came",
        Counter(|m| m.links_suspect.get()),
    ),
    family(
        "ended_links",
        "Links that ended, by reason",
        Labelled("reason", |m| owned(m.links_ended.iter())),
    ),
    family(
        "lost_link_sessions",
        "Sessions that were on a link when it ended",
        Counter(|m| m.links_lost_sessions.get()),
    ),
    family(
        "link_refused_frames",
        "Frames from backends for sessions that are not theirs, answered with CLOSE 421",
        Counter(|m| m.refused_on_link.get()),
    ),
    family(
        "relayed_frames",
        "Frames from backends that came on a link which does not carry their session",
        Counter(|m| m.relayed.get()),
    ),
    family(
        "multicast_recipients",
        "Sessions named by MULTICAST frames",
        Counter(|m| m.multicast_recipients.get()),
    ),
    family(
        "binds",
        "BIND frames that were applied to a session",
        Counter(|m| m.binds.get()),
    ),
    family(
        "resolved_routes",
        "Questions where a session goes that had an answer",
        Counter(|m| m.resolved.get()),
    ),
    family(
        "unresolved_routes",
        "Questions where a session goes that had none, by the code of the refusal",
        Labelled("code", |m| listed(&m.unresolved)),
    ),
    family(
        "failed_bindings",
        "Services that a session could not reach",
        Counter(|m| m.bind_failures.get()),
    ),
    family(
        "dropped_frames",
        "Frames that were dropped, by reason",
        Labelled("reason", |m| owned(m.dropped.iter())),
    ),
    family(
        "dropped_log_lines",
        "Log lines that were dropped because nobody read them",
        Process(|p| p.dropped_log_lines),
    ),
    family(
        "closed_admin_connections",
        "Connections of the admin API that were closed to make room for others",
        Process(|p| p.closed_admin_connections),
    ),
    family("actors", "Actors now, by kind", KindGauge(|k| k.live)),
    family(
        "started_actors",
        "Actors started, by kind",
        KindCounter(|k| k.started),
    ),
    family(
        "restarted_actors",
        "Actors started again after a panic, by kind",
        KindCounter(|k| k.restarts),
    ),
    family(
        "panicked_actors",
        "Actors that panicked, by kind",
        KindCounter(|k| k.panics),
    ),
    family(
        "handled_messages",
        "Messages that actors have handled, by kind",
        KindCounter(|k| k.handled),
    ),
    family(
        "waiting_messages",
        "Messages that were sent to actors and are not handled yet, by kind",
        KindGauge(|k| k.waiting),
    ),
    family(
        "waiting_messages_peak",
        "The most messages that waited for a single actor at a time, by kind",
        KindGauge(|k| k.waiting_highest),
    ),
];
