//! The watcher's news of a file that is missing, wrong and changed.

use super::*;
use crate::config::Config;
use crate::store::RefusedKind;
use crate::supervision::{ActorId, ActorRegistry, Inspectable, Kind, Receive, Seat, mailbox};
use std::path::Path;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hears what the gateway hears.
struct Ear(Registration, UnboundedSender<RoutesLoaded>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Inspectable for Ear {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.0
    }

    fn detail(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

mailbox!(Ear);

impl Receive<RoutesLoaded> for Ear {
    type Result = ();

    fn receive(&mut self, msg: RoutesLoaded, _: &mut Context<Self>) {
        self.1.send(msg).unwrap();
    }
}

fn watch(file: &Path) -> (Seat<ConfigWatcher>, UnboundedReceiver<RoutesLoaded>) {
    let (tell, heard) = unbounded_channel();
    let actors = ActorRegistry::new(1);
    let id = ActorId {
        kind: Kind::Gateway,
        number: 0,
    };
    let entry = actors.register(id, String::new(), None, None);
    let ear = entry.start(|registration| Ear(registration, tell));
    let mut config = Config::default();
    config.routes.file = file.to_owned();
    let audience = Audience {
        routers: Vec::new(),
        in_force: Arc::default(),
        assignments: None,
        operator: Arc::default(),
        gateway: ear.recipient(),
    };
    let seat = Seat::default();
    launch(
        &Arc::new(config),
        &actors,
        Arc::default(),
        seat.clone(),
        audience,
    );
    (seat, heard)
}

#[actix::test]
async fn what_is_wrong_is_told_with_its_kind_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.json");
    let (watcher, mut heard) = watch(&file);
    let told = heard.recv().await.unwrap();
    assert_eq!(told.error_kind, Some(RefusedKind::Unreadable));
    assert!(told.error_at.is_some() && told.table.is_none());
    std::fs::write(&file, "[]").unwrap();
    watcher.do_send(Reload);
    let mut told = told;
    while told.error_kind != Some(RefusedKind::Mistaken) {
        told = heard.recv().await.unwrap();
    }
    assert!(told.error.as_ref().unwrap().contains("must be an object"));
    assert_eq!((told.unreadable, told.version), (1, 0));
    std::fs::write(&file, r#"{"rules":{}}"#).unwrap();
    watcher.do_send(Reload);
    while told.version == 0 {
        told = heard.recv().await.unwrap();
    }
    assert_eq!(&*told.source, format!("file {}", file.display()));
    assert!(told.watching && told.loaded_at.is_some() && told.error.is_none());
}
