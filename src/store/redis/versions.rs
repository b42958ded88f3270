//! The history of the routing data in Redis: what was written, when, by whom and why.
//!
//! One key holds the index, a JSON document of all versions that are kept, and one key a version its data, a routes
//! file in gzip. All are strings, so that a user who may write routes needs no further command, and the index is
//! watched as the routes are: of two writers one notices the other. Gateways only read.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::MAX_DOCUMENT_BYTES;
use crate::routing::{RealmMap, RoutingData};

/// Most versions that are kept.
pub const MAX_VERSIONS: usize = 100;
/// Most bytes of their data, compressed. The newest two are kept whatever they take, or nothing could be undone.
pub const MAX_KEPT_BYTES: u64 = 32 * 1024 * 1024;
/// Most characters of an author.
pub const MAX_AUTHOR: usize = 200;
/// Most characters of a message.
pub const MAX_MESSAGE: usize = 500;
/// The largest index that is read, in bytes; one of [`MAX_VERSIONS`] is smaller, whatever characters it has.
pub(super) const MAX_INDEX_BYTES: usize = 1024 * 1024;
/// The largest data of a version that is read, in bytes: what cannot be compressed, and gzip's own.
pub(super) const MAX_PACKED_BYTES: usize = 2 * MAX_DOCUMENT_BYTES + 64 * 1024;
/// The largest data of a version, unpacked: both documents, and what is around them.
const MAX_UNPACKED_BYTES: usize = 2 * MAX_DOCUMENT_BYTES + 16 * 1024 * 1024;
/// Bytes of a digest.
const DIGEST_BYTES: usize = 16;

/// How a version came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `game-gateway routes set`.
    Set,
    /// An earlier version was put back.
    Rollback,
    /// Somebody wrote it in another way. It was noticed, and noted, by the next writer.
    Found,
}

impl Origin {
    /// Returns its name in the index.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Set => "set",
            Origin::Rollback => "rollback",
            Origin::Found => "found",
        }
    }
}

/// A version of the routing data, without the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Number, from 1.
    pub number: u64,
    /// When it was written, or found, in seconds since 1970, by the writer's clock.
    pub at_seconds: u64,
    /// Who wrote it; `null`: nobody knows.
    #[schema(example = "anna@ops-1")]
    pub author: Option<String>,
    /// Why, in the author's words.
    pub message: String,
    /// How it came about.
    pub origin: Origin,
    /// The version that a rollback put back.
    pub rollback_to: Option<u64>,
    /// Number of its services.
    pub services: usize,
    /// Number of its realms.
    pub realms: usize,
    /// What changed with it.
    #[schema(example = "rules: 1 changed (game); realms: 2 added (7, 8)")]
    pub summary: String,
    /// Bytes of its data in Redis, compressed.
    pub stored_bytes: u64,
    /// Identifies its data.
    pub digest: String,
}

impl Version {
    /// Says how it came about and by whom, as notifications do.
    pub fn says(&self) -> String {
        let author = self.author.as_deref().unwrap_or("somebody unknown");
        match self.origin {
            Origin::Set => format!("routes set by {author}"),
            Origin::Rollback => format!("routes rollback by {author}"),
            Origin::Found => "somebody unknown".to_owned(),
        }
    }
}

/// All versions that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Index {
    /// The oldest first.
    pub versions: Vec<Version>,
}

impl Index {
    /// Parses the value of the index' key.
    ///
    /// # Errors
    /// It is not an index.
    pub(super) fn parse(bytes: &[u8]) -> Result<Index, String> {
        let index: Index = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let numbers = index.versions.iter().map(|version| version.number);
        if !numbers.is_sorted_by(|one, other| one < other) {
            return Err("its numbers do not rise".to_owned());
        }
        Ok(index)
    }

    /// Returns a version.
    pub fn get(&self, number: u64) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }

    /// Returns the newest version if its data is what this digest identifies.
    pub fn newest_if(&self, digest: &str) -> Option<&Version> {
        self.versions
            .last()
            .filter(|newest| newest.digest == digest)
    }

    /// Returns the newest version with this data.
    pub fn find(&self, digest: &str) -> Option<&Version> {
        self.versions
            .iter()
            .rfind(|version| version.digest == digest)
    }

    /// Returns the version before that one, of those that are kept.
    pub fn before(&self, number: u64) -> Option<&Version> {
        self.versions
            .iter()
            .rfind(|version| version.number < number)
    }

    /// Returns the number of the next version.
    pub(super) fn next(&self) -> u64 {
        self.versions
            .last()
            .map_or(1, |newest| newest.number.saturating_add(1))
    }

    /// Removes the oldest versions that there is no room for, and returns their numbers.
    pub(super) fn trim(&mut self) -> Vec<u64> {
        let mut bytes = 0_u64;
        let newest_first = self.versions.iter().rev().enumerate();
        let kept = newest_first.take_while(|(age, version)| {
            bytes = bytes.saturating_add(version.stored_bytes);
            *age < 2 || (*age < MAX_VERSIONS && bytes <= MAX_KEPT_BYTES)
        });
        let too_many = self.versions.len() - kept.count();
        let removed = self.versions.drain(..too_many);
        removed.map(|version| version.number).collect()
    }
}

/// Returns text of an author in one line of at most so many characters.
pub fn one_line(text: &str, chars: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(chars).map(plain).collect()
}

/// Identifies data: the rules as they are written, and the realms in normal form.
pub fn digest(rules: &[u8], realms: &RealmMap) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&(rules.len() as u64).to_be_bytes());
    context.update(rules);
    for (id, to) in realms.iter() {
        context.update(&id.to_be_bytes());
        context.update(to.host.as_bytes());
        // No host has a zero byte.
        context.update(&[0]);
        context.update(&to.port.to_be_bytes());
    }
    let mut text = String::with_capacity(2 * DIGEST_BYTES);
    for byte in &context.finish().as_ref()[..DIGEST_BYTES] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes data as a routes file in gzip. The rules are taken as they are: they must be JSON.
///
/// # Errors
/// None that can be expected: all of it happens in memory.
pub(super) fn pack(rules: &[u8], data: &RoutingData) -> io::Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    // Where a key was written by hand, a byte order mark may stand in front.
    let rules = rules.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rules);
    file.write_all(b"{\"rules\":")?;
    file.write_all(rules)?;
    file.write_all(b",\n\"realms\":")?;
    serde_json::to_writer(&mut file, &*data.realms)?;
    file.write_all(b"}\n")?;
    file.finish()
}

/// Reads what [`pack`] has written.
///
/// # Errors
/// It is not gzip, too large or not text.
pub(super) fn unpack(packed: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    let limit = MAX_UNPACKED_BYTES as u64 + 1;
    GzDecoder::new(packed)
        .take(limit)
        .read_to_string(&mut text)?;
    if text.len() > MAX_UNPACKED_BYTES {
        let message = format!("too large, limit {MAX_UNPACKED_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn version(number: u64, stored_bytes: u64) -> Version {
        Version {
            number,
            at_seconds: 0,
            author: None,
            message: String::new(),
            origin: Origin::Set,
            rollback_to: None,
            services: 0,
            realms: 0,
            summary: String::new(),
            stored_bytes,
            digest: number.to_string(),
        }
    }

    fn numbers(index: &Index) -> Vec<u64> {
        index
            .versions
            .iter()
            .map(|version| version.number)
            .collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_two_stay() {
        let of = |versions: Vec<Version>| Index { versions };
        let mut many = of((1..=103).map(|number| version(number, 1)).collect());
        assert_eq!(many.trim(), [1, 2, 3]);
        assert_eq!(many.versions.len(), MAX_VERSIONS);
        assert_eq!(many.next(), 104);
        let half = MAX_KEPT_BYTES / 2;
        let mut large = of(vec![version(1, 1), version(2, half), version(3, half)]);
        assert_eq!(large.trim(), [1]);
        let mut huge = of((1..=3).map(|number| version(number, u64::MAX)).collect());
        assert_eq!(huge.trim(), [1]);
        assert_eq!(numbers(&huge), [2, 3]);
        assert_eq!(Index::default().trim(), [0_u64; 0]);
        assert_eq!(Index::default().next(), 1);
    }

    #[test]
    fn versions_are_found_by_number_and_data() {
        let mut index = Index {
            versions: vec![version(2, 1), version(5, 1), version(6, 1)],
        };
        index.versions[2].digest = "2".to_owned();
        assert_eq!(index.get(5).unwrap().number, 5);
        assert!(index.get(3).is_none());
        assert_eq!(index.before(5).unwrap().number, 2);
        assert!(index.before(2).is_none());
        assert_eq!(index.find("2").unwrap().number, 6, "the newest");
        assert_eq!(index.newest_if("2").unwrap().number, 6);
        assert!(index.newest_if("5").is_none());
        let text = serde_json::to_vec(&index).unwrap();
        assert_eq!(Index::parse(&text), Ok(index.clone()));
        index.versions.reverse();
        let text = serde_json::to_vec(&index).unwrap();
        assert!(Index::parse(&text).unwrap_err().contains("rise"));
        assert!(Index::parse(b"[]").is_err());
    }

    #[test]
    fn the_largest_index_can_be_read() {
        let mut index = Index::default();
        for number in 1..=MAX_VERSIONS as u64 {
            let mut largest = version(u64::MAX - MAX_VERSIONS as u64 + number, u64::MAX);
            // Six bytes each in JSON.
            largest.author = Some("\u{7f}".repeat(MAX_AUTHOR));
            largest.message = "\"".repeat(MAX_MESSAGE);
            largest.summary = "s".repeat(1000);
            index.versions.push(largest);
        }
        let bytes = serde_json::to_vec(&index).unwrap().len();
        assert!(bytes <= MAX_INDEX_BYTES, "{bytes}");
    }

    #[test]
    fn what_is_packed_is_the_same_data() {
        let text = "\u{feff}{\"rules\": {\"a\": {\"strategy\": \"realm_based\", \"later\": 1}}, \
                    \"realms\": {\"2\": \"H:1\", \"10\": \"[::1]:2\"}}";
        let first = Document::parse(text).unwrap();
        let rules = first.documents.rules.as_deref().unwrap();
        let packed = pack(rules, first.data()).unwrap();
        let again = Document::parse(&unpack(&packed).unwrap()).unwrap();
        assert_eq!(again.data(), first.data());
        assert_eq!(again.documents, first.documents);
        let identity = digest(rules, &first.data().realms);
        assert_eq!(identity.len(), 32);
        assert_eq!(digest(rules, &again.data().realms), identity);
        assert_ne!(digest(b"{}", &again.data().realms), identity);
        assert_ne!(digest(rules, &RealmMap::default()), identity);
        assert!(unpack(b"not gzip").is_err());
        assert!(unpack(&packed[..packed.len() / 2]).is_err());
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        let piece = vec![b' '; 1024 * 1024];
        for _ in 0..=MAX_UNPACKED_BYTES / piece.len() {
            bomb.write_all(&piece).unwrap();
        }
        let error = unpack(&bomb.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }

    #[test]
    fn texts_are_one_line() {
        assert_eq!(one_line(" a\nb\u{1b}c ", 10), "a b c");
        assert_eq!(one_line("abc", 2), "ab");
    }
}
