//! Payloads that have a segment for themselves.

use std::time::Instant;

use super::support::Ends;

const PAGE: usize = 4096;

/// Send `nbytes`, with marks that an offset of 32 bits would mix up.
fn travel(nbytes: usize) {
    let mut ends = Ends::new(256 << 20);
    let mut payload = vec![0; nbytes];
    for (mark, at) in [(1, 0), (2, nbytes / 2), (3, nbytes - 1)] {
        payload[at] = mark;
    }
    let started = Instant::now();
    let mut slot = ends.arena.take(nbytes).unwrap();
    let taken = started.elapsed();
    slot.copy_from(&payload);
    let copied = started.elapsed();
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let lease = ends.borrower.take(descriptor).unwrap();
    let leased = started.elapsed();
    assert!(lease.as_ref() == payload, "the payload is another");
    let compared = Instant::now();
    drop(lease);
    assert_eq!(ends.lender.sweep(), 1);
    assert_eq!((ends.arena.nbytes(), ends.arena.num_segments()), (0, 0));
    let freed = compared.elapsed();
    println!(
        "{nbytes} bytes: taken {taken:?}, copied {copied:?}, leased {leased:?}, freed in {freed:?}"
    );
}

#[test]
fn a_large_payload_has_a_segment_for_itself() {
    travel((64 << 20) + 1);
}

#[test]
#[ignore = "takes 8 GiB of memory and 10 s"]
fn a_payload_beyond_32_bits_travels() {
    travel((4 << 30) + PAGE);
}
