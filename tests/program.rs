//! The program as its users start it: arguments, exit codes, signals, what it prints.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use game_gateway::codec::client::{self, Header, Kind};
use game_gateway::codec::link;
use game_gateway::session::trace_id::TraceId;
use support::address;
use support::process::Process;
use support::wire::{Backend, Link, Player, ask};
use tempfile::TempDir;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command.env_remove("POD_NAME");
    command
}

fn run(arguments: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program().args(arguments).output().expect("it runs");
    let text = [stdout, stderr].concat();
    (
        status.code().expect("a code"),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Writes a configuration on free ports with these routes, and `more` lines.
fn configured(routes: &str, more: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let routes_file = directory.path().join("routes.json");
    std::fs::write(&routes_file, routes).expect("routes");
    let text = format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         routes.file = {routes_file:?}\n{more}\n"
    );
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, text).expect("configuration");
    (directory, file.display().to_string())
}

/// Starts `serve` and returns it with the players' address.
fn serve(file: &str) -> (Process, SocketAddr) {
    let (process, players, _) = serve_both(file);
    (process, players)
}

/// The same, with the admin address.
fn serve_both(file: &str) -> (Process, SocketAddr, SocketAddr) {
    let process = Process::spawn(program().args(["serve", "--config", file]));
    let ready = process.wait_for_line("game-gateway ready: players on ");
    let both = ready.split_once(", admin on ").expect("both addresses");
    let address = |text: &str| text.trim().parse().expect("an address");
    (process, address(both.0), address(both.1))
}

#[test]
fn help_and_version_everywhere() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["check", "--help"],
        &["demo", "--help"],
        &["loadtest", "--help"],
        &["routes", "--help"],
        &["routes", "set", "--help"],
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}");
        assert!(text.contains("Usage:"), "{text}");
    }
    let (code, text) = run(&["--version"]);
    assert_eq!(
        (code, text.trim()),
        (0, concat!("game-gateway ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn bad_usage_is_2_and_says_so() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["serve", "--nonsense"],
        &["check", "--config"],
        &["loadtest", "--sessions", "many"],
        &["loadtest", "--transport", "quic"],
        &["loadtest", "--tls"],
        &["loadtest", "--transport", "tcp,http", "--idle"],
        &["routes"],
        &["routes", "set"],
        &["routes", "get", "--redis-url", "http://127.0.0.1"],
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
}

/// Runs a command with stdout, or stderr too, at a pipe that nobody reads; returns its exit code.
fn unread(arguments: &[&str], stderr_too: bool) -> Option<i32> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = program();
    if stderr_too {
        command.stderr(writer.try_clone().expect("a second end"));
    }
    command.args(arguments).stdout(writer);
    command.status().expect("it runs").code()
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (directory, file) = configured(r#"{"rules": {}}"#, "");
    let routes = directory.path().join("routes.json").display().to_string();
    for arguments in [
        &["check", "--config", &file][..],
        &["routes", "validate", &routes],
        &["demo", "--duration", "200ms", "--sessions", "3"],
        &["loadtest", "--help"],
    ] {
        for stderr_too in [false, true] {
            let code = unread(arguments, stderr_too);
            assert_eq!(code, Some(0), "{arguments:?} {stderr_too}");
        }
    }
    // The verdict stays the exit code.
    let (_directory, file) = configured("{}", "listen.nonsense = 1");
    assert_eq!(unread(&["check", "--config", &file], true), Some(1));
    assert_eq!(unread(&["serve", "--config", &file], true), Some(1));
    assert_eq!(
        unread(&["admin", "--url", "http://127.0.0.1:1", "actors"], true),
        Some(1)
    );
}

#[test]
fn a_token_is_taken_without_its_line_break_or_refused_by_name() {
    let (_directory, file) = configured(r#"{"rules": {}}"#, "");
    let check = |variable: &str, value: &str| {
        let mut command = program();
        command
            .args(["check", "--config", &file])
            .env(variable, value);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    for good in ["sesame\n", "sesame\r\n", "\u{feff}sesame"] {
        assert_eq!(check("GATEWAY__ADMIN__TOKEN", good).0, Some(0), "{good:?}");
    }
    for bad in ["two words", "se\nsame", "s\u{e9}same", " sesame"] {
        let (code, said) = check("GATEWAY__ADMIN__TOKEN", bad);
        assert_eq!(code, Some(1), "{bad:?}");
        assert!(said.contains("admin.token: cannot be sent"), "{said}");
        assert!(!said.contains("same"), "{said}");
    }
    let (code, said) = check("GATEWAY__ADMIN__TOKEN", "\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("admin.token: must not be empty"), "{said}");
    // Any other value, as a file in a ConfigMap has it.
    assert_eq!(check("GATEWAY__DRAIN__WINDOW", "5s\n").0, Some(0));
}

#[test]
fn every_mistake_stops_the_start() {
    let (_directory, file) = configured("{}", "session.max_services = 0\nlisten.nonsense = 1");
    for command in ["serve", "check"] {
        let (code, text) = run(&[command, "--config", &file]);
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("gateway.toml:5: listen.nonsense: unknown key"),
            "{text}"
        );
        assert!(
            text.contains("session.max_services: must be at least 1"),
            "{text}"
        );
    }
    let (code, text) = run(&["serve", "--config", "/no/such/file.toml"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("/no/such/file.toml: cannot be read"),
        "{text}"
    );
}

#[test]
fn a_redis_url_is_refused_and_not_shown() {
    let url = "redis://me:hunter2@127.0.0.1:none/0";
    let (code, text) = run(&["routes", "get", "--redis-url", url]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("--redis-url: invalid port, expected"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    let (_directory, file) = configured("{}", &format!("redis.url = {url:?}"));
    for command in ["serve", "check"] {
        let (code, text) = run(&[command, "--config", &file]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("redis.url: invalid port, expected"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn check_says_that_redis_is_not_there() {
    // Taken, and nobody listens.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let taken = taken.expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    taken.bind(&any.into()).expect("a port");
    let address = taken.local_addr().expect("its address");
    let port = address.as_socket().expect("of IPv4").port();
    let redis =
        format!("routes.source = \"redis\"\nredis.url = \"redis://me:hunter2@127.0.0.1:{port}\"");
    let (_directory, file) = configured("{}", &redis);
    let (code, text) = run(&["check", "--config", &file]);
    assert_eq!(code, 1, "{text}");
    let mistake = format!("mistake: redis: 127.0.0.1:{port}: Connection refused");
    assert!(text.contains(&mistake), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn routes_are_validated_without_redis() {
    let (directory, _) = configured(
        r#"{"rules": {"game": {"strategy": "best", "endpoints": ["h"]}}}"#,
        "",
    );
    let routes = directory.path().join("routes.json").display().to_string();
    let (code, text) = run(&["routes", "validate", &routes]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(text.matches(&routes).count(), 2, "{text}");
    std::fs::write(&routes, r#"{"rules": {}}"#).expect("written");
    let (code, text) = run(&["routes", "validate", &routes]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("0 services, 0 realms"), "{text}");
}

#[test]
fn check_names_what_is_wrong_with_the_routes() {
    let (_directory, file) = configured(
        r#"{"rules": {"game": {"strategy": "round_robin", "endpoints": ["h:1"]}}}"#,
        "",
    );
    let (code, text) = run(&["check", "--config", &file]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 services, 0 realms"), "{text}");
    let (directory, file) = configured(
        r#"{"rules": {"game": {"strategy": "best", "endpoints": ["h"]}}}"#,
        "",
    );
    let (code, text) = run(&["check", "--config", &file]);
    assert_eq!(code, 1, "{text}");
    let routes = directory.path().join("routes.json").display().to_string();
    assert!(
        text.matches(&routes).count() >= 2,
        "each mistake names the file: {text}"
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for key in ["GATEWAY__LISTEN__ADDRESS", "GATEWAY__ADMIN__ADDRESS"] {
        let (_directory, file) = configured("{}", "");
        let output = program()
            .args(["serve", "--config", &file])
            .env(key, &address)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&address), "{text}");
    }
}

#[tokio::test]
async fn sigterm_drains_and_says_how_many_were_cut_off() {
    let backend = Backend::start().await;
    let (_directory, file) = configured(
        &backend.routes(),
        // The player's link is the only one.
        "backend.probe_interval = \"0\"\ndrain.window = \"300ms\"\ndrain.accept_grace = \"50ms\"",
    );
    let (mut process, players) = serve(&file);
    let mut player = Player::connect_to(players).await;
    player.data("game", b"x").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    process.sigterm();
    let (code, retry_after_ms) = player.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after_ms > 0);
    assert_eq!(link.closed().await, (session_id, 503));
    assert_eq!(link.next().await, None);
    drop(link);
    let status = tokio::task::spawn_blocking(move || {
        let status = process.wait_for_exit();
        (status, process.output())
    });
    let (status, output) = status.await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{output}");
    let last = output
        .lines()
        .rfind(|line| line.contains("cut_off="))
        .expect("a last word");
    assert!(
        last.contains("drained") && last.contains("cut_off=1"),
        "{output}"
    );
}

/// One whose session has the service `game`, and is user 4711 of realm 7.
async fn a_player_of(backend: &Backend, players: SocketAddr) -> (Player, Link) {
    let mut player = Player::connect_to(players).await;
    let header = Header {
        user_id: 4711,
        realm_id: 7,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    let mut link = backend.link().await;
    let opened = link.opened().await;
    link.data().await;
    link.send(link::Kind::Data, opened.session_id, b"hi").await;
    player.answer().await;
    (player, link)
}

#[tokio::test]
async fn the_end_of_a_session_is_a_line() {
    let backend = Backend::start().await;
    let (_directory, file) = configured(
        &backend.routes(),
        "gateway.id = \"gw-a\"\nbackend.probe_interval = \"0s\"",
    );
    let (mut process, players) = serve(&file);
    let (mut player, mut link) = a_player_of(&backend, players).await;
    // The last frame and the end in one read.
    let mut last = Vec::new();
    client::encode(&mut last, &Header::default(), "game", b"bye");
    let farewell = Header {
        kind: Kind::Close as u8,
        ..Header::default()
    };
    client::encode(&mut last, &farewell, "", &4242_u16.to_be_bytes());
    player.raw(&last).await;
    link.data().await;
    let (session_id, code) = link.closed().await;
    assert_eq!(code, 4242);
    let ended = tokio::task::spawn_blocking(move || {
        process.sigterm();
        process.wait_for_exit();
        process.output()
    });
    let output = ended.await.expect("no panic");
    let line = output.lines().find(|line| line.contains("session ended"));
    let line = line.unwrap_or_else(|| panic!("{output}"));
    let (_, fields) = line.split_once("game_gateway::access: ").expect(line);
    let client = player.local_port();
    let game = backend.address;
    let trace_id = TraceId::of(session_id).expect("a session");
    let expected = format!(
        "session ended session=gw-a:{session_id} trace_id={trace_id} user_id=4711 realm_id=7 identity=\"claimed\" \
         client=127.0.0.1:{client} transport=\"tcp\" seconds="
    );
    assert!(fields.starts_with(&expected), "{fields}\n{expected}");
    let counted = " resumes=0 frames_in=2 frames_out=1 bytes_in=";
    assert!(fields.contains(counted), "{fields}");
    let expected = format!(" services=game@{game} code=4242 reason=\"client\"");
    assert!(fields.ends_with(&expected), "{fields}");
}

#[tokio::test]
async fn the_line_of_one_who_is_found_out_to_be_banned_says_who_he_is() {
    let backend = Backend::start().await;
    let (_directory, file) = configured(
        &backend.routes(),
        "gateway.workers = 1\nbackend.probe_interval = \"0s\"",
    );
    let (mut process, players, admin) = serve_both(&file);
    for user in ["4712", "4713"] {
        let body = format!("{{\"user_id\": \"{user}\"}}");
        let (status, body) = ask(admin, "POST /api/v1/bans", &body).await;
        assert_eq!(status, 201, "{body}");
    }
    let (mut claims, mut link) = a_player_of(&backend, players).await;
    let header = Header {
        user_id: 4712,
        ..Header::default()
    };
    claims.send(header, "game", b"hello").await;
    assert_eq!(claims.closed().await.0, 440);
    link.closed().await;
    let mut bound = Player::connect_to(players).await;
    bound.data("game", b"hello").await;
    let id = link.opened().await.session_id;
    link.data().await;
    let bind = link::Bind {
        user_id: 4713,
        realm_id: 0,
    };
    link.send(link::Kind::Bind, id, &bind.encode()).await;
    assert_eq!(bound.closed().await.0, 440);
    let ended = tokio::task::spawn_blocking(move || {
        process.sigterm();
        process.wait_for_exit();
        process.output()
    });
    let output = ended.await.expect("no panic");
    let who = [
        "user_id=4712 realm_id=7 identity=\"claimed\"",
        "user_id=4713 realm_id=0 identity=\"bound\"",
    ];
    for who in who {
        let its = |line: &&str| line.contains("session ended") && line.contains(who);
        let line = output.lines().find(its).expect(&output);
        assert!(line.ends_with("code=440 reason=\"banned\""), "{line}");
    }
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let backend = Backend::start().await;
    let (_directory, file) = configured(
        &backend.routes(),
        "drain.window = \"1h\"\ndrain.accept_grace = \"1h\"",
    );
    let (mut process, players) = serve(&file);
    let mut player = Player::connect_to(players).await;
    player
        .send(
            game_gateway::codec::client::Header {
                kind: Kind::Ping as u8,
                ..Default::default()
            },
            "",
            b"?",
        )
        .await;
    player.next().await.expect("PONG");
    process.sigterm();
    // Signals of one kind merge: the second must not come before the first was taken.
    process.wait_for_line("game-gateway draining");
    process.sigterm();
    assert_eq!(process.wait_for_exit().code(), Some(1));
}

#[test]
fn a_demo_without_a_place_for_its_page_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, text) = run(&["demo", "--page", &address]);
    assert_eq!(code, 1, "{text}");
    let expected = format!("game-gateway demo: --page {address}: ");
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn loadtest_drives_a_gateway_and_checks_every_answer() {
    let backend = std::net::TcpListener::bind(address::own())
        .and_then(|l| l.local_addr())
        .expect("a free port");
    let routes = format!(
        r#"{{"rules": {{"echo": {{"strategy": "round_robin", "endpoints": ["{backend}"]}}}}}}"#
    );
    let (_directory, file) = configured(&routes, "gateway.workers = 2");
    let (_process, players) = serve(&file);
    let with_backend = [
        "loadtest",
        "--with-backend",
        &backend.to_string(),
        "--target",
        &players.to_string(),
        "--json",
    ]
    .map(str::to_owned);
    for more in [
        &["--sessions", "20", "--duration", "500ms", "--warmup", "0s"][..],
        &["--transport", "websocket", "--duration", "500ms"],
        &[
            "--transport",
            "http",
            "--duration",
            "500ms",
            "--in-flight",
            "3",
        ],
        &[
            "--sessions",
            "5",
            "--rate",
            "500",
            "--duration",
            "500ms",
            "--warmup",
            "0s",
            "--payload",
            "5000",
            "--transport",
            "tcp,websocket,http",
        ],
    ] {
        let arguments: Vec<&str> = with_backend
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        let (code, text) = run(&arguments);
        assert_eq!(code, 0, "{text}");
        let json: serde_json::Value = text
            .lines()
            .find_map(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("no JSON in {text}"));
        assert!(json["answered"].as_u64() > Some(0), "{text}");
        // Each run's backend is a new one: some frames are told that it is not there yet.
        for fault in ["lost", "doubled", "reordered", "corrupted"] {
            assert_eq!(json[fault], 0, "{text}");
        }
    }
}

/// README's "Running it", with free ports in place of its own.
#[test]
fn the_readme_leads_to_a_first_answer() {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once("\n## Running it\n").expect("the section");
    assert!(
        section.contains("\npython3 examples/backend.py"),
        "{section}"
    );
    let mut command = Command::new("python3");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let backend = command.args(["-u", "examples/backend.py", "--port", "0"]);
    let backend = Process::spawn(backend.current_dir(root));
    let port = backend.wait_for_line("listening on 127.0.0.1:");
    let routes = include_str!("../config/routes.json");
    let (_directory, file) = configured(&routes.replace(":9001", &format!(":{port}")), "");
    let (_gateway, players) = serve(&file);
    let mut asked = 0;
    for line in section
        .lines()
        .filter(|line| line.contains("127.0.0.1:7000/"))
    {
        let line = line.replace("127.0.0.1:7000", &players.to_string());
        let (line, _) = line.split_once(" #").unwrap_or((&line, ""));
        let output = Command::new("sh")
            .args(["-c", line])
            .output()
            .expect("curl");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "hello",
            "{line}: {output:?}"
        );
        asked += 1;
    }
    assert_eq!(asked, 2, "{section}");
}

#[test]
fn the_examples_configuration_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["config/game-gateway.toml", "examples/gateway.toml"] {
        let output = program()
            .args(["check", "--config", file])
            .current_dir(root)
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The rules of docs/backends.md; its code is compiled as the library's documentation is.
#[test]
fn the_rules_of_the_guide_for_backends_are_good() {
    let guide = include_str!("../docs/backends.md");
    let rules = guide.split("\n```json\n").skip(1);
    let rules: Vec<&str> = rules.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(rules.len(), 2);
    for rules in rules {
        let (_directory, file) = configured(rules, "");
        let (code, text) = run(&["check", "--config", &file]);
        assert_eq!(code, 0, "{text}");
    }
}

/// Runs a script in bash; returns what it prints.
fn bash(script: &str) -> String {
    let program = env!("CARGO_BIN_EXE_game-gateway");
    let directory = std::path::Path::new(program).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = std::process::Command::new("bash");
    command.env("PATH", format!("{}:{path}", directory.display()));
    let output = command.args(["-c", script]).output().expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (typed, expected) in [
        ("adm", "admin"),
        ("admin top-t", "top-talkers"),
        ("admin backends --so", "--sort"),
        ("admin backends --sort answer_p9", "answer_p99_us"),
        ("admin top-talkers --by ser", "service"),
        ("completions ba", "bash"),
    ] {
        let words = typed.split(' ').count();
        let script = format!(
            "source <(game-gateway completions bash); COMP_WORDS=(game-gateway {typed}); COMP_CWORD={words}
             completed=$(complete -p game-gateway | sed 's/.*-F \\([^ ]*\\).*/\\1/')
             $completed game-gateway \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        assert_eq!(bash(&script).trim_end(), expected, "{typed}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = bash(&format!("game-gateway completions {shell}"));
        assert!(script.contains("top-talkers"), "{shell}");
    }
    let head = bash("game-gateway completions bash | head -c 1");
    assert_eq!(head.len(), 1);
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("share/man1");
    bash(&format!("game-gateway man {pages:?}"));
    let page = std::fs::read_to_string(pages.join("game-gateway-admin-backends.1"));
    assert!(page.expect("a page").contains("answer_p99_us"));
    let format = "command -v groff > /dev/null || exit 0; \
                  for page in *.1; do groff -man -ww -Tutf8 $page 2>&1 > /dev/null; done";
    let warnings = bash(&format!("cd {pages:?}; {format}"));
    assert_eq!(warnings, "");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    let said = bash(&format!("game-gateway man {file:?} 2>&1; echo $?"));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.starts_with("game-gateway man: ") && said.ends_with("\n1\n"),
        "{said}"
    );
}
