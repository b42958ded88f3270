//! Limits that are changed at run time.

use std::collections::BTreeMap;
use std::time::Instant;

use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, SchemaType, Type};

use super::Desk;
use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::ids::TimeText;
use super::params::{Body, Nothing, Query};
use super::wishes::{self, given};
use crate::admission::{Change, Changed, changeable, shown, unix_seconds};
use crate::config::Config;
use crate::config::units::show_duration;

/// The key of which there may be less than is wanted: each connection takes an open file.
const SEATS: &str = "listen.max_connections";

/// The limits that can be changed, by key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    limits: BTreeMap<&'static str, Limit>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
struct Limit {
    /// The value in force, as the configuration file would have it; empty: none.
    #[schema(example = "100")]
    value: String,
    /// The value of the configuration.
    #[schema(example = "0")]
    configured: String,
    /// What keeps the value in force under the one that is wanted: `open files`; `null`: nothing.
    #[schema(example = "open files")]
    lowered_by: Option<&'static str>,
    /// The change at run time; `null`: the configuration's value is in force.
    change: Option<ChangeSnapshot>,
}

/// A change at run time.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeSnapshot {
    /// When it was made, in seconds since 1970.
    since_seconds: u64,
    /// Seconds since then.
    age_seconds: u64,
    /// Seconds until it ends by itself; `null`: it does not.
    remaining_seconds: Option<u64>,
    /// Who made it, and from where.
    by: String,
    /// The reason that was given.
    reason: String,
}

/// Limits to change. Values are read as any, so that what is wrong can be said by name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsWish {
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = values_schema, required = true)]
    values: Option<Value>,
    /// The time after which they are as configured again; without it, when they are told so.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = TimeText)]
    r#for: Option<Value>,
    /// For operators, in lists and the log.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "flood")]
    reason: Option<Value>,
}

/// Names every key, with a text or nothing: what texts are good the configuration's own rules say.
fn values_schema() -> Object {
    let value =
        || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let keys = changeable().fold(ObjectBuilder::new(), |keys, key| {
        keys.property(key.name, value())
    });
    keys.description(Some("Values by key: texts as in the configuration, numbers, lists of texts; `null`: what is configured."))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .min_properties(Some(1))
        .examples([json!({"limits.connections_per_ip": "20"})])
        .build()
}

impl LimitsWish {
    fn values(&self) -> Result<BTreeMap<String, Option<String>>, ApiError> {
        let expected = "expected for example {\"limits.connections_per_ip\": \"20\"}";
        let wrong = |what: &str| ApiError::bad_request(format!("values: {what}, {expected}"));
        let values = match &self.values {
            Some(Value::Object(values)) if !values.is_empty() => values,
            Some(Value::Object(_)) => return Err(wrong("none are named")),
            Some(_) => return Err(wrong("not an object")),
            None => return Err(wrong("missing")),
        };
        let (mut read, mut mistakes) = (BTreeMap::new(), Vec::new());
        for (key, value) in values {
            match text_of(value) {
                Some(text) => drop(read.insert(key.clone(), text)),
                None => mistakes.push(format!("{key}: `{value}` is no value")),
            }
        }
        match mistakes.is_empty() {
            true => Ok(read),
            false => Err(ApiError::bad_request(mistakes.join("; "))),
        }
    }
}

/// Returns a value as the environment would have it, an empty one where it is to be the configured one.
fn text_of(value: &Value) -> Option<Option<String>> {
    let text = match value {
        Value::Null => return Some(None),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            items?.join(",")
        }
        Value::Number(_) | Value::Bool(_) | Value::Object(_) => return None,
    };
    Some(Some(text))
}

/// The limits that can be changed at run time, with their values in force and those of the configuration.
#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", responses(
    (status = 200, description = "Every one.", body = Limits),
))]
pub(super) async fn list(desk: web::Data<Desk>, _: Query<Nothing>) -> web::Json<Limits> {
    web::Json(limits(&desk))
}

/// Changes limits, all that are named or none, on all workers, on this gateway alone.
///
/// A change lasts until its time is over, until the configuration changes that key itself, or until the process ends.
#[utoipa::path(patch, path = "/api/v1/limits", tag = "limits", request_body = LimitsWish, responses(
    (status = 200, description = "They are in force.", body = Limits),
    (status = 400, description = "Nothing is changed; every mistake is named.", body = ErrorBody),
))]
pub(super) async fn change(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<LimitsWish>,
) -> Result<web::Json<Limits>, ApiError> {
    let missing = || {
        ApiError::bad_request(
            "the body is missing, for example {\"values\": {\"limits.connections_per_ip\": \"20\"}}",
        )
    };
    let wish = wish.ok_or_else(missing)?;
    let values = wish.values()?;
    let time = wishes::time(&wish.r#for, "a change that lasts until it is taken back")?;
    let (reason, by) = (wishes::reason(&wish.reason, "flood")?, caller.to_string());
    let like = Change {
        value: String::new(),
        since: unix_seconds(),
        ends: time.map(|time| Instant::now() + time),
        by: by.clone(),
        reason: reason.clone(),
    };
    let changed = desk
        .live_config
        .change(&values, &like)
        .map_err(|mistakes| {
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            ApiError::bad_request(all.join("; "))
        })?;
    let (changed, r#for) = (told(&changed), time.map_or_else(String::new, show_duration));
    tracing::info!(target: AUDIT, by, changed, r#for, reason, "limits are changed over the admin API");
    Ok(web::Json(limits(&desk)))
}

/// Takes all changes at run time back: what is configured is in force.
#[utoipa::path(delete, path = "/api/v1/limits", tag = "limits", responses(
    (status = 200, description = "It is in force.", body = Limits),
))]
pub(super) async fn reset(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
) -> web::Json<Limits> {
    let changed = told(&desk.live_config.reset());
    tracing::info!(target: AUDIT, by = %caller, changed, "limits are as configured again, over the admin API");
    web::Json(limits(&desk))
}

/// Returns changes as one line.
fn told(changed: &[Changed]) -> String {
    let one = |c: &Changed| format!("{} from `{}` to `{}`", c.key, c.before, c.after);
    changed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn limits(desk: &Desk) -> Limits {
    let (in_force, configured, changes) = (
        Config::clone(&desk.doors.config()),
        desk.live_config.configured(),
        desk.live_config.changes(),
    );
    let one = |change: &Change| ChangeSnapshot {
        since_seconds: change.since,
        age_seconds: unix_seconds().saturating_sub(change.since),
        remaining_seconds: change.ends.map(|ends| {
            let left = ends.saturating_duration_since(Instant::now());
            left.as_secs()
        }),
        by: change.by.clone(),
        reason: change.reason.clone(),
    };
    let seats = desk.gate.limit();
    let limits = changeable().map(|key| {
        let is_lowered = key.name == SEATS && seats < in_force.listen.max_connections;
        let limit = Limit {
            value: match is_lowered {
                true => seats.to_string(),
                false => shown(&in_force, key),
            },
            lowered_by: is_lowered.then_some("open files"),
            configured: shown(&configured, key),
            change: changes.get(key.name).map(one),
        };
        (key.name, limit)
    });
    Limits {
        limits: limits.collect(),
    }
}
