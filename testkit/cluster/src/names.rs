//! The cluster's DNS: the names of headless Services, each of which has the addresses of its ready pods, a
//! moment late. A name that is not there is none (NXDOMAIN).

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::addresses;
use crate::late::Late;
use crate::services::{address, ready_pods};
use crate::store::Store;

/// Where the C library asks, and nowhere else.
const PORT: u16 = 53;
/// What follows `name.namespace` in the full name of a Service.
const ZONE: &str = ".svc.cluster.local";
/// Longest message over UDP, in bytes.
const MAX_MESSAGE: usize = 512;
/// Length of the header of a message.
const HEADER: usize = 12;

/// Addresses by `name.namespace`.
type Names = BTreeMap<String, Vec<Ipv4Addr>>;

/// Opens the server's socket and writes the pods' `resolv.conf` into a directory. None where the system keeps
/// the port for root: then the pods ask as this machine does, and know no headless Service.
///
/// # Panics
/// The file cannot be written, or the port be had for another reason.
pub(crate) fn open(directory: &Path) -> Option<(UdpSocket, PathBuf)> {
    let address = addresses::fresh();
    let socket = match UdpSocket::bind((address, PORT)) {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        Err(error) => panic!("{address}:{PORT}: {error}"),
    };
    let text = format!(
        "nameserver {address}\nsearch default{ZONE} {} cluster.local\noptions ndots:5\n",
        &ZONE[1..]
    );
    let file = directory.join("resolv.conf");
    std::fs::write(&file, text).expect("written");
    Some((socket, file))
}

/// Answers until the task is aborted.
pub(crate) async fn run(store: Arc<Store>, socket: UdpSocket) {
    socket.set_nonblocking(true).expect("a socket");
    let socket = tokio::net::UdpSocket::from_std(socket).expect("a socket");
    let mut versions = store.versions();
    let mut names = Late::new(headless(&store));
    let mut message = [0; MAX_MESSAGE];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut message) => {
                let (length, from) = received.expect("a message");
                if let Some(answer) = answer(&message[..length], names.in_force()) {
                    // Who has gone asks no more.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
            changed = versions.changed() => {
                if changed.is_err() {
                    return;
                }
                names.becomes(headless(&store));
            }
            () = names.passes() => {}
        }
    }
}

fn headless(store: &Store) -> Names {
    let (services, _) = store.list("services", None);
    let named = |service: &Value| {
        let text = |field: &str| service["metadata"][field].as_str().unwrap_or("").to_owned();
        let pods = ready_pods(store, service);
        let addresses = pods.iter().filter_map(|pod| address(pod)).collect();
        (format!("{}.{}", text("name"), text("namespace")), addresses)
    };
    let headless = services
        .iter()
        .filter(|service| service["spec"]["clusterIP"] == "None");
    headless.map(|service| named(service)).collect()
}

/// Answers a message with one question of class IN (RFC 1035, section 4); one that is malformed gets none.
fn answer(message: &[u8], names: &Names) -> Option<Vec<u8>> {
    let (name, length) = question(message.get(HEADER..)?)?;
    let end = HEADER + length;
    let is_a = *message.get(end..end + 4)? == [0, 1, 0, 1];
    let found = name.strip_suffix(ZONE).and_then(|name| names.get(name));
    // A name without addresses is none, as Kubernetes has it.
    let found = found.filter(|addresses| !addresses.is_empty());
    let addresses = found.filter(|_| is_a).map_or(&[][..], Vec::as_slice);
    let mut answer = message[..2].to_vec();
    // An authoritative answer; the code says that there is no such name.
    answer.extend([0x85, if found.is_some() { 0x80 } else { 0x83 }, 0, 1]);
    answer.extend(u16::try_from(addresses.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(&message[HEADER..end + 4]);
    for address in addresses {
        // The name of the question, A, IN, not to be kept, four bytes.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    (answer.len() <= MAX_MESSAGE).then_some(answer)
}

/// Reads a name; returns it with dots, and how many bytes it has.
fn question(bytes: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = std::str::from_utf8(bytes.get(at..at + length)?).ok()?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&label.to_ascii_lowercase());
        at += length;
    }
}

#[test]
fn names_of_headless_services_are_answered() {
    let ask = |name: &str, kind: u8| {
        let mut message = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, kind, 0, 1]);
        message
    };
    let pods = [Ipv4Addr::new(127, 1, 2, 3), Ipv4Addr::new(127, 1, 2, 4)];
    let names = Names::from([
        ("game.default".to_owned(), pods.to_vec()),
        ("none.default".to_owned(), Vec::new()),
    ]);
    let said = |name: &str, kind: u8| {
        let answer = answer(&ask(name, kind), &names).expect("an answer");
        assert_eq!(answer[..2], [7, 7]);
        (
            answer[3] & 15,
            answer[7],
            answer[answer.len() - 4..].to_vec(),
        )
    };
    let (code, count, last) = said("Game.default.svc.cluster.local", 1);
    assert_eq!((code, count, last), (0, 2, vec![127, 1, 2, 4]));
    let (code, count, _) = said("game.default.svc.cluster.local", 28);
    assert_eq!((code, count), (0, 0));
    for unknown in ["none.default.svc.cluster.local", "game", "game.default.svc"] {
        assert_eq!(said(unknown, 1).0, 3, "{unknown}");
    }
    assert_eq!(answer(&ask("game", 1)[..15], &names), None);
}
