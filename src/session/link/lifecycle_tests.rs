use super::*;

const MS: Duration = Duration::from_millis(1);
const INTERVAL: Duration = Duration::from_secs(5);

/// Lets an interval pass.
fn tick(link: &mut Lifecycle, now: &mut Instant) -> Tick {
    *now += INTERVAL;
    link.tick(*now, INTERVAL)
}

fn ready() -> (Lifecycle, Instant) {
    let (mut link, now) = (Lifecycle::default(), Instant::now());
    link.connected(now);
    assert_eq!(link.pong(now + MS), Some((Pong::Ready, MS)));
    (link, now)
}

#[test]
fn a_link_that_answers_lives_and_three_missing_pongs_end_it() {
    let (mut link, mut now) = (Lifecycle::default(), Instant::now());
    assert!(link.is_starting());
    assert_eq!(tick(&mut link, &mut now), Tick::Wait);
    link.connected(now);
    assert_eq!(tick(&mut link, &mut now), Tick::Wait);
    assert!(link.is_starting() && !link.was_ready());
    assert_eq!(
        link.pong(now + 2 * MS),
        Some((Pong::Ready, INTERVAL + 2 * MS))
    );
    assert!(!link.is_starting() && link.was_ready());
    for _ in 0..10 {
        assert_eq!(tick(&mut link, &mut now), Tick::Ping);
        assert_eq!(link.oldest_ping(), Some(now));
        assert_eq!(tick(&mut link, &mut now), Tick::Suspect);
        assert!(link.heard(), "it was suspect");
        let late = Some((Pong::Alive, INTERVAL + MS));
        assert_eq!(link.pong(now + MS), late);
        assert_eq!(link.oldest_ping(), Some(now));
        assert!(!link.heard());
        assert_eq!(link.pong(now + 2 * MS), Some((Pong::Alive, 2 * MS)));
        assert_eq!(link.oldest_ping(), None);
    }
    let ticks = [Tick::Ping, Tick::Suspect, Tick::Ping, Tick::Lost];
    assert_eq!(ticks.map(|_| tick(&mut link, &mut now)), ticks);
    link.end(LinkEnd::PingTimeout);
    assert_eq!(link.reason(), Some(LinkEnd::PingTimeout));
    assert!(link.was_ready());
}

#[test]
fn whatever_comes_is_a_sign_of_life_however_late_the_pongs_are() {
    let (mut link, mut now) = ready();
    let first = now + INTERVAL;
    for _ in 0..MISSING_PONGS {
        assert_eq!(tick(&mut link, &mut now), Tick::Ping);
        assert!(!link.heard());
    }
    for _ in 1..100 {
        assert_eq!(tick(&mut link, &mut now), Tick::Wait);
        assert!(!link.heard());
    }
    assert_eq!(link.oldest_ping(), Some(first));
    // It stands still for good.
    let ticks = [Tick::Wait, Tick::Suspect, Tick::Ping, Tick::Lost];
    assert_eq!(ticks.map(|_| tick(&mut link, &mut now)), ticks);
}

#[test]
fn a_pause_of_the_gateway_is_no_silence_of_its_backends() {
    let (mut link, mut now) = ready();
    assert_eq!(tick(&mut link, &mut now), Tick::Ping);
    now += 10 * INTERVAL;
    // The clock makes up for what it has missed.
    let ticks = [Tick::Ping, Tick::Wait, Tick::Wait, Tick::Wait];
    assert_eq!(ticks.map(|_| link.tick(now, INTERVAL)), ticks);
    assert!(!link.heard());
    let ticks = [Tick::Ping, Tick::Suspect, Tick::Ping, Tick::Lost];
    assert_eq!(ticks.map(|_| tick(&mut link, &mut now)), ticks);
}

#[test]
fn a_pong_that_answers_no_ping_says_nothing() {
    let (mut link, mut now) = ready();
    assert_eq!(link.pong(now + 9 * MS), None);
    assert_eq!(tick(&mut link, &mut now), Tick::Ping);
    assert_eq!(link.pong(now + MS), Some((Pong::Alive, MS)));
}

#[test]
fn goaway_leaves_what_is_there_and_missing_pongs_still_count() {
    let (mut link, mut now) = ready();
    assert_eq!(tick(&mut link, &mut now), Tick::Ping);
    assert!(link.goaway());
    assert_eq!(link.phase(), Phase::Leaving);
    assert!(!link.is_ending());
    let ticks = [Tick::Suspect, Tick::Ping, Tick::Lost];
    assert_eq!(ticks.map(|_| tick(&mut link, &mut now)), ticks);
}

#[test]
fn goaway_before_the_first_pong_counts_behind_it() {
    let (mut link, now) = (Lifecycle::default(), Instant::now());
    link.connected(now);
    assert!(!link.goaway());
    assert_eq!(link.phase(), Phase::Connecting);
    assert_eq!(
        link.pong(now),
        Some((Pong::ReadyAndLeaving, Duration::ZERO))
    );
    assert_eq!(link.phase(), Phase::Leaving);
}

#[test]
fn a_link_that_is_to_quit_writes_then_shuts_down_once() {
    let (mut link, now) = ready();
    assert!(!link.written());
    assert_eq!(link.quit(LinkEnd::Idle), Quitting::WhenWritten);
    assert!(link.is_ending());
    assert_eq!(link.tick(now, INTERVAL), Tick::Wait);
    assert_eq!(link.pong(now), None);
    assert!(link.written());
    link.fin_sent();
    assert!(!link.written());
    // A second order changes nothing, and the first reason counts.
    assert_eq!(link.quit(LinkEnd::ShutDown), Quitting::WhenWritten);
    assert!(!link.written());
    link.end(LinkEnd::PeerClosed);
    assert_eq!(link.reason(), Some(LinkEnd::Idle));
    assert!(link.was_ready());
}

#[test]
fn a_link_that_is_not_connected_quits_at_once() {
    let mut link = Lifecycle::default();
    assert_eq!(link.quit(LinkEnd::ShutDown), Quitting::AtOnce);
    link.connected(Instant::now());
    assert_eq!(link.reason(), Some(LinkEnd::ShutDown));
    assert!(!link.was_ready() && !link.is_starting());
}
