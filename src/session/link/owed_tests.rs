use futures_util::FutureExt;

use super::*;

fn say(owed: &OwedCloses, link_id: u64) -> Vec<(u64, Code)> {
    let said = owed.say(link_id, |_| false).closes.into_iter();
    said.map(|(session_id, code, _)| (session_id, code))
        .collect()
}

#[test]
fn they_are_said_once_and_bounded() {
    let owed = OwedCloses::default();
    (0..MOST as u64 + 2).for_each(|id| owed.push(id, Code::NORMAL));
    owed.push(0, Code::NORMAL);
    let said = owed.say(1, |id| id == 0);
    assert_eq!((said.closes.len(), said.lost), (MOST - 1, 2));
    assert_eq!(owed.say(1, |_| false), Owed::default());
}

#[test]
fn a_session_that_is_opened_again_is_owed_nothing() {
    let owed = OwedCloses::default();
    owed.push(1, Code::NORMAL);
    let before = owed.said(2, 1);
    owed.opened(1);
    owed.opened(2);
    assert_eq!(owed.lose(vec![(2, Code::NORMAL, before)]), []);
    assert_eq!(owed.count(), 0);
    // What was said since is its own matter.
    let since = owed.said(2, 1);
    assert!(!owed.settle(2, before));
    assert!(owed.settle(2, since));
    assert_eq!(owed.count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_session_that_comes_back_is_owed_nothing_unless_it_is_not_opened() {
    let owed = Arc::new(OwedCloses::default());
    owed.push(1, Code::NORMAL);
    assert!(matches!(owed.comes_back(2), ComesBack::Free));
    let ComesBack::Owed(returning) = owed.comes_back(1) else {
        panic!("owed");
    };
    assert_eq!(say(&owed, 1), []);
    drop(returning);
    assert_eq!(owed.count(), 1);
    let ComesBack::Owed(returning) = owed.comes_back(1) else {
        panic!("owed");
    };
    returning.opened();
    assert_eq!(say(&owed, 1), []);
}

fn unread(owed: &Arc<OwedCloses>, session_id: u64) -> UnreadOn {
    match owed.comes_back(session_id) {
        ComesBack::Unread(unread) => unread,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_waits_for_one_to_be_read_is_told() {
    let owed = Arc::new(OwedCloses::default());
    let number = owed.said(1, 7);
    let [first, second] = [(); 2].map(|()| unread(&owed, 1));
    assert_eq!(first.link_id, 7);
    let mut first = std::pin::pin!(first);
    assert!(first.as_mut().now_or_never().is_none());
    // A newer one takes its place, perhaps on another link: who waits asks again.
    let newer = owed.said(1, 8);
    first.await;
    second.await;
    assert!(!owed.settle(1, number));
    let third = unread(&owed, 1);
    assert_eq!(third.link_id, 8);
    assert!(owed.settle(1, newer));
    third.await;
    assert!(matches!(owed.comes_back(1), ComesBack::Free));
}

#[tokio::test]
async fn who_waits_on_a_link_that_is_lost_finds_it_owed() {
    let owed = Arc::new(OwedCloses::default());
    let number = owed.said(1, 7);
    let waits = unread(&owed, 1);
    owed.lose(vec![(1, Code::NORMAL, number)]);
    waits.await;
    assert_eq!(say(&owed, 8), [(1, Code::NORMAL)]);
    assert_eq!(unread(&owed, 1).link_id, 8);
}
