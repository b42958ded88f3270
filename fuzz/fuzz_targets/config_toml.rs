//! The configuration's reader: what it refuses, it refuses with mistakes that have words and a line
//! that exists; a comment changes nothing.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use game_gateway::config::{Config, Mistake, Place, load};
use libfuzzer_sys::fuzz_target;

/// The reader takes a file; each process that fuzzes has its own.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("game-gateway-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let config = read(&FILE, text);
    if let Err(mistakes) = &config {
        assert!(!mistakes.is_empty());
        let lines = text.split('\n').count();
        for mistake in mistakes {
            assert!(!mistake.message.is_empty());
            if let Place::File { line, .. } = &mistake.place {
                assert!((1..=lines).contains(&line.unwrap_or(1)), "{mistake}");
            }
        }
    }
    // Invalid TOML may end inside a string, where a comment would be part of it.
    if let Ok(config) = config {
        assert_eq!(read(&FILE, &format!("{text}\n# nothing")), Ok(config));
    }
});

fn read(file: &Path, text: &str) -> Result<Config, Vec<Mistake>> {
    if let Err(error) = std::fs::write(file, text) {
        panic!("{}: {error}", file.display());
    }
    // Without it the host's name would be part of the result.
    let environment = [("POD_NAME".to_owned(), "fuzz".to_owned())];
    load(Some(file), environment.into_iter())
}
