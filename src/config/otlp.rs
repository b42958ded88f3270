//! Where spans go, and of which sessions.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Secret;
use super::lists::entries;

/// The path of a collector's receiver of traces, below its address.
const TRACES: &str = "/v1/traces";
const MILLION: u32 = 1_000_000;

/// The keys of `otlp`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Otlp {
    pub endpoint: Option<CollectorUrl>,
    pub sample: Share,
    pub headers: Vec<Secret>,
    pub timeout: Duration,
    pub ca: Option<PathBuf>,
    pub service_name: String,
    pub attributes: Attributes,
    pub tell_backends: bool,
}

impl Default for Otlp {
    fn default() -> Otlp {
        Otlp {
            endpoint: None,
            sample: Share(MILLION / 100),
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            ca: None,
            service_name: "game-gateway".to_owned(),
            attributes: Attributes::default(),
            tell_backends: false,
        }
    }
}

impl Otlp {
    /// Returns the headers of a request, name and value.
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.headers.iter().filter_map(header);
        headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Returns true if all headers can be sent.
    pub(super) fn has_good_headers(&self) -> bool {
        self.headers.iter().all(|entry| header(entry).is_some())
    }
}

/// Reads `name=value`.
fn header(entry: &Secret) -> Option<(&str, &str)> {
    let (name, value) = entry.expose().split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    let is_value = |c: u8| c == b' ' || c.is_ascii_graphic();
    let good = !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(is_value);
    good.then_some((name, value))
}

/// The address of a collector: `http://host:port`, with or without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl(String);

impl CollectorUrl {
    /// Returns where traces go: to the path that was given, else to the usual one.
    pub fn traces(&self) -> String {
        let behind_scheme = self.0.split_once("://").map_or("", |(_, rest)| rest);
        match behind_scheme.split_once('/') {
            None | Some((_, "")) => format!("{}{TRACES}", self.0.trim_end_matches('/')),
            Some(_) => self.0.clone(),
        }
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<CollectorUrl, String> {
        let wrong =
            || format!("invalid collector URL `{text}`, expected e.g. http://otel-collector:4318");
        if text.contains('@') {
            // It would be shown.
            return Err("credentials in the URL are not taken; use otlp.headers".to_owned());
        }
        let uri: ureq::http::Uri = text.parse().map_err(|_| wrong())?;
        let is_good = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none();
        is_good
            .then(|| CollectorUrl(text.to_owned()))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A share from 0 to 1, exact to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Returns it in millionths.
    pub fn ppm(self) -> u32 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let share: f64 = text.parse().unwrap_or(f64::NAN);
        match (0.0..=1.0).contains(&share) {
            true => Ok(Share((share * f64::from(MILLION)).round() as u32)),
            false => Err(format!(
                "invalid share `{text}`, expected a number from 0 to 1"
            )),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / f64::from(MILLION))
    }
}

/// Names with values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// Returns them in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl FromStr for Attributes {
    type Err = String;

    fn from_str(text: &str) -> Result<Attributes, String> {
        let attribute = |entry: &str| {
            let (name, value) = entry.split_once('=').unwrap_or_default();
            match name.trim() {
                "" => Err(format!(
                    "invalid attribute `{entry}`, expected name=value, e.g. deployment.environment.name=production"
                )),
                name => Ok((name.to_owned(), value.trim().to_owned())),
            }
        };
        entries(text)
            .map(attribute)
            .collect::<Result<_, _>>()
            .map(Attributes)
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_traces_go() {
        for (text, url) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            (
                "https://[::1]:1/otlp/v1/traces",
                "https://[::1]:1/otlp/v1/traces",
            ),
        ] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap().traces(), url);
        }
        for text in [
            "",
            "c:4318",
            "grpc://c:4317",
            "http://",
            "http://c?x=1",
            "/v1/traces",
        ] {
            let error = text.parse::<CollectorUrl>().unwrap_err();
            assert!(error.starts_with("invalid collector URL"), "{error}");
        }
        let error = "http://me:secret@c".parse::<CollectorUrl>().unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn shares() {
        for (text, ppm, shown) in [
            ("0", 0, "0"),
            ("1", 1_000_000, "1"),
            ("0.01", 10_000, "0.01"),
            ("1e-6", 1, "0.000001"),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.ppm(), share.to_string().as_str()), (ppm, shown));
        }
        for text in ["", "1%", "-0.1", "1.1", "nan"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn headers_and_attributes() {
        let headers = |entry: &str| Otlp {
            headers: vec![Secret::new(entry.to_owned())],
            ..Otlp::default()
        };
        let good = headers("Authorization=Basic dXNlcg==").headers();
        assert_eq!(
            good,
            [("Authorization".to_owned(), "Basic dXNlcg==".to_owned())]
        );
        for bad in ["Authorization", "=x", "a b=c", "a=b\r\nc: d"] {
            assert!(!headers(bad).has_good_headers(), "{bad}");
        }
        let attributes: Attributes = "a.b=c, d=e=f".parse().unwrap();
        assert_eq!(attributes.to_string(), "a.b=c,d=e=f");
        assert!("a".parse::<Attributes>().is_err() && "=a".parse::<Attributes>().is_err());
    }
}
