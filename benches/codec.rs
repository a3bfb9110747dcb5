//! Framing: headers out, and messages in from a buffer that holds many.

use std::hint::black_box;
use std::time::Duration;

use busduct::link::{Assembler, Item, Limits};
use busduct::zmtp::encode_header;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 4] = [32, 1 << 10, 32 << 10, 1 << 20];
/// What one read of the core takes.
const BUFFER_BYTES: usize = 128 << 10;
const LIMITS: Limits = Limits { max_message_bytes: 1 << 30, max_parts: 1024 };

fn num_messages(nbytes: usize) -> usize {
    (BUFFER_BYTES / nbytes).max(1)
}

fn encode(out: &mut Vec<u8>, payload: &[u8], num_messages: usize) {
    out.clear();
    for _ in 0..num_messages {
        encode_header(out, payload.len(), false, false);
        out.extend_from_slice(payload);
    }
}

fn decode(assembler: &mut Assembler<Vec<u8>>, mut wire: &[u8]) -> usize {
    let mut num_decoded = 0;
    while let Ok(Some(Item::Message(message))) = assembler.next(&mut wire) {
        black_box(message);
        num_decoded += 1;
    }
    num_decoded
}

fn codec(criterion: &mut Criterion) {
    for nbytes in SIZES {
        let payload = vec![7; nbytes];
        let count = num_messages(nbytes);
        let mut wire = Vec::new();
        encode(&mut wire, &payload, count);
        check(&wire, &payload, count);
        let work =
            Throughput::ElementsAndBytes { elements: count as u64, bytes: (count * nbytes) as u64 };
        bench(criterion, "encode", nbytes, &work, || encode(&mut wire, black_box(&payload), count));
        let mut assembler = Assembler::new(LIMITS, 0);
        bench(criterion, "decode", nbytes, &work, || {
            assert_eq!(decode(&mut assembler, black_box(&wire)), count);
        });
    }
}

fn bench(
    criterion: &mut Criterion,
    operation: &str,
    nbytes: usize,
    work: &Throughput,
    mut run: impl FnMut(),
) {
    let mut group = criterion.benchmark_group(operation);
    group.throughput(work.clone());
    group.bench_function(BenchmarkId::new("rust", nbytes), |bencher| bencher.iter(&mut run));
    group.finish();
}

fn check(wire: &[u8], payload: &[u8], count: usize) {
    let mut assembler = Assembler::<Vec<u8>>::new(LIMITS, 0);
    let mut rest = wire;
    for _ in 0..count {
        let item = assembler.next(&mut rest).unwrap();
        let Some(Item::Message(message)) = item else {
            panic!("a message is missing");
        };
        assert_eq!(message.into_parts(), [payload]);
    }
    assert!(rest.is_empty());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = codec
}
criterion_main!(benches);
