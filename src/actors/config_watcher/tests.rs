//! A watcher of a file, and one that goes on where it ended.

use super::*;
use std::path::Path;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hears what the gateway and a router hear, in the order in which it was said.
struct Ear(UnboundedSender<Heard>);

enum Heard {
    Loaded(Box<RoutesLoaded>),
    Changed(u64),
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<RoutesLoaded> for Ear {
    type Result = ();

    fn handle(&mut self, msg: RoutesLoaded, _: &mut Context<Self>) {
        self.0.send(Heard::Loaded(Box::new(msg))).unwrap();
    }
}

impl Handler<RoutesChanged> for Ear {
    type Result = ();

    fn handle(&mut self, msg: RoutesChanged, _: &mut Context<Self>) {
        self.0.send(Heard::Changed(msg.0.version())).unwrap();
    }
}

fn watcher(file: &Path) -> (ConfigWatcher, UnboundedReceiver<Heard>) {
    let (tell, heard) = unbounded_channel();
    let ear = Ear(tell).start();
    let mut config = Config::default();
    config.routes.file = file.to_owned();
    let routers = vec![ear.clone().recipient()];
    let watcher = ConfigWatcher::new(&config, routers, ear.recipient());
    (watcher, heard)
}

/// The versions that routers were given until the gateway was told, and what it was told.
async fn next_told(heard: &mut UnboundedReceiver<Heard>) -> (Vec<u64>, RoutesLoaded) {
    let mut changed = Vec::new();
    loop {
        match heard.recv().await.unwrap() {
            Heard::Changed(version) => changed.push(version),
            Heard::Loaded(told) => return (changed, *told),
        }
    }
}

#[actix::test]
async fn a_second_watcher_goes_on_where_the_first_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.json");
    let rule = |port: u16| {
        format!(
            r#"{{"rules":{{"a":{{"strategy":"round_robin","endpoints":["127.0.0.1:{port}"]}}}}}}"#
        )
    };
    std::fs::write(&file, rule(1)).unwrap();
    let (first, mut heard) = watcher(&file);
    first.start();
    let (changed, told) = next_told(&mut heard).await;
    assert_eq!((changed, told.version, told.services), (vec![1], 1, 1));
    assert_eq!(&*told.source, format!("file {}", file.display()));
    assert!(told.watching && told.loaded_at.is_some() && told.error.is_none());

    let (second, mut heard) = watcher(&file);
    let second = second.resuming(told).start();
    let (changed, told) = next_told(&mut heard).await;
    assert_eq!((changed, told.version, told.loads), (vec![], 1, 2));

    std::fs::write(&file, rule(2)).unwrap();
    second.do_send(Reload);
    let mut versions = Vec::new();
    while versions.is_empty() {
        versions = next_told(&mut heard).await.0;
    }
    assert_eq!(versions, [2]);
}

#[actix::test]
async fn what_is_wrong_is_told_with_its_kind_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.json");
    let (watcher, mut heard) = watcher(&file);
    let watcher = watcher.start();
    let (_, told) = next_told(&mut heard).await;
    assert_eq!(told.error_kind, Some(RefusedKind::Unreadable));
    assert!(told.error_at.is_some() && told.table.is_none());
    std::fs::write(&file, "[]").unwrap();
    watcher.do_send(Reload);
    let mut told = told;
    while told.error_kind != Some(RefusedKind::Mistaken) {
        told = next_told(&mut heard).await.1;
    }
    assert!(told.error.unwrap().contains("must be an object"));
    assert_eq!((told.unreadable, told.version), (1, 0));
}
