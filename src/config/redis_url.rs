//! The URL of Redis. Its password is never shown, and no message quotes any of its text.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Secret;
use super::keys::unwrapped;

/// Default port of Redis.
const REDIS_PORT: u16 = 6379;
/// Default port of Sentinel.
const SENTINEL_PORT: u16 = 26379;
/// The most sentinels that one URL may name; all are asked at once.
pub const MAX_SENTINELS: usize = 16;
/// The largest database number; servers have 16 unless told otherwise.
const MAX_DATABASE: u32 = 65_535;
/// Schemes with two flags: TLS, Sentinel.
const SCHEMES: [(&str, bool, bool); 4] = [
    ("redis", false, false),
    ("rediss", true, false),
    ("redis+sentinel", false, true),
    ("rediss+sentinel", true, true),
];

/// A parsed Redis URL: `redis://[user:password@]host[:port][/DB]`, or
/// `redis+sentinel://[user:password@]host[:port],…/SERVICE[/DB]`; with `rediss` over TLS.
///
/// `Display` and `Debug` mask the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Connections, those to sentinels too, are encrypted.
    pub tls: bool,
    /// The user of Redis itself, not of the sentinels.
    pub username: Option<String>,
    /// The password of Redis itself, not of the sentinels.
    pub password: Option<Secret>,
    /// Host and port of the server, or of 1 to [`MAX_SENTINELS`] sentinels.
    pub servers: Vec<(String, u16)>,
    /// The name by which sentinels know the master; none: [`RedisUrl::servers`] is the server.
    pub service: Option<String>,
    /// 0 to 65,535.
    pub database: u32,
}

impl Default for RedisUrl {
    fn default() -> RedisUrl {
        RedisUrl {
            tls: false,
            username: None,
            password: None,
            servers: vec![("127.0.0.1".to_owned(), REDIS_PORT)],
            service: None,
            database: 0,
        }
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    /// # Errors
    /// The URL is not valid. The message quotes nothing, because a misplaced password would be in it.
    fn from_str(text: &str) -> Result<RedisUrl, String> {
        let text = unwrapped(text);
        let schemes = SCHEMES.map(|(name, ..)| format!("{name}://")).join(", ");
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = SCHEMES.iter().find(|(name, ..)| *name == scheme);
        let (_, tls, sentinel) =
            scheme.ok_or_else(|| format!("must begin with one of {schemes}"))?;
        // The last @: passwords are found with any character in them.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        if rest.contains(['?', '#']) {
            return Err(
                "unexpected ? or #: query parameters and fragments are not supported".to_owned(),
            );
        }
        let (username, password) = credentials.map_or(Ok((None, None)), read_credentials)?;
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (service, database) = read_path(path, *sentinel)?;
        let default_port = if *sentinel { SENTINEL_PORT } else { REDIS_PORT };
        let servers: Result<Vec<_>, String> = servers
            .split(',')
            .map(|server| read_server(server, default_port))
            .collect();
        let servers = servers?;
        if !sentinel && servers.len() > 1 {
            return Err(
                "several servers, expected one; only redis+sentinel:// takes a list".to_owned(),
            );
        }
        if servers.len() > MAX_SENTINELS {
            return Err(format!("too many sentinels, limit {MAX_SENTINELS}"));
        }
        Ok(RedisUrl {
            tls: *tls,
            username,
            password,
            servers,
            service,
            database,
        })
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded
        .map_err(|_| "user and password must be percent-encoded UTF-8")?
        .into_owned())
}

fn read_credentials(text: &str) -> Result<(Option<String>, Option<Secret>), String> {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    let some = |text: String| (!text.is_empty()).then_some(text);
    let clean = |text: &str| decoded(text).map(|text| unwrapped(&text).to_owned());
    let (username, password) = (some(clean(username)?), some(clean(password)?));
    Ok((username, password.map(Secret::new)))
}

/// Parses the path: the service's name, with Sentinel, and the database.
fn read_path(path: &str, sentinel: bool) -> Result<(Option<String>, u32), String> {
    let (service, database) = if sentinel {
        let (service, database) = path.split_once('/').unwrap_or((path, ""));
        if service.is_empty() {
            return Err(
                "missing service name of Sentinel, expected /SERVICE or /SERVICE/DB".into(),
            );
        }
        (Some(service.to_owned()), database)
    } else {
        (None, path)
    };
    if database.is_empty() {
        return Ok((service, 0));
    }
    let number = database.parse().ok().filter(|n| *n <= MAX_DATABASE);
    let database =
        number.ok_or_else(|| format!("invalid database, expected 0 to {MAX_DATABASE}"))?;
    Ok((service, database))
}

fn read_server(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(usual) {
        return Err("missing or invalid host, expected HOST or HOST:PORT".to_owned());
    }
    if port.is_empty() {
        return Ok((host.to_owned(), default_port));
    }
    let number = port.strip_prefix(':').and_then(|port| port.parse().ok());
    match number.filter(|port| *port != 0) {
        Some(port) => Ok((host.to_owned(), port)),
        None => Err("invalid port, expected 1 to 65535".to_owned()),
    }
}

/// Returns `host:port`, with brackets if the host has colons.
pub fn show_server((host, port): &(String, u16)) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = (self.tls, self.service.is_some());
        let scheme = SCHEMES
            .iter()
            .find(|(_, tls, sentinel)| (*tls, *sentinel) == kind);
        write!(f, "{}://", scheme.map_or("redis", |(name, ..)| name))?;
        if let Some(username) = &self.username {
            write!(f, "{}", utf8_percent_encode(username, NON_ALPHANUMERIC))?;
        }
        if self.password.is_some() {
            f.write_str(":***")?;
        }
        if self.username.is_some() || self.password.is_some() {
            f.write_str("@")?;
        }
        let servers: Vec<String> = self.servers.iter().map(show_server).collect();
        write!(f, "{}", servers.join(","))?;
        if let Some(service) = &self.service {
            write!(f, "/{service}")?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_shown_without_their_password() {
        let cases = [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://cache", "redis://cache:6379/0"),
            ("rediss://[::1]:7/3", "rediss://[::1]:7/3"),
            ("redis://:secret@h", "redis://:***@h:6379/0"),
            ("redis://me:se/c@r?e#t@h/2", "redis://me:***@h:6379/2"),
            ("redis://me@h", "redis://me@h:6379/0"),
            (
                "redis+sentinel://u:secret@a,b:7/main/2",
                "redis+sentinel://u:***@a:26379,b:7/main/2",
            ),
            (
                "rediss+sentinel://a/main",
                "rediss+sentinel://a:26379/main/0",
            ),
        ];
        for (text, shown) in cases {
            let url: RedisUrl = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        assert_eq!(RedisUrl::default().to_string(), "redis://127.0.0.1:6379/0");
    }

    #[test]
    fn credentials_are_decoded() {
        let url: RedisUrl = "redis://a%3Ab:p%40%2Fq@h".parse().unwrap();
        assert_eq!(url.username.as_deref(), Some("a:b"));
        assert_eq!(url.password, Some(Secret::new("p@/q".to_owned())));
        assert_eq!(url.to_string(), "redis://a%3Ab:***@h:6379/0");
    }

    #[test]
    fn bad_ones_are_refused_without_being_quoted() {
        let cases = [
            ("", "begin with"),
            ("h:6379", "begin with"),
            ("http://secret", "begin with"),
            ("redis://", "invalid host"),
            ("redis://:secret", "invalid host"),
            ("redis://h:secret", "port"),
            ("redis://h:0", "port"),
            ("redis://h:65536", "port"),
            ("redis://secret secret", "invalid host"),
            ("redis://h/secret", "database"),
            ("redis://h/-1", "database"),
            ("redis://h/65536", "database"),
            ("redis://a,b/0", "several"),
            ("redis://h?secret=1", "parameters"),
            ("redis://%FFsecret@h", "UTF-8"),
            ("redis+sentinel://a,b", "service"),
            ("redis+sentinel://a,/main", "invalid host"),
            ("redis+sentinel://a/main/secret", "database"),
        ];
        for (text, why) in cases {
            let error = text.parse::<RedisUrl>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
        let many = vec!["h"; MAX_SENTINELS + 1].join(",");
        let error = format!("redis+sentinel://{many}/main").parse::<RedisUrl>();
        assert_eq!(error, Err("too many sentinels, limit 16".to_owned()));
    }
}
