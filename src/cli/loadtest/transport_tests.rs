//! The load generator over WebSocket, HTTP and TLS.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::echo::{Echo, Settings};
use super::tests::{assert_clean, load, raw_echo};
use super::*;

const SHORT: &str = " --sessions 4 --warmup 0ms --duration 100ms";

#[test]
fn websockets_carry_every_mode() {
    let any = "127.0.0.1:0".parse().unwrap();
    let echo = Echo::start(any, &Settings::of(BackendProtocol::Websocket)).unwrap();
    for mode in ["--in-flight 3 --payload 70000", "--rate 500", "--idle"] {
        let report = load(
            echo.address,
            &format!("{mode} --transport websocket{SHORT}"),
        );
        assert_clean(&report);
        assert_eq!(report.transport, "websocket");
    }
}

#[test]
fn frames_where_messages_should_be_are_no_answers() {
    let report = load(raw_echo().address, &format!("--transport websocket{SHORT}"));
    assert!(!report.ok, "{report}");
    assert_eq!((report.connected, report.connect_failed), (0, 4));
}

/// Response to a request with this number on its connection and this body.
type Answer = fn(number: u64, body: &[u8]) -> Vec<u8>;

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Starts a server of HTTP requests that have a body.
fn http_server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: Answer) -> Option<()> {
    let (mut input, mut number) = (Vec::new(), 0);
    loop {
        while let Some((head, rest)) = split(&input) {
            assert!(head.starts_with("POST /echo HTTP/1.1\r\n"), "{head}");
            let length = head.split_once("Content-Length: ").unwrap().1;
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if input.len() < rest + length {
                break;
            }
            let bytes = answer(number, &input[rest..rest + length]);
            stream.write_all(&bytes).ok()?;
            input.drain(..rest + length);
            number += 1;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

fn split(input: &[u8]) -> Option<(String, usize)> {
    let end = input.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    Some((String::from_utf8_lossy(&input[..end]).into_owned(), end))
}

#[test]
fn http_posts_each_frame() {
    let server = http_server(|_, body| response(200, "X-Session-Id: 7\r\n", body));
    for mode in ["--in-flight 3", "--rate 500 --payload 5000"] {
        let report = load(server, &format!("{mode} --transport http{SHORT}"));
        assert_clean(&report);
    }
}

#[test]
fn http_faults_are_found() {
    let run = |answer: Answer| {
        let line = "--transport http --sessions 4 --rate 1000 --warmup 0ms --duration 200ms";
        load(http_server(answer), line)
    };
    let doubled =
        run(|number, body| response(200, "", body).repeat(if number % 10 == 5 { 2 } else { 1 }));
    assert_eq!((doubled.doubled, doubled.ok), (20, false), "{doubled}");
    let lost = run(|number, body| match number % 10 {
        5 => Vec::new(),
        _ => response(200, "", body),
    });
    assert_eq!((lost.lost, lost.ok), (20, false), "{lost}");
    let wrong = run(|number, body| match number % 10 {
        5 => response(200, "", &body[1..]),
        _ => response(200, "", body),
    });
    assert_eq!((wrong.corrupted, wrong.ok), (20, false), "{wrong}");
    // A status accounts for one frame, 502 too: here are no sessions that a link takes along.
    let refused = run(|number, body| match number % 10 {
        5 => response(502, "", b"no backend"),
        _ => response(200, "", body),
    });
    assert_eq!((refused.told, refused.ok), (20, true), "{refused}");
    assert_eq!(refused.refused_by_code, BTreeMap::from([(502, 20)]));
    let closed = run(|_, _| response(503, "Connection: close\r\n", b"drains"));
    assert!(!closed.ok, "nothing was answered: {closed}");
    assert_eq!(closed.closed_early_by_code["503"], 4);
    let nonsense = run(|_, _| b"SSH-2.0 hello\r\n\r\n".to_vec());
    assert!(!nonsense.ok, "{nonsense}");
    assert_eq!(nonsense.closed_early_by_code["broken_framing"], 4);
}

fn openssl(directory: &Path, command: &str) {
    let output = Command::new("openssl")
        .args(command.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {command}");
}

/// Starts TLS in front of an echo, with a certificate of its own CA (`ca.pem`).
async fn tls_echo(directory: &Path, backend: SocketAddr) -> SocketAddr {
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for command in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
         -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
         -subj /CN=server -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    ] {
        openssl(directory, command);
    }
    let certificate = CertificateDer::from_pem_file(directory.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outer = acceptor.accept(stream).await?;
                let mut inner = tokio::net::TcpStream::connect(backend).await?;
                tokio::io::copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    address
}

#[test]
fn tls_carries_every_transport() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = TempDir::new().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let raw = raw_echo();
    let messages = Echo::start(any, &Settings::of(BackendProtocol::Websocket)).unwrap();
    let http = http_server(|_, body| response(200, "", body));
    for (transport, backend) in [
        ("tcp", raw.address),
        ("websocket", messages.address),
        ("http", http),
    ] {
        let server = runtime.block_on(tls_echo(directory.path(), backend));
        let ca = directory.path().join("ca.pem").display().to_string();
        for mode in ["--in-flight 3 --payload 70000", "--rate 500"] {
            let line = format!("{mode} --tls --ca {ca} --transport {transport}{SHORT}");
            let report = load(server, &line);
            assert_clean(&report);
            assert!(report.tls);
        }
        // A server that this authority does not know of.
        openssl(
            directory.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -subj /CN=another -keyout other.key -out other.pem",
        );
        let ca = directory.path().join("other.pem").display().to_string();
        let line = format!("--tls --ca {ca} --transport {transport}{SHORT}");
        let report = load(server, &line);
        assert_eq!((report.connected, report.connect_failed), (0, 4));
    }
}
