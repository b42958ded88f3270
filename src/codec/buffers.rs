//! Buffers that a thread's actors share, so that an idle client owns none.
//!
//! Hot path: taking and giving back costs no allocation once the pool is warm.

use std::cell::RefCell;

use bytes::BytesMut;

/// Bytes of the buffer that sockets are read into. One read brings at most this much.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// A buffer that has grown beyond this is freed rather than pooled.
const POOLED_BUFFER_BYTES: usize = 64 * 1024;
/// All pooled buffers of a thread together; beyond it buffers are freed.
const POOL_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<Option<Box<[u8]>>> = const { RefCell::new(None) };
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new(POOL_BYTES)) };
}

struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    most: usize,
}

impl Pool {
    const fn new(most: usize) -> Pool {
        Pool {
            buffers: Vec::new(),
            bytes: 0,
            most,
        }
    }
}

/// Lends the thread's scratch buffer of [`SCRATCH_BYTES`] to `work`. A nested call gets a fresh one.
pub fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let taken = SCRATCH.with_borrow_mut(Option::take);
    let mut scratch = taken.unwrap_or_else(|| vec![0; SCRATCH_BYTES].into_boxed_slice());
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// Takes an empty buffer from the pool, or makes one.
pub fn take() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| match pool.buffers.pop() {
        Some(buffer) => {
            pool.bytes -= buffer.capacity();
            buffer
        }
        None => Vec::new(),
    })
}

/// Gives a buffer back. It may come from another thread or from no pool at all.
pub fn give(mut buffer: Vec<u8>) {
    let size = buffer.capacity();
    if size == 0 || size > POOLED_BUFFER_BYTES {
        return;
    }
    POOL.with_borrow_mut(|pool| {
        if pool.bytes + size <= pool.most {
            buffer.clear();
            pool.bytes += size;
            pool.buffers.push(buffer);
        }
    });
}

/// Makes room for so many bytes behind those of `buffer`, and no more: its own growth doubles.
pub fn grow_exactly(buffer: &mut BytesMut, bytes: usize) {
    if buffer.capacity() - buffer.len() < bytes {
        let mut larger = BytesMut::with_capacity(buffer.len() + bytes);
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}

/// Lets this thread pool buffers, or frees those that it has and pools none.
pub fn pool(allowed: bool) {
    POOL.with_borrow_mut(|pool| {
        let most = if allowed { POOL_BYTES } else { 0 };
        if pool.most != most {
            *pool = Pool::new(most);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty() {
        give(vec![1, 2, 3]);
        let buffer = take();
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        assert_eq!(take().capacity(), 0);
    }

    #[test]
    fn the_pool_is_bounded() {
        give(Vec::with_capacity(POOLED_BUFFER_BYTES + 1));
        assert_eq!(take().capacity(), 0);
        for _ in 0..2 * POOL_BYTES / POOLED_BUFFER_BYTES {
            give(Vec::with_capacity(POOLED_BUFFER_BYTES));
        }
        POOL.with_borrow(|pool| assert_eq!(pool.bytes, POOL_BYTES));
    }

    #[test]
    fn nothing_is_pooled_where_that_is_not_allowed() {
        give(vec![1]);
        pool(false);
        assert_eq!(take().capacity(), 0);
        give(vec![1]);
        assert_eq!(take().capacity(), 0);
        pool(true);
        give(vec![1]);
        assert!(take().capacity() > 0);
    }

    #[test]
    fn a_buffer_grows_by_what_is_missing() {
        let mut buffer = BytesMut::with_capacity(100);
        buffer.extend_from_slice(&[7; 90]);
        grow_exactly(&mut buffer, 10);
        assert_eq!(buffer.capacity(), 100);
        grow_exactly(&mut buffer, 11);
        assert_eq!((buffer.capacity(), &buffer[..]), (101, &[7; 90][..]));
    }

    #[test]
    fn scratch_may_be_nested() {
        with_scratch(|outer| {
            outer[0] = 1;
            with_scratch(|inner| assert_eq!(inner.len(), SCRATCH_BYTES));
        });
        with_scratch(|scratch| assert_eq!(scratch.len(), SCRATCH_BYTES));
    }
}
