//! The request for a ban, and every mistake in it by its name.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::errors::ApiError;
use super::params::plain_number;
use super::wishes::{self, MAX_REASON, given, text};
use crate::admission::BanTarget;
use crate::config::Network;

/// An address or network, for errors.
const NETWORK: &str = "an address or network such as 192.0.2.7, 192.0.2.0/24 or 2001:db8:0:1::/64";

/// Whom to ban, for how long, and why. Read as any values, so that what is wrong can be said by name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(default, deserialize_with = "given")]
    address: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    user_id: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    r#for: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    reason: Option<Value>,
}

impl PartialSchema for Wish {
    /// Either of the two, and what may stand beside both.
    fn schema() -> RefOr<Schema> {
        let reason = || {
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .max_length(Some(MAX_REASON))
                .pattern(Some("^[^\\x00-\\x1f\\x7f-\\x9f]*$"))
                .description(Some(
                    "For operators, in lists and the log; the player is not told.",
                ))
                .examples(["flood"])
        };
        let of = |whom: &str, schema: &str| {
            ObjectBuilder::new()
                .property(whom, Ref::from_schema_name(schema))
                .required(whom)
                .property("for", Ref::from_schema_name("TimeText"))
                .property("reason", reason())
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        OneOfBuilder::new()
            .item(of("address", "NetworkText"))
            .item(of("user_id", "UserId"))
            .into()
    }
}

impl ToSchema for Wish {
    fn name() -> Cow<'static, str> {
        "BanWish".into()
    }
}

impl Wish {
    /// Returns whom it is about.
    ///
    /// # Errors
    /// It is about nobody, or about more than one.
    pub(super) fn target(&self) -> Result<BanTarget, ApiError> {
        let (address, user) = (
            text("address", &self.address, "192.0.2.0/24")?,
            text("user_id", &self.user_id, "4711")?,
        );
        match (address, user) {
            (Some(address), None) => read_address(address),
            (None, Some(user)) => match plain_number(user) {
                Some(user @ 1..) => Ok(BanTarget::User(user)),
                Some(0) => Err(ApiError::bad_request(
                    "user_id: `0` is nobody and cannot be banned",
                )),
                None => {
                    let message = format!(
                        "user_id: `{user}` is not a decimal id from 1 to 18446744073709551615"
                    );
                    Err(ApiError::bad_request(message))
                }
            },
            (None, None) => Err(ApiError::bad_request(
                "address, user_id: one of them must be given",
            )),
            (Some(_), Some(_)) => {
                let message = "address, user_id: only one of them may be given";
                Err(ApiError::bad_request(message))
            }
        }
    }

    /// Returns the time for which it holds; none: until it is removed.
    ///
    /// # Errors
    /// It is no time, or too long a one.
    pub(super) fn time(&self) -> Result<Option<Duration>, ApiError> {
        wishes::time(&self.r#for, "a ban until it is removed")
    }

    /// Returns the reason; empty where there is none.
    ///
    /// # Errors
    /// It is too long, or more than one line.
    pub(super) fn reason(&self) -> Result<String, ApiError> {
        wishes::reason(&self.reason, "flood")
    }
}

/// Reads an address or network.
///
/// # Errors
/// It is none.
pub(super) fn read_address(text: &str) -> Result<BanTarget, ApiError> {
    read_network(text).map(BanTarget::Network)
}

/// Reads an address or network, the parameter or member `address`.
///
/// # Errors
/// It is none.
pub(super) fn read_network(text: &str) -> Result<Network, ApiError> {
    let wrong = |why: String| ApiError::bad_request(format!("address: {why}"));
    text.parse()
        .map_err(|why: String| match text.contains('/') {
            true => wrong(why),
            false => wrong(format!("`{text}` is not {NETWORK}")),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, Option<u64>, String), String> {
        let wish: Wish = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let whole = || {
            let (target, time, reason) = (wish.target()?, wish.time()?, wish.reason()?);
            Ok((target.to_string(), time.map(|time| time.as_secs()), reason))
        };
        whole().map_err(|error: ApiError| error.to_string())
    }

    #[test]
    fn good_ones() {
        for (body, target, time, reason) in [
            (r#"{"address": "192.0.2.0/24"}"#, "192.0.2.0-24", None, ""),
            (
                r#"{"address": "::ffff:192.0.2.7", "for": "10m"}"#,
                "192.0.2.7",
                Some(600),
                "",
            ),
            (
                r#"{"user_id": "4711", "reason": "flood"}"#,
                "user-4711",
                None,
                "flood",
            ),
            (
                r#"{"user_id": "18446744073709551615", "for": "720h"}"#,
                "user-18446744073709551615",
                Some(2_592_000),
                "",
            ),
        ] {
            assert_eq!(
                read(body),
                Ok((target.to_owned(), time, reason.to_owned())),
                "{body}"
            );
        }
        let longest = "ä".repeat(MAX_REASON);
        let body = format!(r#"{{"user_id": "1", "reason": "{longest}"}}"#);
        assert_eq!(read(&body).map(|(.., reason)| reason), Ok(longest));
    }

    #[test]
    fn mistakes_are_named() {
        let long = format!(
            r#"{{"user_id": "1", "reason": "{}"}}"#,
            "a".repeat(MAX_REASON + 1)
        );
        for (body, message) in [
            ("{}", "address, user_id: one of them must be given"),
            (
                r#"{"address": "192.0.2.7", "user_id": "1"}"#,
                "address, user_id: only one of them",
            ),
            (r#"{"address": null}"#, "address: `null` is not a text"),
            (
                r#"{"address": ""}"#,
                "address: `` is not an address or network such as",
            ),
            (
                r#"{"address": "example.org"}"#,
                "address: `example.org` is not an address",
            ),
            (
                r#"{"address": "192.0.2.7:80"}"#,
                "address: `192.0.2.7:80` is not an address",
            ),
            (
                r#"{"address": "192.0.2.1/24"}"#,
                "address: invalid network `192.0.2.1/24`: host bits set",
            ),
            (
                r#"{"address": "192.0.2.0/33"}"#,
                "address: invalid network `192.0.2.0/33`",
            ),
            (
                r#"{"address": "192.0.2.1,192.0.2.2"}"#,
                "address: `192.0.2.1,192.0.2.2` is not an",
            ),
            (r#"{"user_id": "0"}"#, "user_id: `0` is nobody"),
            (
                r#"{"user_id": "-1"}"#,
                "user_id: `-1` is not a decimal id from 1",
            ),
            (
                r#"{"user_id": "18446744073709551616"}"#,
                "user_id: `18446744073709551616` is not",
            ),
            (
                r#"{"user_id": "1", "for": "soon"}"#,
                "for: invalid duration `soon`",
            ),
            (
                r#"{"user_id": "1", "for": "721h"}"#,
                "for: duration `721h` too long, limit 720h",
            ),
            (r#"{"user_id": "1", "for": "0"}"#, "for: `0` is no time"),
            (r#"{"user_id": "1", "for": "0ms"}"#, "for: `0ms` is no time"),
            (
                r#"{"user_id": "1", "reason": "a\nb"}"#,
                "reason: has a line break",
            ),
            (&long, "reason: longer than 256 characters"),
            (r#"{"user_id": "1", "why": "x"}"#, "unknown field `why`"),
        ] {
            let error = read(body).expect_err(body);
            assert!(error.starts_with(message), "{body}: {error}");
        }
    }

    #[test]
    fn what_is_no_text_is_shown_beside_one_that_fits() {
        for (body, message) in [
            (
                r#"{"address": 7}"#,
                "address: `7` is not a text, expected for example \"192.0.2.0/24\"",
            ),
            (
                r#"{"user_id": "1", "reason": ["a"]}"#,
                "reason: `[\"a\"]` is not a text, expected for example \"flood\"",
            ),
            (
                r#"{"user_id": "1", "for": 5}"#,
                "for: `5` is not a text, expected for example \"10m\"",
            ),
            (
                r#"{"user_id": "1", "for": "5"}"#,
                "for: invalid duration `5`, expected e.g. 500ms, 30s, 5m or 1h",
            ),
            (
                r#"{"user_id": 4711}"#,
                "user_id: `4711` is not a text, expected for example \"4711\"",
            ),
        ] {
            assert_eq!(read(body).expect_err(body), message);
        }
    }
}
