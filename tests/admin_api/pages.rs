//! `game-gateway admin` follows cursors, and rejects answers that no gateway gives: against a scripted
//! server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// Answers one request after the other with these, and returns what was asked.
fn serve(answers: Vec<(&'static str, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = std::thread::spawn(move || {
        let answer = |(status, body): (&str, String)| {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut lines = BufReader::new(&socket)
                .lines()
                .map(|line| line.expect("a line"));
            let asked = lines.next().expect("a request");
            // The end of the head; GETs have no body.
            assert!(lines.any(|line| line.is_empty()));
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}");
            write!(socket, "{head}\r\n\r\n{body}").expect("sent");
            asked.split(' ').nth(1).expect("a path").to_owned()
        };
        answers.into_iter().map(answer).collect()
    });
    (url, asked)
}

fn admin(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command.env_remove("GATEWAY_ADMIN_TOKEN");
    command.args(["admin", "--url", url]).args(arguments);
    command.output().expect("it runs")
}

fn page(ids: &[&str], next: Option<&str>) -> String {
    let session = |id: &&str| json!({"session_id": id});
    let sessions: Vec<Value> = ids.iter().map(session).collect();
    let page = json!({"sessions": sessions, "next_cursor": next, "silent_workers": [3]});
    page.to_string()
}

#[test]
fn all_pages_are_one() {
    let answers = vec![
        ("200 OK", page(&["1", "2"], Some("0.2"))),
        ("200 OK", page(&["3"], Some("1.0"))),
        ("200 OK", page(&[], None)),
    ];
    let (url, asked) = serve(answers);
    let done = admin(&url, &["--json", "sessions", "--all", "--service", "game"]);
    assert!(done.status.success());
    let all: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let ids: Vec<&Value> = all["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| &session["session_id"])
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(
        (&all["next_cursor"], &all["silent_workers"]),
        (&json!(null), &json!([3]))
    );
    let warning = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(
        warning,
        "warning: workers 3 have not answered; their sessions are missing\n"
    );
    let first = "/api/v1/sessions?service=game&limit=1000";
    assert_eq!(
        asked.join().expect("no panic"),
        [
            first.to_owned(),
            format!("{first}&cursor=0.2"),
            format!("{first}&cursor=1.0")
        ]
    );
}

#[test]
fn one_page_says_that_there_are_more() {
    let (url, _) = serve(vec![("200 OK", page(&["1"], Some("0.1")))]);
    let done = admin(&url, &["sessions", "--limit", "1"]);
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("there are more; --all lists them"));
}

#[test]
fn answers_that_no_gateway_gives() {
    let endless = || ("200 OK", page(&["1"], Some("0.1")));
    for (answers, message) in [
        (
            vec![endless(), endless()],
            "the gateway returned the same page twice",
        ),
        (
            vec![("200 OK", "<html>".to_owned())],
            "unexpected response (HTTP 200), expected one of an admin API",
        ),
        (
            vec![("502 Bad Gateway", "{}".to_owned())],
            "unexpected response (HTTP 502), expected one of an admin API",
        ),
        (
            vec![("302 Found", String::new())],
            "unexpected response (HTTP 302), expected one of an admin API",
        ),
    ] {
        let (url, _) = serve(answers);
        let done = admin(&url, &["sessions", "--all"]);
        assert_eq!(done.status.code(), Some(1));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(message), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
