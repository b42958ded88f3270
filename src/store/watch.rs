//! Notifications of changed files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Calls `changed`, on a thread of its own, whenever one of the files may have changed, until what it returns is
/// dropped. It watches their directories rather than the files: editors, Kubernetes and certificate tools replace by
/// renaming. Writing to another file there, such as a log, is none of it.
///
/// # Errors
/// A directory cannot be watched.
pub fn watch(
    files: &[PathBuf],
    changed: impl Fn() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let names: BTreeSet<OsString> = files.iter().flat_map(|file| names_of(file)).collect();
    let is_one = move |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
    let touched = move |event: notify::Result<notify::Event>| {
        let concerns = |event: notify::Event| match event.kind {
            // Reading is an event too.
            EventKind::Access(_) => false,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                event.paths.iter().any(&is_one)
            }
            _ => true,
        };
        if event.is_ok_and(concerns) {
            changed();
        }
    };
    let mut watcher = notify::recommended_watcher(touched)?;
    let directories: BTreeSet<&Path> = files.iter().map(|file| directory_of(file)).collect();
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// A file's own name, and that of what it is a link to.
fn names_of(file: &Path) -> impl Iterator<Item = OsString> + use<> {
    let target = file.canonicalize().ok();
    let name = |path: &Path| path.file_name().map(OsString::from);
    [name(file), target.as_deref().and_then(name)]
        .into_iter()
        .flatten()
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Longest time in which the kernel tells of a change.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn what_lies_beside_a_file_is_not_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("routes-1.json"), "1").unwrap();
        symlink(path("routes-1.json"), path("routes.json")).unwrap();
        fs::write(path("gateway.log"), "").unwrap();
        let (changed, changes) = mpsc::channel();
        let tell = move || changed.send(()).unwrap();
        let _watch = watch(&[path("routes.json")], tell).unwrap();
        let beside = || fs::write(path("gateway.log"), "a line").unwrap();
        let is_told = || changes.recv_timeout(DEADLINE).unwrap();

        // In place, by way of the link; then the link is replaced as Kubernetes does.
        beside();
        fs::OpenOptions::new()
            .append(true)
            .open(path("routes.json"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"2"))
            .unwrap();
        is_told();
        beside();
        symlink(path("routes-1.json"), path("new")).unwrap();
        is_told();
        fs::rename(path("new"), path("routes.json")).unwrap();
        // A rename is told as what goes, what comes, and both.
        (0..3).for_each(|_| is_told());
        // Events come in order, so those of the log would have come before.
        beside();
        fs::remove_file(path("routes.json")).unwrap();
        is_told();
        assert!(changes.try_recv().is_err());
    }
}
