//! Comma-separated lists of origins and files.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Returns the entries of a list, without the spaces around them.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|e| !e.is_empty())
}

pub(super) fn show(f: &mut fmt::Formatter<'_>, entries: &[impl fmt::Display]) -> fmt::Result {
    for (index, entry) in entries.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}{entry}")?;
    }
    Ok(())
}

/// Web origins such as `https://play.example.com`; `*` is every origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Returns true if the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the value of an `Origin` header is one of them.
    pub fn contains(&self, origin: &str) -> bool {
        let same = |known: &String| known == "*" || known.eq_ignore_ascii_case(origin);
        self.0.iter().any(same)
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Origins, String> {
        let origin = |entry: &str| {
            let host = entry.split_once("://").map_or("", |(_, host)| host);
            let plain = host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
            if entry == "*" || (!host.is_empty() && plain) {
                Ok(entry.to_owned())
            } else {
                Err(format!(
                    "invalid origin `{entry}`, expected e.g. https://play.example.com"
                ))
            }
        };
        entries(text)
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Origins)
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0)
    }
}

/// Files in an order that matters. Their names hold no commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<PathBuf>);

impl From<PathBuf> for Paths {
    fn from(path: PathBuf) -> Paths {
        Paths(vec![path])
    }
}

impl Paths {
    /// Returns the number of files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the files in order.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}

impl FromStr for Paths {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Paths, Infallible> {
        Ok(Paths(entries(text).map(PathBuf::from).collect()))
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.iter().map(Path::display).collect();
        show(f, &shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let origins: Origins = "https://a.example,http://b.example:8080".parse().unwrap();
        assert!(origins.contains("https://a.example") && origins.contains("HTTPS://A.example"));
        assert!(
            !origins.contains("http://a.example") && !origins.contains("https://a.example.evil")
        );
        assert!("*".parse::<Origins>().unwrap().contains("null"));
        assert_eq!(
            origins.to_string(),
            "https://a.example,http://b.example:8080"
        );
        for bad in ["a.example", "https://", "https://a.example/", "https://a b"] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
