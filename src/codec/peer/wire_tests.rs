use super::*;
use crate::codec::peer::{MAX_ANSWER_BODY, MAX_QUESTION_BODY};

fn particulars() -> Particulars {
    Particulars {
        bound: Bind {
            user_id: 1,
            realm_id: 2,
        },
        newest: Bind {
            user_id: 3,
            realm_id: 4,
        },
        bindings: vec![
            Binding {
                service: "game".into(),
                endpoint: "10.0.0.1:7".parse().unwrap(),
            },
            Binding {
                service: "chat".into(),
                endpoint: "[::1]:8".parse().unwrap(),
            },
        ],
    }
}

fn question() -> Question {
    Question {
        by: "alice at 10.0.0.9:5".into(),
        may_change: true,
        method: "POST".into(),
        path: "/api/v1/bans?x=1".into(),
        body: b"{\"user_id\":\"7\"}".to_vec(),
        most: 4096,
    }
}

fn everything() -> Vec<Said> {
    let to_owner = [
        ToOwner::Ask { token_epoch: 7 },
        ToOwner::Claim {
            count: 9,
            places: vec![("game".into(), true), ("chat".into(), false)],
        },
        ToOwner::GiveUp { stale: true },
        ToOwner::Withdraw,
        ToOwner::Supersede { epoch: 3 },
        ToOwner::End { code: 440 },
    ];
    let to_claimant = [
        ToClaimant::Holds {
            epoch: 8,
            particulars: particulars(),
        },
        ToClaimant::Moved {
            gateway: "gw-2".into(),
            address: "10.0.0.2:7001".into(),
        },
        ToClaimant::Busy,
        ToClaimant::NotGood,
        ToClaimant::Unknown,
        ToClaimant::HoldsMore {
            particulars: particulars(),
        },
        ToClaimant::Handover(Box::new(Handover {
            gap: true,
            received: 5,
            starts: vec![(1, 0), (3, 17)],
            before: 20,
            ring: b"frames".to_vec(),
            bound: particulars().bound,
            newest: particulars().newest,
            last_service: "game".to_owned(),
            assigned: particulars().bindings,
            age_s: Some(86_400),
        })),
        ToClaimant::Refused,
        ToClaimant::Ended { code: 408 },
    ];
    let for_operators = [
        Said::Question(Box::new(question())),
        Said::Answer(Answer {
            status: 200,
            cut: true,
            body: b"{}".to_vec(),
        }),
        Said::Ready,
        Said::Proceed,
    ];
    let to_owner = to_owner.into_iter().map(Said::ToOwner);
    to_owner
        .chain(to_claimant.into_iter().map(Said::ToClaimant))
        .chain(for_operators)
        .collect()
}

fn frame(said: Said) -> PeerFrame {
    PeerFrame {
        call: 11,
        session_id: 12,
        said,
    }
}

#[test]
fn whatever_is_said_is_heard() {
    for said in everything() {
        let frame = frame(said);
        assert_eq!(PeerFrame::decode(&frame.encode()), Ok(frame));
    }
}

#[test]
fn what_a_later_version_adds_is_skipped() {
    for said in everything() {
        let frame = frame(said);
        let mut bytes = frame.encode();
        bytes.extend_from_slice(b"more");
        assert_eq!(PeerFrame::decode(&bytes), Ok(frame));
    }
    let unknown = frame(Said::Unknown(42));
    assert_eq!(PeerFrame::decode(&unknown.encode()), Ok(unknown));
}

#[test]
fn every_cut_is_malformed() {
    for said in everything() {
        // Where older releases ended.
        let older_ends = match &said {
            Said::ToClaimant(ToClaimant::Handover(handed)) => {
                let (mut handed, last) = (handed.clone(), handed.last_service.len());
                let all = frame(Said::ToClaimant(ToClaimant::Handover(handed.clone()))).encode();
                handed.assigned.clear();
                let none = frame(Said::ToClaimant(ToClaimant::Handover(handed))).encode();
                vec![all.len() - 4, none.len() - 5, none.len() - 6 - last]
            }
            _ => vec![],
        };
        let bytes = frame(said).encode();
        for cut in (0..bytes.len()).filter(|cut| !older_ends.contains(cut)) {
            assert_eq!(PeerFrame::decode(&bytes[..cut]), Err(Malformed), "{cut}");
        }
    }
}

#[test]
fn a_handover_of_an_older_release_names_no_last_service_no_assignments_and_no_age() {
    let handed = Handover {
        received: 5,
        ring: b"frames".to_vec(),
        ..Handover::default()
    };
    let expected = frame(Said::ToClaimant(ToClaimant::Handover(Box::new(handed))));
    let bytes = expected.encode();
    for lacks in [4, 5, 6] {
        let older = &bytes[..bytes.len() - lacks];
        assert_eq!(PeerFrame::decode(older), Ok(expected.clone()));
    }
}

#[test]
fn names_and_flags_are_what_they_must_be() {
    let claim = ToOwner::Claim {
        count: 0,
        places: vec![("NO".into(), true)],
    };
    let bytes = frame(Said::ToOwner(claim)).encode();
    assert_eq!(PeerFrame::decode(&bytes), Err(Malformed));
    let mut bytes = frame(Said::ToOwner(ToOwner::GiveUp { stale: false })).encode();
    *bytes.last_mut().unwrap() = 2;
    assert_eq!(PeerFrame::decode(&bytes), Err(Malformed));
}

/// They are written into log lines, and held in memory.
#[test]
fn questions_are_plain_and_bounded() {
    let wrong = [
        Question {
            by: "alice\nWARN".into(),
            ..question()
        },
        Question {
            path: "/\u{1b}[2J".into(),
            ..question()
        },
        Question {
            body: vec![b' '; MAX_QUESTION_BODY + 1],
            ..question()
        },
    ];
    for wrong in wrong {
        let bytes = frame(Said::Question(Box::new(wrong))).encode();
        assert_eq!(PeerFrame::decode(&bytes), Err(Malformed));
    }
    let answer = Answer {
        status: 200,
        cut: false,
        body: vec![b' '; MAX_ANSWER_BODY + 1],
    };
    let bytes = frame(Said::Answer(answer)).encode();
    assert_eq!(PeerFrame::decode(&bytes), Err(Malformed));
    // Of a later version: it may read, and no more.
    let mut bytes = frame(Said::Question(Box::new(question()))).encode();
    let role = 1 + 8 + 8 + 1 + question().by.len();
    bytes[role] = 9;
    let read = Question {
        may_change: false,
        ..question()
    };
    let read = frame(Said::Question(Box::new(read)));
    assert_eq!(PeerFrame::decode(&bytes), Ok(read));
}

/// What waits is counted by its capacity.
#[test]
fn a_handover_takes_no_more_than_it_is_long() {
    let handed = Handover {
        ring: vec![7; 300_000],
        last_service: "s".repeat(64),
        assigned: vec![particulars().bindings[1].clone(); 40],
        ..Handover::default()
    };
    let bytes = frame(Said::ToClaimant(ToClaimant::Handover(Box::new(handed)))).encode();
    assert!(
        bytes.capacity() < bytes.len() + 1024 + 40 * 128,
        "{}",
        bytes.capacity()
    );
}

proptest::proptest! {
    #[test]
    fn rubbish_is_no_danger(bytes in proptest::collection::vec(0_u8..80, 0..200)) {
        let _ = PeerFrame::decode(&bytes);
    }
}
