//! HTTP as bytes.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::wire::soon;

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Parses the first response of these bytes, with its length; `None` if it is incomplete.
    fn parse(bytes: &[u8]) -> Option<(Response, usize)> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let status = head.split(' ').nth(1).expect("a status");
        let status = status.parse().expect("a number");
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
        };
        let length = response.header("content-length");
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        response.body = bytes.get(end..end + length)?.to_vec();
        Some((response, end + length))
    }

    /// Parses the responses that these bytes consist of.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Response> {
        let mut responses = Vec::new();
        while !bytes.is_empty() {
            let (response, used) = Response::parse(bytes).expect("a whole response");
            bytes = &bytes[used..];
            responses.push(response);
        }
        responses
    }

    /// Reads the next response on a connection, and nothing beyond it.
    pub(crate) async fn read(socket: &mut TcpStream) -> Response {
        let mut bytes = Vec::new();
        loop {
            if let Some((response, used)) = Response::parse(&bytes) {
                assert_eq!(used, bytes.len(), "more than one response");
                return response;
            }
            let read = soon(socket.read_buf(&mut bytes)).await.expect("bytes");
            assert!(
                read > 0,
                "ended after {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

/// Formats a request with `Host`, these further header lines and this body.
pub(crate) fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    let length = if body.is_empty() { "" } else { &length };
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}
