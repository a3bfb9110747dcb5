//! Segments for the largest payloads, which are used again until they are retired.

use std::time::{Duration, Instant};

use busduct::shm::{LARGEST_CLASS_BYTES, Slot, Store};

const MIB: usize = 1 << 20;
/// Of a segment, besides its slot.
const TABLE: usize = 4096;

fn id(slot: &Slot) -> u32 {
    slot.segment().id
}

#[test]
fn a_large_payload_is_put_where_the_last_one_was() {
    let mut store = Store::keeping_large(64 * MIB);
    let mut slot = store.take_any(20 * MIB).unwrap();
    slot.copy_from(&vec![7; 20 * MIB]);
    let first = slot.descriptor();
    assert!(!slot.segment().is_one_off);
    assert_eq!((store.arena().num_held(), store.arena().num_segments()), (1, 1));
    drop(slot);
    assert_eq!((store.arena().num_held(), store.arena().num_segments()), (0, 1));
    assert!(store.arena().has_free(20 * MIB));
    let slot = store.take_any(20 * MIB - 5).unwrap();
    let next = slot.descriptor();
    assert_eq!((next.segment, next.slot), (first.segment, first.slot));
    assert_eq!(next.generation, first.generation + 1);
    assert_eq!(next.nbytes, 20 * MIB as u64 - 5);
}

#[test]
fn a_store_that_is_not_to_keep_gives_back_at_once() {
    let mut store = Store::new(64 * MIB);
    let slot = store.take_any(20 * MIB).unwrap();
    assert!(slot.segment().is_one_off);
    drop(slot);
    assert_eq!((store.arena().nbytes(), store.oldest_use().is_some()), (0, false));
}

#[test]
fn a_kept_segment_has_room_for_a_little_more() {
    let mut store = Store::keeping_large(256 * MIB);
    let sizes = [
        (LARGEST_CLASS_BYTES + 1, 18 * MIB),
        (18 * MIB, 18 * MIB),
        (18 * MIB + 1, 20 * MIB),
        (64 * MIB, 64 * MIB),
        (64 * MIB + 1, 72 * MIB),
    ];
    for (nbytes, expected) in sizes {
        let slot = store.take_any(nbytes).unwrap();
        assert_eq!(slot.segment().slot_nbytes, expected as u64, "{nbytes}");
        drop(slot);
        store.retire_unused(Instant::now());
    }
}

#[test]
fn a_payload_takes_the_smallest_that_suits_it() {
    let mut store = Store::keeping_large(256 * MIB);
    let slots = [20, 40, 24, 24].map(|size| store.take_any(size * MIB).unwrap());
    let ids = slots.each_ref().map(id);
    drop(slots);
    // Of two that suit as well, the one that was used last.
    assert_eq!(id(&store.take_any(22 * MIB).unwrap()), ids[3]);
    assert_eq!(id(&store.take_any(30 * MIB).unwrap()), ids[1]);
    assert_eq!(id(&store.take_any(17 * MIB).unwrap()), ids[0]);
    assert_eq!(store.arena().num_segments(), 4);
    // One of 20 MiB is too small, and of 40 too large for its size.
    let (small, large) = (store.take_any(19 * MIB).unwrap(), store.take_any(24 * MIB).unwrap());
    assert!(id(&small) == ids[0] && id(&large) == ids[3]);
    assert_eq!(id(&store.take_any(19 * MIB).unwrap()), ids[2]);
}

#[test]
fn what_was_used_longest_ago_gives_way() {
    let mut store = Store::keeping_large(64 * MIB + 3 * TABLE);
    let slots = [20, 40].map(|size| store.take_any(size * MIB).unwrap());
    let ids = slots.each_ref().map(id);
    drop(slots);
    drop(store.take_any(20 * MIB).unwrap());
    assert_eq!(store.take_retired(), []);
    let slot = store.take_any(44 * MIB).unwrap();
    assert_eq!(store.take_retired(), [ids[1]]);
    assert_eq!(store.arena().nbytes(), 64 * MIB + 2 * TABLE);
    drop(slot);
    // What cannot be had anyway drives nothing out.
    assert!(store.take_any(65 * MIB).unwrap().segment().is_one_off);
    assert_eq!(store.take_retired(), []);
}

#[test]
fn who_holds_one_makes_others_wait_and_not_the_budget_burst() {
    let mut store = Store::keeping_large(64 * MIB);
    let held = [20, 20, 20].map(|size| store.take_any(size * MIB).unwrap());
    assert!(store.take_any(20 * MIB).is_none());
    assert!(store.arena().nbytes() <= 64 * MIB);
    // For one of another size there is nothing to wait for.
    assert!(store.take_any(50 * MIB).unwrap().segment().is_one_off);
    let ids = held.each_ref().map(id);
    drop(held);
    assert!(ids.contains(&id(&store.take_any(20 * MIB).unwrap())));
}

#[test]
fn small_payloads_and_rings_have_what_is_kept() {
    let mut store = Store::keeping_large(64 * MIB);
    drop(store.take_any(60 * MIB).unwrap());
    let slot = store.take_any(MIB).unwrap();
    assert_eq!(slot.segment().num_slots, 8);
    assert_eq!(store.take_retired().len(), 1);
    drop(store.take_any(50 * MIB).unwrap());
    assert!(store.reserve(10 * MIB));
    assert_eq!(store.take_retired().len(), 1);
    let held = store.take_any(40 * MIB).unwrap();
    assert!(!store.reserve(10 * MIB));
    assert_eq!((store.take_retired(), store.num_reserved_bytes()), (vec![], 10 * MIB));
    drop((slot, held));
}

#[test]
fn what_nobody_uses_is_retired() {
    let mut store = Store::keeping_large(256 * MIB);
    let [held, free] = [20, 30].map(|size| store.take_any(size * MIB).unwrap());
    let (free_id, held_id) = (id(&free), id(&held));
    drop(free);
    let used_before = Instant::now();
    store.retire_unused(used_before - Duration::from_secs(60));
    assert_eq!((store.take_retired(), store.oldest_use().is_some()), (vec![], true));
    store.retire_unused(used_before);
    assert_eq!((store.take_retired(), store.oldest_use().is_some()), (vec![free_id], true));
    assert_eq!(store.arena().nbytes(), 20 * MIB + TABLE);
    drop(held);
    store.retire_unused(used_before);
    assert_eq!((store.take_retired(), store.oldest_use().is_some()), (vec![held_id], false));
    assert_eq!((store.arena().nbytes(), store.arena().num_held()), (0, 0));
}
