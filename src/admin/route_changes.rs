//! What has changed in the rules in force, and earlier versions put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Desk;
use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::params::{Body, Nothing, Query, limit};
use crate::actors::config_watcher::{Change, RoutesLoaded};
use crate::config::{Config, RouteSource};
use crate::routing::Difference;
use crate::routing::difference::Limits;
use crate::store::redis::change::{VersionError, version};
use crate::store::redis::versions::MAX_MESSAGE;
use crate::store::redis::write::WriteError;
use crate::store::redis::{Current, Keys, Note, Server, Version};

/// What one answer names of a difference.
const LIMITS: Limits = Limits {
    named: 100,
    chars: 1_000,
};
/// Lines of an error that are shown; an old document may have a thousand mistakes.
const MAX_LINES: usize = 20;

/// The changes of what was in force at this gateway, and the versions in Redis.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct History {
    /// What has come in force since this gateway's start, the newest first; the last 64 at most.
    changes: Vec<ChangeInForce>,
    /// The versions in Redis that can be put back, the newest first, as they were when the routes were read; none with
    /// a file.
    versions: Vec<Version>,
}

/// Routing data that has come in force.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeInForce {
    /// This gateway's own number.
    version: u64,
    /// Since when it was in force, in seconds since 1970.
    at_seconds: u64,
    /// Why the source was read: `start`, `changed`, `reload`, `connected`, `interval` or `retry`.
    #[schema(example = "changed")]
    because: &'static str,
    /// Who has written it: the author in the history of Redis, or else the text of the notification; `null`: nobody knows.
    #[schema(example = "routes set by anna@ops-1")]
    by: Option<String>,
    /// The version in Redis that it is; `null`: none, it was written in another way, or in a file.
    recorded: Option<u64>,
    /// The author's reason.
    message: Option<String>,
    /// Number of its services.
    services: usize,
    /// Number of its realms.
    realms: usize,
    /// What differs from the data before; `null` for the first.
    difference: Option<Difference>,
}

/// Selection of changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The most changes, and the most versions.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
}

impl ChangeInForce {
    fn of(change: &Change) -> ChangeInForce {
        let since_1970 = change.at.duration_since(UNIX_EPOCH);
        let recorded = change.recorded.as_ref();
        ChangeInForce {
            version: change.version,
            at_seconds: since_1970.unwrap_or_default().as_secs(),
            because: change.because,
            by: change.by.as_ref().map(ToString::to_string),
            recorded: recorded.map(|version| version.number),
            message: recorded.map(|version| version.message.clone()),
            services: change.services,
            realms: change.realms,
            difference: change.difference.clone(),
        }
    }
}

/// What has changed in the rules in force, and by whom.
#[utoipa::path(get, path = "/api/v1/routes/history", tag = "routes", params(Which), responses(
    (status = 200, description = "The changes.", body = History),
    (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
))]
pub(super) async fn history(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(which.limit)?;
    let loaded = desk.status().await?.routes;
    // Up to 2 MiB of text, and this thread answers `/health`.
    let written = web::block(move || serde_json::to_vec(&shown(loaded.as_ref(), limit))).await;
    match written {
        Ok(Ok(json)) => Ok(HttpResponse::Ok()
            .content_type(ContentType::json())
            .body(json)),
        _ => Err(ApiError::internal("cannot write the history")),
    }
}

fn shown(loaded: Option<&RoutesLoaded>, limit: usize) -> History {
    let Some(loaded) = loaded else {
        return History::default();
    };
    let changes = loaded.changes.newest_first().take(limit);
    let versions = loaded.history.versions.iter().rev().take(limit);
    History {
        changes: changes.map(|change| ChangeInForce::of(change)).collect(),
        versions: versions.cloned().collect(),
    }
}

/// An earlier version to put back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackWish {
    /// Its number in the history of Redis.
    #[schema(minimum = 1)]
    #[serde(deserialize_with = "whole")]
    version: u64,
    /// Why, for the history; at most 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    message: String,
    /// Writes only if this version is what Redis has.
    #[serde(default, deserialize_with = "whole_or_null")]
    if_version: Option<u64>,
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Reads a whole number, however it is written: JSON knows no integers, and `7.0` is 7.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole_or_null(deserializer)?.ok_or_else(|| D::Error::custom("expected a whole number"))
}

fn whole_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    /// The largest number below which each whole one has a float of its own.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let written_so = |float: &f64| float.fract() == 0.0 && (0.0..=MOST).contains(float);
    let float = || number.as_f64().filter(written_so).map(|float| float as u64);
    let whole = number.as_u64().or_else(float);
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom("expected a whole number"))
}

/// What a rollback has changed, or would.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RolledBack {
    /// The new version; `null`: nothing was written.
    written: Option<Version>,
    /// What differs from what was there.
    difference: Difference,
}

/// Puts an earlier version of the routes in Redis back, as a new version, for all gateways.
///
/// It is validated first. It is in force when the gateways have read it, within milliseconds.
#[utoipa::path(post, path = "/api/v1/routes/rollback", tag = "routes", request_body = RollbackWish, responses(
    (status = 201, description = "It is written.", body = RolledBack),
    (status = 200, description = "Nothing is written: `dry_run`, or it is what Redis has.", body = RolledBack),
    (status = 404, description = "There is no such version.", body = ErrorBody),
    (status = 409, description = "Its data is gone or has mistakes, another writer was faster, a rollback is under \
        way, or the routes are in a file.", body = ErrorBody),
    (status = 503, description = "Redis does not answer, or refuses.", body = ErrorBody),
))]
pub(super) async fn rollback(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<RollbackWish>,
) -> Result<HttpResponse, ApiError> {
    let missing = || ApiError::bad_request("the body is missing, for example {\"version\": 16}");
    let wish = wish.ok_or_else(missing)?;
    if wish.version == 0 {
        return Err(ApiError::bad_request("version: must be 1 or more, not 0"));
    }
    if wish.message.chars().count() > MAX_MESSAGE {
        let message = format!("message: at most {MAX_MESSAGE} characters");
        return Err(ApiError::bad_request(message));
    }
    if desk.config.routes.source == RouteSource::File {
        let message = "the routes are in a file: put the old file in its place";
        return Err(ApiError::conflict(message));
    }
    let turn = Turn::take(&desk.rolling_back)
        .ok_or_else(|| ApiError::conflict("a rollback is under way"))?;
    let config = Arc::clone(&desk.config);
    let by = format!("{caller} over {}", config.gateway.id);
    // A thread of its own: a map of a million realms takes seconds, and this one answers `/health`. It goes on where
    // nobody waits for the answer.
    let work = web::block(move || {
        let _turn = turn;
        let number = wish.version;
        let outcome = on_this_thread(&config, &wish, by.clone());
        match &outcome {
            Ok(RolledBack { written: None, .. }) => {}
            Ok(RolledBack {
                written: Some(version),
                ..
            }) => tracing::info!(
                target: AUDIT, by, rollback_to = number, version = version.number, changes = version.summary,
                "routes rolled back over the admin API"
            ),
            Err(error) => tracing::info!(
                target: AUDIT, by, rollback_to = number, %error, "a rollback of the routes over the admin API has failed"
            ),
        }
        outcome
    });
    let done = work.await;
    let done = done.map_err(|_| ApiError::internal("the rollback has broken off"))??;
    let mut answer = match &done.written {
        Some(_) => HttpResponse::Created(),
        None => HttpResponse::Ok(),
    };
    Ok(answer.json(done))
}

/// The one rollback that is under way.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(is_under_way: &Arc<AtomicBool>) -> Option<Turn> {
        let was = is_under_way.swap(true, Ordering::Relaxed);
        (!was).then(|| Turn(Arc::clone(is_under_way)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn on_this_thread(
    config: &Config,
    wish: &RollbackWish,
    author: String,
) -> Result<RolledBack, ApiError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| ApiError::internal(&error.to_string()))?;
    runtime.block_on(put_back(config, wish, author))
}

async fn put_back(
    config: &Config,
    wish: &RollbackWish,
    author: String,
) -> Result<RolledBack, ApiError> {
    let server = Server::new(&config.redis);
    let keys = Keys::new(&config.redis.prefix);
    let connected = server.connect().await;
    let connected = connected.map_err(|why| refused(format!("redis: {why}")))?;
    let current = Current::watch(&server, &connected, &keys).await?;
    if let Some(expected) = wish.if_version {
        current.must_be(expected)?;
    }
    let document = version(&server, &connected, &keys, &current.index, wish.version).await?;
    let difference = Difference::between(&current.data(), document.data(), LIMITS);
    let is_there = current.documents.says_the_same(&document.documents);
    if wish.dry_run || is_there {
        return Ok(RolledBack {
            written: None,
            difference,
        });
    }
    let note = Note {
        author,
        message: wish.message.clone(),
        rollback_to: Some(wish.version),
    };
    let written = current.replace(&server, &connected, &keys, &document, &note);
    Ok(RolledBack {
        written: Some(written.await?),
        difference,
    })
}

fn refused(why: String) -> ApiError {
    ApiError::unavailable("redis_unavailable", why)
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> ApiError {
        let text = error.to_string();
        match error {
            WriteError::Conflict | WriteError::Unwritable(_) => ApiError::conflict(text),
            WriteError::Refused(_) => refused(text),
        }
    }
}

impl From<VersionError> for ApiError {
    fn from(error: VersionError) -> ApiError {
        let text = error.to_string();
        match error {
            VersionError::Unknown(..) => ApiError::not_found(text),
            VersionError::Unusable(..) => {
                let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
                ApiError::conflict(lines.join("\n"))
            }
            VersionError::Refused(_) => refused(text),
        }
    }
}
