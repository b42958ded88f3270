//! The keys of resume tokens: from the configuration, or from a file that is read again when it has
//! changed, as a mounted secret does.
//!
//! The file has a key a line, the newest first; empty lines and lines that begin with `#` are skipped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::{Config, Secret};
use crate::session::token::Keyring;

/// Interval between two looks at the file.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// The largest file, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Reads the keys that the configuration names; makes one of this process alone if it names none.
///
/// # Errors
/// The file cannot be read or holds no valid keys. The text names the file, and never a key.
pub fn load(config: &Config) -> Result<Keyring, String> {
    let session = &config.session;
    if let Some(path) = &session.token_keys_file {
        return read(path).and_then(|text| parse(path, &text));
    }
    if session.token_keys.is_empty() {
        return Ok(Keyring::of_this_process());
    }
    let secrets: Vec<_> = session.token_keys.iter().map(Secret::expose).collect();
    Keyring::new(&secrets).map_err(|error| format!("session.token_keys: {error}"))
}

/// Returns the text of a small file.
///
/// # Errors
/// It cannot be read; the text names it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!(
            "{}: too large: {size} bytes, limit {MAX_FILE_BYTES}",
            path.display()
        ));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

fn parse(path: &Path, text: &str) -> Result<Keyring, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim);
    let secrets: Vec<_> = lines
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    Keyring::new(&secrets).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads the file again from time to time, and when it is `asked`, and puts new keys in force. Invalid ones are logged
/// once, and the old ones stay. Returns only if there is no file.
pub async fn keep_fresh(config: Arc<Config>, tokens: Arc<ArcSwap<Keyring>>, asked: Arc<Notify>) {
    let Some(path) = config.session.token_keys_file.clone() else {
        return;
    };
    let mut before = read(&path);
    let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = asked.notified() => {}
        }
        let file = path.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || read(&file)).await else {
            continue;
        };
        if now == before {
            continue;
        }
        match now.clone().and_then(|text| parse(&path, &text)) {
            Ok(keyring) => {
                tracing::info!(file = %path.display(), keys = ?keyring, "new keys of resume tokens");
                tokens.store(Arc::new(keyring));
            }
            Err(error) => {
                tracing::error!(%error, "the keys of resume tokens stay as they were");
            }
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys() {
        let path = Path::new("keys");
        let key = "0123456789abcdef0123456789abcdef";
        let text = format!("# newest first\n{key}-new\n\n  {key}  \n");
        assert_eq!(format!("{:?}", parse(path, &text).unwrap()), "Keyring of 2");
        let marked = format!("\u{feff}{key}\r\n");
        let ids = |text: &str| parse(path, text).unwrap().ids().collect::<Vec<_>>();
        assert_eq!(
            ids(&marked),
            ids(key),
            "a byte order mark is no part of a key"
        );
        let refused = |text: &str| parse(path, text).unwrap_err();
        assert_eq!(
            refused("# nothing\n"),
            "keys: no key found, expected at least one"
        );
        assert!(refused("secret").starts_with("keys: key 1 too short: 6 bytes"));
        assert!(!refused("secret").contains("secret"));
        let missing = read(Path::new("/nonexistent/keys")).unwrap_err();
        assert!(
            missing.starts_with("/nonexistent/keys: cannot be read"),
            "{missing}"
        );
    }
}
