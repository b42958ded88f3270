//! `game-gateway check`: validates the configuration and the routing data that it names, without
//! starting anything.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{ConfigFile, output};
use crate::config::{self, Config, RouteSource};
use crate::net::tls::Tls;
use crate::routing::Parsed;
use crate::store::redis::{Keys, Server};
use crate::store::{Refused, admin_tokens, file, redis};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// Findings of a check.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Mistakes that prevent the start or the use of routes.
    pub mistakes: Vec<String>,
    /// Accepted values that were perhaps meant otherwise.
    pub warnings: Vec<String>,
    /// Parts that are in order.
    pub good: Vec<String>,
}

/// Checks configuration and routes, and reports all findings.
pub fn check(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Findings {
    let mut findings = Findings::default();
    let config = match config::load(file, environment) {
        Ok(config) => config,
        Err(mistakes) => {
            findings
                .mistakes
                .extend(mistakes.iter().map(ToString::to_string));
            return findings;
        }
    };
    let named = file.map_or_else(
        || "the built-in defaults".to_owned(),
        |f| f.display().to_string(),
    );
    findings.good.push(format!("configuration: {named}"));
    let config = Arc::new(config);
    match Tls::load(&config) {
        Ok((_, warnings)) => findings.warnings.extend(warnings),
        Err(mistakes) => {
            let mistakes = mistakes.iter().map(ToString::to_string);
            findings.mistakes.extend(mistakes);
        }
    }
    if let Err(mistakes) = admin_tokens::load(&config.admin) {
        findings.mistakes.extend(mistakes);
    }
    let (place, routes) = read_routes(&config);
    match routes {
        Ok(parsed) => {
            let located = |warning: &crate::routing::Mistake| format!("{place}: {warning}");
            let warnings = parsed.warnings.iter().map(located);
            findings.warnings.extend(warnings);
            let (rules, realms) = (parsed.data.rules.len(), parsed.data.realms.len());
            let summary = format!("routes: {place}: {rules} services, {realms} realms");
            findings.good.push(summary);
        }
        Err(refused) => findings.mistakes.extend(refused.lines),
    }
    findings
}

/// Reads the routing data from the configured source; returns it with the name of that source.
fn read_routes(config: &Config) -> (String, Result<Parsed, Refused>) {
    match config.routes.source {
        RouteSource::File => {
            let path = &config.routes.file;
            let read = file::read(path).map_err(Refused::from);
            (path.display().to_string(), read)
        }
        RouteSource::Redis => {
            let server = Server::new(&config.redis);
            let keys = Keys::new(&config.redis.prefix);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let loaded = match runtime {
                Ok(runtime) => runtime.block_on(redis::load(&server, &keys)),
                Err(error) => Err(Refused::unreadable(format!(
                    "cannot start a thread: {error}"
                ))),
            };
            (format!("redis key {}", keys.rules), loaded)
        }
    }
}

/// Prints the findings; success only without mistakes.
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut findings = check(args.config.config.as_deref(), config::environment());
    let good: String = (findings.good.iter().map(|good| format!("ok: {good}\n"))).collect();
    if let Err(error) = output::write(&good) {
        findings.mistakes.push(error.to_string());
    }
    for warning in &findings.warnings {
        output::complain(format_args!("warning: {warning}"));
    }
    for mistake in &findings.mistakes {
        output::complain(format_args!("mistake: {mistake}"));
    }
    match findings.mistakes.len() {
        0 => ExitCode::SUCCESS,
        count => {
            output::complain(format_args!("game-gateway check: {count} mistakes"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_and_routes_are_checked_together() {
        let directory = tempfile::tempdir().unwrap();
        let (toml, routes) = (
            directory.path().join("g.toml"),
            directory.path().join("r.json"),
        );
        std::fs::write(&toml, format!("routes.file = {routes:?}")).unwrap();
        std::fs::write(&routes, r#"{"rules": {"game": {"strategy": "best", "endpoints": ["h:1"]}, "chat": {"strategy": "round_robin", "endpoints": ["h"]}}}"#).unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        assert_eq!(findings.mistakes.len(), 2, "{findings:?}");
        assert!(
            findings
                .mistakes
                .iter()
                .all(|m| m.starts_with(&routes.display().to_string()))
        );
        std::fs::write(
            &routes,
            r#"{"rules": {"game": {"strategy": "round_robin", "endpoints": ["h:1"], "later": 1}}}"#,
        )
        .unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        assert_eq!(
            (
                findings.mistakes.len(),
                findings.warnings.len(),
                findings.good.len()
            ),
            (0, 1, 2),
            "{findings:?}"
        );

        let rule = r#"{"rules": {"battle": {"strategy": "assigned", "assignments": "redis", "endpoints": ["h:1"]}}}"#;
        std::fs::write(&routes, rule).unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        let warns =
            |w: &String| w.contains("rules.battle.assignments: no assignments without Redis");
        assert!(findings.warnings.iter().any(warns), "{findings:?}");

        std::fs::write(&toml, "nonsense = 1").unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        assert_eq!((findings.mistakes.len(), findings.good.len()), (1, 0));
    }
}
