//! The effective configuration, by the same table as the file and the environment.

use std::collections::BTreeMap;

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use super::errors::ApiError;
use super::params::{Nothing, Query};
use crate::admission::Changes;
use crate::config::Config;
use crate::config::keys::{Field, KEYS, Key};

/// The text in place of a secret.
const MASK: &str = "***";

/// One key.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Setting {
    /// As the configuration file would have it; `***` where it is secret, `null` where it is unset.
    #[schema(example = "30s")]
    value: Option<String>,
    /// Default value; `null`: none.
    default: Option<String>,
    /// A change of the configuration file takes effect without a restart.
    live: bool,
    /// An operator has changed it at run time.
    changed: bool,
}

/// The effective configuration, by key.
#[utoipa::path(get, path = "/api/v1/config", tag = "gateway", responses(
    (status = 200, description = "Every key. Secrets are masked.", body = BTreeMap<String, Setting>),
))]
pub(super) async fn effective(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<BTreeMap<&'static str, Setting>>, ApiError> {
    Ok(web::Json(settings(
        &desk.doors.config(),
        &desk.live_config.changes(),
    )))
}

fn settings(config: &Config, changes: &Changes) -> BTreeMap<&'static str, Setting> {
    // The table writes through its fields, so it needs values of its own.
    let (mut config, mut defaults) = (config.clone(), Config::default());
    let setting = |key: &Key| Setting {
        value: shown((key.field)(&mut config)),
        default: shown((key.field)(&mut defaults)),
        live: key.is_live,
        changed: changes.contains_key(key.name),
    };
    let names = KEYS.iter().map(|key| key.name);
    names.zip(KEYS.iter().map(setting)).collect()
}

fn shown(field: Field<'_>) -> Option<String> {
    match field {
        Field::Secret(secret) => secret.as_ref().map(|_| MASK.to_owned()),
        Field::Secrets(secrets) => (!secrets.is_empty()).then(|| MASK.to_owned()),
        field => Some(field.show()).filter(|text| !text.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn every_key_and_no_secret() {
        let mut config = Config::default();
        config.admin.token = Some(Secret::new("sesame".into()));
        config.redis.url = "redis://user:open@host:6379/0".parse().expect("a URL");
        let settings = settings(&config, &Changes::new());
        let url = settings["redis.url"].value.as_deref();
        assert_eq!(url, Some("redis://user:***@host:6379/0"));
        assert_eq!(settings.len(), KEYS.len());
        assert_eq!(settings["admin.token"].value.as_deref(), Some(MASK));
        assert_eq!(settings["admin.token"].default, None);
        assert_eq!(settings["backend.token"].value, None);
        assert_eq!(settings["drain.window"].value.as_deref(), Some("30s"));
        assert!(!format!("{settings:?}").contains("sesame"));
    }
}
