//! Taking slots and giving them back, within a budget.

use busduct::shm::{Arena, LARGEST_CLASS_BYTES, MAX_SLOTS, SMALLEST_CLASS_BYTES, Slot};

use super::support::pattern;

const TABLE_BYTES: usize = 4096;
const MIB: usize = 1 << 20;

fn take_all(arena: &mut Arena, nbytes: usize) -> Vec<Slot> {
    std::iter::from_fn(|| arena.take(nbytes)).collect()
}

#[test]
fn a_slot_holds_what_was_copied_into_it() {
    let mut arena = Arena::new(64 * MIB);
    for nbytes in [0, 1, SMALLEST_CLASS_BYTES, SMALLEST_CLASS_BYTES + 1, MIB, 3 * MIB] {
        let mut slot = arena.take(nbytes).unwrap();
        assert_eq!(slot.nbytes(), nbytes);
        slot.copy_from(&pattern(1, nbytes));
        assert_eq!(slot.as_ref(), pattern(1, nbytes));
        slot.truncate(nbytes / 2);
        slot.truncate(nbytes);
        assert_eq!(slot.clone().as_ref(), pattern(1, nbytes / 2));
    }
}

#[test]
fn neighbours_do_not_touch() {
    let mut arena = Arena::new(4 * MIB);
    let mut slots = take_all(&mut arena, SMALLEST_CLASS_BYTES);
    for (seed, slot) in slots.iter_mut().enumerate() {
        slot.copy_from(&pattern(seed as u8, SMALLEST_CLASS_BYTES));
    }
    for (seed, slot) in slots.iter().enumerate() {
        assert_eq!(slot.as_ref(), pattern(seed as u8, SMALLEST_CLASS_BYTES));
    }
}

#[test]
fn the_slot_that_was_free_last_is_taken_first() {
    let mut arena = Arena::new(MIB);
    let [a, b, c] = [(); 3].map(|()| arena.take(100).unwrap());
    let [index_a, index_c] = [a.index(), c.index()];
    drop((c, a));
    let again = arena.take(100).unwrap();
    assert_eq!(again.index(), index_a);
    assert_eq!(arena.take(100).unwrap().index(), index_c);
    assert_eq!(arena.num_segments(), 1);
    drop(b);
}

#[test]
fn a_slot_is_free_when_its_last_hold_is_gone() {
    let mut arena = Arena::new(MIB);
    let mut first = arena.take(1).unwrap();
    assert!(first.is_unique());
    let second = first.clone();
    assert!(!first.is_unique());
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| first.copy_from(b"x"))).is_err()
    );
    drop(first);
    assert_eq!(arena.num_held(), 1);
    assert!(second.is_unique());
    drop(second);
    assert_eq!(arena.num_held(), 0);
}

#[test]
fn each_use_of_a_slot_is_a_generation() {
    let mut arena = Arena::new(MIB);
    let first = arena.take(1).unwrap().descriptor();
    let second = arena.take(2).unwrap().descriptor();
    assert_eq!((first.slot, second.slot), (0, 0));
    assert_ne!(first.generation, second.generation);
    assert_eq!((first.nbytes, second.nbytes), (1, 2));
}

#[test]
fn segments_are_as_large_as_their_class_wants() {
    let mut nbytes = SMALLEST_CLASS_BYTES;
    while nbytes <= LARGEST_CLASS_BYTES {
        let slot = Arena::new(256 * MIB).take(nbytes).unwrap();
        let num_slots = match nbytes {
            SMALLEST_CLASS_BYTES => 16,
            LARGEST_CLASS_BYTES => 4,
            _ => 8,
        };
        let segment = slot.segment();
        assert_eq!((segment.slot_nbytes, segment.num_slots), (nbytes as u64, num_slots));
        nbytes *= 2;
    }
}

#[test]
fn the_budget_is_never_exceeded_by_classes() {
    let mut arena = Arena::new(3 * MIB);
    let small = take_all(&mut arena, SMALLEST_CLASS_BYTES);
    assert!(arena.nbytes() <= 3 * MIB && arena.nbytes() > 3 * MIB - 2 * SMALLEST_CLASS_BYTES);
    assert!(arena.take(MIB).is_none());
    drop(small);
    assert_eq!(arena.num_held(), 0);
    assert!(arena.take(1).is_some());
}

#[test]
fn a_segment_shrinks_to_what_the_budget_leaves() {
    let mut arena = Arena::new(3 * MIB);
    let slot = arena.take(MIB).unwrap();
    assert_eq!(slot.segment().num_slots, 2);
    assert!(Arena::new(MIB).take(MIB).is_none());
    assert!(Arena::new(MIB + TABLE_BYTES).take(MIB).is_some());
}

#[test]
fn numbers_of_slots_end_too() {
    let mut arena = Arena::new(1 << 30);
    let slots = take_all(&mut arena, 1);
    assert!(slots.len() < MAX_SLOTS && slots.len() >= MAX_SLOTS - 64);
    let one_off = arena.take(LARGEST_CLASS_BYTES + 1).unwrap();
    assert!(usize::from(one_off.index()) < MAX_SLOTS);
    assert!(slots.iter().all(|slot| slot.index() != one_off.index()));
}

#[test]
fn a_one_off_is_given_back_to_the_system() {
    let mut arena = Arena::new(64 * MIB);
    let nbytes = LARGEST_CLASS_BYTES + 1;
    let mut one_off = arena.take(nbytes).unwrap();
    one_off.copy_from(&pattern(3, nbytes));
    assert!(one_off.segment().is_one_off);
    assert_eq!(one_off.segment().slot_nbytes, (LARGEST_CLASS_BYTES + 4096) as u64);
    assert_eq!((arena.num_segments(), arena.num_held()), (1, 1));
    let held = one_off.clone();
    drop(one_off);
    assert_eq!(held.as_ref(), pattern(3, nbytes));
    drop(held);
    assert_eq!((arena.num_segments(), arena.num_held(), arena.nbytes()), (0, 0, 0));
}

#[test]
fn one_one_off_at_a_time_may_exceed_the_budget() {
    let mut arena = Arena::new(MIB);
    let large = arena.take(20 * MIB).unwrap();
    assert!(arena.take(20 * MIB).is_none());
    // Others have the budget as if it were not there.
    let small = arena.take(1).unwrap();
    assert!(arena.nbytes() > 20 * MIB);
    drop(large);
    assert!(arena.nbytes() <= MIB);
    drop(small);
    assert!(arena.take(20 * MIB).is_some());
}

#[test]
fn the_limit_can_change() {
    let mut arena = Arena::new(0);
    assert!(arena.take(1).is_none());
    arena.set_limit(MIB);
    let slot = arena.take(1).unwrap();
    arena.set_limit(0);
    assert!(arena.take(MIB).is_none());
    assert!(arena.take(1).is_some(), "what is made stays");
    drop(slot);
}

#[test]
fn a_free_slot_needs_no_memory() {
    let mut arena = Arena::new(MIB + TABLE_BYTES);
    assert!(!arena.has_free(MIB));
    let slot = arena.take(MIB).unwrap();
    assert!(!arena.has_free(MIB), "there was room for one");
    drop(slot);
    assert!(arena.has_free(MIB) && arena.has_free(MIB / 2 + 1));
    assert!(!arena.has_free(MIB / 2) && !arena.has_free(usize::MAX));
}

#[test]
fn a_size_that_no_machine_has_is_no_slot() {
    let mut arena = Arena::new(MIB);
    for nbytes in [usize::MAX, usize::MAX - 8191, 1 << 62] {
        assert!(arena.take(nbytes).is_none());
    }
    assert_eq!((arena.nbytes(), arena.num_segments()), (0, 0));
    assert!(arena.take(1).is_some());
}

#[test]
fn slots_outlive_their_arena() {
    let mut arena = Arena::new(MIB);
    let mut slot = arena.take(5).unwrap();
    slot.copy_from(b"still");
    drop(arena);
    assert_eq!(slot.as_ref(), b"still");
}

#[test]
fn arenas_are_told_apart() {
    let [mut a, b] = [(); 2].map(|()| Arena::new(MIB));
    assert_ne!(a.id(), b.id());
    assert_eq!(a.take(1).unwrap().arena_id(), a.id());
}
