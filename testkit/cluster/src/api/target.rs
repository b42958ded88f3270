//! The meaning of a path.

use super::discovery::{RESOURCES, Resource};
use crate::store::{Key, Refusal};

/// A resource, or one object of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    /// Empty: none, or all of them.
    pub(super) namespace: String,
    /// Empty: the whole collection.
    pub(super) name: String,
    /// Empty: the object itself.
    pub(super) subresource: String,
}

impl Target {
    pub(super) fn parse(path: &str) -> Result<Target, Refusal> {
        let unknown = || Refusal::NotFound(format!("nothing is served at {path}"));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return Err(unknown()),
        };
        let (namespace, rest) = match *rest {
            ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (namespace, rest),
            _ => ("", rest),
        };
        let (plural, name, subresource) = match *rest {
            [plural] => (plural, "", ""),
            [plural, name] => (plural, name, ""),
            [plural, name, subresource] => (plural, name, subresource),
            _ => return Err(unknown()),
        };
        let mut known = RESOURCES.iter();
        let resource = known
            .find(|r| r.group == group && r.version == version && r.plural == plural)
            .ok_or_else(unknown)?;
        Ok(Target {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }

    pub(super) fn key(&self) -> Key {
        Key {
            plural: self.resource.plural,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}
