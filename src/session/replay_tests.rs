//! The replay ring against a naive model that never forgets.

use proptest::prelude::*;

use super::*;
use crate::codec::client::{Header, encode};

fn frame_of(kind: Kind, number: usize, payload: usize) -> Vec<u8> {
    let header = Header {
        kind: kind as u8,
        session_id: number as u64,
        ..Header::default()
    };
    let mut out = Vec::new();
    encode(&mut out, &header, "game", &vec![number as u8; payload]);
    out
}

fn data(number: usize, payload: usize) -> Vec<u8> {
    frame_of(Kind::Data, number, payload)
}

fn glue(lacking: &Lacking<'_>) -> Vec<u8> {
    [lacking.bytes.0, lacking.bytes.1].concat()
}

/// Everything that was ever pushed, and from where on it would still be held.
#[derive(Debug, Default)]
struct Model {
    frames: Vec<(bool, Vec<u8>)>,
    start: usize,
}

impl Model {
    fn fit(&mut self, limit: usize) {
        let held = |start: usize| {
            self.frames[start..]
                .iter()
                .map(|f| f.1.len())
                .sum::<usize>()
        };
        while held(self.start) > limit {
            self.start += 1;
        }
    }

    fn since(&self, count: u64) -> (bool, u64, Vec<u8>) {
        let sent = self.frames.iter().filter(|f| f.0).count() as u64;
        let mut passed = 0;
        // Behind the DATA with that number.
        let next = self.frames.iter().position(|f| {
            let behind = passed >= count.min(sent);
            passed += u64::from(f.0);
            behind
        });
        let next = next.unwrap_or(self.frames.len());
        let lacking = &self.frames[next.max(self.start)..];
        let frames = lacking.iter().filter(|f| f.0).count() as u64;
        let bytes = lacking.iter().flat_map(|f| f.1.clone()).collect();
        (count > sent || next < self.start, frames, bytes)
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Payloads of frames that come together; the last one's comes apart, where that is true.
    Push(Vec<usize>, bool),
    Notice(usize),
    Limit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (proptest::collection::vec(0_usize..300, 1..6), any::<bool>()).prop_map(|(p, t)| Step::Push(p, t)),
        2 => (0_usize..60).prop_map(Step::Notice),
        1 => (0_usize..2000).prop_map(Step::Limit),
    ]
}

proptest! {
    #[test]
    fn as_the_model(steps in proptest::collection::vec(step(), 0..60), mut limit in 0_usize..2000) {
        let (mut ring, mut model, mut number) = (Replay::new(limit), Model::default(), 0);
        for step in steps {
            match step {
                Step::Push(payloads, apart) => {
                    let mut head = Vec::new();
                    for &payload in &payloads {
                        number += 1;
                        model.frames.push((true, data(number, payload)));
                        head.extend(data(number, payload));
                    }
                    let last = payloads.last().copied().unwrap_or(0);
                    let tail = if apart { head.split_off(head.len() - last) } else { Vec::new() };
                    ring.push(&head, &tail, payloads.len() as u32);
                }
                Step::Notice(payload) => {
                    let notice = frame_of(Kind::Error, 0, payload);
                    ring.push_notice(&notice);
                    model.frames.push((false, notice));
                }
                Step::Limit(new) => {
                    limit = new;
                    ring.set_limit(limit);
                }
            }
            model.fit(limit);
            prop_assert!(ring.len() <= limit);
            prop_assert!(ring.capacity() <= limit.max(LEAST_BYTES), "{} over {limit}", ring.capacity());
            prop_assert_eq!(ring.sent(), number as u64);
            for count in [0, 1, ring.before, ring.before + 1, ring.sent() / 2, ring.sent(), ring.sent() + 1, u64::MAX] {
                let lacking = ring.since(count);
                prop_assert_eq!((lacking.gap, lacking.frames, glue(&lacking)), model.since(count), "{}", count);
            }
        }
        // Handed over, what is lacking is the same.
        let count = ring.sent() / 2;
        let lacking = ring.since(count);
        let bytes = glue(&lacking);
        let from = ring.sent() - lacking.frames;
        let other = Replay::adopt(limit, from, &bytes).unwrap();
        prop_assert_eq!(other.sent(), ring.sent());
        prop_assert_eq!(glue(&other.since(from)), bytes);
    }
}

#[test]
fn an_empty_ring_takes_no_heap() {
    let mut ring = Replay::new(65_536);
    assert_eq!(ring.capacity(), 0);
    assert!(ring.is_empty());
    ring.push(&data(1, 64), &[], 1);
    assert_eq!(ring.capacity(), LEAST_BYTES);
}

#[test]
fn an_error_that_gave_way_is_a_gap() {
    let one = data(1, 10);
    let error = frame_of(Kind::Error, 0, 10);
    let mut ring = Replay::new(one.len() * 2);
    ring.push(&one, &[], 1);
    ring.push_notice(&error);
    assert!(!ring.since(0).gap);
    ring.push(&data(2, 10), &[], 1);
    // The first DATA gave way; who has it is still told of the error.
    assert!(ring.since(0).gap);
    assert_eq!(glue(&ring.since(1)), [error, data(2, 10)].concat());
    ring.push(&data(3, 10), &[], 1);
    assert!(ring.since(1).gap);
    assert!(!ring.since(2).gap);
}

#[test]
fn what_another_gateway_hands_over_is_checked() {
    let frames = [data(1, 10), data(2, 10)].concat();
    assert_eq!(Replay::adopt(1000, 5, &frames).unwrap().sent(), 7);
    assert!(Replay::adopt(1000, 5, &frames[1..]).is_none());
    assert!(Replay::adopt(1000, 5, &frames[..frames.len() - 1]).is_none());
    assert!(Replay::adopt(1000, u64::MAX, &frames).is_none());
    let cut = Replay::adopt(50, 5, &frames).unwrap();
    assert_eq!((cut.since(5).gap, cut.since(6).gap), (true, false));
}
