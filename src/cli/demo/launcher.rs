//! A sample launcher: asks over HTTP who it is and for the version, each a session of its own, and
//! checks every answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep;

use super::books::{Books, Outcome};
use super::player::{ANSWER_TIMEOUT, EXCHANGES, PAUSE, THINK};
use crate::codec::code::Code;
use crate::net::dial::Tls;
use crate::sdk::client::{HttpClient, Options, Outgoing};

/// Services that it asks in turn. The game requires a login, which a session of one request cannot have.
const SERVICES: [&str; 2] = ["account", "version"];

/// One launcher.
#[derive(Debug)]
pub(super) struct Launcher {
    gateway: SocketAddr,
    books: Arc<Books>,
    user_id: u64,
    sequence: u64,
}

impl Launcher {
    pub(super) fn new(number: usize, gateway: SocketAddr, books: Arc<Books>) -> Launcher {
        Launcher {
            gateway,
            books,
            user_id: number as u64,
            sequence: 0,
        }
    }

    /// Asks over connection after connection until `stop` is true; inside TLS, where given.
    pub(super) async fn play(mut self, tls: Option<Tls>, stop: watch::Receiver<bool>) {
        let options = Options {
            tls,
            wait_timeout: ANSWER_TIMEOUT,
            ..Options::default()
        };
        while !*stop.borrow() {
            match HttpClient::connect(self.gateway, options.clone()).await {
                Ok(client) => self.ask(client, &stop).await,
                Err(_) => {
                    self.books.broken();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn ask(&mut self, mut client: HttpClient, stop: &watch::Receiver<bool>) {
        let mut services = SERVICES.iter().copied().cycle().take(EXCHANGES);
        while let Some(service) = services.next().filter(|_| !*stop.borrow()) {
            self.sequence += 1;
            let asked = format!("{service} {} {}", self.user_id, self.sequence);
            let to = Outgoing {
                user_id: self.user_id,
                ..Outgoing::to(service)
            };
            let sent_at = Instant::now();
            self.books.sent(service);
            let Ok(reply) = client.post(&to, asked.as_bytes()).await else {
                self.books.ended(service, Outcome::Lost);
                return;
            };
            let right = reply.payload.starts_with(service.as_bytes())
                && reply.payload.ends_with(format!(" {asked}").as_bytes());
            let outcome = match reply.code {
                Code::NORMAL if right => Outcome::Answered(sent_at.elapsed(), "http"),
                Code::NORMAL => Outcome::Wrong,
                code => Outcome::Told(code),
            };
            self.books.ended(service, outcome);
            if reply.code != Code::NORMAL {
                sleep(reply.retry_after.max(PAUSE)).await;
            }
            if client.closes() {
                return;
            }
            sleep(THINK.mul_f64(0.5 + rand::random::<f64>())).await;
        }
        self.books.session_ended();
    }
}
