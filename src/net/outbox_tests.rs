use super::super::slice::MAX_WASTE;
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

/// Takes a few bytes a write and is not ready every other time.
struct Slow {
    taken: Vec<u8>,
    step: usize,
    ready: bool,
}

impl Outbox {
    fn places(&self) -> usize {
        let places = self.rest.as_ref().map_or(0, |rest| rest.pieces.capacity());
        places.saturating_sub(KEPT_PLACES) * size_of::<Piece>()
    }

    /// What is [`held`](Self::held), places aside, counted.
    fn buffers(&self) -> usize {
        let rest = self.rest.iter().flat_map(|rest| &rest.pieces);
        self.first.capacity() + rest.map(Piece::buffer).sum::<usize>()
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.ready = !self.ready;
        if !self.ready {
            return Poll::Pending;
        }
        let n = buf.len().min(self.step);
        self.taken.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn the_urgent_overtakes_all_but_what_has_begun() {
    for compacts in [false, true] {
        let mut socket = Slow {
            taken: Vec::new(),
            step: 1,
            ready: false,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut outbox = Outbox::default();
        outbox.append_first(|out| out.extend(b"1"));
        for piece in [b"a", b"b"] {
            let bytes = Bytes::from(piece.repeat(VECTORED_BYTES));
            outbox.push_shared(Slice::new(bytes, 64 * 1024));
        }
        outbox.append_first(|out| out.extend(b"0"));
        while !socket.taken.ends_with(b"a") {
            let _ = outbox.poll_write(&mut socket, &mut cx);
        }
        if compacts {
            outbox.compact();
        }
        outbox.append_first(|out| out.extend(b"2"));
        assert_eq!(outbox.queued() + socket.taken.len(), 2 * VECTORED_BYTES + 3);
        outbox.compact();
        while outbox.poll_write(&mut socket, &mut cx).is_pending() {}
        let taken = String::from_utf8(socket.taken).unwrap();
        let a = "a".repeat(VECTORED_BYTES);
        // Copied out of large buffers, the two are one piece by then.
        let expected = match compacts {
            false => format!("01{a}2{}", "b".repeat(VECTORED_BYTES)),
            true => format!("01{a}{}2", "b".repeat(VECTORED_BYTES)),
        };
        assert_eq!(taken, expected);
    }
}

#[test]
fn a_piece_over_the_limit_counts_apart() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.oversized(1000), 0);
    outbox.push(vec![1; 40]);
    outbox.push_shared(Slice::new(vec![2; 5000].into(), 5000));
    outbox.push(vec![3; 10]);
    assert_eq!((outbox.queued(), outbox.oversized(1000)), (5050, 5000));
    assert_eq!(outbox.oversized(5000), 0);
    outbox.advance(140);
    assert_eq!((outbox.queued(), outbox.oversized(1000)), (4910, 4900));
    outbox.advance(4900);
    assert_eq!(outbox.oversized(1000), 0);
}

proptest! {
    #[test]
    fn all_bytes_arrive_once_and_in_order(
        pieces in proptest::collection::vec((any::<bool>(), 0_usize..5000), 0..40), step in 1_usize..9000,
        compacts in 1_usize..5,
    ) {
        let mut socket = Slow { taken: Vec::new(), step, ready: false };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut outbox, mut expected) = (Outbox::default(), Vec::new());
        for (index, (shared, len)) in pieces.into_iter().enumerate() {
            let bytes = vec![index as u8; len];
            expected.extend_from_slice(&bytes);
            if shared {
                outbox.push_shared(Slice::new(bytes.into(), 3 * (index % 2) * len));
            } else {
                outbox.push(bytes);
            }
            if index % 3 == 0 {
                let _ = outbox.poll_write(&mut socket, &mut cx);
            }
            if index % compacts == 0 {
                outbox.compact();
                // A piece is given back whole, once its last byte is written.
                prop_assert!(outbox.held() - outbox.places() <= MAX_WASTE * (outbox.queued() + outbox.written));
            }
            prop_assert_eq!(outbox.held() - outbox.places(), outbox.buffers());
            prop_assert_eq!(outbox.queued() + socket.taken.len(), expected.len());
        }
        while outbox.poll_write(&mut socket, &mut cx).is_pending() {}
        prop_assert!(outbox.is_empty());
        prop_assert_eq!(socket.taken, expected);
    }
}

proptest! {
    #[test]
    fn frames_stay_whole_and_only_the_urgent_overtake(
        steps in proptest::collection::vec((0_u8..5, 1_usize..5000), 0..60), step in 1_usize..9000,
    ) {
        let mut socket = Slow { taken: Vec::new(), step, ready: false };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut outbox = Outbox::default();
        let (mut sent, mut urgent) = (Vec::new(), Vec::new());
        for (number, (what, len)) in steps.into_iter().enumerate() {
            let id = number as u8;
            let mut frame = vec![id; len + 3];
            frame[1..3].copy_from_slice(&(len as u16).to_be_bytes());
            match what {
                0 => { let _ = outbox.poll_write(&mut socket, &mut cx); }
                1 => outbox.compact(),
                2 => {
                    urgent.push(id);
                    outbox.append_first(|out| out.extend_from_slice(&frame));
                }
                3 => {
                    sent.push(id);
                    outbox.push_shared(Slice::new(frame.into(), 64 * 1024));
                }
                _ => {
                    sent.push(id);
                    outbox.push(frame);
                }
            }
            prop_assert_eq!(outbox.held() - outbox.places(), outbox.buffers());
        }
        while outbox.poll_write(&mut socket, &mut cx).is_pending() {}
        let (mut rest, mut ordinary) = (&socket.taken[..], Vec::new());
        while let [id, high, low, after @ ..] = rest {
            let (frame, next) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            prop_assert!(frame.iter().all(|byte| byte == id), "torn");
            if let Some(place) = urgent.iter().position(|urgent| urgent == id) {
                urgent.remove(place);
            } else {
                ordinary.push(*id);
            }
            rest = next;
        }
        prop_assert!(rest.is_empty() && urgent.is_empty());
        prop_assert_eq!(ordinary, sent);
    }
}
