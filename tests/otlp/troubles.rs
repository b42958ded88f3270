//! A collector that is slow, gone, or does not want what it gets.

use std::time::Duration;

use tokio::net::TcpSocket;

use crate::collector::{Collector, Reply};
use crate::sessions::farewell;
use crate::stage::{Scene, says};
use crate::support::address;
use crate::support::wire::soon;

const SENT: &str = "game_gateway_otlp_sent_spans_total";
const REFUSED: &str = "game_gateway_otlp_dropped_spans_total{reason=\"refused\"}";
const FAILURES: &str = "game_gateway_otlp_failures_total";
const ID: &str = "gw-test";

#[tokio::test]
async fn what_could_not_be_sent_is_sent_again() {
    let mut collector = Collector::replying(&[Reply::Status(503), Reply::Status(429)]).await;
    let mut scene = Scene::start_with(|config| collector.configure(config)).await;
    farewell(&mut scene.player).await;
    collector.until(ID, "session").await;
    assert!(collector.has_replied());
    assert_eq!(
        collector.names(),
        ["connect", "first_answer", "open", "route", "session"]
    );
    scene.gateway.until(SENT, |sent| sent == 5).await;
    assert_eq!(scene.gateway.metric(FAILURES).await, 2);
    assert_eq!(scene.gateway.metric(REFUSED).await, 0);
}

#[tokio::test]
async fn a_collector_that_comes_late_misses_nothing() {
    // The port is taken, and nobody listens on it.
    let place = TcpSocket::new_v4().expect("a socket");
    place.bind(address::own()).expect("a port");
    let url = format!("http://{}", place.local_addr().expect("an address"));
    let mut scene = Scene::start_with(|config| {
        Collector::configure_for(&url, config);
    })
    .await;
    farewell(&mut scene.player).await;
    scene.gateway.until(FAILURES, |failures| failures > 0).await;
    let mut collector = Collector::on(place.listen(16).expect("it listens"), &[]);
    collector.until(ID, "session").await;
    assert!(collector.find(ID, "connect").is_some());
}

#[tokio::test]
async fn what_the_collector_does_not_want_is_counted_and_the_rest_goes_on() {
    let mut collector = Collector::replying(&[Reply::Status(400)]).await;
    let mut scene = Scene::start_with(|config| collector.configure(config)).await;
    scene.gateway.until(REFUSED, |refused| refused > 0).await;
    assert_eq!(scene.gateway.metric(FAILURES).await, 1);
    farewell(&mut scene.player).await;
    collector.until(ID, "session").await;
}

#[tokio::test]
async fn spans_that_the_collector_takes_only_in_part_are_counted() {
    let mut collector = Collector::replying(&[Reply::Rejects(1)]).await;
    let scene = Scene::start_with(|config| collector.configure(config)).await;
    collector.request().await;
    scene.gateway.until(REFUSED, |refused| refused == 1).await;
    assert_eq!(scene.gateway.metric(FAILURES).await, 0);
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_hangs() {
    let collector = Collector::replying(&[Reply::Never; 16]).await;
    let mut scene = Scene::start_with(|config| {
        collector.configure(config);
        config.otlp.timeout = Duration::from_secs(3600);
        config.drain.window = Duration::ZERO;
    })
    .await;
    for n in 0..50 {
        let text = n.to_string();
        scene.send(&text).await;
        says(&mut scene.player, &text).await;
    }
    farewell(&mut scene.player).await;
    scene.link.closed().await;
    // It ends all the same, after a moment for the last spans.
    scene.gateway.drain();
    soon(scene.gateway.ended()).await;
}
