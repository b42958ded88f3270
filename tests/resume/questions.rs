//! Questions of other gateways for their operators, from somebody who has the key and somebody who has not.

use game_gateway::codec::peer::wire::{PeerFrame, Said};
use game_gateway::codec::peer::{Answer, MAX_ANSWER_BODY, Question};
use game_gateway::config::Config;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::neighbours::Owner;
use crate::other_gateway::{KEY, peered};
use crate::stage::Scene;
use crate::strangers::{Neighbour, connect, hello, keys, rest};
use crate::support::wire::Gateway;

fn question(method: &str, path: &str, may_change: bool) -> Question {
    Question {
        by: "anna at 10.0.0.9:5".into(),
        may_change,
        method: method.into(),
        path: path.into(),
        body: Vec::new(),
        most: MAX_ANSWER_BODY as u32,
    }
}

impl Neighbour {
    /// Asks, and confirms a change, as who asks for one must.
    async fn asks(&mut self, question: Question) -> Answer {
        let change = question.is_change();
        self.say(7, 0, Said::Question(Box::new(question))).await;
        if change {
            let ready = self.frame().await;
            assert!(matches!(ready.said, Said::Ready), "{:?}", ready.said);
            self.say(7, 0, Said::Proceed).await;
        }
        let frame = self.frame().await;
        match frame.said {
            Said::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test]
async fn a_question_is_answered_as_over_http_and_the_role_holds() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    let path = format!("/api/v1/sessions/{id}");
    let read = neighbour.asks(question("GET", &path, false)).await;
    assert_eq!((read.status, read.cut), (200, false));
    assert_eq!(json(&read)["session_id"], id.to_string());
    let refused = neighbour.asks(question("DELETE", &path, false)).await;
    assert_eq!(refused.status, 403, "{}", json(&refused));
    scene.send("still here").await;
    crate::stage::says(&mut scene.player, "still here").await;
    // Not everything may be asked for, and not by way of everybody.
    for (method, path, status) in [
        ("GET", "/metrics", 400),
        ("GET", "/", 400),
        ("GET", "http://elsewhere/api/v1/info", 200),
        ("GET", "/api/v1/info?deployment=true", 400),
        ("GET", "/api/v1/nothing", 404),
        ("BREW", "/api/v1/info", 405),
        ("GET", "/api/v1/info?x", 400),
        ("GET", "no path", 400),
    ] {
        let answer = neighbour.asks(question(method, path, true)).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", json(&answer));
    }
    let gone = neighbour.asks(question("DELETE", &path, true)).await;
    assert_eq!((gone.status, &gone.body[..]), (204, &b""[..]));
    assert_eq!(scene.player.closed().await.0, 440);
}

#[tokio::test]
async fn an_answer_fits_what_the_asking_gateway_takes() {
    let scene = Scene::start_with(peered).await;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    let small = |path| Question {
        most: 600,
        ..question("GET", path, false)
    };
    let whole = neighbour
        .asks(question("GET", "/api/v1/actors", false))
        .await;
    let cut = neighbour.asks(small("/api/v1/actors")).await;
    assert!(whole.body.len() > 600 && !whole.cut);
    // What has a list that is long enough is cut, or it is said to be too large.
    let fits = |answer: &Answer| answer.body.len() <= 600;
    assert!(fits(&cut) && (cut.cut || cut.status == 413), "{cut:?}");
    let config = neighbour.asks(small("/api/v1/config")).await;
    assert!(fits(&config) && config.status == 413, "{config:?}");
    let bans = neighbour.asks(small("/api/v1/bans")).await;
    assert!(bans.status == 200 && !bans.cut, "{bans:?}");
}

/// Sixteen are answered at a time; the others learn that at once, and nothing else suffers.
#[tokio::test]
async fn a_flood_of_questions_is_refused_and_harms_nobody() {
    const MANY: u64 = 300;
    let mut scene = Scene::start_with(peered).await;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    let slow = question("GET", "/api/v1/top-talkers", false);
    let frames = (0..MANY).map(|call| PeerFrame {
        call,
        session_id: 0,
        said: Said::Question(Box::new(slow.clone())),
    });
    neighbour.say_frames(frames).await;
    let mut statuses = Vec::new();
    for _ in 0..MANY {
        match neighbour.frame().await.said {
            Said::Answer(answer) => statuses.push(answer.status),
            other => panic!("{other:?}"),
        }
    }
    let count = |status| statuses.iter().filter(|s| **s == status).count();
    assert!(count(200) >= 1 && count(503) >= 1, "{statuses:?}");
    assert_eq!(count(200) + count(503), MANY as usize);
    // The turns are free again.
    let answer = neighbour.asks(question("GET", "/api/v1/info", false)).await;
    assert_eq!(answer.status, 200);
    scene.send("unharmed").await;
    crate::stage::says(&mut scene.player, "unharmed").await;
}

#[tokio::test]
async fn nobody_is_asked_or_answered_without_the_key() {
    let scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    // A whole HELLO, and then a question instead of a proof.
    let path = format!("/api/v1/sessions/{id}");
    let frame = PeerFrame {
        call: 1,
        session_id: 0,
        said: Said::Question(Box::new(question("DELETE", &path, true))),
    };
    let frame = frame.encode();
    let mut stream = connect(&scene.gateway).await;
    let mut bytes = hello(&keys(KEY)).encode();
    bytes.extend_from_slice(&(frame.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&frame);
    stream.write_all(&bytes).await.expect("written");
    let said = rest(stream).await;
    let len = usize::from(u16::from_be_bytes([said[0], said[1]]));
    assert_eq!(said.len(), 2 + len, "only the HELLO");
    let (status, _) = scene.gateway.get(&path).await;
    assert_eq!(status, 200, "it is still there");
}

/// Asks for all gateways while the only other one is in the hands of the test.
async fn asks_for_all(gateway: &Gateway) -> (u16, Value) {
    let (status, body) = gateway.get("/api/v1/info?deployment=true").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn what_another_gateway_answers_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let other = listener.local_addr().expect("an address").to_string();
    let scene = Scene::start_with(|config: &mut Config| {
        peered(config);
        config.peer.gateways = other.parse().expect("a gateway");
    })
    .await;
    let body = |len: usize| [&b"\""[..], &vec![b'x'; len - 2], b"\""].concat();
    for (answer, why_not) in [
        (body(1000), None),
        (b"no JSON".to_vec(), None),
        (
            body(MAX_ANSWER_BODY + 1),
            Some("it cannot be reached, or its connection was lost"),
        ),
        (body(20), None),
    ] {
        let good = why_not.is_none() && answer[0] == b'"';
        let plays = async {
            let mut owner = Owner::answer(&listener).await;
            let asked = owner.hear().await;
            let Said::Question(question) = &asked.said else {
                panic!("{asked:?}");
            };
            assert_eq!(question.path, "/api/v1/info");
            assert!(question.may_change && question.by.starts_with("127.0.0.1:"));
            let answer = Answer {
                status: 200,
                cut: false,
                body: answer,
            };
            owner.reply(asked, Said::Answer(answer)).await;
            owner
        };
        let ((status, all), owner) = tokio::join!(asks_for_all(&scene.gateway), plays);
        assert_eq!(status, if why_not.is_none() { 200 } else { 207 }, "{all}");
        assert_eq!(all["gateways"][0]["gateway_id"], "gw-test");
        let row = &all["gateways"][1];
        assert_eq!(row["gateway_id"], "gw-neighbour", "{row}");
        assert_eq!(row["why_not"].as_str(), why_not, "{row}");
        assert_eq!(row["answer"].is_string(), good, "{row}");
        drop(owner);
        scene
            .gateway
            .until("game_gateway_peer_connections", |n| n == 0)
            .await;
    }
}
