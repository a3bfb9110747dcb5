//! Two threads on one ring, both of which sleep, for ThreadSanitizer to watch.
//!
//! It follows the Release and Acquire of positions, and knows no fences; so it sees whether
//! the bytes are handed over rightly, and a lost wake-up shows as a program that hangs.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::thread;

use busduct::sync::{Doorbell, RingReader, RingWords, RingWriter};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const CAPACITY: usize = 256;
const NUM_MESSAGES: usize = 200_000;

/// The memory of a ring.
struct Memory([UnsafeCell<u8>; CAPACITY]);

// SAFETY: the positions give each byte to one side at a time, which is what is tested.
unsafe impl Sync for Memory {}

impl Memory {
    fn write(&self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the byte was reserved, so it is the writer's.
            unsafe { *self.0[(offset + index) % CAPACITY].get() = *byte };
        }
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the byte is available, so it is the reader's.
            *byte = unsafe { *self.0[(offset + index) % CAPACITY].get() };
        }
    }
}

/// A doorbell with the one who watches it.
struct Bell {
    bell: Doorbell,
    epoll: OwnedFd,
}

impl Bell {
    fn new() -> Self {
        let (bell, epoll) =
            (Doorbell::new().unwrap(), epoll::create(CreateFlags::CLOEXEC).unwrap());
        epoll::add(&epoll, &bell, EventData::new_u64(0), EventFlags::IN | EventFlags::ET).unwrap();
        Self { bell, epoll }
    }

    fn wait(&self) {
        epoll::wait(&self.epoll, &mut [MaybeUninit::uninit()], None).unwrap();
    }
}

fn message(number: usize) -> Vec<u8> {
    vec![number as u8; 1 + number % (CAPACITY / 2)]
}

fn write(words: &RingWords, memory: &Memory, room: &Bell, data: &Bell) {
    let mut writer = RingWriter::new(words, CAPACITY);
    for number in 0..NUM_MESSAGES {
        let bytes = message(number);
        let offset = loop {
            if let Some(offset) = writer.reserve(bytes.len()).unwrap() {
                break offset;
            }
            if writer.sleep(bytes.len()).unwrap() {
                room.wait();
                writer.wake();
            }
        };
        memory.write(offset, &bytes);
        writer.commit(bytes.len());
        if writer.publish() {
            data.bell.ring();
        }
    }
}

fn read(words: &RingWords, memory: &Memory, room: &Bell, data: &Bell) {
    let mut reader = RingReader::new(words, CAPACITY);
    for number in 0..NUM_MESSAGES {
        while reader.available().unwrap() == 0 {
            if reader.sleep().unwrap() {
                data.wait();
                reader.wake();
            }
        }
        let expected = message(number);
        let mut bytes = vec![0; expected.len()];
        memory.read(reader.offset(), &mut bytes);
        assert_eq!(bytes, expected);
        reader.advance(bytes.len());
        reader.release(reader.position());
        if reader.wakes_writer() {
            room.bell.ring();
        }
    }
}

fn main() {
    // Leaked and joined: the fences in the standard library's counters look like races.
    let words: &RingWords = Box::leak(Box::default());
    let memory: &Memory = Box::leak(Box::new(Memory([const { UnsafeCell::new(0) }; CAPACITY])));
    let [room, data]: &[Bell; 2] = Box::leak(Box::new([Bell::new(), Bell::new()]));
    let writer = thread::spawn(|| write(words, memory, room, data));
    read(words, memory, room, data);
    writer.join().unwrap();
}
