//! Probes: the questions by which a kubelet learns how a container is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::services::container_port;

/// Purpose of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Startup,
    Readiness,
    Liveness,
}

/// A probe whose answers have come to a verdict that is another one than before.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) purpose: Purpose,
    pub(super) good: bool,
}

/// The probes of one running container. They end with it.
pub(super) struct Probes {
    pod: Value,
    address: Ipv4Addr,
    verdicts: mpsc::Sender<Verdict>,
    tasks: JoinSet<()>,
}

impl Probes {
    /// Begins with the startup probe; only when that is good, or where there is none, the others.
    pub(super) fn start(pod: &Value, address: Ipv4Addr) -> (Probes, mpsc::Receiver<Verdict>) {
        let (verdicts, receiver) = mpsc::channel(8);
        let mut probes = Probes {
            pod: pod.clone(),
            address,
            verdicts,
            tasks: JoinSet::new(),
        };
        if !probes.begin(Purpose::Startup) {
            probes.started();
        }
        (probes, receiver)
    }

    /// Records the success of the startup probe.
    pub(super) fn started(&mut self) {
        self.tasks.abort_all();
        self.begin(Purpose::Liveness);
        self.begin(Purpose::Readiness);
    }

    fn begin(&mut self, purpose: Purpose) -> bool {
        let container = &self.pod["spec"]["containers"][0];
        let probe = match purpose {
            Purpose::Startup => &container["startupProbe"],
            Purpose::Readiness => &container["readinessProbe"],
            Purpose::Liveness => &container["livenessProbe"],
        };
        if probe.is_object() {
            let question = Question::of(probe, &self.pod, self.address);
            let asking = ask(purpose, question, probe.clone(), self.verdicts.clone());
            self.tasks.spawn(asking);
            return true;
        }
        if purpose == Purpose::Readiness {
            // Without a question it is ready as soon as it runs; the channel has room for one.
            let _ = self.verdicts.try_send(Verdict {
                purpose,
                good: true,
            });
        }
        false
    }
}

#[derive(Debug, Clone)]
pub(super) struct Question {
    address: SocketAddr,
    /// None: that the port is open is enough.
    path: Option<String>,
}

impl Question {
    pub(super) fn of(probe: &Value, pod: &Value, address: Ipv4Addr) -> Question {
        let http = probe["httpGet"].is_object();
        let asked = if http {
            &probe["httpGet"]
        } else {
            &probe["tcpSocket"]
        };
        let port = container_port(pod, &asked["port"]);
        let port = port.unwrap_or_else(|| panic!("a probe without a port: {probe}"));
        let path = asked["path"].as_str().unwrap_or("/").to_owned();
        Question {
            address: (address, port).into(),
            path: http.then_some(path),
        }
    }

    pub(super) async fn answered(&self) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(self.address).await?;
        let Some(path) = &self.path else {
            return Ok(true);
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse::<u16>().ok());
        Ok(status.is_some_and(|status| (200..400).contains(&status)))
    }
}

async fn ask(purpose: Purpose, question: Question, probe: Value, verdicts: mpsc::Sender<Verdict>) {
    let number = |field: &str, otherwise: u64| probe[field].as_u64().unwrap_or(otherwise);
    let seconds = |field, otherwise| Duration::from_secs(number(field, otherwise));
    let (enough, too_many) = (number("successThreshold", 1), number("failureThreshold", 3));
    tokio::time::sleep(seconds("initialDelaySeconds", 0)).await;
    let mut period = tokio::time::interval(seconds("periodSeconds", 10));
    let (mut good, mut bad) = (0, 0);
    loop {
        period.tick().await;
        let answered = tokio::time::timeout(seconds("timeoutSeconds", 1), question.answered());
        if matches!(answered.await, Ok(Ok(true))) {
            (good, bad) = (good + 1, 0);
        } else {
            (good, bad) = (0, bad + 1);
        }
        if good == enough || bad == too_many {
            let verdict = Verdict {
                purpose,
                good: good == enough,
            };
            // Nobody listens any more where the container has ended.
            if verdicts.send(verdict).await.is_err() {
                return;
            }
        }
    }
}
