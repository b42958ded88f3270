//! Reads both keys in one transaction, and names every mistake in them.

use redis::{RedisResult, Value};

use super::Keys;
use super::bounded::TOO_LARGE;
use super::connect::{Connected, Server, explain, too_large};
use super::versions::digest;
use crate::routing::{MAX_REALMS, Mistake, Parsed, RealmsParser, RoutingData, parse_rules};
use crate::store::file::MAX_FILE_BYTES;
use crate::store::{Refused, RefusedKind};

/// The largest rules, and the largest realm map, in bytes: the same as a routes file's.
pub const MAX_DOCUMENT_BYTES: usize = MAX_FILE_BYTES as usize;

/// The values of the two keys, unparsed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documents {
    /// The rules' text; none: no such key.
    pub rules: Option<Vec<u8>>,
    /// Realm ids and addresses, sorted; empty: no such key.
    pub realms: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads both keys, in one transaction.
///
/// # Errors
/// Redis does not answer or refuses, or a value is too large or of another type.
pub async fn read(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<Documents, Refused> {
    read_pair(server, connected, keys, true).await
}

/// Reads both keys without a transaction of its own, because the end of one unwatches the keys.
pub(super) async fn read_watched(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<Documents, Refused> {
    read_pair(server, connected, keys, false).await
}

async fn read_pair(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
    atomic: bool,
) -> Result<Documents, Refused> {
    check_sizes(server, connected, keys).await?;
    let mut commands = connected.commands.clone();
    let mut both = redis::pipe();
    // Not `atomic()`: where MULTI itself is refused, the crate's count of answers underflows.
    if atomic {
        both.cmd("MULTI");
    }
    both.cmd("GET").arg(&keys.rules);
    both.cmd("HGETALL").arg(&keys.realms);
    if atomic {
        both.cmd("EXEC");
    }
    let both = both.ignore_errors().query_async(&mut commands);
    let mut answers: Vec<RedisResult<Value>> = answered(connected, server.in_time(both).await)?;
    if atomic {
        answers = answered(connected, executed(answers).map_err(explain))?;
    }
    // An error may stand within a hash, for a value that is too large.
    let answers = answers.into_iter().map(|it| it?.extract_error()).collect();
    let mut trouble = Trouble::default();
    let [rules, realms] = trouble.both(keys, answers)?;
    trouble.end()?;
    let unusual = |error: redis::ParsingError| Refused::unreadable(format!("redis: {error}"));
    let rules = redis::from_redis_value(rules).map_err(unusual)?;
    let mut realms: Vec<(Vec<u8>, Vec<u8>)> = redis::from_redis_value(realms).map_err(unusual)?;
    realms.sort();
    Ok(Documents { rules, realms })
}

/// Refuses what is too large to be asked for.
pub(super) async fn check_sizes(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<(), Refused> {
    let mut commands = connected.commands.clone();
    let mut sizes = redis::pipe();
    sizes.cmd("STRLEN").arg(&keys.rules);
    sizes.cmd("HLEN").arg(&keys.realms);
    let sizes = sizes.ignore_errors().query_async(&mut commands);
    let answers: Vec<RedisResult<usize>> = answered(connected, server.in_time(sizes).await)?;
    let mut trouble = Trouble::default();
    let [rules_bytes, realms] = trouble.both(keys, answers)?;
    trouble.limit(&keys.rules, rules_bytes, MAX_DOCUMENT_BYTES, "bytes");
    trouble.limit(&keys.realms, realms, MAX_REALMS, "realms");
    trouble.end()
}

/// Returns the answers of a transaction's commands. If it is refused, the first refusal of a command is
/// the error, because EXEC says only that there was one.
fn executed(answers: Vec<RedisResult<Value>>) -> RedisResult<Vec<RedisResult<Value>>> {
    let steps: RedisResult<Vec<Value>> = answers.into_iter().collect();
    match steps?.pop() {
        Some(Value::Array(answers)) => Ok(answers.into_iter().map(Ok).collect()),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn answered<T>(connected: &Connected, answer: Result<T, String>) -> Result<T, Refused> {
    answer.map_err(|why| Refused::unreadable(connected.says(&why)))
}

/// Mistakes of both keys.
#[derive(Default)]
struct Trouble {
    unreadable: Vec<String>,
    mistaken: Vec<String>,
}

impl Trouble {
    /// Returns the answers for the two keys, in the order of [`Keys`]; defaults for missing ones.
    fn both<T: Default>(
        &mut self,
        keys: &Keys,
        answers: Vec<RedisResult<T>>,
    ) -> Result<[T; 2], Refused> {
        let told: [RedisResult<T>; 2] = answers
            .try_into()
            .map_err(|_| Refused::unreadable("redis: unexpected number of replies"))?;
        let [rules, realms] = told;
        Ok([
            self.take(&keys.rules, rules, "a string"),
            self.take(&keys.realms, realms, "a hash"),
        ])
    }

    fn take<T: Default>(&mut self, key: &str, answer: RedisResult<T>, kind: &str) -> T {
        match answer {
            Ok(answer) => return answer,
            Err(error) if error.code() == Some("WRONGTYPE") => {
                self.mistaken
                    .push(format!("redis key {key}: wrong type, expected {kind}"));
            }
            Err(error) if error.code() == Some(TOO_LARGE) => {
                self.mistaken.extend(too_large(key, error).lines);
            }
            Err(error) => self
                .unreadable
                .push(format!("redis key {key}: {}", explain(error))),
        }
        T::default()
    }

    fn limit(&mut self, key: &str, is: usize, most: usize, unit: &str) {
        if is > most {
            self.mistaken.push(format!(
                "redis key {key}: too large: {is} {unit}, limit {most}"
            ));
        }
    }

    fn end(self) -> Result<(), Refused> {
        let (kind, lines) = match self.unreadable.is_empty() {
            true => (RefusedKind::Mistaken, self.mistaken),
            false => (RefusedKind::Unreadable, self.unreadable),
        };
        if lines.is_empty() {
            Ok(())
        } else {
            Err(Refused { kind, lines })
        }
    }
}

impl Documents {
    /// Parses both values.
    ///
    /// # Errors
    /// Those of [`Gathered::parse`].
    pub fn parse(&self, keys: &Keys) -> Result<Parsed, Refused> {
        let mut gathered = Gathered::new(self.rules.clone());
        for (id, to) in &self.realms {
            gathered.add(id, to);
        }
        gathered.parse(keys)
    }
}

/// The values of the two keys, with the realms parsed as they came.
#[derive(Debug, Default)]
pub struct Gathered {
    rules: Option<Vec<u8>>,
    realms: RealmsParser,
    /// Of ids and addresses.
    realm_bytes: usize,
}

impl Gathered {
    pub(super) fn new(rules: Option<Vec<u8>>) -> Gathered {
        Gathered {
            rules,
            ..Gathered::default()
        }
    }

    pub(super) fn add(&mut self, id: &[u8], to: &[u8]) {
        self.realm_bytes += id.len() + to.len();
        if self.is_too_large() {
            return;
        }
        // Nothing that invalid UTF-8 can be right; with its replacement characters it is named.
        let (id, to) = (String::from_utf8_lossy(id), String::from_utf8_lossy(to));
        self.realms.add(&id, &to);
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.realm_bytes > MAX_DOCUMENT_BYTES
    }

    /// Parses what is not parsed yet. Takes a second for a million realms.
    ///
    /// # Errors
    /// There are no rules, or mistakes in either document, all of which are returned with the key's name.
    pub fn parse(self, keys: &Keys) -> Result<Parsed, Refused> {
        self.parse_with_rules(keys).map(|(parsed, _)| parsed)
    }

    /// Parses what is not parsed yet, and identifies it as the history does.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn identify(self, keys: &Keys) -> Result<(Parsed, String), Refused> {
        let (parsed, rules) = self.parse_with_rules(keys)?;
        let digest = digest(&rules, &parsed.data.realms);
        Ok((parsed, digest))
    }

    fn parse_with_rules(self, keys: &Keys) -> Result<(Parsed, Vec<u8>), Refused> {
        let too_large = self.is_too_large();
        let Some(text) = self.rules else {
            let why = "not found; `game-gateway routes set` creates it";
            return Err(Refused::unreadable(format!(
                "redis key {}: {why}",
                keys.rules
            )));
        };
        let mut mistakes = Vec::new();
        let rules = located(&keys.rules, &mut mistakes, rules_in(&text));
        let realms = match too_large {
            true => Err(vec![mistake(format!(
                "too large, limit {MAX_DOCUMENT_BYTES} bytes"
            ))]),
            false => self.realms.finish(),
        };
        match (rules, located(&keys.realms, &mut mistakes, realms)) {
            (Some((rules, warnings)), Some(realms)) => {
                let realms = realms.into();
                let data = RoutingData { rules, realms };
                Ok((Parsed { data, warnings }, text))
            }
            _ => Err(Refused {
                kind: RefusedKind::Mistaken,
                lines: mistakes,
            }),
        }
    }
}

type Rules = std::collections::BTreeMap<String, crate::routing::Rule>;

fn mistake(message: impl Into<String>) -> Mistake {
    Mistake {
        at: String::new(),
        line: None,
        message: message.into(),
    }
}

fn rules_in(bytes: &[u8]) -> Result<(Rules, Vec<Mistake>), Vec<Mistake>> {
    match std::str::from_utf8(bytes) {
        Err(_) => Err(vec![mistake("invalid UTF-8")]),
        Ok(text) if text.trim().is_empty() => Err(vec![mistake(
            "empty, expected a JSON object; {} routes nothing",
        )]),
        Ok(text) => parse_rules(text),
    }
}

fn located<T>(key: &str, mistakes: &mut Vec<String>, result: Result<T, Vec<Mistake>>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            mistakes.extend(
                found
                    .iter()
                    .map(|mistake| format!("redis key {key}: {mistake}")),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

    fn refused(rules: Option<&[u8]>, realms: Pairs<'_>) -> (RefusedKind, String) {
        let realms = realms.iter().map(|(id, to)| (id.to_vec(), to.to_vec()));
        let documents = Documents {
            rules: rules.map(<[u8]>::to_vec),
            realms: realms.collect(),
        };
        let refused = documents.parse(&Keys::new("p:")).unwrap_err();
        (refused.kind, refused.to_string())
    }

    #[test]
    fn each_mistake_names_its_key() {
        let good: &[u8] = br#"{"a":{"strategy":"round_robin","endpoints":["h:1"]}}"#;
        let cases: [(&[u8], Pairs<'_>, &str); 6] = [
            (
                b"",
                &[],
                "redis key p:routing:rules: empty, expected a JSON object; {} routes nothing",
            ),
            (b"\xFF", &[], "redis key p:routing:rules: invalid UTF-8"),
            (
                b"[]",
                &[],
                "redis key p:routing:rules: line 1: rules: must be an object, not a list",
            ),
            (
                good,
                &[(b"01", b"h:1")],
                "redis key p:realm:mapping: realms.01: invalid realm id, expected a number from 1 to 4294967295",
            ),
            (
                good,
                &[(b"1", b"\xFF:1")],
                "redis key p:realm:mapping: realms.1: invalid endpoint \"\u{fffd}:1\": invalid host name \"\u{fffd}\"",
            ),
            (
                b"{\n\"a\":7}",
                &[(b"x", b"h:1"), (b"2", b"h")],
                "redis key p:routing:rules: line 2: rules.a: must be an object, not a number\n\
                 redis key p:realm:mapping: realms.2: invalid endpoint \"h\": missing port, expected host:port\n\
                 redis key p:realm:mapping: realms.x: invalid realm id, expected a number from 1 to 4294967295",
            ),
        ];
        for (rules, realms, text) in cases {
            let expected = (RefusedKind::Mistaken, text.to_owned());
            assert_eq!(refused(Some(rules), realms), expected);
        }
        let (kind, text) = refused(None, &[]);
        assert_eq!(kind, RefusedKind::Unreadable);
        assert!(
            text.starts_with("redis key p:routing:rules: not found"),
            "{text}"
        );
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let large = vec![b'h'; MAX_DOCUMENT_BYTES];
        let (_, text) = refused(Some(b"{}"), &[(b"1", &large)]);
        assert!(
            text.starts_with("redis key p:realm:mapping: too large, limit 67108864 bytes"),
            "{text}"
        );
        let mut trouble = Trouble::default();
        trouble.limit("k", 2, 1, "realms");
        let refused = trouble.end().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "redis key k: too large: 2 realms, limit 1"
        );
    }

    #[test]
    fn good_documents() {
        let documents = Documents {
            rules: Some(br#"{"a":{"strategy":"realm_based","later":1}}"#.to_vec()),
            realms: vec![(b"1".to_vec(), b"h:1".to_vec())],
        };
        let parsed = documents.parse(&Keys::new("p:")).unwrap();
        assert_eq!((parsed.data.rules.len(), parsed.data.realms.len()), (1, 1));
        assert_eq!(parsed.warnings.len(), 1);
    }
}
