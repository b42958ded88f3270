//! Metric families of spans for a collector.

use super::family::{
    Family,
    Source::{Status, StatusCounter, StatusReasons},
    family,
};

pub(super) const FAMILIES: [Family; 4] = [
    family(
        "otlp_sent_spans",
        "Spans that the collector has taken",
        StatusCounter(|s| s.spans.sent),
    ),
    family(
        "otlp_dropped_spans",
        "Spans that the collector does not get, by reason",
        StatusReasons(|s| {
            vec![
                ("queue_full", s.spans.overflowed),
                ("memory", s.spans.short_of_memory),
                ("refused", s.spans.refused),
            ]
        }),
    ),
    family(
        "otlp_waiting_spans",
        "Spans that wait for the collector",
        Status(|s| s.spans.waiting),
    ),
    family(
        "otlp_failures",
        "Requests to the collector that failed",
        StatusCounter(|s| s.spans.failures),
    ),
];
