//! docs/protocol.md against the code: every byte in it is decoded and encoded again, and its tables
//! are those of the codecs.

use std::collections::BTreeSet;

use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{Assign, Bind, Features, Hello, Multicast, Open, Transfer};
use game_gateway::codec::{Decoded, client, link};

const DOCUMENT: &str = include_str!("../docs/protocol.md");
const LIMIT: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Client,
    Link,
}

/// Returns the lines of each fenced block with this info string.
fn blocks(info: &str) -> Vec<Vec<&'static str>> {
    let fence = format!("```{info}");
    let mut lines = DOCUMENT.lines();
    let mut found = Vec::new();
    while lines.any(|line| line == fence) {
        found.push(lines.by_ref().take_while(|&line| line != "```").collect());
    }
    found
}

/// Returns the cells of the tables in the section with this number, without the heading rows.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let heading = format!("### {section} ");
    let lines: Vec<_> = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with(&heading))
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .collect();
    let is_rule = |line: &str| line.starts_with("| ---");
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_heading = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if line.starts_with('|') && !is_rule(line) && !is_heading {
            rows.push(line.trim_matches('|').split('|').map(str::trim).collect());
        }
    }
    assert!(!rows.is_empty(), "no table in {section}");
    rows
}

/// Parses a text of hexadecimal digits and spaces.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("not hexadecimal: {hex:?}"))
        })
        .collect()
}

/// Decodes a whole frame, asserts that encoding gives the same bytes, and describes it as the
/// transcripts do: kind, fields that are not 0, payload.
fn describe(protocol: Protocol, frame: &[u8]) -> (u8, String) {
    match protocol {
        Protocol::Client => describe_client(frame),
        Protocol::Link => describe_link(frame),
    }
}

fn describe_client(frame: &[u8]) -> (u8, String) {
    let Ok(Decoded::Frame(decoded, used)) = client::decode(frame, LIMIT) else {
        panic!("not a client frame: {frame:02X?}");
    };
    assert_eq!(used, frame.len(), "bytes behind {decoded:?}");
    let header = decoded.header;
    let kind = client::Kind::from_byte(header.kind).expect("a known kind");
    let mut text = name(kind);
    if !decoded.service.is_empty() {
        text += &format!(" service={}", decoded.service);
    }
    text += &field("realm", header.realm_id);
    text += &field("user", header.user_id);
    text += &session(header.session_id);
    text += &field("flags", header.flags);
    let mut payload = Vec::new();
    match kind {
        client::Kind::Opened => {
            let opened = client::Opened::decode(decoded.payload).expect("an OPENED");
            opened.encode(&mut payload);
            let token = quoted(opened.token);
            let (received, idle) = (opened.received, opened.idle_timeout_ms);
            text += &format!(" received={received} idle_timeout_ms={idle} token={token}");
        }
        client::Kind::Error | client::Kind::Close => {
            text += &notice(decoded.payload, &mut payload);
        }
        client::Kind::Resume => {
            assert!(decoded.payload.len() > 8, "a count and a token");
            payload.extend_from_slice(decoded.payload);
        }
        client::Kind::Goaway => {
            assert_eq!(decoded.payload.len(), 4, "milliseconds");
            payload.extend_from_slice(decoded.payload);
        }
        client::Kind::Data | client::Kind::Ping | client::Kind::Pong => {
            payload.extend_from_slice(decoded.payload);
            text += &format!(" {}", quoted(decoded.payload));
        }
    }
    let mut again = Vec::new();
    client::encode(&mut again, &header, decoded.service, &payload);
    assert_eq!(again, frame, "{text}");
    (header.kind, text)
}

fn describe_link(frame: &[u8]) -> (u8, String) {
    let Ok(Decoded::Frame(decoded, used)) = link::decode(frame, LIMIT) else {
        panic!("not a link frame: {frame:02X?}");
    };
    assert_eq!(used, frame.len(), "bytes behind {decoded:?}");
    let kind = link::Kind::from_byte(decoded.kind).expect("a known kind");
    let mut text = name(kind) + &session(decoded.session_id);
    let mut payload = Vec::new();
    match kind {
        link::Kind::Hello => {
            let hello: Hello = serde_json::from_slice(decoded.payload).expect("JSON");
            payload = serde_json::to_vec(&hello).expect("JSON");
            text += &format!(" {}", String::from_utf8_lossy(&payload));
        }
        link::Kind::Open => {
            let open = Open::decode(decoded.payload).expect("an OPEN");
            open.encode(&mut payload);
            text += &field("realm", open.realm_id);
            text += &field("user", open.user_id);
            text += &field("transport", open.transport);
            text += &field("flags", open.flags);
            text += &field("epoch", open.epoch);
            text += &format!(" client={:?}", open.client);
            if !open.previous_gateway.is_empty() {
                text += &format!(" previous={:?}", open.previous_gateway);
            }
        }
        link::Kind::Close => text += &notice(decoded.payload, &mut payload),
        link::Kind::Bind | link::Kind::Bound => {
            let bind = Bind::decode(decoded.payload).expect("a BIND");
            payload.extend_from_slice(&bind.encode());
            text += &(field("user", bind.user_id) + &field("realm", bind.realm_id));
        }
        link::Kind::Multicast => {
            let multicast = Multicast::decode(decoded.payload).expect("a MULTICAST");
            let ids: Vec<u64> = multicast.sessions().collect();
            Multicast::encode(&mut payload, &ids, multicast.payload);
            let ids: Vec<String> = ids.iter().map(|id| format!("{id:X}")).collect();
            let said = quoted(multicast.payload);
            text += &format!(" sessions={} {said}", ids.join(","));
        }
        link::Kind::Suspend | link::Kind::Accept => {
            assert_eq!(decoded.payload.len(), 4, "one u32");
            payload.extend_from_slice(decoded.payload);
        }
        link::Kind::Goaway => assert!(decoded.payload.is_empty()),
        link::Kind::Features | link::Kind::Assign | link::Kind::Transfer | link::Kind::Moved => {
            text += &describe_move(kind, decoded.payload, &mut payload);
        }
        link::Kind::Data | link::Kind::Ping | link::Kind::Pong => {
            payload.extend_from_slice(decoded.payload);
            text += &format!(" {}", quoted(decoded.payload));
        }
    }
    let mut again = Vec::new();
    link::encode(&mut again, kind, decoded.session_id, &payload);
    assert_eq!(again, frame, "{text}");
    (decoded.kind, text)
}

/// Describes the payload of a frame about moves, and encodes it anew.
fn describe_move(kind: link::Kind, of: &[u8], payload: &mut Vec<u8>) -> String {
    match kind {
        link::Kind::Features => {
            let features = Features::decode(of).expect("FEATURES");
            payload.extend(features.encode());
            field("transfer", u8::from(features.transfer))
        }
        link::Kind::Assign => {
            let assign = Assign::decode(of).expect("an ASSIGN");
            assign.encode(payload);
            format!(
                " service={:?} endpoint={:?}",
                assign.service, assign.endpoint
            )
        }
        link::Kind::Transfer => {
            let transfer = Transfer::decode(of).expect("a TRANSFER");
            transfer.encode(payload);
            format!(" endpoint={:?}", transfer.endpoint)
        }
        link::Kind::Moved => {
            assert_eq!(of.len(), 2, "one code");
            payload.extend_from_slice(of);
            String::new()
        }
        _ => unreachable!("{kind:?}"),
    }
}

/// Returns a kind's name as the document writes it.
fn name(kind: impl std::fmt::Debug) -> String {
    format!("{kind:?}").to_uppercase()
}

fn field(name: &str, value: impl Into<u64>) -> String {
    match value.into() {
        0 => String::new(),
        value => format!(" {name}={value}"),
    }
}

fn session(id: u64) -> String {
    match id {
        0 => String::new(),
        id => format!(" session={id:X}"),
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

fn notice(payload: &[u8], again: &mut Vec<u8>) -> String {
    let notice = Notice::decode(payload, Code::KICKED);
    assert!(Code::ALL.contains(&notice.code), "code {}", notice.code);
    notice.encode(again);
    let retry = field("retry_after_ms", notice.retry_after_ms);
    format!(" code={}{retry} {:?}", notice.code, notice.text)
}

/// Parses a hexdump. Each line is offset, bytes and, on most, what they are; these are apart
/// by two spaces at least.
fn hexdump(lines: &[&str]) -> Vec<u8> {
    let mut frame = Vec::new();
    for line in lines {
        let mut columns = line.splitn(3, "  ");
        let offset = columns.next().expect("an offset");
        assert_eq!(offset, format!("{:04X}", frame.len()), "{line}");
        let field = bytes(columns.next().expect("bytes"));
        check_note(columns.next().unwrap_or_default().trim(), &field);
        frame.extend(field);
    }
    frame
}

/// Asserts that a note which ends with a quoted text, or is a name and a number, matches its bytes.
fn check_note(note: &str, field: &[u8]) {
    if let Some(text) = note
        .strip_suffix('"')
        .and_then(|note| note.split('"').nth(1))
    {
        // Bytes beyond a line of 16 continue on the next one.
        let shown = &text.as_bytes()[..text.len().min(16)];
        assert_eq!(field, shown, "{note}");
    }
    let second = note.split(' ').nth(1).unwrap_or_default();
    if let Ok(number) = second.trim_end_matches(':').parse::<u64>() {
        let value = field.iter().fold(0, |value, &b| value << 8 | u64::from(b));
        assert_eq!(value, number, "{note}");
    }
}

fn hexdumped_kinds(protocol: Protocol, info: &str) -> BTreeSet<u8> {
    blocks(info)
        .iter()
        .map(|lines| {
            let (kind, text) = describe(protocol, &hexdump(lines));
            let (name, _) = text.split_once(' ').unwrap_or((&text, ""));
            let said = format!("kind {kind} ({name})");
            assert!(lines[0].contains(&said), "{said}: {}", lines[0]);
            kind
        })
        .collect()
}

#[test]
fn hexdumps_are_frames_and_show_every_kind() {
    let client_kinds = (0..=u8::MAX).filter(|&b| client::Kind::from_byte(b).is_some());
    let shown = hexdumped_kinds(Protocol::Client, "hexdump client");
    assert_eq!(shown, client_kinds.collect());
    let link_kinds = (0..=u8::MAX).filter(|&b| link::Kind::from_byte(b).is_some());
    let shown = hexdumped_kinds(Protocol::Link, "hexdump link");
    assert_eq!(shown, link_kinds.collect());
}

/// Each frame of a transcript is a line of prose and then lines of bytes; the prose says what the
/// bytes say.
#[test]
fn transcripts_say_what_their_bytes_say() {
    let transcripts = blocks("transcript");
    assert_eq!(transcripts.len(), 5);
    for lines in transcripts {
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let (direction, said) = line.split_once("  ").expect("direction and frame");
            let protocol = match direction {
                "C>G" | "G>C" => Protocol::Client,
                "G>B" | "B>G" => Protocol::Link,
                other => panic!("direction {other:?}"),
            };
            let mut frame = Vec::new();
            while let Some(hex) = lines.next_if(|line| line.starts_with("     ")) {
                frame.extend(bytes(hex));
            }
            assert_eq!(describe(protocol, &frame).1, said);
        }
    }
}

/// Compares a table of kinds, number and name, with those that a codec knows.
fn check_kinds(section: &str, known: impl Fn(u8) -> Option<String>) {
    let documented: Vec<(u8, String)> = rows(section)
        .iter()
        .map(|row| (row[0].parse().expect("a kind"), row[1].to_owned()))
        .collect();
    let coded = (0..=u8::MAX).filter_map(|byte| Some((byte, known(byte)?)));
    assert_eq!(documented, coded.collect::<Vec<_>>(), "{section}");
}

#[test]
fn tables_of_kinds_are_the_codecs() {
    check_kinds("1.2", |byte| client::Kind::from_byte(byte).map(name));
    check_kinds("2.2", |byte| link::Kind::from_byte(byte).map(name));
}

#[test]
fn tables_of_codes_are_all_codes() {
    let documented: Vec<Code> = rows("1.4")
        .iter()
        .map(|row| Code(row[0].parse().expect("a code")))
        .collect();
    let distinct: BTreeSet<Code> = documented.iter().copied().collect();
    assert_eq!(distinct.len(), documented.len(), "a code twice");
    assert_eq!(distinct, Code::ALL.into_iter().collect());
}

#[test]
fn table_of_flags_is_the_codecs() {
    let documented: Vec<(&str, &str)> = rows("1.3").iter().map(|row| (row[0], row[2])).collect();
    let coded = [
        (format!("{:#04x}", client::FLAG_RESUMABLE), "RESUMABLE"),
        (format!("{:#04x}", client::FLAG_GAP), "GAP"),
    ];
    assert_eq!(
        documented,
        coded.each_ref().map(|(bit, name)| (&**bit, *name))
    );
}

/// The fixed fields of a header table follow each other without a gap up to its length.
#[test]
fn tables_of_headers_have_the_codecs_lengths() {
    for (section, length) in [("1.1", client::HEADER_LEN), ("2.1", link::HEADER_LEN)] {
        let mut end = 0;
        for row in rows(section) {
            let (Ok(offset), Ok(bytes)) = (row[0].parse::<usize>(), row[1].parse::<usize>()) else {
                break;
            };
            assert_eq!(offset, end, "{section}: {row:?}");
            end += bytes;
        }
        assert_eq!(end, length, "{section}");
    }
}
