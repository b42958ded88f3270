//! Reads the routes file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::routing::{Mistake, Parsed, parse_file};

/// The largest routes file, in bytes. A thousand services with ten thousand realms take a
/// fraction of it.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

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
    parse_file(&text).map_err(|mistakes| ReadError::Mistaken(path.to_owned(), mistakes))
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
