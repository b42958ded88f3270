//! The peer channel between gateways that mean well, when words overtake each other or do not come.

use std::time::Duration;

use game_gateway::codec::link::{Bind, Kind};
use game_gateway::codec::peer::wire::{PeerFrame, Said};
use game_gateway::codec::peer::{ToClaimant, ToOwner};
use game_gateway::net::peer::{self, Secured};
use game_gateway::session::token::{Binding, TokenBody};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::other_gateway::{KEY, farewell, peered};
use crate::stage::{Scene, Ticket, resume, says};
use crate::strangers::{Neighbour, connect, failures, hello, keys, rest};
use crate::support::namespace::{alone, cut};
use crate::support::wire::soon;

const GIVE_UP: Said = Said::ToOwner(ToOwner::GiveUp { stale: false });

fn holds(said: &ToClaimant) -> bool {
    matches!(said, ToClaimant::Holds { epoch: 2, .. })
}

#[test]
fn a_gateway_whose_path_dies_silently_is_gone() {
    let test = "neighbours::a_gateway_whose_path_dies_silently_is_gone";
    alone(test, || async {
        let scene = Scene::start_with(|config| {
            peered(config);
            config.listen.dead_after = Duration::from_secs(1);
        });
        let scene = scene.await;
        let mut neighbour = Neighbour::of(&scene.gateway).await;
        neighbour.ask(1, scene.ticket.session_id ^ 1, 1).await;
        assert_eq!(neighbour.hear().await, (1, ToClaimant::Unknown));
        cut(scene.gateway.peer().port());
        let gone = |n| n == 0;
        (scene.gateway)
            .until("game_gateway_peer_connections", gone)
            .await;
    });
}

#[tokio::test]
async fn who_gives_up_before_the_backend_has_answered_is_promised_nothing() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, id, 1).await;
    // It is not known yet if its backend has taken the OPEN.
    let ping = scene.link.next_raw().await.expect("PING");
    assert_eq!(ping.kind, Kind::Ping as u8);
    neighbour.say(1, id, GIVE_UP).await;
    // Once this is answered, the gateway has taken that too.
    neighbour.ask(2, id ^ 1, 1).await;
    assert_eq!(neighbour.hear().await, (2, ToClaimant::Unknown));
    scene.link.send(Kind::Pong, 0, &ping.payload).await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    neighbour.ask(3, id, 1).await;
    let (call, held) = neighbour.hear().await;
    assert!(call == 3 && holds(&held), "{call}: {held:?}");
}

#[tokio::test]
async fn a_caller_that_is_lost_before_the_backend_has_answered_is_promised_nothing() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, id, 1).await;
    let ping = scene.link.next_raw().await.expect("PING");
    assert_eq!(ping.kind, Kind::Ping as u8);
    drop(neighbour);
    let gone = |n| n == 0;
    (scene.gateway)
        .until("game_gateway_peer_connections", gone)
        .await;
    scene.link.send(Kind::Pong, 0, &ping.payload).await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, id, 1).await;
    let (_, held) = neighbour.hear().await;
    assert!(holds(&held), "{held:?}");
}

#[tokio::test]
async fn who_gives_up_while_the_session_is_looked_for_is_promised_nothing() {
    // The question and what takes it back are read together; the registry is asked in between.
    const TIMES: u64 = 50;
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    for call in 1..=TIMES {
        let ask = Said::ToOwner(ToOwner::Ask { token_epoch: 1 });
        neighbour.say_together(call, id, [ask, GIVE_UP]).await;
    }
    // Once this is answered, the gateway has taken all of that.
    neighbour.ask(TIMES + 1, id ^ 1, 1).await;
    assert_eq!(neighbour.hear().await, (TIMES + 1, ToClaimant::Unknown));
    neighbour.ask(TIMES + 2, id, 1).await;
    // Until now nothing could be promised.
    let ping = scene.link.next_raw().await.expect("PING");
    assert_eq!(ping.kind, Kind::Ping as u8);
    scene.link.send(Kind::Pong, 0, &ping.payload).await;
    let (call, held) = neighbour.hear().await;
    assert!(call == TIMES + 2 && holds(&held), "{call}: {held:?}");
}

#[tokio::test]
async fn a_session_that_ends_answers_who_has_asked() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    neighbour.ask(1, id, 1).await;
    let ping = scene.link.next_raw().await.expect("PING");
    assert_eq!(ping.kind, Kind::Ping as u8);
    farewell(&mut scene.player, 1200).await;
    assert_eq!(neighbour.hear().await, (1, ToClaimant::NotGood));
}

#[tokio::test]
async fn strangers_in_a_crowd_give_way_to_neighbours() {
    const CROWD: usize = 128;
    let scene = Scene::start_with(|config| {
        peered(config);
        config.backend.connect_timeout = Duration::from_secs(60);
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(connect(&scene.gateway).await);
    }
    let mut neighbour = Neighbour::of(&scene.gateway).await;
    failures(&scene.gateway, "crowded", 1).await;
    assert_eq!(rest(crowd.remove(0)).await, b"");
    // An authenticated connection does not count as crowd.
    crowd.push(connect(&scene.gateway).await);
    crowd.push(connect(&scene.gateway).await);
    failures(&scene.gateway, "crowded", 2).await;
    neighbour.ask(1, 1, 1).await;
    assert_eq!(neighbour.hear().await, (1, ToClaimant::Unknown));
}

/// A gateway that others are told to ask, in the hands of the test.
pub(crate) struct Owner {
    stream: TcpStream,
    secured: Secured,
}

impl Owner {
    pub(crate) async fn answer(listener: &TcpListener) -> Owner {
        let (mut stream, _) = soon(listener.accept()).await.expect("dialled");
        let keys = keys(KEY);
        let shaken = soon(peer::answer(&mut stream, &keys, hello(&keys))).await;
        let secured = shaken.expect("a neighbour");
        assert_eq!(secured.other.gateway, "gw-test");
        Owner { stream, secured }
    }

    /// Waits until the gateway has closed the connection.
    pub(crate) async fn gone(self) {
        rest(self.stream).await;
    }

    pub(crate) async fn hear(&mut self) -> PeerFrame {
        let plain = soon(self.secured.opener.read(&mut self.stream)).await;
        let plain = plain.expect("a frame");
        PeerFrame::decode(&plain).expect("a frame")
    }

    pub(crate) async fn say(&mut self, to: PeerFrame, said: ToClaimant) {
        self.reply(to, Said::ToClaimant(said)).await;
    }

    pub(crate) async fn reply(&mut self, to: PeerFrame, said: Said) {
        let record = self.secured.sealer.seal(&PeerFrame { said, ..to }.encode());
        self.stream.write_all(&record).await.expect("written");
    }
}

/// Returns a token that names this address as the owner of the session.
pub(crate) fn ticket(
    session_id: u64,
    owner: &TcpListener,
    backend: std::net::SocketAddr,
) -> Ticket {
    let token = keys(KEY).seal(&TokenBody {
        session_id,
        epoch: 1,
        bound: Bind::default(),
        newest: Bind::default(),
        bindings: vec![Binding {
            service: "game".into(),
            endpoint: backend,
        }],
        owner: "gw-neighbour".into(),
        peer: owner.local_addr().expect("bound").to_string(),
        assigned: Vec::new(),
        expires: u64::MAX,
    });
    Ticket { session_id, token }
}

#[tokio::test]
async fn a_question_without_an_answer_does_not_cost_the_connection() {
    const ASK: Said = Said::ToOwner(ToOwner::Ask { token_epoch: 1 });
    let scene = Scene::start_with(|config| {
        peered(config);
        config.backend.connect_timeout = Duration::from_secs(1);
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let nowhere = ([127, 0, 0, 1], 1).into();
    let mut first = resume(&scene.gateway, &ticket(11, &listener, nowhere), 0).await;
    let mut owner = Owner::answer(&listener).await;
    let asked = owner.hear().await;
    assert_eq!((asked.session_id, asked.said), (11, ASK));
    // It is not answered, so the gateway asks for what nobody has: is anybody there?
    let probe = owner.hear().await;
    let nothing = ToOwner::Ask { token_epoch: 0 };
    assert_eq!(
        (probe.session_id, &probe.said),
        (0, &Said::ToOwner(nothing))
    );
    owner.say(probe, ToClaimant::Unknown).await;
    assert_eq!(first.closed().await.0, 410);
    // The connection carries the next question.
    let mut second = resume(&scene.gateway, &ticket(12, &listener, nowhere), 0).await;
    let asked = owner.hear().await;
    assert_eq!((asked.session_id, &asked.said), (12, &ASK));
    owner.say(asked, ToClaimant::NotGood).await;
    assert_eq!(second.closed().await.0, 410);
    for end in ["given_up", "not_good"] {
        let name = format!("game_gateway_peer_calls_ended_total{{reason=\"{end}\"}}");
        scene.gateway.until(&name, |n| n == 1).await;
    }
}

#[tokio::test]
async fn a_gateway_that_says_nothing_at_all_is_lost() {
    let scene = Scene::start_with(|config| {
        peered(config);
        config.backend.connect_timeout = Duration::from_secs(1);
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let nowhere = ([127, 0, 0, 1], 1).into();
    let mut player = resume(&scene.gateway, &ticket(11, &listener, nowhere), 0).await;
    let owner = Owner::answer(&listener).await;
    // Nobody has the session, and no backend can be asked.
    assert_eq!(player.closed().await.0, 410);
    let said = rest(owner.stream).await;
    assert!(!said.is_empty(), "the question");
}
