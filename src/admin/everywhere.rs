//! Requests with `deployment=true`: the same request is put to every gateway of the deployment, by the one that is
//! asked. The parameter is taken off here; the functions that answer know nothing of it.

use std::time::Duration;

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Desk;
use super::access::Caller;
use super::answering::is_success;
use super::deployment::{Ask, Reply, Round, check_path};
use super::endpoints::takes;
use super::errors::ApiError;
use super::found::{Anywhere, anywhere, found};
use super::gateways::GATEWAYS;
use super::params::Upload;
use super::top_talkers::WINDOW;
use super::traces;

/// Paths whose answer may be had from every gateway, with what is made of the answers.
const EVERYWHERE: [(&str, Manner); 17] = [
    ("/api/v1/info", Manner::Each),
    ("/api/v1/sessions/{id}", Manner::Found),
    ("/api/v1/sessions/{id}/assign", Manner::Found),
    ("/api/v1/top-talkers", Manner::Each),
    ("/api/v1/refusals", Manner::Each),
    ("/api/v1/backends", Manner::Each),
    ("/api/v1/backends/{address}/state", Manner::Each),
    ("/api/v1/bans", Manner::Each),
    ("/api/v1/bans/{id}", Manner::Each),
    (traces::PATH, Manner::Each),
    ("/api/v1/traces/{id}", Manner::Each),
    ("/api/v1/traces/{id}/events", Manner::Each),
    ("/api/v1/routes", Manner::Each),
    ("/api/v1/drain", Manner::Each),
    ("/api/v1/limits", Manner::Each),
    ("/api/v1/log-level", Manner::Each),
    ("/api/v1/memory", Manner::Each),
];
/// The query parameter.
const PARAMETER: &str = "deployment";
const ASKS_ALL: &str = "deployment=true";

/// What is made of the answers of all gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// They are listed.
    Each,
    /// The first one is given that is no error; what has ended only where nothing goes on.
    Found,
}

/// The answers of all gateways of the deployment to one request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeploymentAnswer {
    /// One entry for each gateway, this one first.
    gateways: Vec<GatewayAnswer>,
    /// How many have answered.
    answered: usize,
    /// How many have not: what they know is missing, and a change is perhaps not in force there.
    unanswered: usize,
    /// Names of `peer.gateways` that cannot be looked up, and why; what they led to before is asked.
    unresolved: Vec<String>,
    /// Addresses that were not asked because there are too many.
    left_out: usize,
}

/// One gateway's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GatewayAnswer {
    /// Its id; where it has not answered, that of the last answer from its address, or `null`.
    pub(super) gateway_id: Option<String>,
    /// Where it was asked; `null`: this gateway.
    #[schema(example = "10.0.0.7:7001")]
    pub(super) address: Option<String>,
    /// Whether it has answered.
    pub(super) answered: bool,
    /// Why it has not.
    #[schema(example = "it has not answered in time")]
    pub(super) why_not: Option<String>,
    /// HTTP's status of its answer.
    status: Option<u16>,
    /// Whether lists in its answer were cut, to fit.
    cut: bool,
    /// Its answer; an error where the status says so.
    #[schema(value_type = Option<Object>)]
    answer: Option<Box<RawValue>>,
}

/// Returns what is made of the answers of all gateways for a path, if they may be had.
pub(super) fn manner(pattern: &str) -> Option<Manner> {
    let known = EVERYWHERE.iter().find(|(path, _)| *path == pattern);
    known.map(|(_, manner)| *manner)
}

/// Returns true if a request waits for other gateways.
pub(super) fn asks_others(path: &str, query: Option<&str>) -> bool {
    let wanted = |query: &str| query.split('&').any(|pair| pair == ASKS_ALL);
    path == GATEWAYS || query.is_some_and(wanted)
}

/// Puts a request with `deployment=true` to all gateways.
pub(super) async fn everywhere(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let pattern = request.match_pattern();
    let manner = pattern.as_deref().and_then(manner);
    // What this gateway does not take nobody is asked.
    let taken = |pattern: &String| takes(pattern, request.method());
    let manner = manner.filter(|_| pattern.as_ref().is_some_and(taken));
    let wanted = manner.and_then(|manner| Some((manner, taken_off(request.query_string())?)));
    let Some((manner, (wanted, query))) = wanted else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let prepared = prepare(&mut request, manner, wanted, &query);
    let mut asked = match prepared {
        Ok(Some(asked)) => asked,
        Ok(None) => return Ok(next.call(request).await?.map_into_boxed_body()),
        Err(error) => return Ok(request.into_response(error.error_response())),
    };
    let (own, round) = if asked.method.is_safe() {
        let others = asked.desk.deployment.ask_others(asked.ask());
        let (own, round) = futures_util::future::join(next.call(request), others).await;
        (Own::of(own?).await?, Some(round))
    } else {
        // What is wrong here is wrong everywhere: then nobody is told to change anything.
        let own = Own::of(next.call(request).await?).await?;
        let is_found = manner == Manner::Found && (own.is_success() || own.has_it());
        let goes_on = !own.is_refusal() && !is_found;
        asked.call_it_like(&own);
        let round = match goes_on {
            true => Some(asked.desk.deployment.ask_others(asked.ask()).await),
            false => None,
        };
        (own, round)
    };
    let round = round.filter(|_| !own.is_refusal());
    Ok(match (manner, round) {
        (_, None) => own.response,
        (Manner::Each, Some(round)) => own.with(|own| each(&asked, own, &round)),
        (Manner::Found, Some(round)) => found(own, &round),
    })
}

/// A request as the others get it.
struct Asked {
    desk: web::Data<Desk>,
    caller: Caller,
    method: Method,
    path: String,
    body: Bytes,
}

impl Asked {
    /// What has begun here gets the same id everywhere.
    fn call_it_like(&mut self, own: &Own) {
        if self.path == traces::PATH
            && own.is_success()
            && let Some(body) = traces::with_id_of(&own.body, &self.body)
        {
            self.body = body;
        }
    }

    fn ask(&self) -> Ask<'_> {
        let takes = match self.path.starts_with("/api/v1/top-talkers") {
            // They measure for so long first.
            true => WINDOW,
            false => Duration::ZERO,
        };
        Ask {
            caller: &self.caller,
            method: self.method.clone(),
            path: &self.path,
            body: self.body.clone(),
            takes,
        }
    }
}

/// Takes the parameter off a request. `None`: it is for this gateway alone.
fn prepare(
    request: &mut ServiceRequest,
    manner: Manner,
    wanted: Result<bool, ApiError>,
    query: &str,
) -> Result<Option<Asked>, ApiError> {
    let wanted = wanted?;
    let path = match query {
        "" => request.path().to_owned(),
        query => format!("{}?{query}", request.path()),
    };
    let broken = |_| ApiError::bad_request("the path is not one of HTTP");
    let uri: Uri = path.parse().map_err(broken)?;
    request.head_mut().uri = uri;
    if !wanted {
        return Ok(None);
    }
    let missing = || ApiError::internal("the admin API is not set up");
    let desk = request.app_data::<web::Data<Desk>>().ok_or_else(missing)?;
    let (desk, caller) = (desk.clone(), Caller::of(request.request()));
    desk.deployment.check(&caller)?;
    let path = match manner {
        Manner::Each => path,
        Manner::Found => {
            request.extensions_mut().insert(Anywhere);
            anywhere(&path)
        }
    };
    check_path(&path)?;
    let upload = request.extensions().get::<Upload>().cloned();
    let body = upload.map_or(Ok(Bytes::new()), |Upload(body)| body);
    Ok(Some(Asked {
        desk,
        caller,
        method: request.method().clone(),
        path,
        // Where it cannot be had, this gateway's own answer says so, and nobody else is asked.
        body: body.unwrap_or_default(),
    }))
}

/// Returns whether a query asks for the deployment, and the query without that; `None`: it says nothing of it.
fn taken_off(query: &str) -> Option<(Result<bool, ApiError>, String)> {
    let is_it = |pair: &&str| pair.split('=').next() == Some(PARAMETER);
    let (its, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_it);
    let wanted = match its[..] {
        [] => return None,
        [ASKS_ALL] => Ok(true),
        ["deployment=false"] => Ok(false),
        [one] => {
            let value = one.split_once('=').map_or("", |(_, value)| value);
            let message = format!("deployment: `{value}` is not true or false");
            Err(ApiError::bad_request(message))
        }
        _ => Err(ApiError::bad_request("deployment: given twice")),
    };
    Some((wanted, rest.join("&")))
}

/// This gateway's own answer.
pub(super) struct Own {
    pub(super) response: ServiceResponse<BoxBody>,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Own {
    async fn of<B: MessageBody + 'static>(answer: ServiceResponse<B>) -> Result<Own, Error> {
        let status = answer.status();
        let (request, response) = answer.into_parts();
        let (response, read) = response.into_parts();
        if read.size() == BodySize::Stream {
            // It has no end that could be waited for.
            let error =
                ApiError::bad_request("a stream cannot be had from all gateways; give `after`");
            let response = error.error_response();
            return Ok(Own {
                status: response.status(),
                body: Bytes::new(),
                response: ServiceResponse::new(request, response),
            });
        }
        let broken = |_| ApiError::internal("the answer cannot be read");
        let body = body::to_bytes(read).await.map_err(broken)?;
        let response = response.set_body(BoxBody::new(body.clone()));
        Ok(Own {
            response: ServiceResponse::new(request, response),
            status,
            body,
        })
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Whether it says that the request is not good, wherever it is put.
    fn is_refusal(&self) -> bool {
        matches!(
            self.status.as_u16(),
            400 | 401 | 403 | 405 | 408 | 413 | 415
        )
    }

    /// Whether it says that what is asked for is here, and that it does not do what was wanted.
    fn has_it(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    fn with(self, answer: impl FnOnce(&Own) -> HttpResponse) -> ServiceResponse<BoxBody> {
        let new = answer(&self);
        self.response.into_response(new)
    }
}

fn each(asked: &Asked, own: &Own, round: &Round) -> HttpResponse {
    let mut gateways = vec![GatewayAnswer {
        gateway_id: Some(asked.desk.config.gateway.id.clone()),
        address: None,
        answered: true,
        why_not: None,
        status: Some(own.status.as_u16()),
        cut: false,
        answer: raw(&own.body),
    }];
    gateways.extend(round.replies.iter().map(GatewayAnswer::of));
    let answered = gateways.iter().filter(|g| g.answered).count();
    let good = |g: &GatewayAnswer| g.status.is_some_and(is_success);
    let all = gateways.iter().all(good) && round.unresolved.is_empty() && round.left_out == 0;
    let status = match all {
        true => StatusCode::OK,
        false => StatusCode::MULTI_STATUS,
    };
    HttpResponse::build(status).json(DeploymentAnswer {
        answered,
        unanswered: gateways.len() - answered,
        gateways,
        unresolved: round.unresolved.clone(),
        left_out: round.left_out,
    })
}

impl GatewayAnswer {
    pub(super) fn of(reply: &Reply) -> GatewayAnswer {
        let mut row = GatewayAnswer {
            gateway_id: reply.gateway.clone(),
            address: Some(reply.address.to_string()),
            answered: false,
            why_not: None,
            status: None,
            cut: false,
            answer: None,
        };
        match &reply.outcome {
            Err(why) => row.why_not = Some(why.to_string()),
            Ok(answered) => {
                let answer = &answered.answer;
                row.answered = true;
                (row.status, row.cut) = (Some(answer.status), answer.cut);
                row.answer = raw(&answer.body);
            }
        }
        row
    }
}

/// The body of an answer as it is; `None`: there is none, or it is not JSON.
fn raw(body: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
#[path = "everywhere_tests.rs"]
mod tests;
