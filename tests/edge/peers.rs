//! Programs that others wrote: curl, Python's websockets, Node's ws, HAProxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use game_gateway::codec::link::Open;
use tokio::net::TcpStream;

use crate::scene::{Browser, Response, data, echo, request, scripted, send};
use crate::support::process::Process;
use crate::support::wire::{Gateway, soon};

/// Returns the path of a program that scripts/test-tools has installed.
fn tools(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/test-tools")
        .join(path);
    assert!(
        path.exists(),
        "{} is missing: run scripts/test-tools",
        path.display()
    );
    path
}

/// Returns a program of the packages in tests/edge/requirements.txt.
pub(crate) fn tool(name: &str) -> PathBuf {
    tools("bin").join(name)
}

/// Runs a program to its end beside the runtime; returns what it printed.
pub(crate) async fn run(command: &mut Command) -> String {
    let mut process = Process::spawn(command);
    let ended = tokio::task::spawn_blocking(move || (process.wait_for_exit(), process.output()));
    let (status, output) = soon(ended).await.expect("no panic");
    assert!(status.success(), "{status}: {output}");
    output
}

#[tokio::test]
async fn curl_posts() {
    let gateway = echo(|_| ()).await;
    let url = |path: &str| format!("http://{}{path}", gateway.players);
    let post = [
        "-sS",
        "--fail",
        "--data-binary",
        "hello",
        "-w",
        " %{http_code} %header{x-session-id}",
    ];
    let output = run(Command::new("curl").args(post).arg(url("/game"))).await;
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words[..2], ["hello", "200"]);
    assert!(words[2].parse::<u64>().is_ok(), "{output}");
    // A body of unknown length, with the size that makes curl expect 100 first.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), vec![b'x'; 50_000]).expect("written");
    let upload = [
        "-sS",
        "-X",
        "POST",
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect: 100-continue",
    ];
    let sizes = [
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
        "-T",
    ];
    let mut command = Command::new("curl");
    command
        .args(upload)
        .args(sizes)
        .arg(file.path())
        .arg(url("/game"));
    assert_eq!(run(&mut command).await.trim(), "200 50000");
    let two = [
        "-sS",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{num_connects} ",
    ];
    let output = run(Command::new("curl")
        .args(two)
        .arg(url("/health"))
        .arg(url("/health")))
    .await;
    assert_eq!(output.trim(), "200 1 200 0", "one connection serves both");
}

/// Says hello in one message, then two frames in one, reads three answers, and is told off.
pub(crate) const WEBSOCKETS: &str = r#"
import asyncio, struct, sys, websockets

def frame(service, payload, kind=0):
    head = struct.pack(">2sBBIIQQBBH", b"\xa7\x47", 1, kind, len(payload), 0, 0, 0, len(service), 0, 0)
    return head + service + payload

async def main():
    uri = sys.argv[1]
    async with websockets.connect(uri, subprotocols=["ggp.v1"]) as socket:
        assert socket.subprotocol == "ggp.v1"
        await socket.send(frame(b"game", b"hello"))
        await socket.send(frame(b"game", b"two") + frame(b"", b"three"))
        for expected in (b"hello", b"two", b"three"):
            answer = await socket.recv()
            assert answer.endswith(b"game" + expected), answer
        await (await socket.ping())
        await socket.send("text")
        close = await socket.recv()
        assert close[3] == 6, close
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 1003, closed
            assert closed.rcvd_then_sent
            print("done")

asyncio.run(main())
"#;

#[tokio::test]
async fn pythons_websockets_play() {
    let gateway = echo(|_| ()).await;
    let uri = format!("ws://{}/anything", gateway.players);
    let output = run(Command::new(tool("python")).args(["-c", WEBSOCKETS, &uri])).await;
    assert_eq!(output.trim(), "done");
}

#[tokio::test]
async fn nodes_ws_plays() {
    let gateway = echo(|_| ()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edge/ws.cjs");
    let mut command = Command::new("node");
    command.env("NODE_PATH", tools("node_modules")).arg(script);
    command.arg(format!("ws://{}/anything", gateway.players));
    assert_eq!(run(&mut command).await.trim(), "done");
}

/// A HAProxy in front of a gateway, and where its clients connect.
struct Balancer {
    address: SocketAddr,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl Balancer {
    async fn start(gateway: &Gateway, listen: &str, options: &str) -> Balancer {
        let directory = tempfile::tempdir().expect("a directory");
        // The port is free now; nobody else asks for just this one in between.
        let free = std::net::TcpListener::bind(listen).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let configuration = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend players\n bind {address}\n unique-id-format %pid-%rt\n\
             default_backend gateway\nbackend gateway\n server one {} {options}\n",
            gateway.players
        );
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).expect("written");
        let process = Process::spawn(Command::new("haproxy").arg("-f").arg(&file));
        soon(async {
            while TcpStream::connect(address).await.is_err() {
                crate::support::wire::look_again().await;
            }
        })
        .await;
        Balancer {
            address,
            _process: process,
            _directory: directory,
        }
    }

    async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address))
            .await
            .expect("the balancer")
    }
}

/// Asserts that the backend learns the player's address, not HAProxy's.
async fn behind_haproxy(listen: &str, options: &str) {
    let networks = "127.0.0.0/8,::1".parse().expect("networks");
    let (gateway, backend) = scripted(|config| {
        config.listen.proxy_protocol_from = networks;
        if listen.starts_with('[') {
            config.listen.address = "[::1]:0".parse().expect("an address");
        }
    })
    .await;
    let balancer = Balancer::start(&gateway, listen, options).await;
    let mut player = balancer.connect().await;
    let own = player.local_addr().expect("an address").to_string();
    send(&mut player, &data("game", b"x")).await;
    let mut link = backend.link().await;
    let open = link.opened().await;
    assert_eq!(
        Open::decode(&open.payload).expect("OPEN").client,
        own,
        "{options}"
    );
    link.data().await;
    drop(player);
    link.closed().await;

    let player = balancer.connect().await;
    let own = player.local_addr().expect("an address").to_string();
    let mut browser = Browser::over(player).await;
    browser.binary(data("game", b"x")).await;
    let open = link.opened().await;
    assert_eq!(
        Open::decode(&open.payload).expect("OPEN").client,
        own,
        "{options}"
    );
    link.data().await;

    let mut player = balancer.connect().await;
    send(&mut player, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut player).await.status, 200);
}

#[tokio::test]
async fn haproxy_says_whose_connection_it_is() {
    for options in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options unique-id,crc32c",
        "send-proxy-v2 proxy-v2-options unique-id,crc32c check check-send-proxy",
    ] {
        behind_haproxy("127.0.0.1:0", options).await;
        behind_haproxy("[::1]:0", options).await;
    }
}
