//! Services of sessions that operators send to another endpoint.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::ids::{EndpointText, ServiceName, SessionId};
use super::params::{Body, Nothing, Query};
use super::sessions::{no_session, session_here};
use super::wishes::{given, text};
use super::{Desk, in_time};
use crate::actors::client::Assigned;
use crate::codec::client::is_service_name;
use crate::codec::code::Code;
use crate::routing::EndpointName;
use crate::session::trace_id::TraceId;

/// Where a service of a session is to go. Read as any values, so that what is wrong can be said by name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignWish {
    /// The service.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ServiceName, required = true)]
    service: Option<Value>,
    /// An endpoint that its rule names, or one in the rule's `assignable` networks.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = EndpointText, required = true)]
    endpoint: Option<Value>,
}

/// A wish without mistakes.
struct Wanted<'a> {
    service: &'a str,
    endpoint: &'a str,
}

/// What has become of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Assignment {
    /// The session, as all gateways know it.
    global_id: String,
    service: String,
    /// As it was given.
    #[schema(example = "10.1.2.3:7000")]
    endpoint: String,
    outcome: Assigned,
}

impl AssignWish {
    fn read(&self) -> Result<Wanted<'_>, ApiError> {
        let missing = |name: &str| ApiError::bad_request(format!("{name}: missing"));
        let service = text("service", &self.service, "battle")?;
        let service = service.ok_or_else(|| missing("service"))?;
        if !is_service_name(service.as_bytes()) {
            let message = format!(
                "service: `{service}` is no service name, 1 to 64 of a-z 0-9 . _ - behind a letter or digit"
            );
            return Err(ApiError::bad_request(message));
        }
        let endpoint = text("endpoint", &self.endpoint, "10.1.2.3:7000")?;
        let endpoint = endpoint.ok_or_else(|| missing("endpoint"))?;
        endpoint.parse::<EndpointName>().map_err(|why| {
            let message = format!("endpoint: `{endpoint}` is not a backend's: {why}");
            ApiError::bad_request(message)
        })?;
        Ok(Wanted { service, endpoint })
    }
}

/// Says where a service of a session goes, as a backend does by ASSIGN (protocol 2.5).
///
/// Where the session does not use the service yet, the player's next frame to it goes there, whatever the strategy says.
/// Where it is open elsewhere it is moved, with its state if its backend hands sessions over.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/assign", tag = "sessions", request_body = AssignWish,
    params(("id" = SessionId, Path, description = "The session.")),
    responses(
        (status = 200, description = "It goes there.", body = Assignment),
        (status = 404, description = "There is no such session here.", body = ErrorBody),
        (status = 409, description = "There is no such service, its rule does not allow the endpoint, a move or resume is under way, or the session has as many services as it may.",
            body = ErrorBody),
        (status = 503, description = "Its worker does not answer in time, or there are no routes yet.", body = ErrorBody),
    )
)]
pub(super) async fn assign(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<AssignWish>,
) -> Result<web::Json<Assignment>, ApiError> {
    let id = session_here(&desk, &request)?;
    let missing = || {
        let example = "{\"service\": \"battle\", \"endpoint\": \"10.1.2.3:7000\"}";
        ApiError::bad_request(format!("the body is missing, for example {example}"))
    };
    let wish = wish.ok_or_else(missing)?;
    let wanted = wish.read()?;
    send(&desk, id, &wanted, &caller).await.map(web::Json)
}

async fn send(
    desk: &Desk,
    id: u64,
    wanted: &Wanted<'_>,
    caller: &Caller,
) -> Result<Assignment, ApiError> {
    let Wanted { service, endpoint } = *wanted;
    let answer = in_time(desk.inspector.assign(id, service, endpoint)).await??;
    let outcome = answer.ok_or_else(|| no_session(id))?;
    let outcome = outcome.map_err(|code| refused(desk, wanted, code))?;
    let trace_id = TraceId::of(id).map(tracing::field::display);
    tracing::info!(
        target: AUDIT, session_id = id, trace_id, service, endpoint, ?outcome, by = %caller,
        "assigned over the admin API"
    );
    Ok(Assignment {
        global_id: format!("{}:{id}", desk.config.gateway.id),
        service: service.to_owned(),
        endpoint: endpoint.to_owned(),
        outcome,
    })
}

/// Returns why a session does not go there, in an operator's words.
fn refused(desk: &Desk, wanted: &Wanted<'_>, code: Code) -> ApiError {
    let Wanted { service, endpoint } = wanted;
    let Some(table) = desk.inspector.routes.load_full() else {
        return ApiError::unavailable("no_routes", "there are no routes yet");
    };
    ApiError::conflict(match code {
        Code::NO_ROUTE if table.service(service).is_none() => {
            format!("service: no rule names {service}")
        }
        Code::NO_ROUTE if table.allowed(service, endpoint).is_none() => format!(
            "endpoint: {endpoint} is none of the endpoints of {service}'s rule, nor in its `assignable` networks"
        ),
        Code::CONFLICT => "a move or a resume of this session is under way; try again".to_owned(),
        Code::UNAVAILABLE => {
            "the session uses as many services as it may (session.max_services)".to_owned()
        }
        _ => "the session has just ended or changed; look again".to_owned(),
    })
}
