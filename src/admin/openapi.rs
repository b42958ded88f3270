//! The parts of the OpenAPI document that all endpoints share: access and errors.

use super::everywhere::{Manner, manner};
use utoipa::Modify;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// The name of the token in the document.
const TOKEN: &str = "token";
/// Prefix of all paths that need the token.
const GUARDED: &str = "/api/v1/";

/// Adds what is the same everywhere.
pub(super) struct Finished;

impl Modify for Finished {
    fn modify(&self, document: &mut OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "`admin.token`, or one of `admin.tokens`; those with the role `read` may only read. Where none is configured, loopback addresses need none.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(token));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("put", &mut item.put),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    operation.operation_id = Some(name(method, path));
                    finish(path, operation);
                    if let Some(manner) = manner(path) {
                        may_be_everywhere(manner, operation);
                    }
                }
            }
        }
    }
}

/// Adds what `deployment=true` asks for, and what comes of it.
fn may_be_everywhere(manner: Manner, operation: &mut Operation) {
    let what = match manner {
        Manner::Each => "Asks every gateway of the deployment and lists their answers.",
        Manner::Found => {
            "Asks every gateway of the deployment and gives the answer of the one that has it."
        }
    };
    let schema = ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean));
    let parameter = ParameterBuilder::new()
        .name("deployment")
        .parameter_in(ParameterIn::Query)
        .description(Some(what))
        .schema(Some(schema))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(parameter));
    let why = "With `deployment=true`: `peer.gateways` does not say where the others are.";
    add(operation, 409, why);
    let responses = &mut operation.responses.responses;
    if manner == Manner::Found {
        let why = "A worker does not answer in time; or none that answered has it, and some did not answer.";
        responses.insert("503".to_owned(), RefOr::T(error(why)));
        return;
    }
    let all = Ref::from_schema_name("DeploymentAnswer");
    let partial = ContentBuilder::new().schema(Some(all.clone())).build();
    let partial = ResponseBuilder::new()
        .description("With `deployment=true`: some gateways have not answered, or with an error.")
        .content("application/json", partial)
        .build();
    responses.insert("207".to_owned(), RefOr::T(partial));
    let everyone = ResponseBuilder::new()
        .description("With `deployment=true`: all have.")
        .build();
    let ok = responses.entry("200".to_owned());
    let RefOr::T(ok) = ok.or_insert(RefOr::T(everyone)) else {
        return;
    };
    let json = ok.content.entry("application/json".to_owned());
    let RefOr::T(json) = json.or_insert_with(|| RefOr::T(ContentBuilder::new().build())) else {
        return;
    };
    let own = json.schema.take();
    let either = OneOfBuilder::new().item(all);
    json.schema = Some(match own {
        Some(own) => RefOr::T(either.item(own).build().into()),
        None => RefOr::T(either.build().into()),
    });
}

/// Returns the unique name of an operation: `delete_sessions_id` for DELETE of `/api/v1/sessions/{id}`.
fn name(method: &str, path: &str) -> String {
    let words = path.strip_prefix(GUARDED).unwrap_or(path);
    let words = words.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{method}_{}", words.join("_"))
}

fn finish(path: &str, operation: &mut Operation) {
    if path.starts_with(GUARDED) {
        let token = utoipa::openapi::security::SecurityRequirement::new(TOKEN, [""; 0]);
        operation.security = Some(vec![token]);
        add(
            operation,
            400,
            "A query parameter, id or body is wrong, or not known.",
        );
        add(operation, 401, "The token is missing or wrong.");
    }
    if path.starts_with("/api/") || path.starts_with("/page/") || path == "/" {
        let why = "The token may only read. Without a token: not from a loopback address, through a proxy, under another \
                   name than this machine's, or from another site's page.";
        add(operation, 403, why);
    }
    if operation.request_body.is_some() {
        add(operation, 408, "The body has not come whole in time.");
        add(operation, 413, "The body is too large.");
        add(operation, 415, "The body is not JSON.");
    }
}

/// Adds an error unless the endpoint has said more about it itself.
fn add(operation: &mut Operation, status: u16, why: &str) {
    let responses = &mut operation.responses.responses;
    responses
        .entry(status.to_string())
        .or_insert_with(|| RefOr::T(error(why)));
}

fn error(why: &str) -> Response {
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorBody")))
        .build();
    ResponseBuilder::new()
        .description(why)
        .content("application/json", body)
        .build()
}
