//! The tokens of the admin API: from the configuration, and from the files that it names. They are read once.

use std::sync::Arc;

use crate::config::Secret;
use crate::config::admin::{Admin, Role, TokenSource, usable};

/// Name of the token that has none in the configuration.
const UNNAMED: &str = "admin.token";

/// A token, and who has it.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// For the log.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
    /// The token.
    pub secret: Secret,
}

/// Reads all tokens; none where the configuration has none.
///
/// # Errors
/// All mistakes: a file cannot be read or holds no token, or two are the same. A text names the place, and never a
/// token.
pub fn load(admin: &Admin) -> Result<Vec<AdminToken>, Vec<String>> {
    let unnamed = admin.token.clone().map(|secret| AdminToken {
        name: UNNAMED.into(),
        role: Role::Operate,
        secret,
    });
    let mut tokens: Vec<AdminToken> = unnamed.into_iter().collect();
    let mut mistakes = Vec::new();
    for named in admin.tokens.iter() {
        let secret = match &named.source {
            TokenSource::Value(secret) => Ok(secret.clone()),
            TokenSource::File(path) => super::token_keys::read(path)
                .and_then(|text| usable(&text).map_err(|e| format!("{}: {e}", path.display()))),
        };
        match secret {
            Ok(secret) if tokens.iter().any(|other| other.secret == secret) => {
                let message = format!("admin.tokens: `{}` is the same as another", named.name);
                mistakes.push(message);
            }
            Ok(secret) => tokens.push(AdminToken {
                name: named.name.as_str().into(),
                role: named.role,
                secret,
            }),
            Err(error) => mistakes.push(format!("admin.tokens: `{}`: {error}", named.name)),
        }
    }
    if mistakes.is_empty() {
        Ok(tokens)
    } else {
        Err(mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_from_values_and_files_and_every_mistake_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("right"), "\u{feff}s3cret\r\n").unwrap();
        std::fs::write(path("two"), "hun ter2").unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        let admin = |entries: &[(&str, String)]| {
            Admin {
            token: Some(Secret::new("sesame".into())),
            tokens: serde_json::Value::from_iter(entries.iter().map(|(key, value)| {
                serde_json::json!({"name": format!("{key}{value}").replace(' ', ""), "role": "read", (*key): value})
            }))
            .to_string()
            .parse()
            .unwrap(),
            ..Admin::default()
        }
        };
        let tokens = load(&admin(&[("file", path("right"))])).unwrap();
        let secrets: Vec<&str> = tokens.iter().map(|token| token.secret.expose()).collect();
        assert_eq!(secrets, ["sesame", "s3cret"]);
        assert_eq!(tokens[0].role, Role::Operate);
        let wrong = admin(&[
            ("file", path("missing")),
            ("file", path("two")),
            ("file", path("empty")),
            ("token", "sesame".into()),
        ]);
        let mistakes = load(&wrong).unwrap_err();
        let expected = [
            "cannot be read",
            "cannot be sent",
            "must not be empty",
            "is the same as",
        ];
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.contains(expected), "{mistake}");
            assert!(!mistake.contains("ter2"), "{mistake}");
        }
        assert_eq!(mistakes.len(), expected.len());
    }
}
