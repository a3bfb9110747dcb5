//! A ring in one thread: what counting positions and copying the bytes cost.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use busduct::sync::{RingReader, RingWords, RingWriter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CAPACITY: usize = 512 << 10;
const SIZES: [usize; 3] = [32, 1 << 10, 16 << 10];
/// Messages between two looks at the other side.
const BATCHES: [usize; 2] = [1, 16];

struct Ring {
    writer: RingWriter<Arc<RingWords>>,
    reader: RingReader<Arc<RingWords>>,
    /// Twice the capacity, as if it were mapped twice: what wraps is read where it was written.
    memory: Vec<u8>,
}

impl Ring {
    fn new() -> Self {
        let words = Arc::new(RingWords::default());
        Self {
            writer: RingWriter::new(words.clone(), CAPACITY),
            reader: RingReader::new(words, CAPACITY),
            memory: vec![0; 2 * CAPACITY],
        }
    }

    #[inline]
    fn push(&mut self, payload: &[u8], batch: usize) {
        for _ in 0..batch {
            let offset = self.writer.reserve(payload.len()).unwrap().unwrap();
            self.memory[offset..offset + payload.len()].copy_from_slice(payload);
            self.writer.commit(payload.len());
        }
        black_box(self.writer.publish());
    }

    #[inline]
    fn pop(&mut self, payload: &mut [u8]) {
        while self.reader.available().unwrap() > 0 {
            let offset = self.reader.offset();
            payload.copy_from_slice(&self.memory[offset..offset + payload.len()]);
            self.reader.advance(payload.len());
        }
        self.reader.release(self.reader.position());
    }
}

fn ring(criterion: &mut Criterion) {
    for batch in BATCHES {
        let mut group = criterion.benchmark_group(match batch {
            1 => "push_pop".to_owned(),
            _ => format!("push_pop_{batch}"),
        });
        for nbytes in SIZES {
            let (payload, mut popped) = (vec![7; nbytes], vec![0; nbytes]);
            let mut ring = Ring::new();
            ring.push(&payload, batch);
            ring.pop(&mut popped);
            assert_eq!(payload, popped);
            let (elements, bytes) = (batch as u64, (batch * nbytes) as u64);
            group.throughput(Throughput::ElementsAndBytes { elements, bytes });
            group.bench_function(BenchmarkId::new("rust", nbytes), |bencher| {
                bencher.iter(|| {
                    ring.push(black_box(&payload), batch);
                    ring.pop(black_box(&mut popped));
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = ring
}
criterion_main!(benches);
