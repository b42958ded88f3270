//! Reads under way that several requests wait for: who asks for the same meanwhile gets the same answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};

/// A read, as each of those who wait for it has it.
pub(super) type Read<T> = Shared<LocalBoxFuture<'static, Rc<T>>>;

/// The reads under way, by what is asked.
pub(super) struct SharedReads<K, T> {
    under_way: RefCell<HashMap<K, WeakShared<LocalBoxFuture<'static, Rc<T>>>>>,
}

impl<K, T> Default for SharedReads<K, T> {
    fn default() -> SharedReads<K, T> {
        SharedReads {
            under_way: RefCell::default(),
        }
    }
}

impl<K: Eq + Hash, T: 'static> SharedReads<K, T> {
    /// Returns the read of this that is under way, or begins one. It ends when nobody waits for it any more.
    pub(super) fn join(&self, key: K, read: impl Future<Output = T> + 'static) -> Read<T> {
        let mut under_way = self.under_way.borrow_mut();
        under_way.retain(|_, read| read.upgrade().is_some_and(|read| read.peek().is_none()));
        if let Some(read) = under_way.get(&key).and_then(WeakShared::upgrade) {
            return read;
        }
        let read = read.map(Rc::new).boxed_local().shared();
        if let Some(weak) = read.downgrade() {
            under_way.insert(key, weak);
        }
        read
    }

    /// Lets nobody join what is under way: something has been changed since it began.
    pub(super) fn part(&self) {
        self.under_way.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_read_under_way_is_shared_and_no_other() {
        let reads = SharedReads::<&str, u8>::default();
        let (end, ended) = oneshot::channel();
        let first = reads.join("a", async { ended.await.unwrap_or(0) });
        assert!(first.clone().now_or_never().is_none());
        let second = reads.join("a", ready(2));
        assert_eq!(*reads.join("b", ready(3)).await, 3);
        // The one that has begun it may go.
        drop(first);
        end.send(1).expect("somebody waits");
        assert_eq!(*second.await, 1);
        assert_eq!(*reads.join("a", ready(4)).await, 4, "it was over");
    }

    #[tokio::test]
    async fn nobody_joins_what_a_change_has_overtaken_or_everybody_has_left() {
        let reads = SharedReads::<&str, u8>::default();
        let before = reads.join("a", std::future::pending());
        reads.part();
        assert_eq!(*reads.join("a", ready(2)).await, 2);
        assert!(before.clone().now_or_never().is_none());
        let left = reads.join("c", std::future::pending());
        drop(left);
        assert_eq!(*reads.join("c", ready(3)).await, 3);
    }
}
