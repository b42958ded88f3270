//! Clients that send parts of frames: their number is no way past the budget, nor a way to keep it.

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::Kind;
use tokio::net::TcpStream;

use crate::stage::{LIMIT, Served};
use crate::support::wire::{Link, Player, soon};
use crate::websocket;

const SENDERS: usize = 900;

fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    client::encode(&mut frame, &Header::default(), "game", &vec![7; bytes]);
    frame
}

/// Echoes all that comes.
pub(crate) async fn echo(mut link: Link) {
    while let Some(frame) = link.next().await {
        if frame.kind == Kind::Data as u8 {
            link.send(Kind::Data, frame.session_id, &frame.payload[..1])
                .await;
        }
    }
}

#[tokio::test]
async fn parts_of_frames_keep_within_the_budget_and_do_not_stay() {
    let settings = "limits.memory = \"16MiB\"\nsession.idle_timeout = \"1h\"";
    let served = Served::start(settings).await;
    let mut good = Player::connect_to(served.players).await;
    good.data("game", b"first").await;
    tokio::spawn(echo(served.backend.link().await));
    good.answer().await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let socket = soon(TcpStream::connect(served.players)).await;
        senders.push(socket.expect("connected"));
    }
    served.send_all(&mut senders, &frame(1)).await;
    let before = served.resident();
    let part = frame(65_000);
    served.fill(&mut senders, &part[..part.len() - 1]).await;
    served.assert_never_over("parts of frames").await;
    served.assert_bounded("parts of frames", before).await;

    // Who has been here plays on, also with frames that come in two.
    let whole = frame(33_000);
    for piece in [&whole[..20_000], &whole[20_000..]] {
        good.raw(piece).await;
        served.held().await;
    }
    good.answer().await;
    // The parts do not stay, and newcomers come in again.
    soon(async {
        loop {
            let mut late = Player::connect_to(served.players).await;
            late.data("game", b"hello").await;
            let code = client::Kind::Data as u8;
            if late.next().await.is_some_and(|f| f.header.kind == code) {
                break;
            }
        }
    })
    .await;
}

/// Nothing is queued for those who end, so they hear why.
#[tokio::test]
async fn who_ends_for_what_he_has_sent_is_told_so() {
    let served = Served::start(
        "limits.memory = \"8MiB\"\nlisten.max_payload = \"2MiB\"\nsession.outbound_queue = \"4MiB\"\nlisten.sniff_timeout = \"1h\"",
    )
    .await;
    let mut senders = Vec::new();
    for _ in 0..8 {
        let socket = soon(TcpStream::connect(served.players)).await;
        senders.push(socket.expect("connected"));
    }
    let whole = frame(1);
    let first = served.send_all(&mut senders[..1], &whole);
    let (link, ()) = tokio::join!(served.backend.link(), first);
    tokio::spawn(echo(link));
    served.send_all(&mut senders[1..], &whole).await;
    for sender in &mut senders {
        let answer = crate::support::frames::next(sender).await;
        assert_eq!(answer.header.kind, client::Kind::Data as u8);
    }
    // All of them hold twice the budget.
    served
        .fill(&mut senders, &frame(2_000_000)[..1_999_000])
        .await;
    let told = soon(futures_util::future::select_all(
        senders
            .iter_mut()
            .map(|s| Box::pin(crate::support::frames::next(s))),
    ));
    let (close, ..) = told.await;
    assert_eq!(close.header.kind, client::Kind::Close as u8);
    let notice = Notice::decode(&close.payload, Code::NORMAL);
    assert_eq!(
        (notice.code, notice.text),
        (Code::TOO_SLOW, "input that waits took too much memory")
    );
}

const SETTINGS: &str = "limits.memory = \"16MiB\"\nsession.idle_timeout = \"1h\"";
/// Several threads draw on the budget at once.
const WORKERS: &str = "gateway.workers = 3\nbackend.probe_interval = \"0s\"";

/// What has come of a frame waits for the rest, in however many messages' fragments.
#[tokio::test]
async fn parts_of_messages_keep_within_the_budget() {
    let served = Served::start(&format!("{SETTINGS}\n{WORKERS}")).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        senders.push(websocket::open(served.players).await);
    }
    let before = served.resident();
    let message = websocket::fragments(65_000, 100);
    served.fill(&mut senders, &message).await;
    served.assert_never_over("parts of messages").await;
    served.assert_bounded("parts of messages", before).await;
}

/// Who is refused has sent a body that nobody reads: nothing of it stays, although the rest is waited for.
#[tokio::test]
async fn bodies_that_nobody_wants_are_not_held() {
    let served = Served::start(SETTINGS).await;
    for path in ["/no/such/path", "/game"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        let mut request = head.into_bytes();
        request.extend([7; 59_000]);
        let mut senders = Vec::new();
        for _ in 0..SENDERS {
            let socket = soon(TcpStream::connect(served.players)).await;
            senders.push(socket.expect("connected"));
        }
        let before = served.resident();
        served.send_all(&mut senders, &request).await;
        served.assert_never_over("bodies").await;
        served.assert_bounded("bodies", before).await;
        if path != "/game" {
            let held = served.held().await;
            assert!(held < LIMIT / 4, "{held} are held of refused requests");
        }
    }
}

#[tokio::test]
async fn long_heads_keep_within_the_budget() {
    let served = Served::start(&format!("{SETTINGS}\n{WORKERS}")).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let socket = soon(TcpStream::connect(served.players)).await;
        senders.push(socket.expect("connected"));
    }
    let before = served.resident();
    let mut head = b"POST /game HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.extend([b'h'; 31_000]);
    served.fill(&mut senders, &head).await;
    served.assert_never_over("heads").await;
    served.assert_bounded("heads", before).await;
}
