//! What one of each kind holds at most, at default configuration, as docs/operations.md says.

use game_gateway::codec::link::{self, Kind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http;
use crate::rings::Resumable;
use crate::stage::{MIB, Served};
use crate::support::frames::data;
use crate::support::wire::{Backend, Link, Player, soon};

const KIB: u64 = 1024;
const FRAME: usize = 60_000;
/// `listen.max_payload`.
const LARGEST: usize = 64 * 1024;
/// `backend.max_link_payload`.
const LARGEST_OF_LINKS: usize = 16 * 1024 * 1024;

struct Stage {
    served: Served,
    figures: Vec<(&'static str, u64, u64)>,
}

impl Stage {
    async fn held(&self, part: &str) -> u64 {
        let memory = self.served.json("/api/v1/memory").await;
        memory["parts"][part].as_u64().expect("a number")
    }

    /// Waits until a part holds at least so much; notes what it holds then beside the documented bound.
    async fn note(&mut self, part: &'static str, least: u64, bound: u64) {
        let held = soon(async {
            loop {
                let held = self.held(part).await;
                if held >= least {
                    return held;
                }
            }
        });
        let held = held.await;
        self.figures.push((part, held, bound));
    }

    /// A player who can resume, and leaves; returns the link.
    async fn sessions(&mut self) -> Link {
        let mut link = None;
        let mut resumable = Resumable::start(&self.served, &mut link).await;
        let mut link = link.expect("a link");
        for _ in 0..8 {
            let frame = vec![7; 16 * 1024];
            link.send(Kind::Data, resumable.session_id, &frame).await;
            resumable.take().await;
        }
        self.note("replay", 60 * KIB, 64 * KIB).await;
        resumable.leave();
        self.note("suspended", 1, 2 * KIB).await;
        link
    }

    /// A player who does not read, and a backend that has begun the largest frame for it.
    async fn slow_reader(&mut self, link: &mut Link) {
        let mut slow = Player::connect_narrow(self.served.players).await;
        slow.data("game", b"hello").await;
        let slow_id = link.next_open().await;
        link.data().await;
        let mut frame = Vec::new();
        link::encode(&mut frame, Kind::Data, slow_id, &[7; FRAME]);
        while self.held("client_queues").await < 960 * KIB {
            link.raw(&frame).await;
        }
        self.note("client_queues", 960 * KIB, 2 * MIB).await;
        let mut large = Vec::new();
        link::encode(&mut large, Kind::Data, slow_id, &vec![7; LARGEST_OF_LINKS]);
        let (last, most) = large.split_last().expect("bytes");
        link.raw(most).await;
        self.note("link_input", 16 * MIB, 16 * MIB + 2 * 64 * KIB)
            .await;
        // What was needed for it does not stay.
        link.raw(&[*last]).await;
        soon(async {
            while self.held("link_input").await > 4 * 64 * KIB {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// All but a byte of the largest frame and the largest body.
    async fn parts(&mut self) {
        let begun = data("game", &[7; LARGEST]);
        let mut part = self.connect().await;
        soon(part.write_all(&begun[..begun.len() - 1]))
            .await
            .expect("sent");
        self.note("client_input", 64 * KIB, 128 * KIB).await;
        let mut body = http::post(&self.served, LARGEST).await;
        soon(body.write_all(&[7; LARGEST - 1])).await.expect("sent");
        // Buffers grow by what has come, so this may be all of it to the byte.
        self.note("http", 64 * KIB - 1, 128 * KIB).await;
    }

    /// Players of a backend that reads nothing.
    async fn stuck_link(&mut self, backend: Backend) {
        let mut feeders = Vec::new();
        for _ in 0..8 {
            let mut feeder = self.connect().await;
            soon(feeder.write_all(&data("stuck", b"hello")))
                .await
                .expect("sent");
            feeders.push(feeder);
        }
        let _link = backend.link().await;
        let frames = data("", &[7; FRAME]).repeat(100);
        self.served.send_all(&mut feeders, &frames).await;
        let bound = 2 * (MIB + 64 * KIB);
        self.note("link_queues", 960 * KIB, bound).await;
    }

    async fn connect(&self) -> TcpStream {
        let socket = soon(TcpStream::connect(self.served.players)).await;
        socket.expect("connected")
    }
}

#[tokio::test]
async fn one_of_each_holds_no_more_than_is_documented() {
    let (stuck, good) = (Backend::start_narrow().await, Backend::start().await);
    let rules = format!(
        "{{\"rules\": {{\"game\": {}, \"stuck\": {}}}}}",
        Backend::rule(&[&good]),
        Backend::rule(&[&stuck])
    );
    let settings = "session.idle_timeout = \"1h\"\nlisten.sniff_timeout = \"1h\"\n\
                    listen.http.timeout = \"1h\"";
    let served = Served::start_with(settings, good, &rules);
    let mut stage = Stage {
        served,
        figures: Vec::new(),
    };
    let mut link = stage.sessions().await;
    stage.parts().await;
    stage.stuck_link(stuck).await;
    stage.slow_reader(&mut link).await;
    for (part, held, bound) in stage.figures {
        println!("{part}: {held} bytes held, bound {bound}");
        assert!(held <= bound, "{part}: {held} of {bound}");
    }
}
