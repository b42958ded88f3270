//! The page at `/`: files that are part of the program, and load nothing from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::header::{self, ETag, EntityTag, IfNoneMatch};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;

use super::errors::{ApiError, ErrorBody};
use super::params::path_part;

/// Scripts and styles come from this gateway, as files: what a name or reason of somebody outside says is never run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! files {
    ($($name:literal $kind:literal),+ $(,)?) => {
        const FILES: &[File] = &[$(File {
            name: $name,
            kind: $kind,
            content: include_bytes!(concat!("page/", $name)),
        }),+];
    };
}

files! {
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "act.js" "text/javascript; charset=utf-8",
    "actors.js" "text/javascript; charset=utf-8",
    "api.js" "text/javascript; charset=utf-8",
    "app.js" "text/javascript; charset=utf-8",
    "chart.js" "text/javascript; charset=utf-8",
    "deployment.js" "text/javascript; charset=utf-8",
    "dom.js" "text/javascript; charset=utf-8",
    "overview.js" "text/javascript; charset=utf-8",
    "rules.js" "text/javascript; charset=utf-8",
    "sessions.js" "text/javascript; charset=utf-8",
    "settings.js" "text/javascript; charset=utf-8",
    "traces.js" "text/javascript; charset=utf-8",
    "verdict.js" "text/javascript; charset=utf-8",
    "views.js" "text/javascript; charset=utf-8",
}

/// The page for people: what is going on, live, and what can be done about it.
#[utoipa::path(get, path = "/", tag = "pages", responses(
    (status = 200, description = "A page.", body = String, content_type = "text/html"),
    (status = 304, description = "`If-None-Match` has the page's `ETag`."),
))]
pub(super) async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&request, "index.html")
}

/// A file that the page needs.
#[utoipa::path(get, path = "/page/{file}", tag = "pages",
    params(("file" = String, Path, description = "Its name.", example = "app.js")),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "*/*"),
        (status = 304, description = "`If-None-Match` has the file's `ETag`."),
        (status = 400, description = "Not percent-encoded UTF-8.", body = ErrorBody),
        (status = 404, description = "There is none.", body = ErrorBody),
    )
)]
pub(super) async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&request, &path_part(&request, "file")?)
}

fn answer(request: &HttpRequest, name: &str) -> Result<HttpResponse, ApiError> {
    let file = FILES.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| ApiError::not_found(format!("there is no /page/{name}")))?;
    let tag = tag(file.content);
    let mut answer = match has(request, &tag) {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    answer
        .insert_header(ETag(tag.clone()))
        // Asked for each time, so that another version's page is never mixed with this one's.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    Ok(match has(request, &tag) {
        true => answer.finish(),
        false => answer
            .content_type(file.kind)
            .body(Bytes::from_static(file.content)),
    })
}

fn tag(content: &[u8]) -> EntityTag {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    EntityTag::new_strong(format!("{:016x}", hasher.finish()))
}

fn has(request: &HttpRequest, tag: &EntityTag) -> bool {
    match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|its| its.weak_eq(tag)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/page");
        let entries = std::fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a file").file_name();
        let mut there: Vec<_> = entries.map(name).collect();
        there.sort();
        let mut known: Vec<_> = FILES.iter().map(|file| file.name).collect();
        known.sort_unstable();
        assert_eq!(there, known);
    }

    /// What markup a page could make of texts from outside, it must not use.
    #[test]
    fn no_script_makes_markup() {
        for file in FILES {
            let text = std::str::from_utf8(file.content).expect("UTF-8");
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "DOMParser",
                "eval(",
                "new Function",
                "srcdoc",
                "javascript:",
                "style=\"",
                " onclick=\"",
                "http://",
                "https://",
            ] {
                let namespace = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!namespace.contains(way), "{} has {way}", file.name);
            }
        }
    }
}
