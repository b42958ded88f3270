//! How much memory the process may use.

use std::path::Path;

/// Least budget, in bytes.
pub const LEAST: usize = 64 * 1024 * 1024;
/// Share of the memory that the process may use.
const SHARE: u64 = 4;
/// The default is a multiple of this, for it is shown to people.
const ROUND: u64 = 1024 * 1024;

/// Returns the default of `limits.memory`: a quarter of what the process may use, by its cgroups or else the
/// machine, in whole MiB, at least [`LEAST`].
pub fn default_limit() -> usize {
    share_of(usable(Path::new("/")))
}

fn share_of(usable: u64) -> usize {
    let share = usable / SHARE / ROUND * ROUND;
    usize::try_from(share).unwrap_or(usize::MAX).max(LEAST)
}

/// Bytes that the process may use; 0 where nothing says so. `root` is the root of the file system.
fn usable(root: &Path) -> u64 {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let machine = read("proc/meminfo");
    let machine = machine
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = machine.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
    let machine = kibibytes.map(|n: u64| n * 1024);
    let groups = read("proc/self/cgroup");
    let limits = groups.lines().filter_map(|line| group_limit(root, line));
    limits.chain(machine).min().unwrap_or(0)
}

/// The least limit of a cgroup and those above it. `line`: of `/proc/self/cgroup`.
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        v1 if v1.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    // In a container the path may be one that only the host knows; then its own is the mount.
    let group = Path::new(path.trim_start_matches('/'));
    let limit = |group: &Path| {
        let text = std::fs::read_to_string(mount.join(group).join(file)).ok()?;
        text.trim().parse().ok()
    };
    group.ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_whole_mebibytes() {
        assert_eq!(share_of(24_683_656 * 1024), 6026 * 1024 * 1024);
        assert_eq!(share_of(0), LEAST);
    }

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_least_limit_counts() {
        let version_2 = ("proc/self/cgroup", "0::/a/b\n");
        let cases: [(&[(&str, &str)], u64); 6] = [
            (&[], 0),
            (&[MACHINE], 1_024_000),
            (
                &[
                    MACHINE,
                    version_2,
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ],
                1_024_000,
            ),
            (
                &[MACHINE, version_2, ("sys/fs/cgroup/a/memory.max", "5000\n")],
                5000,
            ),
            (
                &[MACHINE, version_2, ("sys/fs/cgroup/memory.max", "6000\n")],
                6000,
            ),
            (
                &[
                    MACHINE,
                    ("proc/self/cgroup", "3:cpu:/x\n2:cpuacct,memory:/a\n"),
                    ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "7000\n"),
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                7000,
            ),
        ];
        for (files, expected) in cases {
            assert_eq!(usable(root(files).path()), expected, "{files:?}");
        }
    }

    #[test]
    fn this_machine_has_some() {
        assert!(default_limit() >= LEAST);
    }
}
