//! The request for a trace, and every mistake in it by its name.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::ban_wish::read_address;
use super::errors::ApiError;
use super::ids::SessionId;
use super::params::plain_number;
use super::wishes::{given, text};
use crate::admission::BanTarget;
use crate::config::units::parse_duration;
use crate::traces::{LONGEST, TraceKey, TraceTarget};

/// The length of a trace that does not say it.
const USUAL: Duration = Duration::from_secs(600);

/// Whom to trace, and for how long. Read as any values, so that what is wrong can be said by name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceWish {
    #[serde(default, deserialize_with = "given")]
    address: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    user_id: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    session: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    r#for: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    id: Option<Value>,
}

impl PartialSchema for TraceWish {
    /// One of the three, and what may stand beside it.
    fn schema() -> RefOr<Schema> {
        let of = |whom: &str, schema: &str| {
            ObjectBuilder::new()
                .property(whom, Ref::from_schema_name(schema))
                .required(whom)
                .property("for", Ref::from_schema_name("TraceTime"))
                .property("id", Ref::from_schema_name("TraceId"))
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        OneOfBuilder::new()
            .item(of("address", "NetworkText"))
            .item(of("user_id", "UserId"))
            .item(of("session", "TracedSession"))
            .into()
    }
}

impl ToSchema for TraceWish {
    fn name() -> Cow<'static, str> {
        "TraceWish".into()
    }
}

impl TraceWish {
    /// Returns whom it is about.
    ///
    /// # Errors
    /// It is about nobody, or about more than one.
    pub(super) fn target(&self) -> Result<TraceTarget, ApiError> {
        let (address, user) = (
            text("address", &self.address, "192.0.2.0/24")?,
            text("user_id", &self.user_id, "4711")?,
        );
        let session = text("session", &self.session, "4711")?;
        match (address, user, session) {
            (Some(address), None, None) => match read_address(address)? {
                BanTarget::Network(network) => Ok(TraceTarget::Network(network)),
                BanTarget::User(user) => Ok(TraceTarget::User(user)),
            },
            (None, Some(user), None) => match plain_number(user) {
                Some(user @ 1..) => Ok(TraceTarget::User(user)),
                _ => Err(ApiError::bad_request(format!(
                    "user_id: `{user}` is not a decimal id from 1 to 18446744073709551615"
                ))),
            },
            // Where a session is now does not matter: it keeps its id.
            (None, None, Some(session)) => match SessionId::parse(session) {
                Some(SessionId { id: id @ 1.., .. }) => Ok(TraceTarget::Session(id)),
                _ => Err(ApiError::bad_request(format!(
                    "session: `{session}` is no session's id; one is a whole number from 1 to \
                     18446744073709551615, alone or behind its gateway's id and a colon"
                ))),
            },
            (None, None, None) => Err(ApiError::bad_request(
                "address, user_id, session: one of them must be given",
            )),
            _ => Err(ApiError::bad_request(
                "address, user_id, session: only one of them may be given",
            )),
        }
    }

    /// Returns the id that it is to have, so that it is the same on several gateways; a fresh one where none is given.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn key(&self) -> Result<TraceKey, ApiError> {
        let Some(text) = text("id", &self.id, "00c0ffee00c0ffee")? else {
            return Ok(TraceKey(rand::random()));
        };
        let wrong = || {
            let message =
                format!("id: `{text}` is no trace's id; one has 16 lowercase hexadecimal digits");
            ApiError::bad_request(message)
        };
        TraceKey::parse(text).ok_or_else(wrong)
    }

    /// Returns the time for which it runs.
    ///
    /// # Errors
    /// It is no time, or too long a one.
    pub(super) fn time(&self) -> Result<Duration, ApiError> {
        let Some(text) = text("for", &self.r#for, "10m")? else {
            return Ok(USUAL);
        };
        let wrong = |why: String| ApiError::bad_request(format!("for: {why}"));
        match parse_duration(text).map_err(wrong)? {
            Duration::ZERO => Err(wrong(format!("`{text}` is no time, expected e.g. 10m"))),
            time if time > LONGEST => Err(wrong(format!("duration `{text}` too long, limit 24h"))),
            time => Ok(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(TraceTarget, u64), String> {
        let wish: TraceWish = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let whole = || {
            wish.key()?;
            Ok((wish.target()?, wish.time()?.as_secs()))
        };
        whole().map_err(|error: ApiError| error.to_string())
    }

    #[test]
    fn good_ones() {
        let network = |text: &str| TraceTarget::Network(text.parse().expect(text));
        for (body, target, seconds) in [
            (r#"{"user_id": "4711"}"#, TraceTarget::User(4711), 600),
            (
                r#"{"address": "192.0.2.0/24", "for": "24h"}"#,
                network("192.0.2.0/24"),
                86_400,
            ),
            (
                r#"{"address": "::ffff:192.0.2.7", "for": "1s"}"#,
                network("192.0.2.7"),
                1,
            ),
            (
                r#"{"session": "7", "id": "00c0ffee00c0ffee"}"#,
                TraceTarget::Session(7),
                600,
            ),
            (r#"{"session": "gw-1:7"}"#, TraceTarget::Session(7), 600),
        ] {
            assert_eq!(read(body), Ok((target, seconds)), "{body}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (body, message) in [
            ("{}", "address, user_id, session: one of them must be"),
            (
                r#"{"user_id": "1", "session": "1"}"#,
                "address, user_id, session: only one of them",
            ),
            (r#"{"user_id": 4711}"#, "user_id: `4711` is not a text"),
            (r#"{"user_id": "0"}"#, "user_id: `0` is not a decimal id"),
            (r#"{"address": "x"}"#, "address: `x` is not an address"),
            (r#"{"session": "0"}"#, "session: `0` is no session's id"),
            (r#"{"session": "a b:1"}"#, "session: `a b:1` is no session"),
            (r#"{"session": null}"#, "session: `null` is not a text"),
            (r#"{"user_id": "1", "for": "0s"}"#, "for: `0s` is no time"),
            (
                r#"{"user_id": "1", "for": "25h"}"#,
                "for: duration `25h` too long, limit 24h",
            ),
            (
                r#"{"user_id": "1", "for": "ever"}"#,
                "for: invalid duration `ever`",
            ),
            (r#"{"user_id": "1", "why": "x"}"#, "unknown field `why`"),
            (
                r#"{"user_id": "1", "id": "00C0FFEE00C0FFEE"}"#,
                "id: `00C0FFEE00C0FFEE` is no trace's id",
            ),
        ] {
            let error = read(body).expect_err(body);
            assert!(error.starts_with(message), "{body}: {error}");
        }
    }
}
