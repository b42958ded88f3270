//! Requests as bytes, so that wrong ones can be sent too.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::wire::soon;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Asserts an error in the right form, of this status and code; returns its message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json = self.json();
        let members = |value: &Value| value.as_object().map(serde_json::Map::len);
        assert_eq!(members(&json), Some(1), "{json}");
        assert_eq!(members(&json["error"]), Some(2), "{json}");
        assert_eq!(json["error"]["code"], code, "{json}");
        json["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    }
}

/// Sends a request: a line such as `GET /health`, more headers, a body.
pub(crate) async fn request(to: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        text.push_str("Host: localhost\r\n");
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut socket = soon(TcpStream::connect(to)).await.expect("the admin port");
    soon(socket.write_all(text.as_bytes())).await.expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    Answer {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) async fn get(to: SocketAddr, path: &str) -> Answer {
    request(to, &format!("GET {path}"), &[], "").await
}

/// Sends JSON.
pub(crate) async fn send(to: SocketAddr, line: &str, body: &str) -> Answer {
    request(to, line, &["Content-Type: application/json"], body).await
}
