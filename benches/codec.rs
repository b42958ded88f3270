//! Cost of the codecs: one frame of each size, and a buffer of many small ones as a socket read
//! brings it.

#![expect(
    missing_docs,
    reason = "criterion's macro makes a public function without any"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use game_gateway::codec::client::{self, Header};
use game_gateway::codec::{Decoded, link};

/// Payloads of a player's input, a world update and a bulk transfer, in bytes.
const PAYLOADS: [usize; 3] = [64, 512, 16 * 1024];
/// A socket read's worth of frames.
const FRAMES_PER_READ: usize = 256;
/// `listen.max_payload`'s default, in bytes.
const MAX_PAYLOAD: u32 = 65_536;
const SERVICE: &str = "game";

fn client_frame(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    client::encode(&mut bytes, &header(), SERVICE, &vec![7; payload]);
    bytes
}

fn link_frame(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    link::encode(&mut bytes, link::Kind::Data, 9, &vec![7; payload]);
    bytes
}

fn header() -> Header {
    Header {
        realm_id: 7,
        user_id: 42,
        session_id: 9,
        ..Header::default()
    }
}

/// Decodes every frame of a buffer; returns how many there were.
fn decode_all<'a, F>(
    mut bytes: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Option<Decoded<F>>,
) -> usize {
    let mut frames = 0;
    while let Some(Decoded::Frame(frame, used)) = decode(bytes) {
        black_box(frame);
        bytes = &bytes[used..];
        frames += 1;
    }
    frames
}

fn client_all(bytes: &[u8]) -> usize {
    decode_all(bytes, |bytes| client::decode(bytes, MAX_PAYLOAD).ok())
}

fn link_all(bytes: &[u8]) -> usize {
    decode_all(bytes, |bytes| link::decode(bytes, MAX_PAYLOAD).ok())
}

fn one_frame(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec/one_frame");
    for payload in PAYLOADS {
        group.throughput(Throughput::Bytes(payload as u64));
        let bytes = client_frame(payload);
        group.bench_function(BenchmarkId::new("client_decode", payload), |b| {
            b.iter(|| client_all(black_box(&bytes)));
        });
        let bytes = link_frame(payload);
        group.bench_function(BenchmarkId::new("link_decode", payload), |b| {
            b.iter(|| link_all(black_box(&bytes)));
        });
        let body = vec![7; payload];
        // The buffer is reused, as it is on the way of a frame.
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("client_encode", payload), |b| {
            b.iter(|| {
                out.clear();
                client::encode(&mut out, &header(), SERVICE, black_box(&body));
                black_box(&out);
            });
        });
        group.bench_function(BenchmarkId::new("link_encode", payload), |b| {
            b.iter(|| {
                out.clear();
                link::encode(&mut out, link::Kind::Data, 9, black_box(&body));
                black_box(&out);
            });
        });
    }
    group.finish();
}

fn one_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec/one_read");
    group.throughput(Throughput::Elements(FRAMES_PER_READ as u64));
    let payload = PAYLOADS[0];
    let clients = client_frame(payload).repeat(FRAMES_PER_READ);
    let links = link_frame(payload).repeat(FRAMES_PER_READ);
    // A benchmark of a decoder that stops early would flatter it.
    assert_eq!(client_all(&clients), FRAMES_PER_READ);
    assert_eq!(link_all(&links), FRAMES_PER_READ);
    group.bench_function("client_decode", |b| {
        b.iter(|| client_all(black_box(&clients)));
    });
    group.bench_function("link_decode", |b| b.iter(|| link_all(black_box(&links))));
    // The inbound path: a client's frames become a link's.
    let mut out = Vec::new();
    group.bench_function("client_to_link", |b| {
        b.iter(|| {
            out.clear();
            let mut rest = black_box(&clients[..]);
            while let Ok(Decoded::Frame(frame, used)) = client::decode(rest, MAX_PAYLOAD) {
                link::encode(&mut out, link::Kind::Data, 9, frame.payload);
                rest = &rest[used..];
            }
            black_box(&out);
        });
    });
    group.finish();
}

criterion_group!(benches, one_frame, one_read);
criterion_main!(benches);
