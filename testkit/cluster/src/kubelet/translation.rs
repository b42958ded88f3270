//! Makes what a container is given mean the same without namespaces of its own: mounted paths are
//! paths below the pod's directory, "every address" is the pod's, and Services' names are addresses.

use std::net::Ipv4Addr;
use std::path::Path;

/// One text that stands for another.
#[derive(Debug)]
struct Entry {
    from: String,
    to: String,
    /// Returns true if this may follow; a longer path or name is another one.
    ends: fn(&str) -> bool,
}

/// Replacements; the first match wins.
#[derive(Debug, Default)]
pub(super) struct Translation(Vec<Entry>);

/// Returns true for a character of paths, names and addresses.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
}

/// Returns true if a port follows a host; a URL's scheme is not a host.
fn is_port(after: &str) -> bool {
    after
        .strip_prefix(':')
        .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

impl Translation {
    /// Adds a mounted file or directory.
    pub(super) fn mount(&mut self, path: &str, real: &Path) {
        let ends = |after: &str| after.starts_with('/') || !after.starts_with(is_word);
        self.add(path, real.display().to_string(), ends);
        // The longest goes first, for mounts may lie within each other.
        self.0
            .sort_by_key(|entry| std::cmp::Reverse(entry.from.len()));
    }

    /// Replaces wildcard addresses by the pod's own address.
    pub(super) fn own_address(&mut self, address: Ipv4Addr) {
        for every in ["0.0.0.0", "[::]"] {
            self.add(every, address.to_string(), is_port);
        }
    }

    /// Adds a Service under all names that it has within its cluster.
    pub(super) fn service(&mut self, name: &str, namespace: &str, address: &str) {
        let short = format!("{name}.{namespace}");
        let (svc, full) = (format!("{short}.svc"), format!("{short}.svc.cluster.local"));
        for name in [name.to_owned(), short, svc, full] {
            self.add(&name, address.to_owned(), is_port);
        }
    }

    fn add(&mut self, from: &str, to: String, ends: fn(&str) -> bool) {
        let from = from.to_owned();
        self.0.push(Entry { from, to, ends });
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let begins = !out.chars().next_back().is_some_and(is_word);
            // Within URLs a name follows slashes.
            let begins = begins || out.ends_with("//");
            let matching = self.0.iter().find(|entry| {
                let after = rest.strip_prefix(entry.from.as_str());
                begins && after.is_some_and(|after| (entry.ends)(after))
            });
            match matching {
                Some(entry) => {
                    out.push_str(&entry.to);
                    rest = &rest[entry.from.len()..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

#[test]
fn only_whole_paths_and_names_are_translated() {
    let mut translation = Translation::default();
    translation.mount("/etc/game", Path::new("/tmp/pod/etc/game"));
    translation.mount("/etc/game/tls", Path::new("/tmp/pod/tls"));
    translation.own_address(Ipv4Addr::new(127, 1, 2, 3));
    translation.service("redis", "default", "127.9.9.9");
    let cases = [
        (
            "--config=/etc/game/config.toml",
            "--config=/tmp/pod/etc/game/config.toml",
        ),
        (
            "key = \"/etc/game/tls/tls.key\"",
            "key = \"/tmp/pod/tls/tls.key\"",
        ),
        ("/etc/game", "/tmp/pod/etc/game"),
        ("/etc/gamer /srv/etc/game", "/etc/gamer /srv/etc/game"),
        (
            "\"0.0.0.0:7000\" \"[::]:9090\"",
            "\"127.1.2.3:7000\" \"127.1.2.3:9090\"",
        ),
        ("10.0.0.0:1 0.0.0.0/0", "10.0.0.0:1 0.0.0.0/0"),
        ("redis://redis:6379/0", "redis://127.9.9.9:6379/0"),
        (
            "redis.default.svc:6379 my-redis:1",
            "127.9.9.9:6379 my-redis:1",
        ),
    ];
    for (text, translated) in cases {
        assert_eq!(translation.text(text), translated);
    }
}
