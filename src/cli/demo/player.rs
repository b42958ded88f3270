//! A sample player: logs in, asks for the version, plays in its realm, leaves, comes again; and
//! checks every answer. One frame is under way at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::books::{Books, Outcome};
use crate::codec::code::Code;
use crate::net::dial::Tls;
use crate::sdk::client::{Client, ClientError, Data, Event, Options, Outgoing, Transport};

/// Between two frames.
pub(super) const THINK: Duration = Duration::from_millis(30);
/// After a refusal, a failed connection or a CLOSE; twice as long at most, so that players do not
/// come back as a herd.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Timeout for an answer or an ERROR; beyond it a frame is lost. Shorter than the demo's final wait for
/// its players.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Exchanges of one session.
pub(super) const EXCHANGES: usize = 60;
/// One session's services, over and over: the account server says who it is first.
const SERVICES: [&str; 6] = ["account", "version", "game", "game", "game", "game"];
/// The service that has matches.
const GAME: &str = "game";
/// Realms of the game.
const REALMS: u32 = 2;

/// One player.
#[derive(Debug)]
pub(super) struct Player {
    gateway: SocketAddr,
    transport: Transport,
    books: Arc<Books>,
    user_id: u64,
    realm_id: u32,
    /// Of the newest frame; each has its own.
    sequence: u64,
    /// Frames of this session that the game server must have counted, wherever the match is by now; none where an ERROR
    /// leaves open if it has them all.
    played: Option<u64>,
    /// The newest frame that was told missing, and by which code; its answer may yet come.
    missing: Option<(&'static str, String, Code)>,
}

/// The session cannot go on.
struct SessionEnded;

impl Player {
    pub(super) fn new(
        number: usize,
        gateway: SocketAddr,
        transport: Transport,
        books: Arc<Books>,
    ) -> Player {
        Player {
            gateway,
            transport,
            books,
            user_id: number as u64,
            realm_id: 1 + number as u32 % REALMS,
            sequence: 0,
            played: Some(0),
            missing: None,
        }
    }

    /// Plays session after session until `stop` is true; inside TLS, where given.
    pub(super) async fn play(mut self, tls: Option<Tls>, stop: watch::Receiver<bool>) {
        let options = Options {
            tls,
            transport: self.transport,
            wait_timeout: ANSWER_TIMEOUT,
            ..Options::default()
        };
        while !*stop.borrow() {
            match Client::connect(self.gateway, options.clone()).await {
                Ok(client) => self.session(client, &stop).await,
                Err(_) => {
                    self.books.broken();
                    sleep(PAUSE).await;
                }
            }
            self.missing = None;
            self.played = Some(0);
        }
    }

    async fn session(&mut self, mut client: Client, stop: &watch::Receiver<bool>) {
        let mut services = SERVICES.iter().copied().cycle().take(EXCHANGES);
        while let Some(service) = services.next().filter(|_| !*stop.borrow()) {
            if self.exchange(&mut client, service).await.is_err() {
                sleep(PAUSE.mul_f64(1.0 + rand::random::<f64>())).await;
                return;
            }
            if self.think(&mut client).await.is_err() {
                return;
            }
        }
        match client.close().await {
            Ok(()) => self.books.session_ended(),
            Err(_) => self.books.broken(),
        }
    }

    /// Sends one frame and waits for its answer or an ERROR.
    async fn exchange(
        &mut self,
        client: &mut Client,
        service: &'static str,
    ) -> Result<(), SessionEnded> {
        self.sequence += 1;
        let asked = format!("{service} {} {}", self.user_id, self.sequence);
        let to = Outgoing {
            service: service.into(),
            realm_id: self.realm_id,
            user_id: self.user_id,
            resumable: false,
        };
        let sent_at = Instant::now();
        self.books.sent(service);
        if service == GAME {
            self.played = self.played.map(|played| played + 1);
        }
        let mut outcome = match client.send(&to, asked.clone()).await {
            Ok(()) => None,
            Err(_) => Some(self.fail(service)),
        };
        while outcome.is_none() {
            outcome = match client.next().await {
                Ok(Event::Data(data)) if self.is_answer(&data, service, &asked) => {
                    let answered = Outcome::Answered(sent_at.elapsed(), self.transport_name());
                    self.books.ended(service, answered);
                    Some(Ok(()))
                }
                Ok(Event::Error(told)) if told.service == service || told.service.is_empty() => {
                    self.books.ended(service, Outcome::Told(told.code));
                    if service == GAME {
                        self.played = None;
                    }
                    self.missing = Some((service, asked.clone(), told.code));
                    sleep(told.retry_after.max(PAUSE)).await;
                    Some(Ok(()))
                }
                Ok(Event::Close(told)) => {
                    self.books.ended(service, Outcome::Told(told.code));
                    Some(Err(SessionEnded))
                }
                Ok(other) => {
                    self.unasked(other)?;
                    None
                }
                Err(_) => Some(self.fail(service)),
            };
        }
        outcome.unwrap_or(Ok(()))
    }

    /// Waits a while before the next frame; frames that arrive in the meantime are unexpected.
    async fn think(&mut self, client: &mut Client) -> Result<(), SessionEnded> {
        let until = tokio::time::Instant::now() + THINK.mul_f64(0.5 + rand::random::<f64>());
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match timeout(left, client.next()).await {
                Err(_) | Ok(Err(ClientError::WaitTimeout(_))) => return Ok(()),
                Ok(Ok(event)) => self.unasked(event)?,
                Ok(Err(_)) => {
                    self.books.broken();
                    return Err(SessionEnded);
                }
            }
        }
    }

    fn is_answer(&mut self, data: &Data, service: &str, asked: &str) -> bool {
        let text = std::str::from_utf8(&data.payload).unwrap_or_default();
        let Some((backend, echo)) = text.split_once(' ') else {
            return false;
        };
        data.service == service
            && match service {
                GAME => self.is_move(backend, echo, asked),
                _ => backend.starts_with(service) && echo == asked,
            }
    }

    /// Tells whether a game server, or its successor, has answered from the match as it must be by now.
    fn is_move(&mut self, backend: &str, echo: &str, asked: &str) -> bool {
        let realm = format!("game-realm-{}", self.realm_id);
        let successor = backend.strip_prefix(&realm);
        let number = echo.split_once(' ').filter(|(_, echo)| *echo == asked);
        let number = number.and_then(|(number, _)| number.parse().ok());
        let played = number.filter(|number| self.played.is_none_or(|played| played == *number));
        self.played = played.or(self.played);
        matches!(successor, Some("" | "-v2")) && played.is_some()
    }

    /// Handles a frame that is not the answer to the frame under way.
    fn unasked(&mut self, event: Event) -> Result<(), SessionEnded> {
        match event {
            Event::Data(data) => {
                let late = self.missing.take();
                let late = late.filter(|(service, asked, _)| self.is_answer(&data, service, asked));
                match late {
                    Some((service, _, code)) => {
                        self.books.ended(service, Outcome::AnsweredLate(code));
                    }
                    None => self.books.ended(known(&data.service), Outcome::Wrong),
                }
                Ok(())
            }
            Event::Error(told) => {
                self.books.notice(told.code);
                Ok(())
            }
            Event::Close(told) => {
                self.books.notice(told.code);
                Err(SessionEnded)
            }
            // None of these is due in a session that cannot resume.
            Event::Opened { .. } | Event::Pong(_) | Event::Goaway(_) | Event::Unknown(_) => {
                self.books.broken();
                Err(SessionEnded)
            }
        }
    }

    fn transport_name(&self) -> &'static str {
        match self.transport {
            Transport::Tcp => "tcp",
            Transport::Websocket => "websocket",
        }
    }

    fn fail(&self, service: &'static str) -> Result<(), SessionEnded> {
        self.books.ended(service, Outcome::Lost);
        Err(SessionEnded)
    }
}

/// Returns the name of the service in the books.
fn known(service: &str) -> &'static str {
    let found = SERVICES.iter().find(|known| **known == service);
    found.copied().unwrap_or("(unknown)")
}
