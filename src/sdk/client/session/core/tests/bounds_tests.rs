//! Waits, PINGs and limits.

use super::*;

#[test]
fn waits_are_random_double_and_begin_anew_with_a_session() {
    let mut script = Script::started();
    script.loses(0, &["disconnect 0", "tell Interrupted"]);
    let mut longest = 2_000;
    for conn in 1..=6 {
        let wait = script.core.deadline().unwrap() - script.now;
        assert!(wait <= longest, "{wait}");
        longest = (longest * 2).min(30_000);
        script.now += wait;
        script.timer(&[&format!("connect {conn}")]);
        let failed = format!("disconnect {conn}");
        script.does(|core, now| core.connect_failed(now, conn), &[&failed]);
    }
    script.now = 119_999;
    script.timer(&["connect 7"]);
    script.now = 120_000;
    script.timer(&["disconnect 7", "tell Ended(GaveUp)"]);
}

#[test]
fn pings_keep_alive_acknowledge_and_find_dead_connections() {
    let mut script = Script::started();
    script.send("b", &["send 0 Data b"]);
    assert_eq!(script.core.deadline(), Some(5_000));
    script.now = 5_000;
    script.timer(&["send 0 Ping 2"]);
    script.hears(0, plain(Kind::Pong, 0, &2_u64.to_be_bytes()), &[]);
    // A third of what the gateway tolerates.
    assert_eq!(script.core.deadline(), Some(15_000));
    script.now = 15_000;
    script.timer(&["send 0 Ping 2"]);
    script.now = 24_999;
    script.timer(&[]);
    script.now = 25_000;
    script.timer(&["disconnect 0", "tell Interrupted"]);
    script.now += LATER;
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connected(now, 1), &["send 1 Resume 0 t1"]);
    let resumed = ["tell Resumed { gap: false, unknown: 0 }"];
    script.hears(1, opened(2, "t2", 0), &resumed);
    script.hears(1, plain(Kind::Ping, 0, b"hi"), &["send 1 Pong hi"]);
}

/// Plays with a gateway that tolerates five minutes of silence.
fn tolerant() -> Script {
    let mut script = Script::started();
    let mut payload = Vec::new();
    Opened {
        received: 1,
        idle_timeout_ms: 300_000,
        token: b"t1",
    }
    .encode(&mut payload);
    script.core.idle_timeout = 0;
    if let State::InUse { line, .. } = &mut script.core.state {
        line.ping_at = None;
    }
    script.hears(0, plain(Kind::Opened, 0, &payload), &[]);
    script
}

fn pong(mark: u64) -> ClientFrame {
    plain(Kind::Pong, 0, &mark.to_be_bytes())
}

const DEAD: [&str; 2] = ["disconnect 0", "tell Interrupted"];

#[test]
fn a_path_that_is_silent_while_something_is_awaited_is_dead_after_ten_seconds() {
    let mut script = tolerant();
    script.now = 14_000;
    script.send("b", &["send 0 Data b"]);
    script.now = 19_000;
    script.timer(&["send 0 Ping 2"]);
    script.now = 23_999;
    script.timer(&[]);
    script.now = 24_000;
    script.timer(&DEAD);
}

#[test]
fn whatever_is_heard_is_a_sign_of_life() {
    let mut script = tolerant();
    script.send("b", &["send 0 Data b"]);
    for second in [4, 8, 12, 16] {
        script.now = second * 1000;
        script.timer(&[]);
        script.hears(0, data("x"), &["tell Data x"]);
    }
    script.now = 21_000;
    script.timer(&["send 0 Ping 2"]);
    // The gateway holds the client back.
    for second in [22, 27, 32, 37] {
        script.now = second * 1000;
        script.hears(0, plain(Kind::Pong, 0, b""), &[]);
        script.timer(&[]);
    }
    script.now = 42_000;
    script.timer(&["send 0 Ping 2"]);
    script.now = 47_000;
    script.timer(&DEAD);
}

#[test]
fn an_idle_path_is_asked_after_fifteen_seconds() {
    let mut script = tolerant();
    assert_eq!(script.core.deadline(), Some(15_000));
    script.now = 15_000;
    script.timer(&["send 0 Ping 1"]);
    script.hears(0, pong(1), &[]);
    assert_eq!(script.core.deadline(), Some(30_000));
    script.now = 30_000;
    script.timer(&["send 0 Ping 1"]);
    script.now = 40_000;
    script.timer(&DEAD);
}

#[test]
fn silence_of_ones_own_is_no_sign_of_death() {
    let mut script = tolerant();
    script.send("b", &["send 0 Data b"]);
    // The application did not listen, so nothing was read.
    script.now = 60_000;
    script.core.was_deaf(60_000);
    script.timer(&[]);
    script.now = 65_000;
    script.timer(&["send 0 Ping 2"]);
    script.hears(0, goaway(2_000), &[]);
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connected(now, 1), &["send 1 Resume 0 t1"]);
    // While RESUME waits, nothing is awaited on the connection that is being left.
    script.now = 74_000;
    script.timer(&[]);
    script.hears(1, plain(Kind::Pong, 0, b""), &[]);
    script.now = 83_000;
    script.timer(&[]);
    script.hears(1, close(Code::UNAVAILABLE, 60_000), &["disconnect 1"]);
    script.now = 87_999;
    script.timer(&[]);
    script.now = 88_000;
    script.timer(&["send 0 Ping 2"]);
}

#[test]
fn a_resume_waits_for_a_gateway_that_lives_but_not_for_ever() {
    let gives_up = ["disconnect 0", "tell Interrupted", "disconnect 1"];
    let mut script = Script::moving();
    script.now = 10_000;
    script.timer(&gives_up);
    let mut script = Script::moving();
    for second in [5, 10, 15, 20, 25] {
        script.now = second * 1000;
        script.hears(1, plain(Kind::Pong, 0, b""), &[]);
        script.timer(&[]);
    }
    script.now = 30_000;
    script.timer(&gives_up);
}

#[test]
fn a_slow_path_is_not_silent_for_as_long_as_all_of_it_takes() {
    let mut script = tolerant();
    let (to, payload) = (Outgoing::to("game"), vec![7; 10_000]);
    for _ in 0..14 {
        script.core.send(0, &to, &payload);
        script.core.wrote(0, 0, 10_036);
    }
    let mut kinds = Vec::new();
    while let Some(Effect::Send(0, bytes)) = script.core.next_effect() {
        kinds.push(bytes[3]);
    }
    let (data, ping) = (Kind::Data as u8, Kind::Ping as u8);
    let some = [vec![data; 7], vec![ping]].concat();
    assert_eq!(kinds, [some.clone(), some].concat());
}

#[test]
fn little_is_kept_and_queued() {
    let mut script = Script::new(SessionOptions {
        max_kept: 100_000,
        ..SessionOptions::default()
    });
    script.timer(&["connect 0"]);
    script.does(|core, now| core.connected(now, 0), &[]);
    let (to, payload) = (Outgoing::to("game"), vec![7; 10_000]);
    let mut sent = 0;
    while script.core.takes_data() {
        script.core.send(0, &to, &payload);
        sent += 1;
    }
    assert_eq!(sent, 10);
    let frames = |script: &mut Script| {
        let mut lengths = Vec::new();
        while let Some(effect) = script.core.next_effect() {
            match effect {
                Effect::Send(0, bytes) => lengths.push(bytes.len()),
                other => panic!("{other:?}"),
            }
        }
        lengths
    };
    let data = client::HEADER_LEN + "game".len() + payload.len();
    let (full, ping) = ([data; 5], client::HEADER_LEN + 8);
    // A PING as soon as more than half is kept.
    let mut expected = full.to_vec();
    expected.extend([ping, data, data]);
    assert_eq!(frames(&mut script), expected);
    script.core.wrote(0, 0, 7 * data + ping);
    assert_eq!(frames(&mut script), [data; 3]);
    let mark = 6_u64.to_be_bytes();
    script.core.received(0, 0, plain(Kind::Pong, 0, &mark));
    assert!(script.core.takes_data());
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    let waits = |seed| {
        let mut core = SessionCore::new(SessionOptions::default(), seed, 0);
        core.timer(0);
        let mut waits = Vec::new();
        for conn in 0..8 {
            core.connect_failed(0, conn);
            waits.push(core.deadline());
            core.timer(waits[conn as usize].unwrap());
            core.timer(0);
        }
        waits
    };
    assert_eq!(waits(5), waits(5));
    assert_ne!(waits(5), waits(6));
}
