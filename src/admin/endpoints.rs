//! Every path of the admin API with its methods, once: the routing, the `Allow` of a wrong method
//! and the OpenAPI document are all made of this list.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, guard, web};
use utoipa::OpenApi;

use super::access::authorise;
use super::errors::{ApiError, ErrorBody};
use super::everywhere::{DeploymentAnswer, everywhere};
use super::ids::{
    Address, BanId, DecimalId, EndpointText, NetworkText, Positions, ServiceName, SessionId,
    TimeText, Token, TraceId, TraceTime, TracedSession, UserId,
};
use super::openapi::Finished;
use super::{
    actors, assign, backend_state, backends, bans, config, drain, gateways, limits, live,
    log_level, memory, page_files, pages, probes, refusals, route_changes, routes, sessions,
    top_talkers, traces, whoami,
};

/// A path and its methods, GET standing for HEAD too.
type Endpoint = (&'static str, &'static [&'static str]);

macro_rules! endpoints {
    ($($path:literal => $($method:ident $module:ident::$answer:ident),+;)+) => {
        /// Every path.
        const ENDPOINTS: &[Endpoint] = &[$(($path, &[$(stringify!($method)),+])),+];

        fn register(app: &mut web::ServiceConfig) {
            $(app.service(
                web::resource($path)
                    $(.route(taking(Method::$method).to($module::$answer)))+
                    .default_service(web::to(wrong_method)),
            );)+
        }

        /// The OpenAPI document.
        #[derive(OpenApi)]
        #[openapi(
            paths($($($module::$answer),+),+),
            components(schemas(ErrorBody, DeploymentAnswer, DecimalId, SessionId, ServiceName, Address, EndpointText, Token, BanId, NetworkText, TimeText, UserId, TraceId, TraceTime, TracedSession, Positions)),
            modifiers(&Finished),
            info(
                title = "game-gateway admin API",
                description = "What operators ask a game-gateway, and tell it.",
            ),
        )]
        pub(super) struct Document;
    };
}

endpoints! {
    "/" => GET page_files::index;
    "/page/{file}" => GET page_files::file;
    "/health" => GET probes::health;
    "/ready" => GET probes::ready;
    "/metrics" => GET probes::metrics;
    "/api/v1/info" => GET probes::info;
    "/api/v1/events" => GET live::events;
    "/api/v1/whoami" => GET whoami::answer;
    "/api/v1/gateways" => GET gateways::list;
    "/api/v1/actors" => GET actors::list;
    "/api/v1/actors/busiest" => GET actors::busiest;
    "/api/v1/actors/{id}" => GET actors::one;
    "/api/v1/actors/{id}/restart" => POST actors::restart;
    "/api/v1/sessions" => GET sessions::list;
    "/api/v1/sessions/{id}" => GET sessions::one, DELETE sessions::kick;
    "/api/v1/sessions/{id}/assign" => POST assign::assign;
    "/api/v1/top-talkers" => GET top_talkers::list;
    "/api/v1/refusals" => GET refusals::list;
    "/api/v1/backends" => GET backends::list;
    "/api/v1/backends/{address}/state" => GET backend_state::current, PUT backend_state::change;
    "/api/v1/bans" => GET bans::list, POST bans::make;
    "/api/v1/bans/{id}" => DELETE bans::remove;
    "/api/v1/traces" => GET traces::list, POST traces::begin;
    "/api/v1/traces/{id}" => GET traces::one, DELETE traces::end;
    "/api/v1/traces/{id}/events" => GET traces::events;
    "/api/v1/routes" => GET routes::in_force;
    "/api/v1/routes/history" => GET route_changes::history;
    "/api/v1/routes/resolve" => GET routes::resolve;
    "/api/v1/routes/rollback" => POST route_changes::rollback;
    "/api/v1/drain" => GET drain::progress, POST drain::begin, DELETE drain::undo;
    "/api/v1/limits" => GET limits::list, PATCH limits::change, DELETE limits::reset;
    "/api/v1/log-level" => GET log_level::current, PUT log_level::change;
    "/api/v1/config" => GET config::effective;
    "/api/v1/memory" => GET memory::budget;
    "/api/openapi.json" => GET pages::openapi;
    "/api/docs/" => GET pages::docs;
    "/api/docs/{file}" => GET pages::docs_file;
}

/// Returns a route of this method. GET includes HEAD; actix leaves out the body.
fn taking(method: Method) -> actix_web::Route {
    if method == Method::GET {
        web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
    } else {
        web::method(method)
    }
}

/// Tells whether a path of the list takes this method.
pub(super) fn takes(path: &str, method: &Method) -> bool {
    let endpoint = ENDPOINTS.iter().find(|(known, _)| *known == path);
    let name = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    endpoint.is_some_and(|(_, methods)| methods.contains(&name))
}

/// Registers all paths, behind the access check.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    app.service(
        web::scope("")
            .wrap(from_fn(everywhere))
            // Outermost: who may not ask here asks nobody else.
            .wrap(from_fn(authorise))
            .configure(register)
            .default_service(web::to(not_found)),
    );
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("there is no {}", request.path());
    Err(ApiError::not_found(message))
}

async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("{} does not take {}", request.path(), request.method());
    let pattern = request.match_pattern();
    let endpoint = ENDPOINTS
        .iter()
        .find(|(path, _)| pattern.as_deref() == Some(path));
    let mut allow = Vec::new();
    for method in endpoint.map_or(&[][..], |(_, methods)| methods) {
        allow.push(*method);
        if *method == "GET" {
            allow.push("HEAD");
        }
    }
    Err(ApiError::wrong_method(message, &allow.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths in the functions' documentation are those that they are registered under.
    #[test]
    fn the_document_lists_exactly_the_endpoints() {
        let document = serde_json::to_value(Document::openapi()).expect("JSON");
        let mut documented = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for method in operations.as_object().expect("operations").keys() {
                documented.insert((path.clone(), method.to_uppercase()));
            }
        }
        let registered: BTreeSet<(String, String)> = ENDPOINTS
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(|m| ((*path).into(), (*m).into())))
            .collect();
        assert_eq!(documented, registered);
    }
}
