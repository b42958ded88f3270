//! The cost of nearly idle connections, including those of slowhttptest, for a gateway in a process of
//! its own: bounded memory until they are cut off, without effect on others.

use std::process::Command;

use tokio::net::TcpStream;

use crate::peers::run;
use crate::scene::{Browser, data, request, send};
use crate::served::{LARGE, SLACK, Served};
use crate::support::wire::{Player, soon};

/// Connections that one attack holds.
const CONNECTIONS: u64 = 200;

impl Served {
    /// Plays while something happens that may cost so many bytes a connection.
    async fn survives(&self, what: impl Future, bytes_each: u64) {
        let mut player = Player::connect_to(self.players).await;
        player.data("game", b"before").await;
        player.answer().await;
        let before = self.peak();
        let playing = async {
            loop {
                player.data("game", b"meanwhile").await;
                assert_eq!(&player.answer().await.payload[..], b"meanwhile");
            }
        };
        tokio::select! {
            _ = what => {}
            () = playing => {}
        }
        let grown = self.peak() - before;
        assert!(grown <= CONNECTIONS * bytes_each + SLACK, "{grown} bytes");
    }

    async fn attack(&self, path: &str, attack: &[&str]) {
        let connections = CONNECTIONS.to_string();
        let url = format!("http://{}{path}", self.players);
        let mut command = Command::new("slowhttptest");
        command.args([
            "-c",
            &connections,
            "-r",
            &connections,
            "-v",
            "1",
            "-u",
            &url,
        ]);
        run(command.args(attack)).await;
    }
}

/// A WebSocket that once had a large message keeps no buffer as large.
#[tokio::test]
async fn large_messages_leave_no_large_buffers() {
    let gateway = Served::start().await;
    let mut idle = Vec::new();
    let talk = async {
        for _ in 0..CONNECTIONS {
            let socket = soon(TcpStream::connect(gateway.players)).await;
            let mut browser = Browser::over(socket.expect("connected")).await;
            browser.binary(data("game", &[7; 60_000])).await;
            assert_eq!(browser.answer().await.len(), 60_000);
            browser.binary(data("game", b"small")).await;
            assert_eq!(&browser.answer().await[..], b"small");
            idle.push(browser);
        }
    };
    gateway.survives(talk, 16 * 1024).await;
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let gateway = Served::start().await;
    let attack = gateway.attack("/game", &["-H", "-i", "1", "-l", "20"]);
    gateway.survives(attack, 16 * 1024).await;
    gateway.responses(408, CONNECTIONS).await;
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let gateway = Served::start().await;
    let attack = gateway.attack("/game", &["-B", "-i", "1", "-l", "20", "-s", "60000"]);
    gateway.survives(attack, 64 * 1024).await;
    gateway.responses(408, CONNECTIONS).await;
}

/// A client that does not read its answers gets no more of them.
#[tokio::test]
async fn slow_readers_of_many_answers_wait() {
    let gateway = Served::start().await;
    let reading = [
        "-X", "-k", "10", "-l", "5", "-w", "512", "-y", "1024", "-n", "1",
    ];
    let attack = gateway.attack("/health", &reading);
    gateway.survives(attack, 64 * 1024).await;
    gateway.responses(200, CONNECTIONS).await;
}

/// A client that does not read one large answer costs at most twice its length.
#[tokio::test]
async fn large_answers_that_nobody_reads() {
    // All of them at once take their time on a busy machine.
    let gateway = Served::waiting("1m").await;
    let mut silent = Vec::new();
    let attack = async {
        for _ in 0..CONNECTIONS {
            let mut socket = soon(TcpStream::connect(gateway.players))
                .await
                .expect("connected");
            send(
                &mut socket,
                &request("POST /game", "Content-Length: 0\r\n", b""),
            )
            .await;
            silent.push(socket);
        }
        gateway.responses(200, CONNECTIONS).await;
    };
    // Each step is waited for; how long all of them take is the machine's affair.
    gateway.survives(attack, 2 * LARGE as u64).await;
}
