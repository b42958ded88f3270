//! The log filter, which can be read and changed while the gateway runs.

use std::sync::{Mutex, PoisonError};

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Desk;
use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::params::{Body, Nothing, Query};

/// The longest filter that is taken, in bytes.
pub const MAX_LEVEL: usize = 1024;
/// The levels, least first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The function that puts a filter in force, or returns why it cannot.
type Apply = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The log filter, and the way to change it.
pub struct LogLevel {
    now: Mutex<String>,
    apply: Box<Apply>,
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

impl LogLevel {
    /// Makes it from the filter in force, and `apply`, which puts another one into force.
    pub fn new(
        now: String,
        apply: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> LogLevel {
        LogLevel {
            now: Mutex::new(now),
            apply: Box::new(apply),
        }
    }

    /// Returns the filter in force.
    pub fn get(&self) -> String {
        self.now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts another filter into force: levels and `target=level`, with commas between.
    ///
    /// # Errors
    /// The mistake in it.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        check(filter)?;
        // Held throughout, so that what is said to be in force is.
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (self.apply)(filter)?;
        filter.clone_into(&mut now);
        Ok(())
    }
}

/// Checks a filter more strictly than the filter itself, which takes a misspelt level for a target.
fn check(filter: &str) -> Result<(), String> {
    if filter.len() > MAX_LEVEL {
        return Err(format!("over {MAX_LEVEL} bytes"));
    }
    for directive in filter.split(',') {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, directive),
        };
        if !LEVELS.contains(&level) {
            let levels = LEVELS.join(", ");
            return Err(format!("`{level}` in `{directive}` is none of {levels}"));
        }
        let name = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !target.is_none_or(|target| target.split("::").all(name)) {
            let message = "is no target; one is for example game_gateway::actors";
            return Err(format!(
                "`{}` in `{directive}` {message}",
                target.unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// The log filter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    /// A level, or several directives `target=level` and a level, with commas between.
    #[schema(
        max_length = 1024,
        example = "info,game_gateway::actors=debug",
        pattern = "^(([a-z_][a-z0-9_]*(::[a-z_][a-z0-9_]*)*=)?(off|error|warn|info|debug|trace))\
                   (,([a-z_][a-z0-9_]*(::[a-z_][a-z0-9_]*)*=)?(off|error|warn|info|debug|trace))*$"
    )]
    level: String,
}

/// The log filter as configured.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CurrentLevel {
    /// The filter in force, as it was written.
    #[schema(example = "info")]
    level: String,
}

/// The log filter in force.
#[utoipa::path(get, path = "/api/v1/log-level", tag = "log level", responses(
    (status = 200, description = "The filter in force.", body = CurrentLevel),
    (status = 501, description = "This program does not log through a filter.", body = ErrorBody),
))]
pub(super) async fn current(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<CurrentLevel>, ApiError> {
    let level = log_level(&desk)?.get();
    Ok(web::Json(CurrentLevel { level }))
}

/// Changes what is logged, from now until the next change or start.
#[utoipa::path(put, path = "/api/v1/log-level", tag = "log level", request_body = Level, responses(
    (status = 200, description = "The filter in force.", body = CurrentLevel),
    (status = 501, description = "This program does not log through a filter.", body = ErrorBody),
))]
pub(super) async fn change(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<Level>,
) -> Result<web::Json<CurrentLevel>, ApiError> {
    let missing =
        || ApiError::bad_request("the body is missing, for example {\"level\": \"info\"}");
    let level = wish.ok_or_else(missing)?.level;
    let before = log_level(&desk)?.get();
    let wrong = |why| ApiError::bad_request(format!("level: {why}"));
    log_level(&desk)?.set(&level).map_err(wrong)?;
    tracing::info!(target: AUDIT, by = %caller, before, level, "the log level is changed over the admin API");
    Ok(web::Json(CurrentLevel { level }))
}

fn log_level(desk: &Desk) -> Result<&LogLevel, ApiError> {
    let none = || ApiError::not_available("this program's log level cannot be changed");
    let logging = desk.logging.as_ref().ok_or_else(none)?;
    Ok(&logging.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for good in [
            "info",
            "off",
            "info,game_gateway::actors=debug",
            "a=off,b::c_1=trace",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, why) in [
            ("", "`` in ``"),
            ("debgu", "`debgu` in `debgu` is none of off, error"),
            ("INFO", "`INFO`"),
            ("info,", "`` in ``"),
            ("info,a=loud", "`loud` in `a=loud`"),
            ("=info", "`` in `=info` is no target"),
            ("a:b=info", "`a:b` in"),
            ("a::=info", "`a::` in"),
            ("1a=info", "`1a` in"),
            (&"info,".repeat(300), "over 1024 bytes"),
        ] {
            let error = check(wrong).expect_err(wrong);
            assert!(error.starts_with(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_applied_is_not_in_force() {
        let level = LogLevel::new("info".into(), |new| match new {
            "debug" => Err("no".into()),
            _ => Ok(()),
        });
        assert_eq!(level.set("debug"), Err("no".into()));
        assert_eq!(level.get(), "info");
        assert_eq!(level.set("warn"), Ok(()));
        assert_eq!(level.get(), "warn");
    }
}
