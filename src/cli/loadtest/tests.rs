use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use clap::Parser;

use super::echo::{Echo, Settings};
use super::*;
use crate::codec::Decoded;
use crate::codec::client::{self, HEADER_LEN, Kind};
use crate::codec::code::{Code, Notice};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LoadtestArgs,
}

/// Runs the load generator with these arguments against `target`.
pub(super) fn load(target: SocketAddr, line: &str) -> Report {
    let target = target.to_string();
    let line = ["loadtest", "--target", &target]
        .into_iter()
        .chain(line.split_whitespace());
    drive(&Line::try_parse_from(line).unwrap().args).unwrap()
}

pub(super) fn raw_echo() -> Echo {
    let any = "127.0.0.1:0".parse().unwrap();
    Echo::start(any, &Settings::of(BackendProtocol::Raw)).unwrap()
}

pub(super) fn assert_clean(report: &Report) {
    assert!(report.ok, "{report}");
    assert!(report.sent > 0, "{report}");
    assert_eq!(report.sent, report.answered, "{report}");
    assert_eq!(
        (report.refused, report.told, report.closed_early),
        (0, 0, 0),
        "{report}"
    );
}

#[test]
fn the_closed_loop_against_an_echo() {
    let echo = raw_echo();
    for line in [
        "--sessions 4 --warmup 0ms --duration 100ms",
        "--sessions 3 --warmup 10ms --duration 100ms --in-flight 7 --threads 2 --payload 24",
        "--sessions 2 --warmup 0ms --duration 100ms --in-flight 2 --payload 100000",
        "--sessions 2 --warmup 0ms --duration 100ms --think 1ms --realm 1 --user-base 5",
        "--sessions 5 --warmup 0ms --duration 100ms --service a,b --realm 7 --realms 3",
    ] {
        let report = load(echo.address, line);
        assert_clean(&report);
        assert_eq!(report.mode, "closed_loop");
        assert!(report.latency_us.is_some());
    }
}

#[test]
fn the_open_loop_sends_what_is_due_and_no_more() {
    let echo = raw_echo();
    for threads in ["1", "3"] {
        let line = "--sessions 5 --rate 1000/s --warmup 50ms --duration 150ms --threads ";
        let report = load(echo.address, &(line.to_owned() + threads));
        assert_clean(&report);
        assert_eq!((report.sent, report.not_sent), (200, 0));
        assert!(report.schedule_lag_us.is_some());
    }
}

#[test]
fn idle_sessions_exchange_one_frame() {
    let echo = raw_echo();
    let report = load(echo.address, "--sessions 20 --idle --duration 1s");
    assert_clean(&report);
    assert_eq!((report.connected, report.sent), (20, 20));
    assert!(report.latency_us.is_some());
}

#[test]
fn a_connection_for_each_frame() {
    let line = "--sessions 3 --reconnect --warmup 0ms --duration 100ms --threads 2";
    let report = load(raw_echo().address, line);
    assert_clean(&report);
    assert_eq!(report.mode, "reconnect");
    assert_eq!(report.connections, Some(report.sent), "{report}");
    // The first ones are made before the load begins.
    assert!(report.sent > 3, "{report}");
    assert!(report.latency_us.is_some());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let report = load(address, line);
    assert!(!report.ok, "{report}");
    assert_eq!((report.answered, report.lost), (0, report.sent), "{report}");
    assert_eq!(report.closed_early, report.sent);
}

#[test]
fn nobody_there_is_a_failure() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let report = load(address, "--sessions 2 --warmup 0ms --duration 10ms");
    assert!(!report.ok);
    assert_eq!((report.connected, report.connect_failed), (0, 2));
}

#[test]
fn sessions_take_services_and_realms_in_turns() {
    let line = "loadtest --service a,b --realm 7 --realms 3";
    let plan = Plan::new(&Line::try_parse_from(line.split(' ')).unwrap().args).unwrap();
    let taken = |index| (plan.service(index), plan.realm(index));
    assert_eq!(
        [0, 1, 2, 3].map(taken),
        [("a", 7), ("b", 8), ("a", 9), ("b", 7)]
    );
}

/// Bytes to send instead of an answer, for the frame with this number on its connection.
type Fault = fn(number: u64, frame: &[u8]) -> Answer;

enum Answer {
    Send(Vec<u8>),
    /// Send it behind the next one.
    Hold,
    /// End the connection.
    End,
}

/// Starts an echo that mistreats every tenth frame.
fn faulty_echo(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || echo_with(stream, fault));
        }
    });
    address
}

fn echo_with(mut stream: TcpStream, fault: Fault) -> Option<()> {
    let (mut input, mut held, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        while let Ok(Decoded::Frame(_, used)) = client::decode(&input, u32::MAX) {
            let frame: Vec<u8> = input.drain(..used).collect();
            let answer = match number % 10 {
                5 => fault(number, &frame),
                _ => Answer::Send(frame.clone()),
            };
            number += 1;
            match answer {
                Answer::Send(bytes) => {
                    stream.write_all(&bytes).ok()?;
                    stream.write_all(&std::mem::take(&mut held)).ok()?;
                }
                Answer::Hold => held = frame,
                Answer::End => return None,
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Sends 50 frames in each of 4 sessions, 5 of which a faulty echo spoils.
fn spoiled(fault: Fault) -> Report {
    load(
        faulty_echo(fault),
        "--sessions 4 --rate 1000 --warmup 0ms --duration 200ms",
    )
}

/// Returns the numbers of lost, doubled, reordered and corrupted frames.
fn faults(report: &Report) -> [u64; 4] {
    [
        report.lost,
        report.doubled,
        report.reordered,
        report.corrupted,
    ]
}

#[test]
fn faults_are_found() {
    let check = |fault: Fault, expected: [u64; 4]| {
        let report = spoiled(fault);
        assert_eq!(report.sent, 200, "{report}");
        assert_eq!(faults(&report), expected, "{report}");
        assert!(!report.ok);
    };
    check(|_, _| Answer::Send(Vec::new()), [20, 0, 0, 0]);
    check(|_, frame| Answer::Send(frame.repeat(2)), [0, 20, 0, 0]);
    check(|_, _| Answer::Hold, [0, 0, 20, 0]);
    // The last byte: the answer is there, though wrong.
    check(
        |_, frame| {
            let (last, rest) = frame.split_last().unwrap();
            Answer::Send([rest, &[!last]].concat())
        },
        [0, 0, 0, 20],
    );
    // Another session's index in the payload.
    check(
        |_, frame| {
            let mut frame = frame.to_vec();
            frame[HEADER_LEN + "echo".len()] ^= 1;
            Answer::Send(frame)
        },
        [0, 0, 0, 20],
    );
    // Another session's id in the header.
    check(
        |_, frame| {
            let mut frame = frame.to_vec();
            frame[20] ^= 1;
            Answer::Send(frame)
        },
        [0, 0, 0, 20],
    );
}

fn told(kind: Kind, code: Code) -> Vec<u8> {
    let notice = Notice {
        code,
        retry_after_ms: 0,
        text: "told",
    };
    let mut out = Vec::new();
    client::encode_notice(&mut out, kind, 0, "echo", &notice);
    out
}

#[test]
fn what_is_told_is_not_lost() {
    let report = spoiled(|_, _| Answer::Send(told(Kind::Error, Code::NO_ROUTE)));
    assert!(report.ok, "{report}");
    assert_eq!(report.refused_by_code, BTreeMap::from([(404, 20)]));
    assert_eq!((report.answered, report.told), (180, 20));

    // It accounts for what else is under way too; nobody waits for that at the end.
    let report = spoiled(|_, _| Answer::Send(told(Kind::Error, Code::BAD_GATEWAY)));
    assert!(report.ok, "{report}");
    assert_eq!(report.answered + report.told, 200, "{report}");
    assert!(report.told >= 20, "{report}");

    let report = spoiled(|number, frame| match number {
        45 => Answer::Send(told(Kind::Close, Code::UNAVAILABLE)),
        _ => Answer::Send(frame.to_vec()),
    });
    assert!(report.ok, "{report}");
    assert_eq!(
        report.closed_early_by_code,
        BTreeMap::from([("503".into(), 4)])
    );
    assert_eq!(report.answered, 4 * 45, "{report}");
    assert_eq!(report.sent + report.not_sent, 200, "{report}");
    assert_eq!(report.sent, report.answered + report.told, "{report}");
}

#[test]
fn an_end_without_close_is_a_loss() {
    let report = spoiled(|number, frame| match number {
        45 => Answer::End,
        _ => Answer::Send(frame.to_vec()),
    });
    assert!(!report.ok, "{report}");
    assert_eq!(report.closed_early_by_code["without_close"], 4);
    assert_eq!(report.sent, report.answered + report.lost, "{report}");
}

#[test]
fn bad_arguments_are_named() {
    for (line, name) in [
        ("--transport tcp,http --idle", "--idle"),
        ("--tls --ca /no/such.pem", "/no/such.pem"),
        ("--payload 23", "--payload"),
        ("--sessions 0", "--sessions"),
        ("--threads 0", "--threads"),
        ("--in-flight 0", "--in-flight"),
        ("--service A", "--service"),
    ] {
        let line = ["loadtest"].into_iter().chain(line.split_whitespace());
        let args = Line::try_parse_from(line).unwrap().args;
        match drive(&args) {
            Err(LoadtestError::Usage(text)) => assert!(text.contains(name), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_json_names_stay() {
    let echo = raw_echo();
    let report = load(
        echo.address,
        "--sessions 1 --warmup 0ms --duration 50ms --json",
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    for name in [
        "ok",
        "sent",
        "answered",
        "lost",
        "doubled",
        "reordered",
        "corrupted",
        "refused_by_code",
        "closed_early_by_code",
        "round_trips_per_second",
    ] {
        assert!(json.get(name).is_some(), "{name} in {json}");
    }
    for name in ["mean", "p50", "p90", "p99", "p999", "max"] {
        assert!(json["latency_us"][name].is_number(), "{name} in {json}");
    }
}
