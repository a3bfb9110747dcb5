//! Who gets a message: ids `match/<table>/<number of keys>`.

use std::hint::black_box;

use busduct::socket::Subscriptions;
use criterion::{Criterion, criterion_group, criterion_main};

fn table(num_keys: u64, num_topics: usize) -> Subscriptions<u64> {
    let mut table = Subscriptions::new();
    for key in 0..num_keys {
        for topic in 0..num_topics {
            let name = if num_topics == 1 { String::new() } else { format!("topic.{topic}.") };
            table.insert(name.as_bytes(), key);
        }
    }
    table
}

fn matching(criterion: &mut Criterion) {
    let topic = b"topic.73.more";
    for (name, num_topics) in [("all", 1), ("thousand", 1000)] {
        for num_keys in [1, 4, 16] {
            let table = table(num_keys, num_topics);
            let mut keys = Vec::new();
            table.matches(topic, &mut keys);
            assert_eq!(keys.len() as u64, num_keys);
            criterion.bench_function(&format!("match/{name}/{num_keys}"), |bencher| {
                bencher.iter(|| table.matches(black_box(topic), &mut keys));
            });
        }
    }
}

criterion_group!(benches, matching);
criterion_main!(benches);
