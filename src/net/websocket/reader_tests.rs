use super::*;

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(MASKED | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(MASKED | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(MASKED | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let masked = payload.iter().zip(mask.into_iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// What a reader makes of bytes that come `step` at a time: payload, with a `|` behind each message and a letter for each
/// control frame.
fn read(bytes: &[u8], step: usize, most: u64) -> Result<Vec<u8>, MessageFault> {
    let (mut reader, mut said) = (Reader::new(most), Vec::new());
    for part in bytes.chunks(step) {
        let (mut part, mut at) = (part.to_vec(), 0);
        loop {
            match reader.next(&mut part, &mut at)? {
                Read::Payload(range) => said.extend_from_slice(&part[range]),
                Read::End => said.push(b'|'),
                Read::Ping(ping) => said.extend([b"<", ping.payload(), b">"].concat()),
                Read::Pong => said.push(b'p'),
                Read::Close(close) => said.extend(format!("c{:?}", close.code()).bytes()),
                Read::Nothing => break,
            }
        }
        assert_eq!(at, part.len());
    }
    Ok(said)
}

#[test]
fn however_it_is_cut_the_same_is_read() {
    let long = vec![b'x'; 0x1_0001];
    let bytes = [
        frame(0x82, b"one"),
        frame(0x82, b""),
        frame(0x02, b"tw"),
        frame(0x89, b"alive"),
        frame(0x00, b""),
        frame(0x80, b"o"),
        frame(0x8A, b""),
        frame(0x81, &long[..126]),
        frame(0x82, &long),
        frame(0x88, b"\x03\xE8bye"),
    ]
    .concat();
    let expected = [
        &b"one||tw<alive>o|p"[..],
        &long[..126],
        b"|",
        &long,
        b"|cSome(1000)",
    ]
    .concat();
    for step in [1, 2, 3, 5, 7, 13, 64, 4096, bytes.len()] {
        assert_eq!(
            read(&bytes, step, 1 << 20).as_deref(),
            Ok(&expected[..]),
            "{step}"
        );
    }
}

#[test]
fn what_a_client_may_not_send_is_a_fault() {
    let cases = [
        ("a reserved bit", frame(0xC2, b"")),
        ("a kind that is none", frame(0x83, b"")),
        ("a control frame that is none", frame(0x8B, b"")),
        ("a long PING", frame(0x89, &[0; 126])),
        ("a PING in fragments", frame(0x09, b"")),
        ("the rest of nothing", frame(0x80, b"")),
        (
            "a message within another",
            [frame(0x02, b""), frame(0x82, b"")].concat(),
        ),
        ("no mask", vec![0x82, 0]),
        (
            "a length of 64 bits",
            [&[0x82, 0xFF][..], &[0xFF; 12]].concat(),
        ),
        ("half a code", frame(0x88, b"\x03")),
    ];
    for (what, bytes) in cases {
        for step in [1, bytes.len()] {
            assert_eq!(
                read(&bytes, step, 1000),
                Err(MessageFault::Malformed),
                "{what}"
            );
        }
    }
}

#[test]
fn a_message_has_its_bound_in_fragments_too() {
    let fits = [frame(0x02, &[7; 60]), frame(0x80, &[7; 40])].concat();
    assert_eq!(read(&fits, 9, 100).map(|said| said.len()), Ok(101));
    let over = [frame(0x02, &[7; 60]), frame(0x80, &[7; 41])].concat();
    assert_eq!(read(&over, 9, 100), Err(MessageFault::TooLarge));
    let far_over = [&[0x82, 0xFF, 0x7F][..], &[0xFF; 11]].concat();
    assert_eq!(read(&far_over, 14, 100), Err(MessageFault::TooLarge));
}
