//! The metric families that say what actors do.

use super::family::{
    Family,
    Source::{KindCounter, KindGauge, KindTiming, MessageSeconds},
    family,
};

pub(super) const FAMILIES: [Family; 4] = [
    family(
        "restarted_by_hand_actors",
        "Actors started again because somebody has asked for it, by kind",
        KindCounter(|k| k.restarts_by_hand),
    ),
    family(
        "waiting_messages_recent_peak",
        "The most messages that waited for a single actor at a time, within the last minute or two, by kind",
        KindGauge(|k| k.waiting_highest_recent),
    ),
    family(
        "handler_seconds",
        "Time that actors spend in the handler of a message, or at their sockets, by kind; of clients and links one in 128 is timed and counted as all of them",
        KindTiming(|k| &k.times),
    ),
    family(
        "handler_busy_seconds",
        "Time that actors have spent so, by kind and type of message",
        MessageSeconds,
    ),
];
