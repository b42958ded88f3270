//! The API server: what helm and kubectl ask over HTTP, on the objects of a [`Store`].
//!
//! It knows no users, no schemas and no admission; it does know patches of every kind, watches,
//! subresources and conflicts, which is what the tools here depend on.

pub(crate) mod discovery;
pub(crate) mod patch;
pub(crate) mod protobuf;
mod target;
mod watch;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::journal::Journal;
use crate::store::{Refusal, Store};
use target::Target;

/// The largest body: a release with its chart is a Secret of at most 1 MiB.
const MAX_BODY_BYTES: usize = 4 << 20;

/// The object or collection of a request.
#[derive(Clone)]
struct Served {
    store: Arc<Store>,
    journal: Arc<Journal>,
}

type Query = HashMap<String, String>;
type Answer = Result<HttpResponse, Refusal>;

/// Serves the API on a port of its own until the process ends.
pub(crate) fn start(store: Arc<Store>, journal: Arc<Journal>) -> SocketAddr {
    let served = Served { store, journal };
    let (bound, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(served.clone()))
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .default_service(web::to(answer))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0");
        let server = server.expect("a port for the API server");
        bound.send(server.addrs()[0]).expect("who started it waits");
        actix_web::rt::System::new().block_on(server.run())
    });
    address.recv().expect("the API server's address")
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    query: web::Query<Query>,
    served: web::Data<Served>,
) -> HttpResponse {
    let answered = match discovery::document(request.path()) {
        Some(document) if request.method() == Method::GET => Ok(HttpResponse::Ok().json(document)),
        _ => served.answer(&request, &body, &query),
    };
    answered.unwrap_or_else(|refusal| refused(&refusal))
}

impl Served {
    fn answer(&self, request: &HttpRequest, body: &[u8], query: &Query) -> Answer {
        let target = Target::parse(request.path())?;
        if query.contains_key("dryRun") {
            return Err(Refusal::Unsupported("no dry runs here".to_owned()));
        }
        let media = request.headers().get("Content-Type");
        let media = media.and_then(|value| value.to_str().ok()).unwrap_or("");
        match *request.method() {
            Method::GET if target.name.is_empty() => Ok(self.list(&target, query)),
            Method::GET => self.get(&target),
            Method::POST => {
                let object = parse(body)?;
                let made = self
                    .store
                    .create(target.resource, &target.namespace, object)?;
                Ok(HttpResponse::Created().json(&*made))
            }
            Method::PUT => self.replace(&target, parse(body)?),
            Method::PATCH => self.patch(&target, media, parse(body)?, query),
            Method::DELETE => self.delete(&target, body, query),
            _ => Err(Refusal::Unsupported(format!("no {}", request.method()))),
        }
    }

    fn list(&self, target: &Target, query: &Query) -> HttpResponse {
        let asked = |name: &str| query.get(name).map_or("", String::as_str);
        let selection = watch::Selection {
            plural: target.resource.plural,
            namespace: target.namespace.clone(),
            labels: asked("labelSelector").to_owned(),
            fields: asked("fieldSelector").to_owned(),
        };
        if matches!(asked("watch"), "true" | "1") {
            return watch::stream(&self.store, selection, target.resource, query);
        }
        let (items, version) = selection.list(&self.store);
        let items: Vec<&Value> = items.iter().map(Arc::as_ref).collect();
        HttpResponse::Ok().json(json!({
            "kind": format!("{}List", target.resource.kind),
            "apiVersion": target.resource.api_version(),
            "metadata": { "resourceVersion": version.to_string() },
            "items": items,
        }))
    }

    fn get(&self, target: &Target) -> Answer {
        let key = target.key();
        let object = self.store.get(&key);
        let object = object.ok_or_else(|| Refusal::NotFound(format!("{key:?} not found")))?;
        match target.subresource.as_str() {
            "log" => Ok(HttpResponse::Ok().body(self.journal.log_of(&target.name))),
            "scale" => Ok(HttpResponse::Ok().json(scale(&object))),
            _ => Ok(HttpResponse::Ok().json(&*object)),
        }
    }

    fn replace(&self, target: &Target, new: Value) -> Answer {
        if target.subresource == "scale" {
            return self.set_replicas(target, &new);
        }
        let changed = self.store.update(&target.key(), |live| {
            same_version(live, &new)?;
            let status = live["status"].clone();
            *live = new;
            keep_status(live, &status);
            Ok(())
        })?;
        Ok(HttpResponse::Ok().json(&*changed))
    }

    fn patch(&self, target: &Target, media: &str, patch: Value, query: &Query) -> Answer {
        if target.subresource == "scale" {
            return self.set_replicas(target, &patch);
        }
        if media.starts_with("application/apply-patch") {
            return self.apply(target, patch, query);
        }
        let changed = self.store.update(&target.key(), |live| {
            same_version(live, &patch)?;
            let status = live["status"].clone();
            match media.split(';').next() {
                Some("application/merge-patch+json") => patch::merge(live, &patch),
                Some("application/strategic-merge-patch+json") => patch::strategic(live, &patch),
                _ => return Err(Refusal::Unsupported(format!("no patches as {media}"))),
            }
            keep_status(live, &status);
            Ok(())
        })?;
        Ok(HttpResponse::Ok().json(&*changed))
    }

    /// Performs a server-side apply. The scaler is the only other manager, because it is what an upgrade
    /// collides with.
    fn apply(&self, target: &Target, wanted: Value, query: &Query) -> Answer {
        let key = target.key();
        let by = query.get("fieldManager").map_or("", String::as_str);
        let Some(live) = self.store.get(&key) else {
            let made = self
                .store
                .create(target.resource, &target.namespace, wanted.clone())?;
            self.store.note_applied(uid(&made), by, wanted);
            return Ok(HttpResponse::Created().json(&*made));
        };
        let scaled = self.store.applied(uid(&live), SCALE).unwrap_or_default();
        let conflicts = patch::conflicts(&live, &scaled, &wanted);
        let forced = query.get("force").is_some_and(|force| force == "true");
        if !forced && let Some(field) = conflicts.first() {
            let text = format!("Apply failed with 1 conflict: conflict with {SCALE:?}: {field}");
            return Err(Refusal::Conflict(text));
        }
        let before = self.store.applied(uid(&live), by).unwrap_or_default();
        let changed = self.store.update(&key, |live| {
            same_version(live, &wanted)?;
            let status = live["status"].clone();
            patch::apply(live, &before, &wanted);
            keep_status(live, &status);
            Ok(())
        })?;
        self.store.note_applied(uid(&changed), by, wanted);
        if !conflicts.is_empty() {
            // The manager that forces it owns it from now on.
            self.store.note_applied(uid(&changed), SCALE, Value::Null);
        }
        Ok(HttpResponse::Ok().json(&*changed))
    }

    fn set_replicas(&self, target: &Target, scale_to: &Value) -> Answer {
        let replicas = scale_to["spec"]["replicas"].clone();
        let changed = self.store.update(&target.key(), |live| {
            live["spec"]["replicas"] = replicas.clone();
            Ok(())
        })?;
        let owned = json!({ "spec": { "replicas": replicas } });
        // A field that another manager has changed is that one's alone.
        self.store.disown(uid(&changed), "/spec", "replicas");
        self.store.note_applied(uid(&changed), SCALE, owned);
        Ok(HttpResponse::Ok().json(scale(&changed)))
    }

    fn delete(&self, target: &Target, body: &[u8], query: &Query) -> Answer {
        let options = if body.is_empty() {
            Value::Null
        } else {
            parse(body)?
        };
        let asked = query
            .get("gracePeriodSeconds")
            .and_then(|text| text.parse().ok());
        let grace = asked.or(options["gracePeriodSeconds"].as_u64());
        let gone = self.store.delete(&target.key(), grace)?;
        Ok(HttpResponse::Ok().json(&*gone))
    }
}

/// The field manager of `kubectl scale` and of autoscalers.
const SCALE: &str = "scale";

fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "spec": { "replicas": object["spec"]["replicas"] },
        "status": { "replicas": object["status"]["replicas"].as_u64().unwrap_or(0) },
    })
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or("")
}

/// Restores the status, which only controllers and kubelets change.
fn keep_status(object: &mut Value, status: &Value) {
    if status.is_null() {
        object
            .as_object_mut()
            .and_then(|object| object.remove("status"));
    } else {
        object["status"] = status.clone();
    }
}

/// Refuses a writer that names a version other than the newest.
fn same_version(live: &Value, new: &Value) -> Result<(), Refusal> {
    let read = new["metadata"]["resourceVersion"].as_str().unwrap_or("");
    if read.is_empty() || live["metadata"]["resourceVersion"] == read {
        return Ok(());
    }
    Err(Refusal::Conflict("the object has been modified".to_owned()))
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let parsed = protobuf::decode(body).map_or_else(|| serde_json::from_slice(body), Ok);
    parsed.map_err(|error| {
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]);
        Refusal::Unsupported(format!(
            "neither JSON nor a known message, {error}: {start}"
        ))
    })
}

fn refused(refusal: &Refusal) -> HttpResponse {
    let (status, reason, message) = match refusal {
        Refusal::NotFound(text) => (StatusCode::NOT_FOUND, "NotFound", text),
        Refusal::AlreadyExists(text) => (StatusCode::CONFLICT, "AlreadyExists", text),
        Refusal::Conflict(text) => (StatusCode::CONFLICT, "Conflict", text),
        Refusal::Invalid(text) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text),
        Refusal::Unsupported(text) => (StatusCode::BAD_REQUEST, "BadRequest", text),
    };
    HttpResponse::build(status).json(json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": reason, "code": status.as_u16(),
    }))
}
