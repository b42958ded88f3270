//! An OTLP receiver: HTTP and protobuf, decoded with OpenTelemetry's own types.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use game_gateway::config::{Config, Secret};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::address;
use crate::support::wire::soon;

/// How the collector answers a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Status(u16),
    /// It takes all but so many.
    Rejects(i64),
    Never,
}

/// A span with the gateway that has sent it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) gateway: String,
    pub(crate) span: Span,
}

/// The receiver. Replies that nobody has chosen are 200.
pub(crate) struct Collector {
    pub(crate) url: String,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: mpsc::UnboundedReceiver<(String, ExportTraceServiceRequest)>,
    /// What has come so far.
    pub(crate) told: Vec<Told>,
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()? {
        AnyValue {
            value: Some(Value::StringValue(text)),
        } => Some(text.clone()),
        AnyValue {
            value: Some(Value::IntValue(number)),
        } => Some(number.to_string()),
        AnyValue {
            value: Some(Value::BoolValue(flag)),
        } => Some(flag.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

impl Told {
    /// Returns an attribute as text.
    pub(crate) fn attribute(&self, key: &str) -> String {
        text(&self.span.attributes, key).unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    pub(crate) fn error(&self) -> Option<&str> {
        let status = self.span.status.as_ref()?;
        assert_eq!(status.code, StatusCode::Error as i32);
        Some(&status.message)
    }

    pub(crate) fn is_under(&self, parent: &Told) -> bool {
        self.span.trace_id == parent.span.trace_id
            && self.span.parent_span_id == parent.span.span_id
    }
}

impl Collector {
    pub(crate) async fn start() -> Collector {
        Collector::on(
            TcpListener::bind(address::own()).await.expect("a port"),
            &[],
        )
    }

    /// Answers the first requests like this.
    pub(crate) async fn replying(replies: &[Reply]) -> Collector {
        Collector::on(
            TcpListener::bind(address::own()).await.expect("a port"),
            replies,
        )
    }

    pub(crate) fn on(listener: TcpListener, replies: &[Reply]) -> Collector {
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let replies = Arc::new(Mutex::new(replies.iter().copied().collect::<VecDeque<_>>()));
        let (sender, requests) = mpsc::unbounded_channel();
        let own = Arc::clone(&replies);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, sender.clone(), Arc::clone(&own)));
            }
        });
        Collector {
            url,
            replies,
            requests,
            told: Vec::new(),
        }
    }

    /// Has a gateway send the spans of all its sessions here.
    pub(crate) fn configure(&self, config: &mut Config) {
        Collector::configure_for(&self.url, config);
    }

    pub(crate) fn configure_for(url: &str, config: &mut Config) {
        config.otlp.endpoint = Some(url.parse().expect("a URL"));
        config.otlp.sample = "1".parse().expect("a share");
        config.otlp.headers = vec![Secret::new("x-tenant=games".to_owned())];
        config.otlp.attributes = "deployment.environment.name=test"
            .parse()
            .expect("attributes");
    }

    /// Takes what has come by now.
    pub(crate) fn read(&mut self) {
        while let Ok((head, request)) = self.requests.try_recv() {
            self.take(&head, request);
        }
    }

    /// Waits for a request.
    pub(crate) async fn request(&mut self) {
        let (head, request) = soon(self.requests.recv()).await.expect("a request");
        self.take(&head, request);
    }

    fn take(&mut self, head: &str, request: ExportTraceServiceRequest) {
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        for header in [
            "content-type: application/x-protobuf\r\n",
            "x-tenant: games\r\n",
        ] {
            assert!(head.contains(header), "{head}");
        }
        for spans in request.resource_spans {
            let resource = spans.resource.expect("a resource").attributes;
            assert_eq!(
                text(&resource, "service.name").as_deref(),
                Some("game-gateway")
            );
            let environment = text(&resource, "deployment.environment.name");
            assert_eq!(environment.as_deref(), Some("test"));
            let gateway = text(&resource, "service.instance.id").expect("a gateway");
            for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                assert!(
                    span.start_time_unix_nano <= span.end_time_unix_nano,
                    "{span:?}"
                );
                let gateway = gateway.clone();
                self.told.push(Told { gateway, span });
            }
        }
    }

    pub(crate) fn find(&self, gateway: &str, name: &str) -> Option<&Told> {
        let mut told = self.told.iter();
        told.find(|told| told.gateway == gateway && told.span.name == name)
    }

    /// Waits until a gateway has told of a span with this name.
    pub(crate) async fn until(&mut self, gateway: &str, name: &str) -> Told {
        loop {
            if let Some(told) = self.find(gateway, name) {
                return told.clone();
            }
            self.request().await;
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.told.iter().map(|told| &*told.span.name).collect();
        names.sort_unstable();
        names
    }

    /// Tells whether all chosen replies were given.
    pub(crate) fn has_replied(&self) -> bool {
        self.replies.lock().expect("no panic").is_empty()
    }
}

/// Reads requests of one connection and answers them.
async fn serve(
    mut socket: TcpStream,
    requests: mpsc::UnboundedSender<(String, ExportTraceServiceRequest)>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            match socket.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head = String::from_utf8_lossy(&read[..end + 2]).to_lowercase();
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length
            .split("\r\n")
            .next()
            .expect("a line")
            .parse()
            .expect("a number");
        while read.len() < end + 4 + length {
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Vec<u8> = read.drain(..end + 4 + length).skip(end + 4).collect();
        let request = ExportTraceServiceRequest::decode(&body[..]).expect("a request");
        let reply = replies.lock().expect("no panic").pop_front();
        let (status, rejected_spans) = match reply.unwrap_or(Reply::Status(200)) {
            Reply::Status(status) => (status, 0),
            Reply::Rejects(spans) => (200, spans),
            Reply::Never => return std::future::pending().await,
        };
        if status == 200 {
            // The test may be over.
            let _ = requests.send((head, request));
        }
        let answer = ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then(|| ExportTracePartialSuccess {
                rejected_spans,
                error_message: "too old".to_owned(),
            }),
        };
        let answer = answer.encode_to_vec();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if socket
            .write_all(&[head.as_bytes(), &answer].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}
