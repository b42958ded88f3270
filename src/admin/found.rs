//! A session that is looked for on all gateways: which of their answers is given.

use actix_web::HttpResponse;
use actix_web::ResponseError;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use serde::Deserialize;

use super::answering::is_success;
use super::deployment::Round;
use super::errors::ApiError;
use super::everywhere::Own;
use crate::codec::peer::Answer;

/// Where sessions are.
const SESSIONS: &str = "/api/v1/sessions/";

/// Mark of a request for a session wherever it is: the gateway in front of its id says only where it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anywhere;

/// The path of a session without the gateway in front of its id.
pub(super) fn anywhere(path: &str) -> String {
    let Some(rest) = path.strip_prefix(SESSIONS) else {
        return path.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (id, more) = rest.split_at(end);
    let id = id.rsplit(':').next().unwrap_or(id);
    format!("{SESSIONS}{id}{more}")
}

/// When a session ended, if the answer is one that did: after a handover each gateway has a part.
pub(super) fn ended_at(body: &[u8]) -> Option<u64> {
    Some(end_of(body)?.1)
}

/// The same, behind whether that was the end of all: a part that went elsewhere is told of last.
fn end_of(body: &[u8]) -> Option<(bool, u64)> {
    #[derive(Deserialize)]
    struct Part {
        end: Option<End>,
    }
    #[derive(Deserialize)]
    struct End {
        at_seconds: u64,
        moved_to: Option<String>,
    }
    let part: Part = serde_json::from_slice(body).ok()?;
    let end = part.end?;
    Some((end.moved_to.is_none(), end.at_seconds))
}

/// Gives the answer of a gateway that has what was asked for: of a session the part that goes on, or ended last.
pub(super) fn found(own: Own, round: &Round) -> ServiceResponse<BoxBody> {
    let mut newest_end = end_of(&own.body);
    if own.is_success() && newest_end.is_none() {
        return own.response;
    }
    let mut ended = None;
    let mut missing = round.unresolved.clone();
    if own.status != StatusCode::NOT_FOUND {
        missing.push("this gateway".to_owned());
    }
    for reply in &round.replies {
        let name = reply.name();
        match &reply.outcome {
            // The one that has it may also say why it does not do what was wanted.
            Ok(answered) if is_success(answered.answer.status) || answered.answer.status == 409 => {
                match end_of(&answered.answer.body) {
                    None => return own.response.into_response(passed_on(&answered.answer)),
                    end if end > newest_end => {
                        (newest_end, ended) = (end, Some(&answered.answer));
                    }
                    Some(_) => {}
                }
            }
            Ok(answered) if answered.answer.status == 404 => {}
            Ok(answered) => missing.push(format!("{name}: status {}", answered.answer.status)),
            Err(why) => missing.push(format!("{name}: {why}")),
        }
    }
    if let Some(ended) = ended {
        return own.response.into_response(passed_on(ended));
    }
    if own.is_success() || missing.is_empty() && round.left_out == 0 {
        return own.response;
    }
    let missing = missing.join("; ");
    let message = format!("not found where there was an answer; without one: {missing}");
    let error = ApiError::timeout(message);
    own.response.into_response(error.error_response())
}

/// Another gateway's answer as it is.
fn passed_on(answer: &Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status);
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::OK));
    match &answer.body {
        body if body.is_empty() => response.finish(),
        body => response
            .content_type(ContentType::json())
            .body(body.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_asked_for_wherever_it_is() {
        for (path, expected) in [
            ("/api/v1/sessions/7", "/api/v1/sessions/7"),
            ("/api/v1/sessions/gw-a:7", "/api/v1/sessions/7"),
            ("/api/v1/sessions/a:b:7/assign", "/api/v1/sessions/7/assign"),
            ("/api/v1/bans/gw-a:7", "/api/v1/bans/gw-a:7"),
        ] {
            assert_eq!(anywhere(path), expected);
        }
    }

    #[test]
    fn only_a_session_that_has_ended_has_an_end() {
        assert_eq!(ended_at(br#"{"end":{"at_seconds":7,"code":307}}"#), Some(7));
        for body in [&br#"{"end":null}"#[..], b"{}", b"", b"[]"] {
            assert_eq!(ended_at(body), None);
        }
    }
}
