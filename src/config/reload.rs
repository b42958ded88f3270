//! Loads the configuration again while the gateway runs: keys that can change then do, of the others it is
//! said that they need a restart.

use super::keys::KEYS;
use super::{Config, Mistake, load};

/// The outcome of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force from now on.
    pub config: Config,
    /// Keys whose values have changed.
    pub changed: Vec<&'static str>,
    /// Keys whose values have changed but need a restart. Secrets are not compared.
    pub need_restart: Vec<&'static str>,
}

/// Loads the file of `in_force` again, then the environment; `complete` gives what is not configured its value.
///
/// # Errors
/// All mistakes.
pub fn reload(
    in_force: &Config,
    environment: impl Iterator<Item = (String, String)>,
    complete: impl FnOnce(&mut Config),
) -> Result<Reloaded, Vec<Mistake>> {
    let mut fresh = load(in_force.file.as_deref(), environment)?;
    complete(&mut fresh);
    let mut config = in_force.clone();
    let (mut changed, mut need_restart) = (Vec::new(), Vec::new());
    for key in &KEYS {
        let wanted = (key.field)(&mut fresh).show();
        if (key.field)(&mut config).show() == wanted {
            continue;
        }
        // What is shown is read back, so this cannot fail.
        if key.is_live && (key.field)(&mut config).set(&wanted).is_ok() {
            changed.push(key.name);
        } else {
            need_restart.push(key.name);
        }
    }
    Ok(Reloaded {
        config,
        changed,
        need_restart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_does_and_the_rest_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, "limits.connections_per_ip = 3").unwrap();
        let environment = || {
            let variable = ("GATEWAY__LIMITS__PATIENCE".to_owned(), "2s".to_owned());
            std::iter::once(variable)
        };
        let complete = |config: &mut Config| {
            config.limits.memory.get_or_insert(1 << 30);
        };
        let mut before = load(Some(&file), environment()).unwrap();
        complete(&mut before);
        let reload = |before| super::reload(before, environment(), complete);
        let same = reload(&before).unwrap();
        assert_eq!((&same.config, same.changed.len()), (&before, 0));

        let text = "limits.deny = [\"192.0.2.0/24\"]\nlimits.patience = \"9s\"\n\
                    limits.memory = \"64MiB\"\nlisten.max_payload = 1024\nadmin.token = \"sesame\"";
        std::fs::write(&file, text).unwrap();
        let next = reload(&before).unwrap();
        let changed = ["limits.memory", "limits.connections_per_ip", "limits.deny"];
        assert_eq!(next.changed, changed);
        assert_eq!(next.config.limits.memory, Some(64 << 20));
        assert_eq!(next.need_restart, ["listen.max_payload"]);
        assert_eq!(next.config.limits.connections_per_ip, 0);
        assert!(
            next.config
                .limits
                .deny
                .contains("192.0.2.9".parse().unwrap())
        );
        assert_eq!(next.config.limits.patience, before.limits.patience);
        assert_eq!(next.config.listen, before.listen);

        std::fs::write(&file, "limits.ipv6_prefix = 0").unwrap();
        assert_eq!(reload(&next.config).unwrap_err().len(), 1);
    }
}
