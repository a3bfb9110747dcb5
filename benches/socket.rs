//! PUSH to PULL over `ipc://`, both in one process and in one turn after the other.

use std::time::Duration;

use busduct::context::Context;
use busduct::link::Message;
use busduct::socket::{SocketKey, SocketOptions};
use busduct::zmtp::SocketType;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 2] = [32, 1 << 10];
/// Messages per turn; fewer than the high-water mark.
const BATCH: usize = 500;

struct Pair {
    context: Context<Vec<u8>>,
    push: SocketKey,
    pull: SocketKey,
}

impl Pair {
    fn open(endpoint: &str) -> Self {
        let mut context = Context::new().unwrap();
        let pull = context.open(SocketType::Pull, SocketOptions::default()).unwrap();
        let push = context.open(SocketType::Push, SocketOptions::default()).unwrap();
        context.bind(pull, endpoint, false).unwrap();
        context.connect(push, endpoint).unwrap();
        let mut pair = Self { context, push, pull };
        while pair.context.statistics(push).num_peers == 0 {
            pair.context.run_once(None).unwrap();
        }
        pair
    }

    fn send(&mut self, payload: &[u8]) {
        for _ in 0..BATCH {
            self.context.try_send(self.push, Message::Single(payload.to_vec())).unwrap();
        }
    }

    fn recv(&mut self, mut check: impl FnMut(&[u8])) {
        for _ in 0..BATCH {
            let part = loop {
                if let Some(part) = self.context.try_recv_single(self.pull).unwrap() {
                    break part;
                }
                self.context.run_once(None).unwrap();
            };
            check(&part);
        }
    }
}

fn push_pull(criterion: &mut Criterion) {
    let directory = std::env::temp_dir().join(format!("busduct-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut pair = Pair::open(&format!("ipc://{}", directory.join("p").display()));
    let mut group = criterion.benchmark_group("push_pull");
    for nbytes in SIZES {
        let payload: Vec<u8> = (0..nbytes).map(|index| index as u8).collect();
        pair.send(&payload);
        pair.recv(|part| assert_eq!(part, payload));
        group.throughput(Throughput::ElementsAndBytes {
            elements: BATCH as u64,
            bytes: (BATCH * nbytes) as u64,
        });
        group.bench_function(BenchmarkId::new("rust", nbytes), |bencher| {
            bencher.iter(|| {
                pair.send(&payload);
                pair.recv(|_| ());
            });
        });
    }
    group.finish();
    drop(pair);
    std::fs::remove_dir_all(&directory).unwrap();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = push_pull
}
criterion_main!(benches);
