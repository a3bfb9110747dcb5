//! Bytes go through whole and in order: empty, full, and around the end.

use loom::thread;

use crate::cells::ring;
use crate::explore;

/// Try `num_tries` pushes beside as many pops; what was pushed is what is popped.
fn pass(capacity: usize, num_tries: usize) {
    let (mut sender, mut receiver) = ring(capacity);
    let writer = thread::spawn(move || {
        let pushed = (0..num_tries).fold(0, |next, _| next + u8::from(sender.try_push(next).0));
        (sender, pushed)
    });
    let mut popped: Vec<u8> = (0..num_tries).filter_map(|_| receiver.try_pop()).collect();
    let (_sender, pushed) = writer.join().unwrap();
    popped.extend(std::iter::from_fn(|| receiver.try_pop()));
    assert_eq!(popped, Vec::from_iter(0..pushed));
}

#[test]
fn bytes_pass_a_ring_of_one() {
    explore(4, || pass(1, 3));
}

#[test]
fn bytes_pass_a_ring_that_wraps() {
    explore(3, || pass(2, 4));
}
