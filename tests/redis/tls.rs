//! Redis over TLS, with an authority of one's own.

use crate::stage::{
    game_at, named, notify, ready, set_rules, unready, until_at, until_ready_says, visit,
    wait_for_subscriber,
};
use crate::support::redis::{Certificates, RedisServer};

#[tokio::test]
async fn tls_with_an_own_authority() {
    let (a, b) = (named("a").await, named("b").await);
    let certificates = Certificates::make();
    let redis = RedisServer::start_with_tls(&certificates);
    set_rules(&redis, &game_at(a));
    let url = format!("rediss://127.0.0.1:{}/0", redis.tls_port);
    let ca = certificates.ca.display().to_string();
    let gateway = ready(&url, &[("redis.ca", &ca)]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    wait_for_subscriber(&redis);
    set_rules(&redis, &game_at(b));
    assert_eq!(notify(&redis), 1);
    until_at(&gateway, "b").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let redis = RedisServer::start_with_tls(&Certificates::make());
    let url = format!("rediss://127.0.0.1:{}/0", redis.tls_port);
    let other = Certificates::make();
    let ca = other.ca.display().to_string();
    // Without `redis.ca` the system's CAs are trusted, and this one is not among them.
    for more in [&[("redis.ca", ca.as_str())][..], &[]] {
        let gateway = unready(&url, more);
        let (status, body) = until_ready_says(&gateway, "certificate").await;
        assert_eq!(status, 503, "{body}");
    }
}

#[tokio::test]
async fn tls_to_a_port_that_does_not_speak_it() {
    let redis = RedisServer::start();
    let url = redis.url().replace("redis:", "rediss:");
    let gateway = unready(&url, &[("redis.timeout", "300ms")]);
    // To such a server a greeting of TLS is the beginning of a long command.
    let (status, body) = until_ready_says(&gateway, "timed out after").await;
    assert_eq!(status, 503);
    assert!(body.contains(&redis.port.to_string()), "{body}");
}
