//! Draining from outside: begin, look, undo.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Desk;
use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::params::{Body, Nothing, Query};
use super::wishes;
use crate::actors::gateway::{AskDrain, Asked, CancelDrain, Drain, DrainSnapshot, Initiator};
use crate::config::units::parse_duration;

/// Parameters of a drain.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Time that players may stay, at most `99h`, `9999m`, `999999s` or `999999999ms`; `0`: they
    /// are told at once. Without it `drain.window`.
    #[schema(
        pattern = "^(0|[0-9]{1,2}h|[0-9]{1,4}m|[0-9]{1,6}s|[0-9]{1,9}ms)$",
        example = "30s"
    )]
    window: Option<String>,
    /// The reason, for operators: up to 256 characters on one line.
    #[serde(default, deserialize_with = "wishes::given")]
    #[schema(value_type = String, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "upgrade")]
    reason: Option<Value>,
}

/// Progress of a drain.
#[utoipa::path(get, path = "/api/v1/drain", tag = "drain", responses(
    (status = 200, description = "So far.", body = DrainSnapshot),
    (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
))]
pub(super) async fn progress(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<DrainSnapshot>, ApiError> {
    Ok(web::Json(desk.ask(AskDrain).await?))
}

/// Begins to drain. Again: nothing, or another window, counted from the begin, if it names one.
///
/// The gateway is not ready any more; after `drain.accept_grace` it refuses new sessions; at the
/// window's end the sessions that are left get CLOSE 503. The process stays, and this can be undone.
#[utoipa::path(post, path = "/api/v1/drain", tag = "drain",
    request_body(content = Option<Wish>, description = "Optional."),
    responses(
        (status = 202, description = "It begins.", body = DrainSnapshot),
        (status = 200, description = "It drains already.", body = DrainSnapshot),
        (status = 409, description = "A signal has begun it; its window stays.", body = ErrorBody),
        (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn begin(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<Wish>,
) -> Result<HttpResponse, ApiError> {
    let wish = wish.unwrap_or_default();
    let reason = wishes::reason(&wish.reason, "upgrade")?;
    let window = wish.window.map(|text| read_window(&text)).transpose()?;
    let drain = Drain {
        by: Initiator::Admin,
        window,
        asked: Some(Asked {
            by: caller.to_string(),
            reason: reason.clone(),
        }),
    };
    let begun = desk.ask(drain).await?;
    let begun = begun.map_err(|error| ApiError::conflict(error.to_string()))?;
    let window = &begun.progress.window;
    tracing::info!(target: AUDIT, by = %caller, window, reason, "a drain is asked for over the admin API");
    let status = if begun.now {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok(HttpResponse::build(status).json(begun.progress))
}

/// Undoes a drain that was begun here, also when it is over. Without one: nothing.
#[utoipa::path(delete, path = "/api/v1/drain", tag = "drain", responses(
    (status = 200, description = "It does not drain any more.", body = DrainSnapshot),
    (status = 409, description = "A signal has begun it; it will exit.", body = ErrorBody),
    (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
))]
pub(super) async fn undo(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<web::Json<DrainSnapshot>, ApiError> {
    let undone = desk.ask(CancelDrain).await?;
    let undone = undone.map_err(|error| ApiError::conflict(error.to_string()))?;
    tracing::info!(target: AUDIT, by = %caller, "the end of a drain is asked for over the admin API");
    Ok(web::Json(undone))
}

fn read_window(text: &str) -> Result<Duration, ApiError> {
    let wrong = |why: String| ApiError::bad_request(format!("window: {why}"));
    let window = parse_duration(text).map_err(wrong)?;
    let digits = text
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .len();
    let most = match &text[digits..] {
        "h" => 2,
        "m" => 4,
        "s" => 6,
        "ms" => 9,
        _ => 1,
    };
    if digits <= most {
        return Ok(window);
    }
    Err(wrong(format!(
        "`{text}` is too long; at most 99h, 9999m, 999999s or 999999999ms"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("99h", 99 * 3600),
            ("9999m", 9999 * 60),
            ("999999s", 999_999),
        ] {
            let window = read_window(text).expect(text);
            assert_eq!(window, Duration::from_secs(seconds));
        }
        for wrong in [
            "",
            "1",
            "100h",
            "10000m",
            "1000000s",
            "1000000000ms",
            "-1s",
            "1.5s",
            "s",
            "00",
            "1d",
            "1 s",
        ] {
            let error = read_window(wrong).expect_err(wrong).to_string();
            assert!(
                error.starts_with("window: ") && error.contains(&format!("`{wrong}`")),
                "{error}"
            );
        }
    }
}
