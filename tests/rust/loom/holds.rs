//! A slot is used again, or written by who holds it alone, after all others were done.

use busduct_loom::shm::{FreeSlots, SlotHolds};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::explore;

/// A slot, and where it goes when it is free.
struct Slot {
    holds: SlotHolds,
    payload: UnsafeCell<u8>,
    free: FreeSlots,
}

impl Slot {
    fn new() -> Self {
        Self { holds: SlotHolds::new(), payload: UnsafeCell::new(0), free: FreeSlots::new() }
    }

    fn read(&self) {
        // SAFETY: the slot is held; loom fails the model if it is written.
        self.payload.with(|payload| unsafe { *payload });
    }

    fn write(&self) {
        // SAFETY: nobody else holds the slot; loom fails the model if it is still read.
        self.payload.with_mut(|payload| unsafe { *payload += 1 });
    }

    fn drop_hold(&self) {
        if self.holds.release() {
            self.free.push(0);
        }
    }
}

/// Hold a slot here and on two threads; each of these reads it, then drops its hold.
fn hold_by_three(then: impl Fn(&Slot)) {
    let slot = Arc::new(Slot::new());
    slot.holds.occupy();
    slot.write();
    let others: Vec<_> = (0..2)
        .map(|_| {
            slot.holds.add();
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                slot.read();
                slot.drop_hold();
            })
        })
        .collect();
    then(&slot);
    for other in others {
        other.join().unwrap();
    }
    // Whoever dropped the last hold, it is free once.
    assert_eq!(slot.free.pop(), Some(0));
    assert!(!slot.holds.is_held());
    assert!(!slot.free.has_some());
}

#[test]
fn a_slot_is_used_again_when_all_are_done() {
    explore(3, || {
        hold_by_three(|slot| {
            slot.drop_hold();
            if slot.free.pop().is_some() {
                slot.holds.occupy();
                slot.write();
                slot.drop_hold();
            }
        });
    });
}

#[test]
fn a_slot_that_is_found_free_is_used_again() {
    explore(3, || {
        let slot = Arc::new(Slot::new());
        slot.holds.occupy();
        slot.write();
        slot.holds.add();
        let other = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                slot.read();
                slot.holds.release();
            })
        };
        slot.holds.release();
        // On no list: whoever wants it asks itself.
        if slot.holds.is_free() {
            slot.holds.occupy();
            slot.write();
            slot.holds.release();
        }
        other.join().unwrap();
        assert!(slot.holds.is_free());
    });
}

#[test]
fn who_holds_a_slot_alone_may_write_it() {
    explore(3, || {
        hold_by_three(|slot| {
            if slot.holds.is_unique() {
                slot.write();
            }
            slot.drop_hold();
        });
    });
}
