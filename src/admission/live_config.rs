//! The configuration in force: the configured one, with what operators have changed at run time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::config::keys::{KEYS, Key};
use crate::config::{Config, Mistake, change};

/// Keys that take effect at run time but are not changed over the admin API: who may name players' addresses is a
/// matter of the file.
const ONLY_CONFIGURED: [&str; 1] = ["listen.http.trusted_proxies"];

/// A value that an operator has given a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As the configuration would have it.
    pub value: String,
    /// When, in seconds since 1970.
    pub since: u64,
    /// When it ends by itself; none: it does not.
    pub ends: Option<Instant>,
    /// The author.
    pub by: String,
    /// The reason that was given, or empty.
    pub reason: String,
}

/// A key whose value in force is another one than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: &'static str,
    /// The value before.
    pub before: String,
    /// The value now.
    pub after: String,
}

/// Changes by key.
pub type Changes = BTreeMap<&'static str, Change>;

/// The function that puts a configuration in force.
type Apply = dyn Fn(Config) + Send + Sync;

/// The configured values, and those that operators have put in their place.
pub struct LiveConfig {
    state: Mutex<State>,
    apply: Box<Apply>,
}

struct State {
    configured: Config,
    in_force: Config,
    changes: Changes,
}

impl std::fmt::Debug for LiveConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveConfig").field(&self.changes()).finish()
    }
}

/// Returns the keys that operators may change at run time.
pub fn changeable() -> impl Iterator<Item = &'static Key> {
    let is_one = |key: &&Key| key.is_live && !ONLY_CONFIGURED.contains(&key.name);
    KEYS.iter().filter(is_one)
}

/// Returns a key's value as the configuration would have it.
pub fn shown(config: &Config, key: &Key) -> String {
    (key.field)(&mut config.clone()).show()
}

impl LiveConfig {
    /// Nothing is changed; `apply` puts another configuration in force.
    pub fn new(configured: Config, apply: impl Fn(Config) + Send + Sync + 'static) -> LiveConfig {
        LiveConfig {
            state: Mutex::new(State {
                in_force: configured.clone(),
                configured,
                changes: Changes::new(),
            }),
            apply: Box::new(apply),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the configuration without what operators have changed.
    pub fn configured(&self) -> Config {
        self.state().configured.clone()
    }

    /// Returns what operators have changed.
    pub fn changes(&self) -> Changes {
        self.state().changes.clone()
    }

    /// Changes some keys, or none of them where one cannot be; a key without a value returns to the configuration.
    /// Returns the values that are other ones now.
    ///
    /// # Errors
    /// All mistakes.
    pub fn change(
        &self,
        wishes: &BTreeMap<String, Option<String>>,
        like: &Change,
    ) -> Result<Vec<Changed>, Vec<Mistake>> {
        let mut state = self.state();
        let mut changes = state.changes.clone();
        for key in changeable() {
            match wishes.get(key.name) {
                None => {}
                Some(None) => drop(changes.remove(key.name)),
                Some(Some(value)) => {
                    let value = value.clone();
                    changes.insert(
                        key.name,
                        Change {
                            value,
                            ..like.clone()
                        },
                    );
                }
            }
        }
        let is_changeable = |name: &str| changeable().any(|key| key.name == name);
        let others = wishes.keys().filter(|name| !is_changeable(name));
        let others: Vec<&str> = others.map(String::as_str).collect();
        self.put(&mut state, changes, &others)
    }

    /// Returns all keys to the configuration. Returns the values that are other ones now.
    pub fn reset(&self) -> Vec<Changed> {
        let mut state = self.state();
        self.put(&mut state, Changes::new(), &[])
            .unwrap_or_default()
    }

    /// Takes over a configuration that was read again. What operators have changed stays, but for keys that the
    /// configuration has changed itself; returns those. Where the two contradict each other all go.
    pub fn reloaded(&self, configured: Config, changed: &[&'static str]) -> Vec<&'static str> {
        let mut state = self.state();
        state.configured = configured;
        let before = state.changes.clone();
        let mut changes = before.clone();
        changes.retain(|key, _| !changed.contains(key));
        if self.put(&mut state, changes, &[]).is_err() {
            // The configuration alone has no mistakes.
            let _ = self.put(&mut state, Changes::new(), &[]);
        }
        let is_gone = |key: &&'static str| !state.changes.contains_key(key);
        before.into_keys().filter(is_gone).collect()
    }

    /// Ends the changes whose time is over. Returns the values that are other ones now.
    pub fn sweep(&self, now: Instant) -> Vec<Changed> {
        let mut state = self.state();
        let is_over = |change: &Change| change.ends.is_some_and(|ends| ends <= now);
        if !state.changes.values().any(is_over) {
            return Vec::new();
        }
        let mut changes = state.changes.clone();
        changes.retain(|_, change| !is_over(change));
        match self.put(&mut state, changes, &[]) {
            Ok(changed) => changed,
            // What is left contradicts the configuration without them.
            Err(_) => self
                .put(&mut state, Changes::new(), &[])
                .unwrap_or_default(),
        }
    }

    /// Puts other changes in force. `unknown`: keys that cannot be changed.
    fn put(
        &self,
        state: &mut State,
        mut changes: Changes,
        unknown: &[&str],
    ) -> Result<Vec<Changed>, Vec<Mistake>> {
        let values = changes
            .iter()
            .map(|(key, change)| (*key, Some(&*change.value)));
        let values = values.chain(unknown.iter().map(|key| (*key, None)));
        let config = change(&state.configured, values)?;
        for key in changeable() {
            // As everything else shows it.
            if let Some(change) = changes.get_mut(key.name) {
                change.value = shown(&config, key);
            }
        }
        let changed: Vec<Changed> = changeable()
            .map(|key| Changed {
                key: key.name,
                before: shown(&state.in_force, key),
                after: shown(&config, key),
            })
            .filter(|changed| changed.before != changed.after)
            .collect();
        state.changes = changes;
        if state.in_force != config {
            state.in_force = config.clone();
            (self.apply)(config);
        }
        Ok(changed)
    }
}

#[cfg(test)]
#[path = "live_config_tests.rs"]
mod tests;
