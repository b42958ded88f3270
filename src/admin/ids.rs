//! Ids in paths and queries, as types that read them and say in the API's document what they are.

use std::net::SocketAddr;

use serde::de::{Deserialize, Deserializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::params::{not_a, plain_number};
use crate::codec::client::is_service_name;

/// The longest gateway id, as the configuration allows it, in bytes.
const MAX_GATEWAY_ID: usize = 255;

/// A 64-bit id in decimal: JavaScript's numbers end at 2^53, so it is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecimalId(pub(super) u64);

/// `{session_id}` or `{gateway_id}:{session_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionId {
    /// `None`: this gateway.
    pub(super) gateway: Option<String>,
    /// On that gateway.
    pub(super) id: u64,
}

/// A service_type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceName(pub(super) String);

/// `ip:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

/// `host:port` or `ip:port`.
pub(super) struct EndpointText;

/// A cursor or an actor's id.
pub(super) struct Token;

/// A ban's id.
pub(super) struct BanId;

/// An address or a network.
pub(super) struct NetworkText;

/// A user, decimal; not 0, who is nobody.
pub(super) struct UserId;

/// A time for which something holds, up to 30 days.
pub(super) struct TimeText;

/// The time of a trace, up to a day.
pub(super) struct TraceTime;

/// A trace's id.
pub(super) struct TraceId;

/// Where to go on with numbered events, on one gateway or on several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Positions {
    /// The same on every gateway.
    Number(u64),
    /// By the gateways' ids.
    Each(Vec<(String, u64)>),
}

/// A session that is traced, wherever it is; not 0, which is none.
pub(super) struct TracedSession;

impl SessionId {
    /// Parses an id; `None` if the text is not one.
    pub(super) fn parse(text: &str) -> Option<SessionId> {
        let (gateway, id) = match text.split_once(':') {
            None => (None, text),
            Some((gateway, id)) => (Some(gateway), id),
        };
        let good = |g: &str| {
            (1..=MAX_GATEWAY_ID).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_graphic())
        };
        gateway.is_none_or(good).then_some(())?;
        Some(SessionId {
            gateway: gateway.map(str::to_owned),
            id: plain_number(id)?,
        })
    }
}

impl Positions {
    /// Parses a number, or one for each gateway; `None` if the text is neither.
    fn parse(text: &str) -> Option<Positions> {
        if let Some(number) = plain_number(text) {
            return Some(Positions::Number(number));
        }
        let each = text.split(',').map(|part| {
            let (gateway, number) = part.rsplit_once(':')?;
            let is_id = !gateway.is_empty() && gateway.bytes().all(|b| b.is_ascii_graphic());
            is_id.then_some((gateway.to_owned(), plain_number(number)?))
        });
        each.collect::<Option<_>>().map(Positions::Each)
    }

    /// Returns the position on a gateway.
    pub(super) fn of(&self, gateway_id: &str) -> u64 {
        match self {
            Positions::Number(number) => *number,
            Positions::Each(each) => {
                let own = each.iter().find(|(gateway, _)| gateway == gateway_id);
                own.map_or(0, |(_, number)| *number)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Positions, D::Error> {
        let text = String::deserialize(deserializer)?;
        let what =
            "a whole number up to 18446744073709551615, or gateway_id:number for each gateway";
        Positions::parse(&text).ok_or_else(|| not_a(text.into(), what))
    }
}

impl<'de> Deserialize<'de> for DecimalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DecimalId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let what = "a decimal id from 0 to 18446744073709551615";
        plain_number(&text)
            .map(DecimalId)
            .ok_or_else(|| not_a(text.into(), what))
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ServiceName, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_service_name(text.as_bytes()) {
            Ok(ServiceName(text))
        } else {
            let what = "a service name, 1 to 64 of a-z 0-9 . _ - behind a letter or digit";
            Err(not_a(text.into(), what))
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        let what = "an address such as 10.0.0.7:9300 or [2001:db8::7]:9300";
        text.parse()
            .map(Address)
            .map_err(|_| not_a(text.into(), what))
    }
}

/// Returns a regular expression for the integers from 0 to `most`, without leading zeros.
fn up_to(most: &str) -> String {
    format!("(0|{})", from_1_to(most))
}

/// The same from 1.
fn from_1_to(most: &str) -> String {
    let mut choices = vec![most.to_owned()];
    if most.len() > 1 {
        choices.push(format!("[1-9][0-9]{{0,{}}}", most.len() - 2));
    }
    for (place, digit) in most.bytes().enumerate() {
        let least = if place == 0 { b'1' } else { b'0' };
        // Alike so far, a smaller digit here, anything behind.
        if digit > least {
            let (alike, behind) = (&most[..place], most.len() - place - 1);
            let smaller = format!("[{}-{}]", least as char, (digit - 1) as char);
            choices.push(format!("{alike}{smaller}[0-9]{{{behind}}}"));
        }
    }
    choices.join("|")
}

/// Returns a regular expression for some addresses and networks, with this in front of their length.
fn some_networks(slash: &str) -> String {
    let (octet, word) = (up_to("255"), "[0-9a-f]{1,4}");
    format!(
        "({octet}\\.){{3}}({octet}|0{slash}24)|({octet}\\.){{2}}0\\.0{slash}16|\
         ({word}:){{7}}{word}|({word}:){{4}}:{slash}64"
    )
}

fn text(pattern: String, description: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some(format!("^{pattern}$")))
        .description(Some(description))
        .examples([example])
        .into()
}

/// Gives each type its place in the document.
macro_rules! documented {
    ($($kind:ident: $schema:expr;)+) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl ToSchema for $kind {}
    )+};
}

documented! {
    DecimalId: text(up_to("18446744073709551615"), "A 64-bit id, decimal.", "42");
    SessionId: text(
        format!("([!-9;-~]{{1,{MAX_GATEWAY_ID}}}:)?{}", up_to("18446744073709551615")),
        "A session of this gateway, decimal, or `{gateway_id}:{session_id}`.",
        "1234567890123456789",
    );
    ServiceName: text("[a-z0-9][a-z0-9._-]{0,63}".to_owned(), "A service_type.", "game");
    Address: {
        let octet = up_to("255");
        let v6 = r"\[([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\]";
        let pattern = format!(r"(({octet}\.){{3}}{octet}|{v6}):{}", up_to("65535"));
        text(pattern, "`ip:port`. Short forms of IPv6 addresses are understood too.", "10.0.0.7:9300")
    };
    EndpointText: {
        let octet = up_to("255");
        let v6 = r"\[([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\]";
        let name = r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,3}";
        let pattern = format!(r"(({octet}\.){{3}}{octet}|{v6}|{name}):({})", from_1_to("65535"));
        text(pattern, "`host:port` as in rules, or `ip:port`. Longer names and short forms of IPv6 addresses are understood too.", "10.0.0.7:9300")
    };
    BanId: text(
        format!("(user-({})|{})", from_1_to("18446744073709551615"), some_networks("-")),
        "`user-` and the user, or the address, or the network with `-` (or an escaped `/`) in front of its \
         length. Short forms of IPv6 addresses and other lengths are understood too.",
        "192.0.2.0-24",
    );
    NetworkText: text(
        format!("({})", some_networks("/")),
        "An address or network. Short forms of IPv6 addresses and other lengths are understood too. \
         IPv4-mapped addresses are IPv4 ones. An IPv6 player usually has a whole `/64`.",
        "192.0.2.0/24",
    );
    UserId: text(format!("({})", from_1_to("18446744073709551615")), "A user, decimal.", "42");
    TimeText: text(
        format!(
            "(({})h|({})m|({})s|({})ms)",
            from_1_to("720"), from_1_to("43200"), from_1_to("2592000"), from_1_to("2592000000")
        ),
        "A time up to 30 days.",
        "10m",
    );
    TraceTime: text(
        format!(
            "(({})h|({})m|({})s|({})ms)",
            from_1_to("24"), from_1_to("1440"), from_1_to("86400"), from_1_to("86400000")
        ),
        "A time up to a day.",
        "10m",
    );
    TraceId: text("[0-9a-f]{16}".to_owned(), "As this gateway gave it.", "00c0ffee00c0ffee");
    Positions: {
        let number = up_to("18446744073709551615");
        let each = format!("[!-+--9;-~]{{1,{MAX_GATEWAY_ID}}}:{number}");
        text(format!("({number}|{each}(,{each})*)"), "A number, or `gateway_id:number` of each gateway.", "42")
    };
    TracedSession: text(
        format!("([!-9;-~]{{1,{MAX_GATEWAY_ID}}}:)?({})", from_1_to("18446744073709551615")),
        "A session, decimal, or `{gateway_id}:{session_id}`.",
        "1234567890123456789",
    );
    Token: text("[A-Za-z0-9.:_-]{1,128}".to_owned(), "As this gateway gave it.", "router-0");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids() {
        let id = |gateway: Option<&str>, id| {
            let gateway = gateway.map(str::to_owned);
            Some(SessionId { gateway, id })
        };
        assert_eq!(SessionId::parse("0"), id(None, 0));
        assert_eq!(SessionId::parse("18446744073709551615"), id(None, u64::MAX));
        assert_eq!(SessionId::parse("gw-1:7"), id(Some("gw-1"), 7));
        for wrong in [
            "",
            "-1",
            "+1",
            "01",
            "1.0",
            "x",
            " 1",
            "18446744073709551616",
            ":1",
            "a:b:1",
            "a:",
            "a b:1",
            "ä:1",
        ] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn positions_of_one_gateway_and_of_several() {
        let of = |text: &str| {
            let positions = Positions::parse(text);
            positions.map(|positions| ["gw-1", "gw-2", "x"].map(|id| positions.of(id)))
        };
        assert_eq!(of("7"), Some([7, 7, 7]));
        assert_eq!(of("gw-1:7,gw-2:9"), Some([7, 9, 0]));
        for wrong in [
            "", "-1", "gw-1", "gw-1:", ":7", "gw-1:7,", "gw-1:7,8", "a b:1", "gw-1:07",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_pattern_of_a_range() {
        assert_eq!(up_to("7"), "(0|7|[1-6][0-9]{0})");
        assert_eq!(
            from_1_to("255"),
            "255|[1-9][0-9]{0,1}|[1-1][0-9]{2}|2[0-4][0-9]{1}|25[0-4][0-9]{0}"
        );
    }
}
