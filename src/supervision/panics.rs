//! Messages of panics, kept for the actor registry.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::supervision::LastError;

/// Longest panic message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

thread_local! {
    static NEWEST: RefCell<Option<LastError>> = const { RefCell::new(None) };
}

/// Installs a panic hook that keeps the newest message of each thread and then calls the previous
/// hook.
pub fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            NEWEST.with(|newest| newest.replace(Some(describe(info))));
            before(info);
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> LastError {
    let payload = info.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let text = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = text.unwrap_or("a panic without a text");
    let place = info.location();
    LastError {
        message: said.chars().take(MAX_MESSAGE).collect(),
        place: place.map(|l| format!("{}:{}", l.file(), l.line())),
        actor: None,
        at_seconds: now_seconds(),
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn now_seconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_secs())
}

/// Takes the message of the panic that this thread is unwinding from.
pub(super) fn current() -> LastError {
    NEWEST.with(RefCell::take).unwrap_or_else(|| LastError {
        message: "a panic that was not recorded".to_owned(),
        place: None,
        actor: None,
        at_seconds: now_seconds(),
    })
}
