//! A moved link beside a queue: whatever is done at either end, each message accepted comes
//! out once, whole, and in order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::drive::until;
use crate::world::{Step, World};

const INLINE_MAX: usize = 16 << 10;
const SMALLEST_CLASS: usize = 32 << 10;
const LARGEST_CLASS: usize = 16 << 20;

/// The sizes where something changes, and any between.
fn nbytes() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        4 => 0..3000_usize,
        4 => select(vec![0, 1, 7, 8, 9, 2040, 2041, 4088, 4096, INLINE_MAX, INLINE_MAX + 1]),
        2 => select(vec![SMALLEST_CLASS, SMALLEST_CLASS + 1, 1 << 20, (1 << 20) + 1]),
        1 => 0..200_000_usize,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = |most| prop::collection::vec(nbytes(), 1..most);
    prop_oneof![
        8 => sizes(4).prop_map(Step::Send),
        4 => sizes(12).prop_map(Step::SendMany),
        2 => (nbytes(), 1..4_usize)
            .prop_map(|(nbytes, num_times)| Step::SendLoan { nbytes, num_times }),
        8 => any::<bool>().prop_map(|keeps| Step::Recv { keeps }),
        4 => (1..20_usize, 1..100_000_usize, any::<bool>())
            .prop_map(|(max_n, max_nbytes, keeps)| Step::RecvMany { max_n, max_nbytes, keeps }),
        4 => any::<Index>().prop_map(Step::Release),
        4 => Just(Step::Flush),
        6 => Just(Step::Turn),
        1 => any::<bool>().prop_map(|is_closed| Step::ReceiverLeaves { is_closed }),
        1 => Just(Step::SenderLeaves),
    ]
}

/// The smallest ring, one that all that is inline fits; memory for all, or for next to none.
fn memory() -> impl Strategy<Value = (usize, usize)> {
    select(vec![(4096, 64 << 20), (64 << 10, 64 << 20), (4096, 1 << 20), (64 << 10, 700 << 10)])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_moved_link_is_a_queue(
        (ring_bytes, max_bytes) in memory(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(ring_bytes, max_bytes);
        steps.iter().for_each(|step| world.step(step));
        world.end();
    }
}

#[test]
fn messages_of_any_size_pass_every_offset_of_a_small_ring() {
    const RING: usize = 4096;
    let record = |nbytes: usize| (8 + nbytes).next_multiple_of(8);
    let mut world = World::new(RING, 64 << 20);
    for nbytes in [0, 1, 8, 24, 2039, 2040, 2041, 5000, INLINE_MAX + 1] {
        let taken = if nbytes > INLINE_MAX { record(24) } else { record(nbytes) };
        for _ in 0..RING / 8 {
            world.step(&Step::Send(vec![nbytes]));
            // So that the next begins 8 bytes further on.
            let mut left = (RING + 8 - taken % RING) % RING;
            while left > 0 {
                let filler = left.min(RING / 4);
                world.step(&Step::Send(vec![filler - 8]));
                left -= filler;
                world.sender.flush();
                world.drain();
            }
            world.sender.flush();
            world.drain();
        }
    }
    world.end();
}

#[test]
fn what_no_class_holds_goes_alone() {
    let mut world = World::new(4096, 64 << 20);
    for nbytes in [LARGEST_CLASS, LARGEST_CLASS + 1, LARGEST_CLASS + 4097] {
        for keeps in [false, true] {
            world.step(&Step::Send(vec![nbytes, 1, nbytes]));
            until(&mut world.sender, |sender| {
                world.receiver.run_once(Some(Duration::ZERO)).unwrap();
                sender.statistics(world.push).num_send_queued == 0
            });
            world.step(&Step::Recv { keeps });
            world.held.clear();
        }
    }
    world.end();
}
