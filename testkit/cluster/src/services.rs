//! Services: an address of its own for each, and a balancer there that follows the pods' readiness
//! a moment late, as every node of a true cluster does.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::addresses;
use crate::control::is_true;
use crate::late::Late;
use crate::selector::has_labels;
use crate::store::{Key, Store};

/// Timeout of connecting to a pod.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Gives each Service its address and balances it, until the task is aborted.
pub(crate) async fn run(store: Arc<Store>) {
    let mut balancers = JoinSet::new();
    let mut running: HashMap<String, Vec<AbortHandle>> = HashMap::new();
    let mut versions = store.versions();
    loop {
        versions.mark_unchanged();
        let (services, _) = store.list("services", None);
        let uid = |service: &Value| service["metadata"]["uid"].to_string();
        running.retain(|known, tasks| {
            let there = services.iter().any(|service| uid(service) == *known);
            if !there {
                tasks.iter().for_each(AbortHandle::abort);
            }
            there
        });
        for service in &services {
            if service["spec"]["clusterIP"] != "None" && !running.contains_key(&uid(service)) {
                let tasks = start(&store, service, &mut balancers).await;
                running.insert(uid(service), tasks);
            }
        }
        if versions.changed().await.is_err() {
            return;
        }
    }
}

fn key(service: &Value) -> Key {
    let text = |field: &str| service["metadata"][field].as_str().unwrap_or("").to_owned();
    Key {
        plural: "services",
        namespace: text("namespace"),
        name: text("name"),
    }
}

async fn start(
    store: &Arc<Store>,
    service: &Value,
    balancers: &mut JoinSet<()>,
) -> Vec<AbortHandle> {
    let address = addresses::fresh();
    // It may have been deleted meanwhile; then nobody asks for its address.
    let _ = store.update(&key(service), |service| {
        service["spec"]["clusterIP"] = json!(address.to_string());
        service["spec"]["clusterIPs"] = json!([address.to_string()]);
        if service["spec"]["type"] == "LoadBalancer" {
            service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": address.to_string() }]);
        }
        Ok(())
    });
    let mut tasks = Vec::new();
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let number = port["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        let listener = TcpListener::bind((address, number.expect("a port"))).await;
        let listener = listener.expect("the Service's address is free");
        let target = port["targetPort"].clone();
        tasks.push(balancers.spawn(balance(store.clone(), key(service), target, listener)));
    }
    tasks
}

/// Returns the addresses of the ready pods of a Service.
fn ready_endpoints(store: &Store, service: &Key, target: &Value) -> Vec<SocketAddr> {
    let Some(service) = store.get(service) else {
        return Vec::new();
    };
    let pods = ready_pods(store, &service);
    pods.iter()
        .filter_map(|pod| endpoint(pod, target))
        .collect()
}

/// Returns the ready pods of a Service. One that is being deleted does not count.
pub(crate) fn ready_pods(store: &Store, service: &Value) -> Vec<Arc<Value>> {
    let (mut pods, _) = store.list("pods", service["metadata"]["namespace"].as_str());
    let unready_too = service["spec"]["publishNotReadyAddresses"] == true;
    pods.retain(|pod| {
        has_labels(pod, &service["spec"]["selector"])
            && pod["metadata"]["deletionTimestamp"].is_null()
            && (unready_too || is_true(pod, "Ready"))
    });
    pods
}

fn endpoint(pod: &Value, target: &Value) -> Option<SocketAddr> {
    let port = container_port(pod, target)?;
    Some((address(pod)?, port).into())
}

/// Returns a pod's address, once it has one.
pub(crate) fn address(pod: &Value) -> Option<Ipv4Addr> {
    pod["status"]["podIP"].as_str()?.parse().ok()
}

/// Returns the number of a port, which may be given by its name.
pub(crate) fn container_port(pod: &Value, port: &Value) -> Option<u16> {
    let named = |name: &str| {
        let ports = pod["spec"]["containers"][0]["ports"].as_array();
        let port = ports
            .into_iter()
            .flatten()
            .find(|port| port["name"] == name);
        port.and_then(|port| port["containerPort"].as_u64())
    };
    let number = port.as_u64().or_else(|| port.as_str().and_then(named))?;
    u16::try_from(number).ok()
}

/// Sends connections to the endpoints in turns. A connection stays where it is once it was made;
/// one that finds no pod is closed.
async fn balance(store: Arc<Store>, service: Key, target: Value, listener: TcpListener) {
    let mut versions = store.versions();
    let mut endpoints = Late::new(ready_endpoints(&store, &service, &target));
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (near, _) = accepted.expect("a connection");
                turn += 1;
                let in_force = endpoints.in_force();
                if !in_force.is_empty() {
                    connections.spawn(carry(near, in_force[turn % in_force.len()]));
                }
            }
            changed = versions.changed() => {
                if changed.is_err() {
                    return;
                }
                endpoints.becomes(ready_endpoints(&store, &service, &target));
            }
            () = endpoints.passes() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr) {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to));
    if let Ok(Ok(mut far)) = connecting.await {
        // Players' frames are small and must not wait for each other.
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        // Whichever side fails, both ends hear of it by the sockets' being dropped.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
