//! Changes of the routing data in Redis: what is there is looked at and watched, and replaced together with the
//! history, or not at all.

use std::time::SystemTime;

use super::Keys;
use super::connect::{Connected, Server};
use super::document::Document;
use super::read::Documents;
use super::versions::{
    Index, MAX_AUTHOR, MAX_INDEX_BYTES, MAX_MESSAGE, MAX_PACKED_BYTES, Origin, Version, digest,
    one_line, pack, unpack,
};
use super::write::{self, WriteError, Writes};
use crate::routing::difference::Limits;
use crate::routing::{Difference, Parsed, RoutingData};
use crate::store::Refused;

/// What is in Redis, watched since it was read.
pub struct Current {
    /// Both values.
    pub documents: Documents,
    /// What they say, or what is wrong with them.
    pub parsed: Result<Parsed, Refused>,
    /// The history; empty where there is none yet.
    pub index: Index,
    /// Why the history that is there cannot be used. The next change begins another one in its place.
    pub broken_history: Option<String>,
    /// Identifies the data, where it has no mistakes.
    digest: Option<String>,
}

/// What a writer says of a change.
#[derive(Debug, Clone)]
pub struct Note {
    /// Who it is; one line of at most [`MAX_AUTHOR`] characters.
    pub author: String,
    /// Why; one line of at most [`MAX_MESSAGE`] characters.
    pub message: String,
    /// The version that is put back by it.
    pub rollback_to: Option<u64>,
}

/// The reason that an earlier version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It is not in the history.
    #[error("there is no version {0} in the history{1}")]
    Unknown(u64, String),
    /// Its data is gone, or cannot be used any more; a line each.
    #[error("version {0} cannot be put back: {1}")]
    Unusable(u64, String),
    /// Redis does not answer, or refuses.
    #[error("{0}")]
    Refused(String),
}

impl Current {
    /// Reads both values and the history, and watches them. The connection must not be shared.
    ///
    /// # Errors
    /// Redis does not answer, or refuses.
    pub async fn watch(
        server: &Server,
        connected: &Connected,
        keys: &Keys,
    ) -> Result<Current, WriteError> {
        let documents = write::watch(server, connected, keys).await?;
        let parsed = documents.parse(keys);
        let digest = parsed.as_ref().ok().map(|parsed| {
            digest(
                documents.rules.as_deref().unwrap_or_default(),
                &parsed.data.realms,
            )
        });
        let (index, broken_history) = match read_index(server, connected, keys).await {
            Ok(index) => (index, None),
            Err(IndexError::Broken(why)) => (Index::default(), Some(why)),
            Err(IndexError::Refused(why)) => return Err(WriteError::Refused(why)),
        };
        Ok(Current {
            documents,
            parsed,
            index,
            broken_history,
            digest,
        })
    }

    /// Returns the version that the data is; none: it was written in another way since the newest one.
    pub fn version(&self) -> Option<&Version> {
        self.index.newest_if(self.digest.as_deref()?)
    }

    /// Returns the data; empty where there is none, or none without mistakes.
    pub fn data(&self) -> RoutingData {
        (self.parsed.as_ref()).map_or_else(|_| RoutingData::default(), |parsed| parsed.data.clone())
    }

    /// Checks that a version is what is there.
    ///
    /// # Errors
    /// Another one is, or what nobody has recorded.
    pub fn must_be(&self, number: u64) -> Result<(), WriteError> {
        let is = match self.version() {
            Some(version) if version.number == number => return Ok(()),
            Some(version) => format!("version {} by {}", version.number, author(version)),
            None => match self.index.versions.last() {
                Some(newest) => format!("not recorded, written after version {}", newest.number),
                None => "not recorded".to_owned(),
            },
        };
        Err(WriteError::Unwritable(format!(
            "conflict: expected version {number}, but what is there is {is}; nothing was written"
        )))
    }

    /// Writes the document and its version, and what was there before as a version too if nobody has recorded
    /// it; tells all gateways. Returns the new version.
    ///
    /// # Errors
    /// Nothing was written; or Redis has not said whether it was.
    pub async fn replace(
        &self,
        server: &Server,
        connected: &Connected,
        keys: &Keys,
        document: &Document,
        note: &Note,
    ) -> Result<Version, WriteError> {
        let unpackable =
            |error: std::io::Error| WriteError::Unwritable(format!("history: {error}"));
        let mut index = self.index.clone();
        let mut set = Vec::new();
        if let Some((found, packed)) = self.found(&index).map_err(unpackable)? {
            set.push((keys.version(found.number), packed));
            index.versions.push(found);
        }
        let rules = document.documents.rules.as_deref().unwrap_or_default();
        let packed = pack(rules, document.data()).map_err(unpackable)?;
        let version = self.next_version(&index, document, note, packed.len());
        set.push((keys.version(version.number), packed));
        index.versions.push(version.clone());
        let removed = index.trim();
        let text = serde_json::to_vec(&index).map_err(|error| unpackable(error.into()))?;
        set.push((keys.history.clone(), text));
        let writes = Writes {
            documents: &document.documents,
            set,
            delete: removed.iter().map(|number| keys.version(*number)).collect(),
            by: version.says(),
        };
        write::replace(server, connected, keys, &writes).await?;
        Ok(version)
    }

    fn next_version(
        &self,
        index: &Index,
        document: &Document,
        note: &Note,
        stored_bytes: usize,
    ) -> Version {
        let data = document.data();
        let rules = document.documents.rules.as_deref().unwrap_or_default();
        let mut summary = match (&self.parsed, &self.documents.rules) {
            (Ok(parsed), _) => summary(&parsed.data, data),
            (Err(_), None) => "the first".to_owned(),
            (Err(_), Some(_)) => "what was there had mistakes".to_owned(),
        };
        if let Some(to) = note.rollback_to {
            summary = format!("back to version {to}: {summary}");
        }
        Version {
            number: index.next(),
            at_seconds: now(),
            author: Some(one_line(&note.author, MAX_AUTHOR)),
            message: one_line(&note.message, MAX_MESSAGE),
            origin: match note.rollback_to {
                Some(_) => Origin::Rollback,
                None => Origin::Set,
            },
            rollback_to: note.rollback_to,
            services: data.rules.len(),
            realms: data.realms.len(),
            summary,
            stored_bytes: stored_bytes as u64,
            digest: digest(rules, &data.realms),
        }
    }

    /// Makes the version of what is there, unless it is recorded or has mistakes: then it could not be put back.
    fn found(&self, index: &Index) -> std::io::Result<Option<(Version, Vec<u8>)>> {
        let (Ok(parsed), Some(digest), None) = (&self.parsed, &self.digest, self.version()) else {
            return Ok(None);
        };
        let data = &parsed.data;
        let packed = pack(self.documents.rules.as_deref().unwrap_or_default(), data)?;
        let found = Version {
            number: index.next(),
            at_seconds: now(),
            author: None,
            message: String::new(),
            origin: Origin::Found,
            rollback_to: None,
            services: data.rules.len(),
            realms: data.realms.len(),
            summary: "written in another way".to_owned(),
            stored_bytes: packed.len() as u64,
            digest: digest.clone(),
        };
        Ok(Some((found, packed)))
    }
}

fn summary(old: &RoutingData, new: &RoutingData) -> String {
    let limits = Limits { named: 5, chars: 0 };
    Difference::between(old, new, limits).to_string()
}

fn author(version: &Version) -> &str {
    version.author.as_deref().unwrap_or("somebody unknown")
}

fn now() -> u64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed();
    since_1970.map_or(0, |since| since.as_secs())
}

/// The reason that there is no index.
pub(super) enum IndexError {
    /// What its key holds is none.
    Broken(String),
    /// Redis does not answer, or refuses.
    Refused(String),
}

/// Reads the index of the history; an empty one where there is none.
pub(super) async fn read_index(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<Index, IndexError> {
    let place = |why: &str| format!("redis key {}: {why}", keys.history);
    match get(server, connected, &keys.history, MAX_INDEX_BYTES).await {
        Ok(None) => Ok(Index::default()),
        Ok(Some(bytes)) => Index::parse(&bytes)
            .map_err(|why| IndexError::Broken(place(&format!("not a history: {why}")))),
        Err(GetError::Unusual(why)) => Err(IndexError::Broken(place(&why))),
        Err(GetError::Refused(why)) => Err(IndexError::Refused(why)),
    }
}

/// Reads the history once.
///
/// # Errors
/// Redis does not answer or refuses, or what is there is not a history.
pub async fn history(server: &Server, connected: &Connected, keys: &Keys) -> Result<Index, String> {
    let index = read_index(server, connected, keys).await;
    index.map_err(|error| match error {
        IndexError::Broken(why) | IndexError::Refused(why) => why,
    })
}

/// Reads the data of a version.
///
/// # Errors
/// The version is not in the index; its data is gone, or has mistakes; Redis does not answer.
pub async fn version(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
    index: &Index,
    number: u64,
) -> Result<Document, VersionError> {
    if index.get(number).is_none() {
        let kept = match (index.versions.first(), index.versions.last()) {
            (Some(first), Some(last)) => format!(", which has {} to {}", first.number, last.number),
            _ => ", which is empty".to_owned(),
        };
        return Err(VersionError::Unknown(number, kept));
    }
    let key = keys.version(number);
    let unusable = |why: String| VersionError::Unusable(number, why);
    let packed = match get(server, connected, &key, MAX_PACKED_BYTES).await {
        Ok(Some(packed)) => packed,
        Ok(None) => return Err(unusable(format!("redis key {key}: not found"))),
        Err(GetError::Unusual(why)) => return Err(unusable(format!("redis key {key}: {why}"))),
        Err(GetError::Refused(why)) => return Err(VersionError::Refused(why)),
    };
    let text = unpack(&packed).map_err(|error| unusable(format!("redis key {key}: {error}")))?;
    Document::parse(&text).map_err(|mistakes| {
        let lines = mistakes.iter().map(|it| format!("redis key {key}: {it}"));
        unusable(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// The reason that a string is not read.
enum GetError {
    /// It is of another type or too large.
    Unusual(String),
    /// Redis does not answer, or refuses.
    Refused(String),
}

/// Reads a string of at most so many bytes.
async fn get(
    server: &Server,
    connected: &Connected,
    key: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, GetError> {
    let mut commands = connected.commands.clone();
    let refused = |why: String| match why.starts_with("WRONGTYPE") {
        true => GetError::Unusual("wrong type, expected a string".to_owned()),
        false => GetError::Refused(connected.says(&format!("key {key}: {why}"))),
    };
    let mut strlen = redis::cmd("STRLEN");
    let length = strlen.arg(key).query_async(&mut commands);
    let length: usize = server.in_time(length).await.map_err(refused)?;
    if length > limit {
        let why = format!("too large: {length} bytes, limit {limit}");
        return Err(GetError::Unusual(why));
    }
    let mut command = redis::cmd("GET");
    let value = command.arg(key).query_async(&mut commands);
    server.in_time(value).await.map_err(refused)
}
