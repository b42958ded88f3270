//! Reads the routes file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::routing::{Mistake, Parsed, parse_file};

/// The largest routes file, in bytes: room for a million realms whose endpoints have names of usual length.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The reason that a routes file is refused. Its text has one line for each mistake.
#[derive(Debug)]
pub enum ReadError {
    /// It does not exist, is not readable, not UTF-8 or over [`MAX_FILE_BYTES`].
    Unreadable(PathBuf, io::Error),
    /// It has mistakes.
    Mistaken(PathBuf, Vec<Mistake>),
}

impl ReadError {
    /// Returns the mistakes; none if the file could not be read.
    pub fn mistakes(&self) -> &[Mistake] {
        match self {
            ReadError::Unreadable(..) => &[],
            ReadError::Mistaken(_, mistakes) => mistakes,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unreadable(path, error) => {
                write!(f, "{}: cannot be read: {error}", path.display())
            }
            ReadError::Mistaken(path, mistakes) => {
                for (index, mistake) in mistakes.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{}: {mistake}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Unreadable(_, error) => Some(error),
            ReadError::Mistaken(..) => None,
        }
    }
}

/// Reads and checks the file. Blocks for as long as the file system does.
///
/// # Errors
/// The file cannot be read, or has mistakes, all of which are returned.
pub fn read(path: &Path) -> Result<Parsed, ReadError> {
    let text = read_text(path).map_err(|error| ReadError::Unreadable(path.to_owned(), error))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Parsed, ReadError> {
    let mut parsed =
        parse_file(text).map_err(|mistakes| ReadError::Mistaken(path.to_owned(), mistakes))?;
    parsed.warn_without_redis();
    Ok(parsed)
}

/// The contents of a file without mistakes, so that they are not parsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen([u8; SHA256_OUTPUT_LEN]);

/// Reads and checks the file unless it has the contents that were `seen`. Blocks as [`read`] does.
///
/// # Errors
/// Those of [`read`].
pub fn read_changed(path: &Path, seen: &mut Option<Seen>) -> Result<Option<Parsed>, ReadError> {
    let before = seen.take();
    let text = read_text(path).map_err(|error| ReadError::Unreadable(path.to_owned(), error))?;
    let hash = digest(&SHA256, text.as_bytes());
    let now = hash.as_ref().try_into().map(Seen).ok();
    let parsed = match now == before {
        true => None,
        false => Some(parse(path, &text)?),
    };
    *seen = now;
    Ok(parsed)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        let message = format!("too large, limit {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::StrategyKind;

    #[test]
    fn the_example_has_every_strategy_and_no_warning() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/routes.json");
        let parsed = read(&path).unwrap();
        assert_eq!(parsed.warnings, []);
        let strategies: Vec<_> = (parsed.data.rules.iter())
            .map(|(name, rule)| (name.as_str(), rule.strategy))
            .collect();
        let expected = [
            ("account", StrategyKind::RoundRobin),
            ("chat", StrategyKind::ConsistentHash),
            ("game", StrategyKind::RealmBased),
            ("version", StrategyKind::RoundRobin),
        ];
        assert_eq!(strategies, expected);
        assert!(!parsed.data.realms.is_empty());
        let literal = |name: &&crate::routing::EndpointName| name.host == "127.0.0.1";
        assert!(parsed.data.endpoint_names().iter().all(literal));
    }

    #[test]
    fn what_was_seen_is_not_parsed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.json");
        let mut seen = None;
        let mut read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_changed(&path, &mut seen)
        };
        assert!(read("{\"rules\": {}}").unwrap().is_some());
        assert!(read("{\"rules\": {}}").unwrap().is_none());
        assert!(read("{\"rules\": {} }").unwrap().is_some());
        assert!(read("{\"rules\": 7}").is_err());
        assert!(read("{\"rules\": 7}").is_err(), "still wrong");
        assert!(
            read("{\"rules\": {} }").unwrap().is_some(),
            "the error is over"
        );
    }

    #[test]
    fn mistakes_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.json");
        let name = path.display().to_string();

        let error = read(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("{name}: cannot be read: "))
        );
        assert!(error.mistakes().is_empty());

        std::fs::write(&path, "{\"rules\": 7,\n\"realms\": 8}").unwrap();
        let error = read(&path).unwrap_err();
        let expected = format!(
            "{name}: line 1: rules: must be an object, not a number\n\
             {name}: line 2: realms: must be an object, not a number"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.mistakes().len(), 2);

        std::fs::write(&path, [0xFF]).unwrap();
        assert!(matches!(read(&path), Err(ReadError::Unreadable(..))));

        let large = File::create(&path).unwrap();
        large.set_len(MAX_FILE_BYTES + 1).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }
}
