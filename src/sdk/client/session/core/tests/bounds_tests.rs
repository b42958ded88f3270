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
    assert_eq!(script.core.deadline(), Some(10_000));
    script.now = 10_000;
    script.timer(&["send 0 Ping 2"]);
    script.hears(0, plain(Kind::Pong, 0, &2_u64.to_be_bytes()), &[]);
    script.now = 20_000;
    script.timer(&["send 0 Ping 2"]);
    script.now = 30_000;
    script.timer(&["disconnect 0", "tell Interrupted"]);
    script.now += LATER;
    script.timer(&["connect 1"]);
    script.does(|core, now| core.connected(now, 1), &["send 1 Resume 0 t1"]);
    let resumed = ["tell Resumed { gap: false, unknown: 0 }"];
    script.hears(1, opened(2, "t2", 0), &resumed);
    script.hears(1, plain(Kind::Ping, 0, b"hi"), &["send 1 Pong hi"]);
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
