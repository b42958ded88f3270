//! `game-gateway check`: validates the configuration and the routing data that it names, without
//! starting anything.

use std::path::Path;
use std::process::ExitCode;

use super::ConfigFile;
use crate::config;
use crate::store::file;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// What a check has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What stops the start, or keeps routes from being used.
    pub mistakes: Vec<String>,
    /// What is taken, but perhaps not as it was meant.
    pub warnings: Vec<String>,
    /// What is in order.
    pub good: Vec<String>,
}

/// Checks both, and says everything at once.
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
    let unused = |key: &&str| format!("{key} has no effect in this version");
    findings
        .warnings
        .extend(config.without_effect.iter().map(unused));
    let routes = &config.routes.file;
    match file::read(routes) {
        Ok(parsed) => {
            let place =
                |warning: &crate::routing::Mistake| format!("{}: {warning}", routes.display());
            findings.warnings.extend(parsed.warnings.iter().map(place));
            let (rules, realms) = (parsed.data.rules.len(), parsed.data.realms.len());
            let summary = format!(
                "routes: {}: {rules} services, {realms} realms",
                routes.display()
            );
            findings.good.push(summary);
        }
        Err(error) => findings
            .mistakes
            .extend(error.to_string().lines().map(str::to_owned)),
    }
    findings
}

/// Prints the findings; success only without mistakes.
pub fn run(args: &CheckArgs) -> ExitCode {
    let findings = check(args.config.config.as_deref(), config::environment());
    for good in &findings.good {
        println!("ok: {good}");
    }
    for warning in &findings.warnings {
        eprintln!("warning: {warning}");
    }
    for mistake in &findings.mistakes {
        eprintln!("mistake: {mistake}");
    }
    match findings.mistakes.len() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("game-gateway check: {count} mistakes");
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
        std::fs::write(
            &toml,
            format!("routes.file = {routes:?}\nredis.prefix = \"x:\""),
        )
        .unwrap();
        std::fs::write(&routes, r#"{"rules": {"game": {"strategy": "best", "endpoints": ["h:1"]}, "chat": {"strategy": "round_robin", "endpoints": ["h"]}}}"#).unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        assert_eq!(findings.mistakes.len(), 2, "{findings:?}");
        assert!(
            findings
                .mistakes
                .iter()
                .all(|m| m.starts_with(&routes.display().to_string()))
        );
        assert_eq!(
            findings.warnings,
            ["redis.prefix has no effect in this version"]
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
            (0, 2, 2),
            "{findings:?}"
        );

        std::fs::write(&toml, "nonsense = 1").unwrap();
        let findings = check(Some(&toml), std::iter::empty());
        assert_eq!((findings.mistakes.len(), findings.good.len()), (1, 0));
    }
}
