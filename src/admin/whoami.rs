//! Who asks, as the gateway sees it: a page or program that has a token can tell what it may do.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::params::{Nothing, Query};
use crate::config::admin::Role;

/// The one who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Whoami {
    /// Name of the token; `null` where none is needed.
    token: Option<String>,
    /// `read` may look, `operate` may change too.
    #[schema(example = "operate")]
    role: &'static str,
}

/// The token's name and role.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "gateway", responses(
    (status = 200, description = "These.", body = Whoami),
))]
pub(super) async fn answer(caller: Caller, _: Query<Nothing>) -> web::Json<Whoami> {
    let role = match caller.role() {
        Role::Read => "read",
        Role::Operate => "operate",
    };
    web::Json(Whoami {
        token: caller.token().map(str::to_owned),
        role,
    })
}
