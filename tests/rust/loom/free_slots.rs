//! Slots given back by many threads are each taken once, after their holder was done.

use busduct_loom::shm::FreeSlots;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::explore;

/// The free slots of an arena, and the payload of each.
struct Arena {
    free: FreeSlots,
    payloads: [UnsafeCell<u8>; 3],
}

impl Arena {
    /// Make one whose slots are all held.
    fn new() -> Arc<Self> {
        Arc::new(Self { free: FreeSlots::new(), payloads: [0, 0, 0].map(UnsafeCell::new) })
    }

    /// Read a held slot, then give it back.
    fn give_back(&self, number: u16) {
        // SAFETY: the slot is held; loom fails the model if it is taken by then.
        self.payloads[usize::from(number)].with(|payload| unsafe { *payload });
        self.free.push(number);
    }

    /// Take a slot, and fill it.
    fn take(&self) -> Option<u16> {
        let number = self.free.pop()?;
        // SAFETY: the slot was free; loom fails the model if it is still read.
        self.payloads[usize::from(number)].with_mut(|payload| unsafe { *payload += 1 });
        Some(number)
    }
}

fn take_beside_those_who_give_back() {
    let arena = Arena::new();
    arena.give_back(2);
    let holders: Vec<_> = (0..2)
        .map(|number| {
            let arena = Arc::clone(&arena);
            thread::spawn(move || arena.give_back(number))
        })
        .collect();
    let mut taken: Vec<u16> = (0..2).filter_map(|_| arena.take()).collect();
    if let Some(&number) = taken.first() {
        taken.remove(0);
        arena.give_back(number);
    }
    for holder in holders {
        holder.join().unwrap();
    }
    taken.extend(std::iter::from_fn(|| arena.take()));
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2]);
    assert!(!arena.free.has_some());
}

#[test]
fn slots_given_back_by_many_are_taken_once_each() {
    explore(3, take_beside_those_who_give_back);
}
