//! Bans at run time: made, listed and removed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Desk;
use super::access::{AUDIT, Caller};
use super::ban_wish::{Wish, read_address};
use super::errors::{ApiError, ErrorBody};
use super::family::{
    Family, ProcessFigures,
    Source::{Process, ProcessGauge},
    family,
};
use super::ids::{BanId, DecimalId, NetworkText, Token};
use super::params::{Body, Nothing, Query, limit, path_part};
use crate::admission::{Ban, BanTarget, unix_seconds};
use crate::config::units::show_duration;

/// Metrics of bans.
pub(super) const FAMILIES: [Family; 3] = [
    family("bans", "Bans in force", ProcessGauge(|p| p.bans)),
    family(
        "ban_refusals",
        "Times that a ban has kept somebody out: a connection, a session, a resume, a BIND",
        Process(|p| p.ban_refusals),
    ),
    family(
        "ban_ended_sessions",
        "Sessions that were there when their user or address was banned, and were ended",
        Process(|p| p.ban_ended_sessions),
    ),
];

impl ProcessFigures {
    /// Takes over the figures of bans.
    pub(super) fn of_bans(self, desk: &Desk) -> ProcessFigures {
        let bans = desk.doors.bans();
        bans.sweep(desk.doors.now());
        ProcessFigures {
            bans: bans.count() as u64,
            ban_refusals: bans.refusals(),
            ban_ended_sessions: bans.ended(),
            ..self
        }
    }
}

/// A ban in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BanSnapshot {
    /// Its id.
    #[schema(value_type = BanId)]
    id: String,
    /// The address or network that is banned.
    #[schema(example = "192.0.2.0/24")]
    address: Option<String>,
    /// The user that is banned, decimal.
    user_id: Option<String>,
    /// When it began, in seconds since 1970.
    since_seconds: u64,
    /// Seconds since then.
    age_seconds: u64,
    /// When it ends, in seconds since 1970; `null`: when it is removed.
    until_seconds: Option<u64>,
    /// Time until then.
    remaining_seconds: Option<u64>,
    /// The reason that was given.
    reason: String,
    /// Who asked for it last, and from where.
    by: String,
    /// How often it has kept somebody out: connections, sessions, resumes and BINDs.
    refusals: u64,
    /// Sessions that were there and were ended.
    ended_sessions: u64,
}

/// A ban that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeBan {
    #[serde(flatten)]
    ban: BanSnapshot,
    /// Workers that have not answered in time: those whom it concerns may still be there. The same request again
    /// asks them again.
    silent_workers: Vec<usize>,
}

/// Some bans: networks by address, then users.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct BanPage {
    /// The bans.
    bans: Vec<BanSnapshot>,
    /// The `cursor` of the next page; `null`: there is none.
    next_cursor: Option<String>,
}

/// Selection of bans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The most bans.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Start of the page: the `next_cursor` of the page before.
    #[param(value_type = Option<Token>)]
    cursor: Option<String>,
    /// Bans that keep this address or all of this network out.
    #[param(value_type = Option<NetworkText>)]
    address: Option<String>,
    /// The ban of this user.
    user_id: Option<DecimalId>,
}

impl BanSnapshot {
    fn of(ban: &Ban, desk: &Desk) -> BanSnapshot {
        let order = &ban.order;
        let left = order
            .ends
            .map(|ends| ends.at.saturating_sub(desk.doors.now()));
        BanSnapshot {
            id: order.target.to_string(),
            address: order.target.address(),
            user_id: order.target.user().map(|user| user.to_string()),
            since_seconds: ban.since,
            age_seconds: unix_seconds().saturating_sub(ban.since),
            until_seconds: order.ends.map(|ends| ends.unix_seconds),
            remaining_seconds: left.map(|nanos| Duration::from_nanos(nanos).as_secs()),
            reason: order.reason.clone(),
            by: order.by.clone(),
            refusals: ban.refusals(),
            ended_sessions: ban.ended(),
        }
    }
}

/// The bans in force.
#[utoipa::path(get, path = "/api/v1/bans", tag = "bans", params(Which), responses(
    (status = 200, description = "A page.", body = BanPage),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<web::Json<BanPage>, ApiError> {
    let limit = limit(which.limit)?;
    let after = which.cursor.as_deref().map(read_cursor).transpose()?;
    let wanted = match (which.address, which.user_id) {
        (None, None) => None,
        (Some(address), None) => Some(read_address(&address)?),
        (None, Some(user)) => Some(BanTarget::User(user.0)),
        (Some(_), Some(_)) => return Ok(web::Json(BanPage::default())),
    };
    let bans = desk.doors.bans();
    let mut page = bans.page(after, wanted, limit + 1, desk.doors.now());
    let more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().map(|ban| ban.order.target.to_string());
    Ok(web::Json(BanPage {
        bans: page.iter().map(|ban| BanSnapshot::of(ban, &desk)).collect(),
        next_cursor: last.filter(|_| more),
    }))
}

/// Bans an address, a network or a user, and ends the connections and sessions that are there.
///
/// It is in force on all workers before this is answered, on this gateway alone, and is forgotten with the process. The
/// same again replaces time and reason. The admin API itself is open to banned addresses.
#[utoipa::path(post, path = "/api/v1/bans", tag = "bans", request_body = Wish, responses(
    (status = 201, description = "It is in force.", body = MadeBan),
    (status = 200, description = "It was in force; time, reason and author are the new ones.", body = MadeBan),
    (status = 409, description = "`limits.max_bans` are in force.", body = ErrorBody),
))]
pub(super) async fn make(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<Wish>,
) -> Result<HttpResponse, ApiError> {
    let missing = || {
        ApiError::bad_request("the body is missing, for example {\"address\": \"192.0.2.0/24\"}")
    };
    let wish = wish.ok_or_else(missing)?;
    let target = wish.target()?;
    let (time, reason) = (wish.time()?, wish.reason()?);
    let by = caller.to_string();
    let shown = time.map_or_else(|| "ever".to_owned(), show_duration);
    let banned = desk.doors.ban(target, time, reason.clone(), by.clone());
    let banned = banned.map_err(|error| ApiError::conflict(error.to_string()))?;
    // A task of its own: it goes on where nobody waits for the answer.
    let (inspector, doors) = (desk.inspector.clone(), Arc::clone(&desk.doors));
    let ban = Arc::clone(&banned.ban);
    let ending = actix_web::rt::spawn(async move {
        let ended = inspector.end_banned(target).await;
        doors.bans().has_ended(&ban, ended.sessions);
        tracing::info!(
            target: AUDIT, ban = %target, by, r#for = shown, reason, ended_sessions = ended.sessions,
            silent_workers = ?ended.silent_workers, "banned over the admin API"
        );
        ended
    });
    let broken = |_| ApiError::internal("the ban is in force, but sessions could not be ended");
    let ended = ending.await.map_err(broken)?;
    let status = match banned.replaced {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    Ok(HttpResponse::build(status).json(MadeBan {
        ban: BanSnapshot::of(&banned.ban, &desk),
        silent_workers: ended.silent_workers,
    }))
}

/// Removes a ban: whom it concerned may come again.
#[utoipa::path(delete, path = "/api/v1/bans/{id}", tag = "bans",
    params(("id" = BanId, Path, description = "The ban.")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "There is none.", body = ErrorBody),
    )
)]
pub(super) async fn remove(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let text = path_part(&request, "id")?;
    let wrong = || {
        let message =
            format!("`{text}` is no ban's id; one is for example 192.0.2.0-24 or user-42");
        ApiError::bad_request(message)
    };
    let target = BanTarget::parse(&text).ok_or_else(wrong)?;
    let (bans, now) = (desk.doors.bans(), desk.doors.now());
    if let Some(ban) = bans.remove(target, now) {
        let (refusals, ended) = (ban.refusals(), ban.ended());
        tracing::info!(
            target: AUDIT, ban = %target, by = %caller, refusals, ended_sessions = ended,
            "unbanned over the admin API"
        );
        return Ok(HttpResponse::NoContent().finish());
    }
    let wider = bans.page(None, Some(target), 1, now);
    let wider = wider.first().map(|ban| ban.order.target.to_string());
    let wider = wider.map_or_else(String::new, |id| format!("; {id} covers it"));
    Err(ApiError::not_found(format!(
        "there is no ban {target}{wider}"
    )))
}

fn read_cursor(text: &str) -> Result<BanTarget, ApiError> {
    let target = BanTarget::parse(text).filter(|target| target.to_string() == text);
    target.ok_or_else(|| crate::inspection::InspectError::BadCursor.into())
}
