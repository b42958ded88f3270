use proptest::prelude::*;

use super::*;
use crate::codec::Decoded;
use crate::codec::client::{self, Header, Kind};

fn frame(kind: Kind, number: u64) -> Vec<u8> {
    let header = Header {
        kind: kind as u8,
        session_id: number,
        ..Header::default()
    };
    let mut bytes = Vec::new();
    client::encode(&mut bytes, &header, "s", &vec![7; (number % 5) as usize]);
    bytes
}

/// Kinds and numbers of what is held.
fn held(replay: &Replay) -> Vec<(u8, u64)> {
    let bytes: Vec<u8> = replay.bytes().flatten().copied().collect();
    let (mut at, mut frames) = (0, Vec::new());
    while let Ok(Decoded::Frame(frame, used)) = client::decode(&bytes[at..], u32::MAX) {
        frames.push((frame.header.kind, frame.header.session_id));
        at += used;
    }
    assert_eq!(at, bytes.len(), "whole frames only");
    frames
}

const DATA: u8 = Kind::Data as u8;
const ERROR: u8 = Kind::Error as u8;

fn push(replay: &mut Replay, kind: Kind, number: u64) {
    let frames = u32::from(kind == Kind::Data);
    replay.push(&frame(kind, number), &[], frames, usize::MAX);
}

#[test]
fn an_error_is_said_again_unless_data_behind_it_was_taken() {
    let mut replay = Replay::default();
    push(&mut replay, Kind::Data, 1);
    push(&mut replay, Kind::Error, 100);
    push(&mut replay, Kind::Data, 2);
    let mut other = replay.clone();
    assert!(!replay.resume(1));
    assert_eq!(held(&replay), [(ERROR, 100), (DATA, 2)]);
    assert!(!other.resume(2));
    assert!(other.is_empty() && other.held() == 0);
}

#[test]
fn an_error_that_gave_way_is_a_gap() {
    let mut replay = Replay::default();
    push(&mut replay, Kind::Data, 1);
    push(&mut replay, Kind::Error, 100);
    replay.shrink(0);
    assert!(replay.clone().resume(1));
    push(&mut replay, Kind::Data, 2);
    assert!(!replay.clone().resume(2));
    assert!(replay.resume(1));
    assert_eq!((held(&replay), replay.sent()), (vec![(DATA, 2)], 1));
}

#[test]
fn a_count_from_the_future_is_a_gap() {
    let mut replay = Replay::default();
    push(&mut replay, Kind::Data, 1);
    assert!(replay.resume(2));
    assert_eq!((replay.sent(), replay.len()), (0, 0));
    assert!(!replay.resume(0));
}

#[test]
fn what_is_larger_than_the_limit_is_not_held() {
    let mut replay = Replay::default();
    replay.push(&frame(Kind::Data, 1), &[], 1, 5);
    assert!(replay.is_empty());
    assert!(replay.clone().resume(0));
    assert!(!replay.resume(1));
}

proptest! {
    /// Against a list of all frames ever pushed.
    #[test]
    fn it_holds_the_newest_and_knows_what_it_lacks(
        batches in proptest::collection::vec(0_u32..4, 0..40), limit in 0_usize..600, count in 0_u64..80,
        resumed_at in proptest::option::of(0_u64..80),
    ) {
        let (mut replay, mut all, mut data) = (Replay::default(), Vec::new(), 0_u64);
        for (index, frames) in batches.iter().enumerate() {
            if index == 20 && let Some(at) = resumed_at && at <= data && !replay.clone().resume(at) {
                replay.resume(at);
            }
            let mut bytes = Vec::new();
            for _ in 0..*frames {
                data += 1;
                bytes.extend(frame(Kind::Data, data));
                all.push((data - 1, (DATA, data)));
            }
            if *frames == 0 {
                bytes = frame(Kind::Error, index as u64);
                all.push((data, (ERROR, index as u64)));
            }
            let cut = bytes.len() / 2;
            replay.push(&bytes[..cut], &bytes[cut..], *frames, limit);
            prop_assert!(replay.len() <= limit);
            prop_assert_eq!(replay.sent(), data);
        }
        let newest = held(&replay);
        let tail: Vec<_> = all.iter().map(|(_, f)| *f).skip(all.len() - newest.len()).collect();
        prop_assert_eq!(&newest, &tail);
        let gap = replay.resume(count);
        let lacked: Vec<_> = all.iter().filter(|(at, _)| *at >= count).map(|(_, f)| *f).collect();
        if gap {
            let some_are_gone = lacked.len() > newest.len();
            prop_assert!(count > data || some_are_gone || resumed_at.is_some());
            prop_assert_eq!(replay.sent(), replay.held());
        } else {
            prop_assert_eq!(held(&replay), lacked);
            prop_assert_eq!(replay.sent(), data);
        }
    }
}
