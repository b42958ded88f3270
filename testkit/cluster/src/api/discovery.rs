//! Which resources there are, and the documents by which clients find out.

use serde_json::{Value, json};

/// One resource of the API.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Empty: the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

const fn namespaced(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Resource {
    Resource {
        group,
        version,
        plural,
        kind,
        namespaced: true,
    }
}

/// Everything that is served.
pub(crate) const RESOURCES: &[Resource] = &[
    Resource {
        group: "",
        version: "v1",
        plural: "namespaces",
        kind: "Namespace",
        namespaced: false,
    },
    namespaced("", "v1", "configmaps", "ConfigMap"),
    namespaced("", "v1", "events", "Event"),
    namespaced("", "v1", "pods", "Pod"),
    namespaced("", "v1", "secrets", "Secret"),
    namespaced("", "v1", "serviceaccounts", "ServiceAccount"),
    namespaced("", "v1", "services", "Service"),
    namespaced("apps", "v1", "deployments", "Deployment"),
    namespaced("apps", "v1", "replicasets", "ReplicaSet"),
    namespaced(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
    ),
    namespaced("batch", "v1", "jobs", "Job"),
    namespaced(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
    ),
    namespaced(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
    ),
    namespaced(
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        "RoleBinding",
    ),
    namespaced("rbac.authorization.k8s.io", "v1", "roles", "Role"),
];

const VERBS: [&str; 7] = [
    "create", "delete", "get", "list", "patch", "update", "watch",
];

impl Resource {
    pub(crate) fn by_plural(plural: &str) -> Option<&'static Resource> {
        RESOURCES.iter().find(|resource| resource.plural == plural)
    }

    /// Formats group and version as in objects and paths.
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Prefix of the paths of its group and version.
    fn root(&self) -> String {
        match self.group {
            "" => format!("/api/{}", self.version),
            _ => format!("/apis/{}", self.api_version()),
        }
    }
}

/// Answers what is no object: versions, groups, resources and their schemas.
pub(crate) fn document(path: &str) -> Option<Value> {
    match path.trim_end_matches('/') {
        "/version" => Some(json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.0", "platform": "linux/amd64",
        })),
        "/api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/apis" => Some(groups()),
        "/openapi/v3" => Some(schemas()),
        path => match path.strip_prefix("/openapi/v3") {
            Some(root) => schema(root),
            None => resources(path),
        },
    }
}

fn groups() -> Value {
    let mut names: Vec<_> = RESOURCES.iter().filter(|r| !r.group.is_empty()).collect();
    names.dedup_by_key(|resource| resource.group);
    let groups = names.iter().map(|resource| {
        let version = json!({
            "groupVersion": resource.api_version(), "version": resource.version,
        });
        json!({ "name": resource.group, "versions": [version], "preferredVersion": version })
    });
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>() })
}

fn resources(root: &str) -> Option<Value> {
    let here: Vec<_> = RESOURCES.iter().filter(|r| r.root() == root).collect();
    let first = here.first()?;
    let entry = |resource: &Resource, suffix: &str| {
        json!({
            "name": format!("{}{suffix}", resource.plural),
            "singularName": resource.kind.to_lowercase(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": VERBS,
        })
    };
    let mut list = Vec::new();
    for resource in &here {
        list.push(entry(resource, ""));
        if matches!(resource.plural, "deployments" | "replicasets") {
            let mut scale = entry(resource, "/scale");
            scale["kind"] = json!("Scale");
            scale["group"] = json!("autoscaling");
            scale["version"] = json!("v1");
            list.push(scale);
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": first.api_version(), "resources": list,
    }))
}

fn schemas() -> Value {
    let mut paths = json!({});
    for resource in RESOURCES {
        let root = resource.root();
        let place = format!("/openapi/v3{root}");
        paths[root.trim_start_matches('/')] = json!({ "serverRelativeURL": place });
    }
    json!({ "paths": paths })
}

/// Says only that the server checks fields itself, so that clients need no schema.
fn schema(root: &str) -> Option<Value> {
    let mut paths = json!({});
    for resource in RESOURCES.iter().filter(|resource| resource.root() == root) {
        let middle = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let path = format!("{root}{middle}/{}/{{name}}", resource.plural);
        paths[path] = json!({ "patch": {
            "parameters": [{ "name": "fieldValidation", "in": "query" }],
            "x-kubernetes-group-version-kind": {
                "group": resource.group, "version": resource.version, "kind": resource.kind,
            },
        } });
    }
    let known = paths.as_object().is_some_and(|paths| !paths.is_empty());
    known.then(|| json!({
        "openapi": "3.0.0", "info": { "title": "cluster", "version": "v1.34.0" }, "paths": paths,
    }))
}
