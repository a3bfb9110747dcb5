//! A slot given back is free, its reader is done with it, and its owner is woken.

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::cells::{Sender, ring};
use crate::explore;
use crate::sleep::pop;
use busduct_loom::sync::HeldByte;

/// One slot of an arena, with the byte that says whether the peer holds it.
#[derive(Default)]
struct Slot {
    held: HeldByte,
    payload: UnsafeCell<u8>,
}

impl Slot {
    /// As its owner: sleep until the peer has given it back.
    fn reclaim(&self, owner: &mut Sender, room: &Notify) {
        while self.held.is_lent() {
            owner.positions.announce_sleep();
            if self.held.is_lent() {
                room.wait();
            }
            owner.positions.wake();
        }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: the slot is not lent; loom fails the model if it is still read.
        self.payload.with_mut(|payload| unsafe { *payload = byte });
        self.held.lend();
    }

    fn take(&self) -> u8 {
        // SAFETY: its descriptor has arrived; loom fails the model if it is still filled.
        let byte = self.payload.with(|payload| unsafe { *payload });
        self.held.give_back();
        byte
    }
}

/// Send `num_bytes` descriptors of one slot, which is filled again each time.
fn lend(num_bytes: u8) {
    let (mut sender, mut receiver) = ring(2);
    let (room, data) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slot = Arc::new(Slot::default());
    let (lent, bells) = (Arc::clone(&slot), (Arc::clone(&room), Arc::clone(&data)));
    let owner = thread::spawn(move || {
        for byte in 0..num_bytes {
            lent.reclaim(&mut sender, &bells.0);
            lent.fill(byte);
            if sender.try_push(byte).1 {
                bells.1.notify();
            }
        }
    });
    for byte in 0..num_bytes {
        assert_eq!(pop(&mut receiver, &room, &data), byte);
        assert_eq!(slot.take(), byte);
        if receiver.positions.wakes_writer() {
            room.notify();
        }
    }
    owner.join().unwrap();
}

/// One thread reads on while another drops a lease; the owner waits for the slot alone.
fn give_back_beside_the_reader() {
    let (mut sender, mut receiver) = ring(2);
    let (room, slot) = (Arc::new(Notify::new()), Arc::new(Slot::default()));
    slot.fill(7);
    sender.try_push(0);
    let (words, lease, bell) = (Arc::clone(&sender.words), Arc::clone(&slot), Arc::clone(&room));
    let holder = thread::spawn(move || {
        assert_eq!(lease.take(), 7);
        if words.wakes_writer() {
            bell.notify();
        }
    });
    let bell = Arc::clone(&room);
    let reader = thread::spawn(move || {
        receiver.try_pop().unwrap();
        if receiver.positions.wakes_writer() {
            bell.notify();
        }
    });
    slot.reclaim(&mut sender, &room);
    slot.fill(8);
    holder.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn slot_is_filled_again_only_when_given_back() {
    explore(3, || lend(2));
}

#[test]
fn owner_is_woken_by_whoever_gives_the_slot_back() {
    explore(3, give_back_beside_the_reader);
}
