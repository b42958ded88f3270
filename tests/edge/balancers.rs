//! Balancers in front of two gateways, with the configuration that docs/load-balancers.md tells operators to use.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use game_gateway::config::Config;
use tokio::net::TcpStream;

use crate::scene::{Browser, Response, ask, data, echo, request, send};
use crate::support::authority::Authority;
use crate::support::process::Process;
use crate::support::wire::{Gateway, Player, soon};
use crate::tls_scene::Way;

const STARTED: &str = "game_gateway_started_sessions_total";
/// Players that come after a balancer has noticed something.
const LATER: u64 = 20;

/// Returns the one block of this kind in the document that has these words.
fn block(kind: &str, words: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/load-balancers.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let fence = format!("```{kind}\n");
    let blocks = document.split(&fence).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().expect("an end"));
    let found: Vec<&str> = blocks.filter(|block| block.contains(words)).collect();
    assert_eq!(found.len(), 1, "{kind} with {words:?}");
    found[0].to_owned()
}

/// Replaces texts that must be there.
fn fitted(mut text: String, places: &[(&str, String)]) -> String {
    for (place, value) in places {
        assert!(text.contains(place), "{place:?} in\n{text}");
        text = text.replace(place, value);
    }
    text
}

/// An address that nobody else asks for in between.
fn free() -> SocketAddr {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("an address")
}

async fn listens(address: SocketAddr) {
    soon(async {
        while TcpStream::connect(address).await.is_err() {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

async fn two_gateways(change: impl Fn(&mut Config)) -> [Gateway; 2] {
    [echo(&change).await, echo(&change).await]
}

fn proxied(config: &mut Config) {
    config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("a network");
    // However slow this machine is: a balancer notices before.
    config.drain.accept_grace = std::time::Duration::from_secs(25);
}

async fn plays(player: &mut Player) {
    player.data("game", b"x").await;
    assert_eq!(&player.answer().await.payload[..], b"x");
}

/// Asserts that a gateway knows the player's own address.
async fn is_known(gateways: &[Gateway; 2], address: SocketAddr) {
    let mut known = String::new();
    for gateway in gateways {
        known.push_str(&gateway.get("/api/v1/sessions").await.1);
    }
    assert!(known.contains(&format!("\"{address}\"")), "{known}");
}

#[tokio::test]
async fn haproxy_as_documented() {
    let gateways = two_gateways(proxied).await;
    let authority = Authority::new();
    let issued = authority.issue("play", "DNS:play.example.com");
    let directory = tempfile::tempdir().expect("a directory");
    let both = directory.path().join("play.pem");
    let pem = |path| std::fs::read_to_string(path).expect("a file");
    std::fs::write(&both, pem(&issued.certificate) + &pem(&issued.key)).expect("written");
    let (front, front_tls) = (free(), free());
    let places = [
        ("bind :7000\n", format!("bind {front}\n")),
        ("bind :7443 ", format!("bind {front_tls} ")),
        ("/etc/haproxy/play.pem", both.display().to_string()),
        ("10.0.1.1:7000", gateways[0].players.to_string()),
        ("10.0.1.2:7000", gateways[1].players.to_string()),
    ];
    let configuration = fitted(block("haproxy", "backend gateways"), &places);
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, configuration).expect("written");
    let haproxy = Process::spawn(Command::new("haproxy").arg("-f").arg(&file));
    listens(front).await;

    // Each is used, and knows who plays.
    let mut residents = Vec::new();
    while gateways[0].metric(STARTED).await == 0 || gateways[1].metric(STARTED).await == 0 {
        let socket = soon(TcpStream::connect(front)).await.expect("HAProxy");
        let address = socket.local_addr().expect("an address");
        let mut player = Player::over(socket);
        plays(&mut player).await;
        is_known(&gateways, address).await;
        residents.push(player);
    }
    let browser = Way::trusting(&authority)
        .to("play.example.com")
        .offering(&["h2", "http/1.1"]);
    let mut browser = Browser::over(browser.connect(front_tls).await).await;
    browser.binary(data("game", b"over TLS")).await;
    assert_eq!(&browser.answer().await[..], b"over TLS");

    // A drain is noticed while the gateway still takes players: nobody is refused, nobody is cut off.
    gateways[0].drain();
    while !haproxy.output().contains("gateways/gateway-1 is DOWN") {
        plays(&mut Player::connect_to(front).await).await;
    }
    let before = gateways[0].metric(STARTED).await;
    for _ in 0..LATER {
        plays(&mut Player::connect_to(front).await).await;
    }
    assert_eq!(gateways[0].metric(STARTED).await, before);
    for resident in &mut residents {
        plays(resident).await;
    }
}

/// Starts nginx with this configuration.
fn nginx(directory: &Path, configuration: &str) -> Process {
    let file = directory.join("nginx.conf");
    std::fs::write(&file, configuration).expect("written");
    let mut program = Command::new("nginx");
    program.arg("-p").arg(directory).arg("-c").arg(&file);
    Process::spawn(program.args(["-e", "stderr", "-g", "daemon off; pid nginx.pid;"]))
}

#[tokio::test]
async fn nginx_for_websocket_and_http_as_documented() {
    let [first, second] = two_gateways(|config| {
        config.drain.accept_grace = std::time::Duration::ZERO;
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let front = free();
    let places = [
        ("listen 8080;", format!("listen {front};")),
        ("10.0.1.1:7000", first.players.to_string()),
        ("10.0.1.2:7000", second.players.to_string()),
    ];
    let block = fitted(block("nginx", "map $http_upgrade"), &places);
    let paths = "access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
                 uwsgi_temp_path d; scgi_temp_path e;";
    let configuration = format!("events {{}}\nhttp {{ {paths}\n{block} }}\n");
    let _nginx = nginx(directory.path(), &configuration);
    listens(front).await;

    let connect = || async { soon(TcpStream::connect(front)).await.expect("nginx") };
    let mut socket = connect().await;
    for n in 0..LATER {
        let body = n.to_string();
        send(&mut socket, &request("POST /game", "", body.as_bytes())).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(
            (response.status, &response.body[..]),
            (200, body.as_bytes())
        );
    }
    let mut residents = Vec::new();
    for _ in 0..LATER {
        let mut browser = Browser::over(connect().await).await;
        browser.binary(data("game", b"x")).await;
        assert_eq!(&browser.answer().await[..], b"x");
        residents.push(browser);
    }
    assert!(first.metric(STARTED).await > 0 && second.metric(STARTED).await > 0);

    // What the first refuses from now on goes to the second.
    first.drain();
    while ask(&first, "POST /game", "", b"x").await.status != 503 {}
    let before = first.metric(STARTED).await;
    for _ in 0..LATER {
        let mut browser = Browser::over(connect().await).await;
        browser.binary(data("game", b"x")).await;
        assert_eq!(&browser.answer().await[..], b"x");
    }
    assert_eq!(first.metric(STARTED).await, before);
    for resident in &mut residents {
        resident.binary(data("game", b"still")).await;
        assert_eq!(&resident.answer().await[..], b"still");
    }
}

#[tokio::test]
async fn nginx_for_raw_frames_as_documented() {
    let gateways = two_gateways(proxied).await;
    let directory = tempfile::tempdir().expect("a directory");
    let front = free();
    let places = [
        ("listen 7000;", format!("listen {front};")),
        ("10.0.1.1:7000", gateways[0].players.to_string()),
        ("10.0.1.2:7000", gateways[1].players.to_string()),
    ];
    let block = fitted(block("nginx", "proxy_protocol on"), &places);
    let module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {}\n";
    let _nginx = nginx(directory.path(), &format!("{module}{block}"));
    listens(front).await;
    let mut players = Vec::new();
    while gateways[0].metric(STARTED).await == 0 || gateways[1].metric(STARTED).await == 0 {
        let socket = soon(TcpStream::connect(front)).await.expect("nginx");
        let address = socket.local_addr().expect("an address");
        let mut player = Player::over(socket);
        plays(&mut player).await;
        is_known(&gateways, address).await;
        players.push(player);
    }
    let mut browser = Browser::over(soon(TcpStream::connect(front)).await.expect("nginx")).await;
    browser.binary(data("game", b"x")).await;
    assert_eq!(&browser.answer().await[..], b"x");
}
