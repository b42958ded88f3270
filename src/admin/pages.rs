//! The API's document, and the page that shows it. All of it is in the program; nothing
//! is loaded from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use super::endpoints::Document;
use super::errors::{ApiError, ErrorBody};
use super::params::{Nothing, Query, path_part};

/// Path of the document.
const DOCUMENT: &str = "/api/openapi.json";
/// Pages load nothing from other hosts, and cannot be shown in a frame. Swagger UI sets styles.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      frame-ancestors 'none'";

static DOCUMENT_TEXT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_string(&Document::openapi()));

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "pages", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object),
    (status = 400, description = "A query parameter is not known.", body = ErrorBody),
))]
pub(super) async fn openapi(_: Query<Nothing>) -> Result<HttpResponse, ApiError> {
    let broken = |_: &serde_json::Error| ApiError::internal("cannot write the document");
    let text = DOCUMENT_TEXT.as_ref().map_err(broken)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(text.as_str()))
}

/// This document as a page from which requests can be sent.
#[utoipa::path(get, path = "/api/docs/", tag = "pages", responses(
    (status = 200, description = "A page.", body = String, content_type = "text/html"),
))]
pub(super) async fn docs() -> Result<HttpResponse, ApiError> {
    file("index.html")
}

/// A file that the page needs.
#[utoipa::path(get, path = "/api/docs/{file}", tag = "pages",
    params(("file" = String, Path, description = "Its name.", example = "swagger-ui.css")),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "*/*"),
        (status = 400, description = "Not percent-encoded UTF-8.", body = ErrorBody),
        (status = 404, description = "There is none.", body = ErrorBody),
    )
)]
pub(super) async fn docs_file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    file(&path_part(&request, "file")?)
}

fn file(name: &str) -> Result<HttpResponse, ApiError> {
    // Its default is to ask a validator on the internet.
    let config = Config::from(DOCUMENT).validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config));
    let file = file.map_err(|_| ApiError::internal("cannot write the page"))?;
    let none = || ApiError::not_found(format!("there is no /api/docs/{name}"));
    let file = file.ok_or_else(none)?;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Ok(page(&file.content_type, bytes))
}

fn page(kind: &str, body: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}
