//! Sends spans to the collector: OTLP over HTTP, as protobuf, a batch at a time.
//!
//! A batch that cannot be sent now is tried again, after a growing wait; what comes meanwhile waits in the queue,
//! within its bound. One that the collector does not want is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{Mutex, oneshot};
use tokio::time::MissedTickBehavior;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Spans;
use super::wire::{self, Attribute, ExportResponse};
use crate::config::{CollectorUrl, Config, Otlp};
use crate::memory::{Held, Part};

/// Longest time that a span waits for others.
const INTERVAL: Duration = Duration::from_secs(1);
/// Wait behind the first failure, and the longest one; it doubles.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Time for what is left when the gateway ends.
const LAST: Duration = Duration::from_secs(3);
/// The largest answer of a collector that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// HTTP statuses that say "later", as the specification of OTLP has them.
const LATER: [u16; 4] = [429, 502, 503, 504];

/// The way to the collector.
#[derive(Debug)]
pub struct Exporter {
    spans: Arc<Spans>,
    request: Arc<Request>,
    resource: Vec<Attribute>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Request {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct State {
    /// On its way, or to be sent again.
    batch: Option<Batch>,
    retry: Option<(Instant, Duration)>,
    /// Why the last request failed.
    failing: Option<String>,
}

#[derive(Debug)]
struct Batch {
    body: Bytes,
    /// Number of its spans.
    count: u64,
    _held: Held,
}

/// What became of a batch.
enum Sent {
    Taken { refused: u64, why: String },
    Refused(String),
    Later(String),
}

impl Exporter {
    /// The way to the collector at `endpoint`.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub(super) fn new(
        config: &Config,
        endpoint: &CollectorUrl,
        spans: &Arc<Spans>,
    ) -> Result<Exporter, String> {
        let otlp = &config.otlp;
        let agent = Agent::config_builder()
            .tls_config(tls(otlp)?)
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy for the world outside has no business here.
            .proxy(None)
            .timeout_global(Some(otlp.timeout));
        let own = [
            ("service.name", otlp.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &config.gateway.id),
        ];
        let more = otlp.attributes.iter();
        let resource = own.into_iter().chain(more);
        Ok(Exporter {
            spans: Arc::clone(spans),
            request: Arc::new(Request {
                agent: agent.build().into(),
                url: endpoint.traces(),
                headers: otlp.headers(),
            }),
            resource: resource
                .map(|(key, value)| wire::text(key, value))
                .collect(),
            state: Mutex::default(),
        })
    }

    /// The spans that are sent.
    pub fn spans(&self) -> &Arc<Spans> {
        &self.spans
    }

    /// Sends what there is, again and again; never returns.
    pub async fn keep_sending(self: Arc<Self>) {
        let mut turns = tokio::time::interval(INTERVAL);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = self.spans.many.notified() => {}
            }
            self.send(false).await;
        }
    }

    /// Sends what is left, for a moment.
    pub async fn finish(&self) {
        if tokio::time::timeout(LAST, self.send(true)).await.is_err() {
            let counts = self.spans.counts();
            tracing::warn!(
                spans = counts.waiting,
                "the collector did not take the last spans in time"
            );
        }
    }

    /// Sends all that waits, until something fails.
    async fn send(&self, is_last: bool) {
        let mut state = self.state.lock().await;
        let is_early = |(at, _): (Instant, Duration)| Instant::now() < at;
        if state.retry.is_some_and(is_early) && !is_last {
            return;
        }
        loop {
            if state.batch.is_none() {
                state.batch = self.next_batch();
            }
            let Some(batch) = &state.batch else {
                return;
            };
            let count = batch.count;
            let sent = self.post(batch.body.clone()).await;
            if !state.learn(sent, count, &self.spans) {
                return;
            }
        }
    }

    /// Sends one batch from a thread of its own: nobody waits for that one when the gateway ends.
    async fn post(&self, body: Bytes) -> Sent {
        let request = Arc::clone(&self.request);
        let (told, sent) = oneshot::channel();
        let thread = std::thread::Builder::new().name("otlp".to_owned());
        let posting = thread.spawn(move || {
            // At the end of the gateway nobody asks any more.
            let _ = told.send(request.post(&body));
        });
        match posting {
            Ok(_) => sent
                .await
                .unwrap_or_else(|_| Sent::Refused("sending has panicked".to_owned())),
            Err(error) => Sent::Later(format!("no thread to send from: {error}")),
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        let spans = self.spans.take();
        let count = spans.len() as u64;
        if count == 0 {
            return None;
        }
        let body = wire::encode(&self.resource, spans, self.spans.threshold());
        Some(Batch {
            _held: Held::new(Part::Spans, body.capacity()),
            body: body.into(),
            count,
        })
    }
}

impl State {
    /// Notes what became of the batch of so many spans. Returns whether to go on with the next one.
    fn learn(&mut self, sent: Sent, count: u64, spans: &Spans) -> bool {
        let add = |figure: &AtomicU64, n| figure.fetch_add(n, Relaxed);
        let error = match sent {
            Sent::Taken { refused, why } => {
                let refused = refused.min(count);
                add(&spans.sent, count - refused);
                add(&spans.refused, refused);
                (refused > 0).then(|| format!("{refused} of {count} spans refused: {why}"))
            }
            Sent::Refused(error) => {
                add(&spans.refused, count);
                add(&spans.failures, 1);
                Some(error)
            }
            Sent::Later(error) => {
                add(&spans.failures, 1);
                let wait = self
                    .retry
                    .map_or(BACKOFF.0, |(_, wait)| BACKOFF.1.min(2 * wait));
                self.retry = Some((Instant::now() + wait, wait));
                self.says(Some(error));
                return false;
            }
        };
        (self.batch, self.retry) = (None, None);
        self.says(error);
        true
    }

    /// Says what is wrong with the collector: once, and again when that changes.
    fn says(&mut self, error: Option<String>) {
        if self.failing == error {
            return;
        }
        match &error {
            Some(error) => tracing::warn!(error, "the collector does not take spans"),
            None => tracing::info!("the collector takes spans again"),
        }
        self.failing = error;
    }
}

impl Request {
    /// Sends one batch. Blocks.
    fn post(&self, body: &[u8]) -> Sent {
        let request = self.agent.post(&self.url);
        let request = self.headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let answer = request.content_type("application/x-protobuf").send(body);
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Sent::Later(format!("{}: {error}", self.url)),
        };
        let status = answer.status();
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec();
        if status.is_success() {
            let partial = body
                .ok()
                .and_then(|body| ExportResponse::decode(&body[..]).ok());
            let partial = partial.and_then(|answer| answer.partial_success);
            let partial = partial.unwrap_or_default();
            return Sent::Taken {
                refused: partial.rejected_spans.try_into().unwrap_or(0),
                why: partial.error_message,
            };
        }
        let error = format!("{}: HTTP {}", self.url, status.as_u16());
        match LATER.contains(&status.as_u16()) {
            true => Sent::Later(error),
            false => Sent::Refused(error),
        }
    }
}

fn tls(otlp: &Otlp) -> Result<TlsConfig, String> {
    let authorities: Vec<CertificateDer<'static>> = match &otlp.ca {
        Some(ca) => {
            let read = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect);
            read.map_err(|error| format!("otlp.ca: {}: {error}", ca.display()))?
        }
        // What cannot be read of the system's is missing when a certificate is checked, and then said.
        None => rustls_native_certs::load_native_certs().certs,
    };
    let authorities = authorities
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    let authorities: Vec<_> = authorities.collect();
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(authorities))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}
