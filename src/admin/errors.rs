//! The one form of every error: `{"error": {"code": "…", "message": "…"}}`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::MAX_BODY;
use crate::inspection::InspectError;
use crate::net::http::Mistake;

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorText,
}

/// The error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorText {
    /// For programs: it stays the same from version to version.
    #[schema(example = "not_found")]
    code: &'static str,
    /// For people.
    #[schema(example = "there is no session 7")]
    message: String,
}

/// A request that is not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// One more header, where the status asks for it.
    header: Option<(header::HeaderName, header::HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code,
            message: message.into(),
            header: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn unauthorized() -> ApiError {
        let challenge = header::HeaderValue::from_static("Bearer");
        ApiError {
            header: Some((header::WWW_AUTHENTICATE, challenge)),
            ..ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "a bearer token is needed",
            )
        }
    }

    pub(super) fn forbidden(message: &str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Returns the error for a missing rule or realm, with the code that a player would get.
    pub(super) fn no_route(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "no_route", message)
    }

    /// Returns the error for a method other than those in `allow`.
    pub(super) fn wrong_method(message: String, allow: &str) -> ApiError {
        let allow = header::HeaderValue::from_str(allow).ok();
        ApiError {
            header: allow.map(|allow| (header::ALLOW, allow)),
            ..ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                message,
            )
        }
    }

    pub(super) fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn too_slow() -> ApiError {
        let message = "the body has not come whole in time";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
    }

    pub(super) fn slow_head() -> ApiError {
        let message = "the request's head has not come whole in time";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
    }

    pub(super) fn too_large(limit: usize) -> ApiError {
        let message = format!("the body is over {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Returns the error for an answer that another gateway would not take.
    pub(super) fn answer_too_large(limit: usize) -> ApiError {
        let message = format!("the answer is over {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn not_json() -> ApiError {
        let message = "the body's Content-Type must be application/json";
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    }

    pub(super) fn internal(message: &str) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub(super) fn not_available(message: &str) -> ApiError {
        ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_available", message)
    }

    /// Returns the error for something that is temporarily missing, which `code` names.
    pub(super) fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// Returns the error for what is asked by too many at the moment.
    pub(super) fn busy(message: &str) -> ApiError {
        let second = header::HeaderValue::from_static("1");
        ApiError {
            header: Some((header::RETRY_AFTER, second)),
            ..ApiError::unavailable("busy", message)
        }
    }

    pub(super) fn timeout(message: impl Into<String>) -> ApiError {
        ApiError::unavailable("timeout", message)
    }
}

impl ApiError {
    /// Returns its status, and its body as JSON.
    pub(super) fn as_answer(&self) -> (StatusCode, Vec<u8>) {
        let body = serde_json::to_vec(&self.body());
        (self.status, body.unwrap_or_default())
    }

    fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorText {
                code: self.code,
                message: self.message.clone(),
            },
        }
    }
}

impl From<Mistake> for ApiError {
    fn from(mistake: Mistake) -> ApiError {
        let (status, code) = match mistake.status {
            413 => return ApiError::too_large(MAX_BODY),
            431 => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large"),
            _ => (StatusCode::BAD_REQUEST, "bad_request"),
        };
        ApiError::new(status, code, mistake.text)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if let Some(header) = &self.header {
            answer.insert_header(header.clone());
        }
        answer.json(self.body())
    }
}

impl From<InspectError> for ApiError {
    fn from(error: InspectError) -> ApiError {
        match error {
            InspectError::BadCursor => ApiError::bad_request(format!("cursor: {error}")),
            InspectError::Silent(_) => ApiError::timeout(error.to_string()),
        }
    }
}
