//! The routes file, in a place of its own for as long as the demo runs.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::output;

/// A routes file; it and its folder go when this is dropped.
#[derive(Debug)]
pub(super) struct File {
    folder: PathBuf,
}

impl File {
    /// Writes the first rules.
    pub(super) fn create(rules: &Value) -> io::Result<File> {
        let name = format!("game-gateway-demo-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let file = File { folder };
        file.write(rules)?;
        Ok(file)
    }

    /// Returns its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("routes.json")
    }

    /// Replaces the rules in one step, so that nobody reads half a file.
    pub(super) fn write(&self, rules: &Value) -> io::Result<()> {
        let draft = self.folder.join("routes.json.new");
        std::fs::write(&draft, format!("{rules:#}\n"))?;
        std::fs::rename(draft, self.path())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            output::complain(format_args!(
                "{} stays behind: {error}",
                self.folder.display()
            ));
        }
    }
}
