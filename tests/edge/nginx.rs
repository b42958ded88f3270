//! nginx in front, with the usual lines for WebSockets: every request of its asks for an upgrade.

use std::net::SocketAddr;
use std::process::Command;

use tokio::net::TcpStream;

use crate::scene::{Browser, Response, data, echo, request, send};
use crate::support::process::Process;
use crate::support::wire::{Gateway, soon};

/// nginx, and where it listens.
struct Front {
    address: SocketAddr,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl Front {
    async fn start(gateway: &Gateway) -> Front {
        let directory = tempfile::tempdir().expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("an address");
        drop(port);
        let configuration = format!(
            "daemon off; pid nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
             uwsgi_temp_path d; scgi_temp_path e; upstream gateway {{ server {}; keepalive 4; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://gateway;\n\
             proxy_http_version 1.1; proxy_set_header Host $host;\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; }} }} }}\n",
            gateway.players
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("written");
        let mut program = Command::new("nginx");
        program.arg("-p").arg(directory.path()).arg("-c").arg(&file);
        let process = Process::spawn(program.args(["-e", "stderr"]));
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                crate::support::wire::look_again().await;
            }
        };
        soon(listens).await;
        Front {
            address,
            _process: process,
            _directory: directory,
        }
    }

    async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.expect("nginx")
    }
}

#[tokio::test]
async fn nginx_with_the_lines_for_websockets() {
    let gateway = echo(|_| ()).await;
    let front = Front::start(&gateway).await;
    let mut socket = front.connect().await;
    for n in 0..600_u16 {
        let body = n.to_string();
        send(&mut socket, &request("POST /game", "", body.as_bytes())).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(
            (response.status, &response.body[..]),
            (200, body.as_bytes())
        );
    }
    send(&mut socket, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut socket).await.status, 200);
    let mut browser = Browser::over(front.connect().await).await;
    browser.binary(data("game", b"through nginx")).await;
    assert_eq!(&browser.answer().await[..], b"through nginx");
}
