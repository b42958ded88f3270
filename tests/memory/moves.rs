//! Sessions that are moved, each with the largest state, to a backend that reads nothing.

use game_gateway::codec::link::{Features, Kind, MAX_STATE_BYTES, Open, Transfer};

use crate::stage::Served;
use crate::support::wire::Backend;

const PLAYERS: usize = 200;
const SETTINGS: &str = "limits.memory = \"8MiB\"\nbackend.connect_timeout = \"1s\"\n\
    backend.probe_interval = \"0s\"\nsession.idle_timeout = \"1h\"";

#[tokio::test]
async fn states_that_nobody_takes() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let assignable = r#""assignable":["127.0.0.0/8"],"strategy""#;
    let routes = old.routes().replacen(r#""strategy""#, assignable, 1);
    let served = Served::start_with(SETTINGS, old, &routes);
    let (mut link, players) = served.sessions(PLAYERS).await;
    let features = Features { transfer: true }.encode();
    link.send(Kind::Features, 0, &features).await;
    let (endpoint, mut transfer) = (new.address.to_string(), Vec::new());
    let endpoint = endpoint.as_str();
    Transfer { endpoint }.encode(&mut transfer);
    for (_, session_id) in &players {
        link.send(Kind::Transfer, *session_id, &transfer).await;
    }
    let mut parting = 307_u16.to_be_bytes().to_vec();
    parting.resize(parting.len() + 4 + MAX_STATE_BYTES, 0);
    // Those to the new backend are greeted, and not read.
    let (mut unread, mut answered) = (Vec::new(), 0);
    while answered < PLAYERS {
        let frame = tokio::select! {
            link = new.link() => {
                unread.push(link);
                continue;
            }
            frame = link.next() => frame.expect("a frame"),
        };
        let id = frame.session_id;
        if frame.kind == Kind::Close as u8 {
            link.send(Kind::Close, id, &parting).await;
        } else if frame.kind == Kind::Open as u8 {
            let open = Open::decode(&frame.payload).expect("a payload");
            link.send(Kind::Accept, id, &open.epoch.to_be_bytes()).await;
        } else {
            assert_eq!(frame.kind, Kind::Moved as u8, "{frame:?}");
            assert_ne!(&frame.payload[..], [0, 0]);
            answered += 1;
        }
    }
    assert!(!unread.is_empty());
    served.assert_never_over("states").await;
    // Nobody has paid for it.
    for figure in ["ended_queues", "ended_sessions"] {
        let name = format!("game_gateway_memory_{figure}_total");
        assert_eq!(served.metric(&name).await, 0, "{figure}");
    }
    assert_eq!(served.metric("game_gateway_sessions").await, PLAYERS as u64);
}
