//! No wake-up is lost: a side that sleeps for ever is a deadlock, which loom reports.

use loom::sync::{Arc, Notify};
use loom::thread;

use crate::cells::{Receiver, Sender, ring};
use crate::explore;

fn push(sender: &mut Sender, byte: u8, room: &Notify, data: &Notify) {
    loop {
        let (pushed, rings) = sender.try_push(byte);
        if rings {
            data.notify();
        }
        if pushed {
            return;
        }
        if sender.positions.sleep(1).unwrap() {
            room.wait();
            sender.positions.wake();
        }
    }
}

pub(crate) fn pop(receiver: &mut Receiver, room: &Notify, data: &Notify) -> u8 {
    loop {
        if let Some(byte) = receiver.try_pop() {
            if receiver.positions.wakes_writer() {
                room.notify();
            }
            return byte;
        }
        if receiver.positions.sleep().unwrap() {
            data.wait();
            receiver.positions.wake();
        }
    }
}

fn stream(capacity: usize, num_bytes: u8) {
    let (mut sender, mut receiver) = ring(capacity);
    let (room, data) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let bells = (Arc::clone(&room), Arc::clone(&data));
    let writer = thread::spawn(move || {
        for byte in 0..num_bytes {
            push(&mut sender, byte, &bells.0, &bells.1);
        }
    });
    for byte in 0..num_bytes {
        assert_eq!(pop(&mut receiver, &room, &data), byte);
    }
    writer.join().unwrap();
}

#[test]
fn reader_that_sleeps_is_woken() {
    explore(4, || stream(2, 2));
}

#[test]
fn writer_that_sleeps_is_woken() {
    explore(4, || {
        let (mut sender, mut receiver) = ring(1);
        sender.try_push(0);
        let (room, data) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let bell = Arc::clone(&room);
        let writer = thread::spawn(move || push(&mut sender, 1, &bell, &data));
        assert_eq!(receiver.try_pop(), Some(0));
        if receiver.positions.wakes_writer() {
            room.notify();
        }
        writer.join().unwrap();
    });
}

#[test]
fn both_sleep_in_turn() {
    explore(2, || stream(1, 3));
}
