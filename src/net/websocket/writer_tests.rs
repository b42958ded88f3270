use std::collections::VecDeque;

use super::*;
use crate::codec::client::{Header, Kind};

/// A socket that takes so many bytes at each write, and then nothing until it is asked again.
#[derive(Default)]
struct Slow {
    takes: VecDeque<usize>,
    written: Vec<u8>,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.takes.pop_front() {
            Some(0) => Poll::Pending,
            most => {
                let taken = most.unwrap_or(usize::MAX).min(bytes.len());
                self.written.extend_from_slice(&bytes[..taken]);
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(len: usize) -> Vec<u8> {
    let header = Header {
        kind: Kind::Data as u8,
        ..Header::default()
    };
    let mut frame = Vec::new();
    client::encode(&mut frame, &header, "game", &vec![7; len]);
    frame
}

/// One message for each frame, by the text of RFC 6455.
fn message(frame: &[u8]) -> Vec<u8> {
    let mut message = vec![0x82];
    match frame.len() {
        len @ 0..=125 => message.push(len as u8),
        len @ 126..=0xFFFF => {
            message.push(126);
            message.extend((len as u16).to_be_bytes());
        }
        len => {
            message.push(127);
            message.extend((len as u64).to_be_bytes());
        }
    }
    message.extend_from_slice(frame);
    message
}

/// Writes all, in slices of `cut` bytes.
fn write(writer: &mut Writer, socket: &mut Slow, bytes: &[u8], cut: usize) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut at = 0;
    while at < bytes.len() {
        let slices = bytes[at..].chunks(cut).take(8);
        match writer.poll_write(socket, slices, &mut cx) {
            Poll::Ready(taken) => at += taken.expect("the socket stands"),
            Poll::Pending => {}
        }
        assert!(writer.buffers() <= 3 * GATHER_BYTES);
    }
    while writer.poll_flush(socket, &mut cx).is_pending() {}
}

#[test]
fn each_frame_is_a_message_however_it_comes_and_goes() {
    let frames = [0, 1, 80, 100, 3000, 20_000, 5, 70_000, 0].map(frame);
    let expected: Vec<u8> = frames.iter().flat_map(|frame| message(frame)).collect();
    for cut in [7, 31, 33, 2047, 5000, usize::MAX] {
        for takes in [3, 700, 50_000] {
            let mut socket = Slow::default();
            // Nothing at every third time.
            let turns =
                (0..3 * expected.len() / takes + 3).map(|n| if n % 3 == 1 { 0 } else { takes });
            socket.takes = turns.collect();
            let mut writer = Writer::default();
            write(&mut writer, &mut socket, &frames.concat(), cut);
            assert!(socket.written == expected, "{cut} {takes}");
            assert!(!writer.is_unflushed());
            assert_eq!(writer.buffers(), 0);
        }
    }
}

#[test]
fn control_frames_wait_for_the_end_of_a_message() {
    let (mut writer, mut socket) = (Writer::default(), Slow::default());
    let frame = frame(10);
    write(&mut writer, &mut socket, &frame[..40], usize::MAX);
    writer.pong(b"alive");
    assert!(!writer.is_unflushed());
    write(&mut writer, &mut socket, &frame[40..], usize::MAX);
    writer.close(Some(1000));
    assert!(writer.is_unflushed());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(writer.poll_flush(&mut socket, &mut cx).is_ready());
    let expected = [&message(&frame)[..], b"\x8A\x05alive", b"\x88\x02\x03\xE8"].concat();
    assert_eq!(socket.written, expected);
    // Nothing comes behind a Close.
    let more = writer.poll_write(&mut socket, [&frame[..]].into_iter(), &mut cx);
    assert!(matches!(more, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    writer.pong(b"more");
    assert!(!writer.is_unflushed());
}

/// Whoever is told that nothing was taken may go on with something else.
#[test]
fn what_is_announced_has_begun_for_its_owner_too() {
    let (mut writer, mut socket) = (Writer::default(), Slow::default());
    socket.takes = VecDeque::from([0]);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let taken = writer.poll_write(&mut socket, [&frame(5000)[..]].into_iter(), &mut cx);
    assert!(matches!(taken, Poll::Ready(Ok(1..))), "{taken:?}");
}

#[test]
fn a_close_that_waits_is_not_lost_to_pings() {
    let (mut writer, mut socket) = (Writer::default(), Slow::default());
    let frame = frame(10);
    write(&mut writer, &mut socket, &frame[..40], usize::MAX);
    (0..600).for_each(|_| writer.pong(b"alive"));
    writer.close(Some(1001));
    (0..600).for_each(|_| writer.pong(b"alive"));
    write(&mut writer, &mut socket, &frame[40..], usize::MAX);
    assert!(socket.written.ends_with(b"\x88\x02\x03\xE9"));
}

#[test]
fn who_does_not_read_his_pongs_gets_the_newest() {
    let (mut writer, mut socket) = (Writer::default(), Slow::default());
    (0..10_000_u32).for_each(|n| writer.pong(&n.to_be_bytes()));
    assert!(writer.buffers() <= 2 * MAX_PONG_BYTES);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(writer.poll_flush(&mut socket, &mut cx).is_ready());
    assert!(socket.written.ends_with(&9_999_u32.to_be_bytes()));
    assert!(socket.written.len() <= MAX_PONG_BYTES + 6);
}
