//! Open files and seats: a full house costs no probe and no link, and is left as it was.

use std::fs::DirEntry;

use game_gateway::codec::client::Kind;
use rlimit::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Setup, Stage, connect_from, source};
use crate::support::frames::frame;
use crate::support::wire::{Player, get, soon};

/// Growth of memory that is no leak: tables and pools that keep their size.
const MEMORY_KIB: u64 = 8 * 1024;

const CONNECTIONS: &str = "game_gateway_connections";
const REFUSED: &str = "game_gateway_connections_being_refused";
const FULL: &str = "game_gateway_closed_connections_total{reason=\"full\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_file_taken_probes_answer_and_links_open() {
    const FILES: usize = 400;
    let mut stage = Stage::start_with(Setup {
        config: "listen.sniff_timeout = \"60s\"",
        files: Some(FILES),
        ..Setup::default()
    })
    .await;
    let before_kib = stage.memory_kib();
    let limit = stage.metric("game_gateway_connections_limit").await;
    // Here before the others, and without a service yet.
    let mut early = Player::connect_to(stage.players).await;
    early.raw(&frame(Kind::Ping as u8, "", b"early")).await;
    assert!(early.next().await.is_some());
    let mut silent = Vec::new();
    for n in 0..FILES {
        silent.push(
            connect_from(source(n), stage.players)
                .await
                .expect("connected"),
        );
    }
    stage.until(CONNECTIONS, |n| n == limit).await;
    let dropped = stage.until(FULL, |n| n > 0).await;
    let refused = stage.metric(REFUSED).await;
    assert!(limit + refused < FILES as u64, "{limit} and {refused}");
    assert_eq!(stage.health().await, 200);
    early.data("other", b"a link is opened").await;
    assert_eq!(&early.answer().await.payload[..], b"a link is opened");
    println!("{FILES} files: {limit} are served, {refused} told, {dropped} or more closed at once");
    drop((silent, early));
    stage.has_opened_a_link();
    stage
        .unharmed("every file taken", MEMORY_KIB, before_kib)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_refused_hold_no_seats() {
    let config = "listen.max_connections = 3\nlisten.sniff_timeout = \"60s\"";
    let stage = Stage::start(config).await;
    let before_kib = stage.memory_kib();
    let silent = [
        TcpStream::connect(stage.players).await.expect("connected"),
        TcpStream::connect(stage.players).await.expect("connected"),
    ];
    stage.until(CONNECTIONS, |n| n == 3).await;
    let refused = TcpStream::connect(stage.players).await.expect("connected");
    stage.until(REFUSED, |n| n == 1).await;
    // The seats are free as soon as those who had them are gone, whoever is still being told.
    drop(silent);
    stage.until(CONNECTIONS, |n| n == 1).await;
    assert_eq!(get(stage.admin, "/ready").await.0, 200);
    let mut player = Player::connect_to(stage.players).await;
    player.data("game", b"there is a seat").await;
    assert_eq!(&player.answer().await.payload[..], b"there is a seat");
    assert_eq!(stage.metric(REFUSED).await, 1);
    drop((refused, player));
    stage.unharmed("refused ones", MEMORY_KIB, before_kib).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_file_left_newcomers_are_turned_away_and_it_is_said_once() {
    const TURNED_AWAY: usize = 200;
    let stage = Stage::start("listen.sniff_timeout = \"60s\"").await;
    let before_kib = stage.memory_kib();
    let process = stage.process.id();
    let (mut soft, mut hard) = (0, 0);
    rlimit::prlimit(
        process as i32,
        Resource::NOFILE,
        None,
        Some((&mut soft, &mut hard)),
    )
    .expect("a limit");
    let limit = |files| {
        let limit = Some((files, hard));
        rlimit::prlimit(process as i32, Resource::NOFILE, limit, None).expect("a limit");
    };
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let name = |file: std::io::Result<DirEntry>| file.ok()?.file_name().to_str()?.parse().ok();
    let highest: u64 = files.filter_map(name).max().expect("a file");
    // The next file has to take the place of another one.
    limit(highest + 1);
    let ping = frame(Kind::Ping as u8, "", b"");
    let (mut served, mut turned_away) = (Vec::new(), 0);
    while turned_away < TURNED_AWAY {
        let source = source(turned_away + served.len());
        let mut socket = connect_from(source, stage.players)
            .await
            .expect("connected");
        // Answered or closed, not left to wait.
        let _ = socket.write_all(&ping).await;
        match soon(socket.read(&mut [0; 64])).await {
            Ok(1..) => served.push(socket),
            Ok(0) | Err(_) => turned_away += 1,
        }
    }
    limit(soft);
    // A worker that had no file a moment ago may still turn one away.
    let player = soon(async {
        loop {
            let mut socket = connect_from(source(0), stage.players)
                .await
                .expect("connected");
            let _ = socket.write_all(&ping).await;
            if matches!(socket.read(&mut [0; 64]).await, Ok(1..)) {
                break socket;
            }
        }
    })
    .await;
    let errors = "game_gateway_accept_errors_total{reason=\"process_files\"}";
    let errors = stage.metric(errors).await;
    let said = stage
        .process
        .output()
        .matches("cannot accept connections")
        .count();
    // Each worker says it.
    assert!((1..=2).contains(&said), "{}", stage.process.output());
    let count = served.len();
    println!(
        "{count} served, {turned_away} turned away: {errors} accept errors, said {said} times"
    );
    drop((served, player));
    stage.unharmed("no file left", MEMORY_KIB, before_kib).await;
}
