//! Speaks HTTP with a gateway's admin API.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Request, StatusCode, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody};

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of one answer; the gateway's own timeouts are shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Query parameters.
pub(in crate::cli) type Query<'a> = &'a [(&'static str, String)];

/// The reason that a command failed, in one line.
#[derive(Debug)]
pub(in crate::cli) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Failure {
    /// Returns the failure of an unexpected answer.
    pub(in crate::cli) fn answer(message: impl Into<String>) -> Failure {
        Failure(message.into())
    }

    /// Returns the failure of printing an answer.
    pub(in crate::cli) fn output(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// Checks where the admin API is said to be; returns it without a slash at its end.
///
/// # Errors
/// It is no `http://host:port` or `https://host:port`.
pub(in crate::cli) fn check_url(text: &str) -> Result<String, String> {
    let wrong =
        || format!("invalid admin API address `{text}`, expected e.g. http://127.0.0.1:9090");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if !matches!(uri.scheme_str(), Some("http" | "https"))
        || uri.host().is_none_or(str::is_empty)
        || uri.query().is_some()
    {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Checks that a token can be sent.
///
/// # Errors
/// It has characters that a header cannot have.
pub(in crate::cli) fn token(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("invalid token, expected printable ASCII without spaces".to_owned())
    }
}

/// The admin API of one gateway.
#[derive(Debug)]
pub(in crate::cli) struct Api {
    agent: Agent,
    timeout: Duration,
    url: String,
    authorization: Option<String>,
    /// What is asked is asked of all gateways.
    deployment: bool,
}

impl Api {
    /// Makes a client of the API at `url` with `token`, and `tls` where it is https.
    ///
    /// # Errors
    /// The token cannot be sent.
    pub(in crate::cli) fn new(
        url: &str,
        token: Option<String>,
        tls: Option<TlsConfig>,
    ) -> Result<Api, Failure> {
        let token = token
            .map(|text| self::token(&text))
            .transpose()
            .map_err(Failure)?;
        let config = Agent::config_builder()
            .tls_config(tls.unwrap_or_default())
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy for the world outside has no business here.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT));
        Ok(Api {
            agent: config.build().into(),
            timeout: ANSWER_TIMEOUT,
            url: url.to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            deployment: false,
        })
    }

    /// Has the gateway ask all gateways of its deployment, or not.
    pub(in crate::cli) fn for_all(self, deployment: bool) -> Api {
        Api { deployment, ..self }
    }

    /// Tells whether all gateways of the deployment are asked.
    pub(in crate::cli) fn is_for_all(&self) -> bool {
        self.deployment
    }

    /// Sets the timeout of one answer.
    pub(in crate::cli) fn answer_within(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Returns the URL, as the gateway's name.
    pub(in crate::cli) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for something.
    ///
    /// # Errors
    /// The gateway cannot be reached, refuses, or answers something else.
    pub(in crate::cli) fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, Failure> {
        self.request("GET", path, query, ())
    }

    /// Removes something.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub(in crate::cli) fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.request("DELETE", path, &[], ())
    }

    /// Changes something.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub(in crate::cli) fn send(
        &self,
        method: &str,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        match body {
            None => self.request(method, path, &[], ()),
            Some(body) => self.request(method, path, &[], body.to_string()),
        }
    }

    /// Asks for a text beside the API, such as `/metrics`.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub(in crate::cli) fn text(&self, path: &str) -> Result<String, Failure> {
        let (status, text) = self.exchange("GET", format!("{}{path}", self.url), ())?;
        if status.is_success() {
            return Ok(text);
        }
        let status = status.as_u16();
        Err(self.unreachable(&format_args!("{path}: unexpected response (HTTP {status})")))
    }

    fn unreachable(&self, error: &dyn fmt::Display) -> Failure {
        Failure(format!("{}: {error}", self.url))
    }

    /// Sends a request; returns the status and the body.
    fn exchange(
        &self,
        method: &str,
        url: String,
        body: impl AsSendBody,
    ) -> Result<(StatusCode, String), Failure> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        // Without a body nobody looks at it.
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let request = request.map_err(|error| self.unreachable(&error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(self.timeout))
            .build();
        let mut answer = self
            .agent
            .run(request)
            .map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER);
        let text = body.read_to_string();
        Ok((status, text.map_err(|error| self.unreachable(&error))?))
    }

    fn request(
        &self,
        method: &str,
        path: &[&str],
        query: Query<'_>,
        body: impl AsSendBody,
    ) -> Result<Value, Failure> {
        let mut url = format!("{}/api/v1", self.url);
        for part in path {
            url.push('/');
            encode(&mut url, part);
        }
        for (place, (name, value)) in query.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            encode(&mut url, value);
        }
        if self.deployment {
            url.push(if query.is_empty() { '?' } else { '&' });
            url.push_str("deployment=true");
        }
        let unreachable = |error: &dyn fmt::Display| self.unreachable(error);
        let (status, text) = self.exchange(method, url, body)?;
        if status.is_success() && text.is_empty() {
            return Ok(Value::Null);
        }
        let json: Result<Value, _> = serde_json::from_str(&text);
        match json {
            Ok(json) if status.is_success() => Ok(json),
            Ok(json) if json["error"]["message"].is_string() => {
                let message = json["error"]["message"].as_str().unwrap_or_default();
                Err(Failure(format!("{message} ({})", status.as_u16())))
            }
            Ok(_) | Err(_) => {
                let message = format!(
                    "unexpected response (HTTP {}), expected one of an admin API",
                    status.as_u16()
                );
                Err(unreachable(&message))
            }
        }
    }
}

/// Appends a part of a URL, percent-encoded.
fn encode(url: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert_eq!(check_url("http://h:1/"), Ok("http://h:1".to_owned()));
        assert_eq!(check_url("https://h:1"), Ok("https://h:1".to_owned()));
        assert_eq!(
            check_url("http://[::1]:1/below"),
            Ok("http://[::1]:1/below".to_owned())
        );
        for wrong in [
            "",
            "h:1",
            "http://",
            "http://h:1?a",
            "ftp://h",
            "http://a b",
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_of_urls() {
        let mut url = String::new();
        encode(&mut url, "gw-1:7/ä?%");
        assert_eq!(url, "gw-1:7%2F%C3%A4%3F%25");
    }
}
