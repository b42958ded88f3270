//! Gateways, a balancer in front of them, and two game servers behind.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::play::{SERVICE, Server};
use crate::support::process::Process;
use crate::support::redis::free_port;
use crate::support::wire::{get, soon};

/// A key that all gateways of a deployment share.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// One gateway's place: its ports stay the same for successive processes.
pub(crate) struct Place {
    number: usize,
    pub(crate) players: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) peer: SocketAddr,
    generation: usize,
    pub(crate) process: Process,
}

/// All of it.
pub(crate) struct Deployment {
    pub(crate) places: Vec<Place>,
    pub(crate) servers: [Server; 2],
    balancer: Option<(SocketAddr, Process)>,
    directory: TempDir,
    /// More of the configuration, for all.
    extra: String,
}

pub(crate) fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

fn rule(endpoints: &[SocketAddr]) -> Value {
    json!({ "strategy": "round_robin", "endpoints": endpoints })
}

/// Replaces the routes of all gateways, as editors do, by renaming.
fn set_routes(directory: &TempDir, rules: Value) {
    let file = directory.path().join("routes.json");
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, json!({ "rules": rules }).to_string()).expect("routes");
    std::fs::rename(fresh, file).expect("renamed");
}

/// Starts the process of a gateway and waits until it is ready.
fn spawn(
    directory: &TempDir,
    place: (usize, usize),
    ports: [SocketAddr; 3],
    extra: &str,
) -> Process {
    let [players, admin, peer] = ports;
    let (number, generation) = place;
    let file = directory.path().join(format!("gw-{number}.toml"));
    let routes = directory.path().join("routes.json");
    let text = format!(
        "gateway = {{ id = \"gw-{number}-{generation}\", workers = 1 }}\n\
         routes.file = {routes:?}\n\
         listen.address = \"{players}\"\n\
         admin.address = \"{admin}\"\n\
         peer.address = \"{peer}\"\n\
         session.token_keys = [\"{KEY}\"]\n\
         {extra}"
    );
    std::fs::write(&file, text).expect("the configuration");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    let process = Process::spawn(serve.args(["serve", "--config"]).arg(&file));
    process.wait_for_line("game-gateway ready: ");
    process
}

impl Deployment {
    /// Starts so many gateways.
    pub(crate) async fn start(gateways: usize, extra: &str) -> Deployment {
        let servers = [Server::start().await, Server::start().await];
        let endpoints = [servers[0].address(), servers[1].address()];
        let rules = json!({ SERVICE: rule(&endpoints) });
        Deployment::start_with(gateways, servers, rules, extra)
    }

    /// Starts so many gateways with these rules.
    pub(crate) fn start_with(
        gateways: usize,
        servers: [Server; 2],
        rules: Value,
        extra: &str,
    ) -> Deployment {
        let directory = tempfile::tempdir().expect("a directory");
        set_routes(&directory, rules);
        let place = |number| {
            let ports = [local(), local(), local()];
            Place {
                number,
                players: ports[0],
                admin: ports[1],
                peer: ports[2],
                generation: 0,
                process: spawn(&directory, (number, 0), ports, extra),
            }
        };
        Deployment {
            places: (0..gateways).map(place).collect(),
            servers,
            balancer: None,
            directory,
            extra: extra.to_owned(),
        }
    }

    /// Names one more service, and waits until every gateway knows it.
    pub(crate) async fn add_service(&self, name: &str, endpoint: SocketAddr) {
        let [first, second] = [0, 1].map(|n| self.servers[n].address());
        let rules = json!({ SERVICE: rule(&[first, second]), name: rule(&[endpoint]) });
        set_routes(&self.directory, rules);
        let path = format!("/api/v1/routes/resolve?service={name}");
        for place in &self.places {
            soon(async {
                while get(place.admin, &path).await.0 != 200 {
                    crate::support::wire::look_again().await;
                }
            })
            .await;
        }
    }

    /// Starts HAProxy in front of them; returns where players connect.
    pub(crate) async fn balance(&mut self) -> SocketAddr {
        let address = local();
        let socket = self.socket();
        let mut text = format!(
            "global\n  stats socket {} mode 600 level admin\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\n  timeout check 5s\n  retries 3\n  option redispatch\n\
             frontend players\n  bind {address}\n  default_backend gateways\n\
             backend gateways\n  balance leastconn\n  option httpchk GET /ready\n  \
             http-check expect status 200\n  default-server check inter 100ms fall 1 rise 1\n",
            socket.display()
        );
        for place in &self.places {
            text.push_str(&format!(
                "  server gw{} {} port {}\n",
                place.number,
                place.players,
                place.admin.port()
            ));
        }
        let file = self.directory.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("its configuration");
        let process = Process::spawn(Command::new("haproxy").args(["-db", "-f"]).arg(&file));
        self.balancer = Some((address, process));
        self.balanced(self.places.len()).await;
        address
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("haproxy.sock")
    }

    /// Says something to HAProxy; returns its answer, which is empty while it is not there.
    pub(crate) fn tell_balancer(&self, command: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut socket) = UnixStream::connect(self.socket()) {
            let said = socket.write_all(format!("{command}\n").as_bytes());
            // Unanswered commands are repeated.
            let _ = said.and_then(|()| socket.read_to_string(&mut answer));
        }
        answer
    }

    /// Waits until HAProxy sends players to so many gateways.
    pub(crate) async fn balanced(&self, gateways: usize) {
        soon(async {
            loop {
                let stat = self.tell_balancer("show stat");
                let up = |line: &&str| line.starts_with("gateways,gw") && line.contains(",UP,");
                if stat.lines().filter(up).count() == gateways {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Starts a new process in this place, with another id.
    pub(crate) async fn replace(&mut self, number: usize) {
        self.renew(number);
        if self.balancer.is_some() {
            self.balanced(self.places.len()).await;
        }
    }

    /// The same, without waiting for the balancer.
    pub(crate) fn renew(&mut self, number: usize) {
        let place = &mut self.places[number];
        place.generation += 1;
        let ports = [place.players, place.admin, place.peer];
        let seat = (number, place.generation);
        place.process = spawn(&self.directory, seat, ports, &self.extra);
    }

    /// Sessions that the servers have now.
    pub(crate) fn sessions(&self) -> usize {
        self.servers.iter().map(Server::sessions).sum()
    }

    /// Waits until a metric of a gateway is as it must become.
    pub(crate) async fn until(&self, number: usize, name: &str, right: impl Fn(u64) -> bool) {
        soon(async {
            while !self.metric(number, name).await.is_some_and(&right) {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Waits until a metric, summed over all gateways, is as it must become.
    pub(crate) async fn until_all(&self, name: &str, right: impl Fn(u64) -> bool) {
        soon(async {
            loop {
                let mut sum = 0;
                for number in 0..self.places.len() {
                    sum += self.metric(number, name).await.unwrap_or_default();
                }
                if right(sum) {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    async fn metric(&self, number: usize, name: &str) -> Option<u64> {
        let (_, body) = get(self.places[number].admin, "/metrics").await;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        body.lines().find_map(value)
    }
}
