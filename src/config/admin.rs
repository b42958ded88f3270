//! The admin API, and the named tokens by which it knows who asks.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::Secret;

/// Named tokens that there may be.
pub const MAX_TOKENS: usize = 64;
/// The longest name of a token, in bytes.
const MAX_NAME: usize = 64;
/// The keys of an entry.
const KEYS: [&str; 4] = ["name", "role", "token", "file"];

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Admin {
    pub address: SocketAddr,
    pub token: Option<Secret>,
    pub tokens: NamedTokens,
    pub tls: AdminTls,
}

/// `[admin.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct AdminTls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Admin {
        Admin {
            address: ([127, 0, 0, 1], 9090).into(),
            token: None,
            tokens: NamedTokens::default(),
            tls: AdminTls::default(),
        }
    }
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// See everything.
    Read,
    /// See and change everything.
    Operate,
}

/// A token with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToken {
    /// Its name, for the log.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Where it is.
    pub source: TokenSource,
}

/// Place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In the configuration.
    Value(Secret),
    /// In a file, alone.
    File(PathBuf),
}

/// The value of `admin.tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedTokens(Vec<NamedToken>);

impl NamedTokens {
    /// Returns them, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = &NamedToken> {
        self.0.iter()
    }
}

/// Names and roles. The tokens are not shown.
impl fmt::Display for NamedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let role = match token.role {
                Role::Read => "read",
                Role::Operate => "operate",
            };
            write!(f, "{comma}{} ({role})", token.name)?;
        }
        Ok(())
    }
}

/// Reads a list of tables in the syntax of JSON. No message quotes a value that may be a token.
impl FromStr for NamedTokens {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedTokens, String> {
        if text.trim().is_empty() {
            return Ok(NamedTokens::default());
        }
        let Ok(Value::Array(entries)) = serde_json::from_str(text) else {
            let example = r#"[{"name": "ops", "role": "operate", "file": "/run/secrets/ops"}]"#;
            return Err(format!("invalid list of tokens, expected e.g. {example}"));
        };
        if entries.len() > MAX_TOKENS {
            let count = entries.len();
            return Err(format!("too many tokens: {count}, limit {MAX_TOKENS}"));
        }
        let mut names = BTreeSet::new();
        let mut tokens = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let token = read(entry).map_err(|error| format!("entry {}: {error}", index + 1))?;
            if !names.insert(token.name.clone()) {
                return Err(format!("two tokens have the name `{}`", token.name));
            }
            tokens.push(token);
        }
        Ok(NamedTokens(tokens))
    }
}

fn read(entry: &Value) -> Result<NamedToken, String> {
    let Value::Object(entry) = entry else {
        return Err("not a table with name, role and token or file".to_owned());
    };
    if let Some(key) = entry.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS.join(", ");
        return Err(format!("unknown key `{key}`, expected one of {known}"));
    }
    let name = text(entry, "name")?.ok_or("name: missing")?;
    let is_word = name.bytes().all(|b| b.is_ascii_graphic());
    if name.is_empty() || name.len() > MAX_NAME || !is_word {
        let expected = format!("expected 1 to {MAX_NAME} printable ASCII characters, no spaces");
        return Err(format!("name: invalid `{name}`, {expected}"));
    }
    let role = match text(entry, "role")? {
        Some("read") => Role::Read,
        Some("operate") => Role::Operate,
        Some(other) => return Err(format!("role: `{other}` is neither `read` nor `operate`")),
        None => return Err("role: missing, expected `read` or `operate`".to_owned()),
    };
    let source = match (text(entry, "token")?, text(entry, "file")?) {
        (Some(token), None) => {
            TokenSource::Value(usable(token).map_err(|e| format!("token: {e}"))?)
        }
        (None, Some("")) => return Err("file: must not be empty".to_owned()),
        (None, Some(file)) => TokenSource::File(file.into()),
        (None, None) => return Err("neither token nor file, one is needed".to_owned()),
        (Some(_), Some(_)) => return Err("both token and file, one is needed".to_owned()),
    };
    Ok(NamedToken {
        name: name.to_owned(),
        role,
        source,
    })
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match entry.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key}: not a text")),
    }
}

/// Returns a token without the line end of an editor.
///
/// # Errors
/// It is empty, or no HTTP client can send it.
pub fn usable(token: &str) -> Result<Secret, &'static str> {
    let token = super::keys::unwrapped(token);
    if token.is_empty() {
        return Err("must not be empty");
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("cannot be sent in an HTTP header, expected printable ASCII without spaces");
    }
    Ok(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_shown_without_its_secrets() {
        let text = r#"[{"name": "ops", "role": "operate", "token": "hunter2\n"},
                       {"name": "grafana", "role": "read", "file": "/run/secrets/grafana"}]"#;
        let tokens: NamedTokens = text.parse().unwrap();
        let found: Vec<&NamedToken> = tokens.iter().collect();
        assert_eq!((found[0].role, found[1].role), (Role::Operate, Role::Read));
        let hunter2 = TokenSource::Value(Secret::new("hunter2".into()));
        assert_eq!(found[0].source, hunter2);
        assert_eq!(tokens.to_string(), "ops (operate), grafana (read)");
        assert!(!format!("{tokens:?}").contains("hunter2"));
        assert_eq!(" ".parse(), Ok(NamedTokens::default()));
    }

    #[test]
    fn mistakes_say_where_and_never_quote_a_token() {
        let entry = |body: &str| format!("[{{{body}}}]");
        let right = r#""name": "a", "role": "read", "token": "hunter2""#;
        let many = vec![r#"{"name": "a"}"#; MAX_TOKENS + 1].join(",");
        for (text, expected) in [
            ("hunter2".to_owned(), "invalid list of tokens"),
            ("\"hunter2\"".to_owned(), "invalid list of tokens"),
            ("[\"hunter2\"]".to_owned(), "entry 1: not a table"),
            (format!("[{many}]"), "too many tokens: 65, limit 64"),
            (
                format!("[{{{right}}},{{{right}}}]"),
                "two tokens have the name `a`",
            ),
            (entry(r#""role": "read""#), "entry 1: name: missing"),
            (entry(r#""name": "a b""#), "entry 1: name: invalid `a b`"),
            (entry(r#""name": 1"#), "entry 1: name: not a text"),
            (entry(r#""name": "a""#), "entry 1: role: missing"),
            (entry(r#""name": "a", "role": "root""#), "`root` is neither"),
            (
                entry(&format!(r#"{right}, "fiel": "x""#)),
                "unknown key `fiel`",
            ),
            (
                entry(&format!(r#"{right}, "file": "x""#)),
                "both token and file",
            ),
            (
                entry(r#""name": "a", "role": "read""#),
                "neither token nor file",
            ),
            (
                entry(r#""name": "a", "role": "read", "token": """#),
                "token: must not be empty",
            ),
            (
                entry(r#""name": "a", "role": "read", "file": """#),
                "file: must not be empty",
            ),
            (
                entry(r#""name": "a", "role": "read", "token": "hun ter2""#),
                "token: cannot be sent",
            ),
        ] {
            let error = text.parse::<NamedTokens>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("ter2"), "{error}");
        }
    }
}
