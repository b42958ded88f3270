//! The OpenAPI document: what it lists exists, what it refers to is there, and what is answered is
//! what it says.

use std::collections::BTreeSet;

use game_gateway::config::Secret;
use serde_json::Value;

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway};

async fn document() -> (Gateway, Value) {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let document = get(gateway.admin, "/api/openapi.json").await.json();
    (gateway, document)
}

/// Returns every operation: path, method, itself.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            all.push((path.as_str(), method.as_str(), operation));
        }
    }
    all
}

/// Returns the value that a `$ref` names.
fn referred<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        None => value,
        Some(name) => {
            let pointer = name
                .strip_prefix('#')
                .expect("a reference into the document");
            document
                .pointer(pointer)
                .unwrap_or_else(|| panic!("{name} is missing"))
        }
    }
}

fn check_references(document: &Value, value: &Value) {
    referred(document, value);
    match value {
        Value::Array(values) => values.iter().for_each(|v| check_references(document, v)),
        Value::Object(members) => members.values().for_each(|v| check_references(document, v)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn it_is_whole() {
    let (_gateway, document) = document().await;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["info"]["title"].is_string());
    check_references(&document, &document);
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(
            names.insert(operation["operationId"].as_str().expect("a name")),
            "{at}"
        );
        assert!(operation["summary"].is_string(), "{at}");
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses {
            assert!(
                status.parse::<u16>().is_ok_and(|s| (100..600).contains(&s)),
                "{at}"
            );
            assert!(
                referred(&document, response)["description"].is_string(),
                "{at}"
            );
        }
        // Every part of the path in braces is a parameter, and the other way round.
        let in_path: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let mut declared = BTreeSet::new();
        for parameter in parameters {
            let name = parameter["name"].as_str().expect("a name");
            assert!(parameter["schema"].is_object(), "{at} {name}");
            match parameter["in"].as_str() {
                Some("path") => {
                    assert_eq!(parameter["required"], true, "{at} {name}");
                    declared.insert(name);
                }
                place => assert_eq!(place, Some("query"), "{at} {name}"),
            }
        }
        assert_eq!(in_path, declared, "{at}");
        let guarded = path.starts_with("/api/v1/");
        assert_eq!(operation["security"].is_array(), guarded, "{at}");
        assert_eq!(operation["responses"]["401"].is_object(), guarded, "{at}");
    }
}

/// Every operation that is listed is there, and no method beside them.
#[tokio::test]
async fn it_lists_exactly_what_is_there() {
    let (gateway, document) = document().await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let real = path
            .replace("{id}", "7")
            .replace("{file}", "swagger-ui.css");
        let answer = request(gateway.admin, &format!("NONSENSE {real}"), &[], "").await;
        answer.error(405, "method_not_allowed");
        let allow = answer
            .header("allow")
            .expect("the right methods")
            .to_lowercase();
        let mut allowed: BTreeSet<&str> = allow.split(", ").collect();
        allowed.remove("head");
        let listed: BTreeSet<&str> = item
            .as_object()
            .expect("an item")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(allowed, listed, "{path}");
        for method in listed {
            // An event stream has no end; of a HEAD only the head comes.
            let method_sent = match item[method]["responses"]["200"]["content"]["text/event-stream"]
            {
                Value::Object(_) => "HEAD".to_owned(),
                _ => method.to_uppercase(),
            };
            let line = format!("{method_sent} {real}");
            let answer = request(gateway.admin, &line, &[], "").await;
            assert_ne!(answer.status, 405, "{line}");
            let responses = &item[method]["responses"];
            assert!(
                responses[answer.status.to_string()].is_object(),
                "{line}: {answer:?}"
            );
        }
    }
}

fn page() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin.md");
    std::fs::read_to_string(page).expect("docs/admin.md")
}

/// docs/admin.md shows keys of the configuration as they are.
#[tokio::test]
async fn the_configuration_in_the_docs_is_true() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.admin.token = Some(Secret::new("sesame".to_owned()));
    })
    .await;
    let token = &["Authorization: Bearer sesame"];
    let answer = request(gateway.admin, "GET /api/v1/config", token, "").await;
    let page = page();
    let example = page.split("`GET /api/v1/config`").nth(1).expect("its part");
    let example = example.split("```").nth(1).expect("an example");
    let example = example.trim_start_matches("json").replace(", …", "");
    let example: Value = serde_json::from_str(&example).expect("JSON");
    for (key, shown) in example.as_object().expect("keys") {
        let mut is = answer.json()[key].clone();
        if key == "admin.address" {
            is["value"] = shown["value"].clone();
        }
        assert_eq!(shown, &is, "{key}");
    }
}

/// docs/admin.md has every request.
#[tokio::test]
async fn every_request_is_in_the_docs() {
    let (_gateway, document) = document().await;
    let page = page();
    for (path, method, _) in operations(&document) {
        let request = format!("`{} {path}`", method.to_uppercase());
        assert!(
            page.contains(&request),
            "docs/admin.md: {request} is missing"
        );
    }
}
