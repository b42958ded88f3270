//! Query parameters, bodies and ids of a request. A wrong one is refused by its name.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::Bytes;
use serde::de::value::{Error as ValueError, MapDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::errors::ApiError;

/// The largest body that is read, in bytes; every right one is far smaller.
pub(super) const MAX_BODY: usize = 16 * 1024;
/// The most entries of a page.
pub(super) const MAX_LIMIT: u16 = 1000;
/// The entries of a page that does not say how many.
pub(super) const DEFAULT_LIMIT: u16 = 100;
/// The longest cursor or actor's id, in bytes.
const MAX_TOKEN: usize = 128;

/// No query parameter at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Query parameters. Unknown, repeated and malformed ones are refused.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Query<T>, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_query(request.query_string()).map(Query))
    }
}

fn read_query<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| decode(&text.replace('+', " "));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            let message = format!("`{pair}` is not percent-encoded UTF-8");
            return Err(ApiError::bad_request(message));
        };
        if pairs.iter().any(|(before, _)| *before == name) {
            return Err(ApiError::bad_request(format!("{name}: given twice")));
        }
        pairs.push((name, value));
    }
    // Which one is being read, for errors do not say.
    let reading = Cell::new("");
    let parts = pairs.iter().map(|(name, value)| {
        reading.set(name);
        (name.as_str(), Part(value))
    });
    T::deserialize(MapDeserializer::<_, ValueError>::new(parts)).map_err(|error| {
        let text = error.to_string();
        let about_a_name = text.starts_with("missing field") || text.starts_with("unknown field");
        ApiError::bad_request(if about_a_name {
            text.replacen("field", "query parameter", 1)
        } else {
            format!("{}: {text}", reading.get())
        })
    })
}

/// Undoes percent-encoding; `None` if it is malformed or does not encode UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            // A sign would pass too.
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            bytes.push(hex.then(|| u8::from_str_radix(digits, 16).ok())??);
            rest = &behind[2..];
        } else {
            bytes.push(byte);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Parses an integer without sign and leading zeros.
pub(super) fn plain_number<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// The value of one query parameter.
struct Part<'a>(&'a str);

impl<'de> IntoDeserializer<'de, ValueError> for Part<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Part<'de> {
    fn number<T: FromStr + Display>(&self, most: T) -> Result<T, ValueError> {
        plain_number(self.0).ok_or_else(|| {
            let value = self.0;
            ValueError::custom(format!("`{value}` is not a whole number from 0 to {most}"))
        })
    }
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        StrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(not_a(other.into(), "true or false")),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_u16(self.number(u16::MAX)?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_u32(self.number(u32::MAX)?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Returns the requested number of entries.
///
/// # Errors
/// It is out of range.
pub(super) fn limit(asked: Option<u16>) -> Result<usize, ApiError> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit.into());
    }
    let message = format!("limit: must be 1 to {MAX_LIMIT}, not {limit}");
    Err(ApiError::bad_request(message))
}

/// Returns true if the text could be a cursor or an actor's id: 1 to 128 letters, digits, `.`, `:`, `_`
/// or `-`.
pub(super) fn is_token(text: &str) -> bool {
    let usual = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(usual)
}

/// Returns the cursor, if there is one and it is well-formed.
///
/// # Errors
/// No gateway gives such a cursor.
pub(super) fn cursor(asked: Option<&str>) -> Result<Option<&str>, ApiError> {
    match asked {
        Some(text) if !is_token(text) => Err(crate::inspection::InspectError::BadCursor.into()),
        asked => Ok(asked),
    }
}

/// Returns the part `{name}` of the path.
///
/// # Errors
/// It is not percent-encoded UTF-8.
pub(super) fn path_part(request: &HttpRequest, name: &str) -> Result<String, ApiError> {
    // actix has decoded it except for ambiguous sequences such as %25 and %2F.
    let part = request.match_info().get(name).unwrap_or_default();
    decode(part)
        .filter(|part| !part.contains(char::REPLACEMENT_CHARACTER))
        .ok_or_else(|| ApiError::bad_request(format!("{name}: not percent-encoded UTF-8")))
}

/// A request's body, or why it cannot be had. The connection has read it before the request is answered.
#[derive(Debug, Clone)]
pub(super) struct Upload(pub(super) Result<Bytes, ApiError>);

/// A JSON body; `None` if it is empty or `null`.
pub(super) struct Body<T>(pub(super) Option<T>);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Ready<Result<Body<T>, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let upload = request.extensions_mut().remove::<Upload>();
        let body = upload.map_or(Ok(Bytes::new()), |Upload(body)| body);
        ready(
            body.and_then(|body| read_json(request.headers(), &body))
                .map(Body),
        )
    }
}

fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<Option<T>, ApiError> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    if !essence.is_some_and(|e| e.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::not_json());
    }
    // A list's entries would be taken for the members in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::bad_request(
            "the body: expected an object, not a list",
        ));
    }
    let wrong = |error| ApiError::bad_request(format!("the body: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

/// Makes an error's text of a value that is not what it should be.
pub(super) fn not_a<E: serde::de::Error>(value: Cow<'_, str>, what: &str) -> E {
    E::custom(format!("`{value}` is not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        limit: Option<u16>,
        cursor: Option<String>,
    }

    fn page(text: &str) -> Result<(Option<u16>, Option<String>), String> {
        let page: Result<Page, _> = read_query(text);
        page.map(|p| (p.limit, p.cursor)).map_err(|e| e.to_string())
    }

    #[test]
    fn right_queries() {
        assert_eq!(page(""), Ok((None, None)));
        assert_eq!(
            page("limit=5&cursor=a%2Db&"),
            Ok((Some(5), Some("a-b".into())))
        );
        assert_eq!(page("cursor=a+b"), Ok((None, Some("a b".into()))));
    }

    #[test]
    fn wrong_queries_are_refused_by_name() {
        for (text, message) in [
            ("limits=5", "unknown query parameter `limits`"),
            ("limit=abc", "limit: `abc` is not a whole number"),
            ("cursor=1&limit=-1", "limit: `-1`"),
            ("limit=%2B1", "limit: `+1`"),
            ("limit=01", "limit: `01`"),
            ("limit=65536", "limit: `65536`"),
            ("limit=", "limit: ``"),
            ("limit=1&limit=2", "limit: given twice"),
            ("cursor=%zz", "`cursor=%zz` is not percent-encoded"),
            ("cursor=%ff", "`cursor=%ff` is not percent-encoded"),
            ("cursor=%4", "`cursor=%4` is not percent-encoded"),
            ("cursor=%+4", "`cursor=%+4` is not percent-encoded"),
        ] {
            let error = page(text).expect_err(text);
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
