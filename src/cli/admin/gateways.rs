//! The gateways that a command asks: their URLs, and the token.

use std::path::PathBuf;

use clap::Args;

use super::api::{Api, Failure, check_url, token};
use super::tls::TlsArgs;

/// Default address of the admin API.
const DEFAULT_URL: &str = "http://127.0.0.1:9090";
/// Environment variable with another default.
const URL_VARIABLE: &str = "GATEWAY_ADMIN_URL";
/// Environment variables with the token, the first that is set counts. On a command line other users of the
/// machine could read it. The second is the gateway's own, so that `kubectl exec POD -- /game-gateway admin`
/// needs no options.
const TOKEN_VARIABLES: [&str; 2] = ["GATEWAY_ADMIN_TOKEN", "GATEWAY__ADMIN__TOKEN"];

/// Options of every command that asks gateways.
#[derive(Debug, Args)]
pub(in crate::cli) struct GatewayArgs {
    /// URL of the admin API, http or https; once for each gateway, or several separated by commas. By default
    /// GATEWAY_ADMIN_URL or http://127.0.0.1:9090.
    #[arg(long, global = true, value_parser = check_url, value_delimiter = ',')]
    url: Vec<String>,
    /// Bearer token, if the gateway requires one; prefer --token-file or the environment variables
    /// GATEWAY_ADMIN_TOKEN or GATEWAY__ADMIN__TOKEN.
    #[arg(long, global = true, value_parser = token)]
    token: Option<String>,
    /// File with the bearer token.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token", value_hint = clap::ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
}

impl GatewayArgs {
    /// Returns a client of each gateway's API.
    ///
    /// # Errors
    /// An address or token of the environment is unusable, or a file of token or TLS cannot be read.
    pub(in crate::cli) fn apis(&self) -> Result<Vec<Api>, Failure> {
        let token = self.token()?;
        let urls = self.urls().map_err(Failure::answer)?;
        let is_https = urls.iter().any(|url| url.starts_with("https:"));
        let tls = is_https.then(|| self.tls.config()).transpose()?;
        let api = |url: &String| Api::new(url, token.clone(), tls.clone());
        urls.iter().map(api).collect()
    }

    /// Returns the token of the command line, the file or the environment.
    fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(file) = &self.token_file {
            let wrong = |why: &dyn std::fmt::Display| {
                Failure::answer(format!("--token-file {}: {why}", file.display()))
            };
            let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
            let text = token(text.trim_end_matches(['\r', '\n'])).map_err(|why| wrong(&why))?;
            return Ok(Some(text));
        }
        let given = self.token.clone();
        Ok(given.or_else(|| TOKEN_VARIABLES.into_iter().find_map(variable)))
    }

    /// Returns the URLs of the command line, the environment or the default, each once.
    ///
    /// # Errors
    /// One of the environment is no `http://host:port`.
    fn urls(&self) -> Result<Vec<String>, String> {
        let mut urls = self.url.clone();
        if urls.is_empty() {
            let text = variable(URL_VARIABLE).unwrap_or_else(|| DEFAULT_URL.to_owned());
            for part in text.split(',') {
                let url = check_url(part.trim()).map_err(|why| format!("{URL_VARIABLE}: {why}"))?;
                urls.push(url);
            }
        }
        let mut once: Vec<String> = Vec::new();
        for url in urls {
            if !once.contains(&url) {
                once.push(url);
            }
        }
        Ok(once)
    }
}

/// Returns an environment variable, unless it is empty, without the newline that a file or a here-document leaves.
pub(super) fn variable(name: &str) -> Option<String> {
    let text = std::env::var(name).ok()?;
    let text = text.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| text.to_owned())
}
