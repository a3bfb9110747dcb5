//! What a peer that means harm stores in the words that it can write.

use std::os::fd::AsFd;

use busduct::shm::{Announcement, CONTROL_BYTES, Descriptor, MAX_SLOTS};
use rustix::fs::{FallocateFlags, fallocate};

use crate::half::{BYE, Moved, PART, PING, RING_BYTES, SLOT, STREAM, Segment, TABLE_BYTES, record};
use crate::raw::{command, frame};
use crate::words::{Word, Words};

const SLOT_BYTES: usize = 32 << 10;
const NUM_SLOTS: u16 = 8;
const WORDS: [Word; 4] = [Word::Tail, Word::Head, Word::ReaderSleeps, Word::WriterSleeps];

/// Numbers after G. Marsaglia, "Xorshift RNGs" (2003).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let byte = self.next() as u8;
        vec![byte; self.below(most)]
    }

    /// A number that may well be believed, or any.
    fn word(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => self.below(2 * RING_BYTES) as u64,
            2 => 0_u64.wrapping_sub(self.below(9) as u64),
            _ => self.below(3) as u64,
        }
    }
}

/// A peer that behaves for the most part, so that it lives long enough to do harm.
pub(crate) struct Scribbler {
    peer: Moved,
    segment: Segment,
    random: Random,
    next_slot: u16,
}

impl Scribbler {
    pub(crate) fn new(mut peer: Moved, seed: u64) -> Self {
        let segment = Segment::make(0, 0, NUM_SLOTS, SLOT_BYTES);
        peer.announce(segment.told, segment.fd.as_fd());
        Self { peer, segment, random: Random(seed), next_slot: 0 }
    }

    pub(crate) fn act(&mut self) {
        match self.random.below(4000) {
            0..1500 => self.say(),
            1500..2500 => self.take_all(),
            2500..3500 => self.change_payload(),
            3500..3900 => self.change_flag(),
            3900..3970 => self.change_hold(),
            3970..3980 => self.change_record(),
            3980..3985 => self.change_position(),
            3985 => self.punch_hole(),
            _ => self.say_by_line(),
        }
    }

    /// Publish a message that is most likely right, if there is room.
    fn say(&mut self) {
        let random = &mut self.random;
        let said = match random.below(64) {
            0..24 => record(PART, 0, &random.bytes(600)),
            24..30 => [record(PART, 1, &random.bytes(600)), record(PART, 0, b"last")].concat(),
            30..40 => record(STREAM, 0, &frame(&random.bytes(200))),
            40..48 => record(STREAM, 0, &command(b"\x04PING\0\0")),
            48 if random.below(8) == 0 => record(STREAM, 0, &random.bytes(20)),
            49 if random.below(8) == 0 => record(PART, 1, &random.bytes(20)),
            _ => self.lend(),
        };
        let ours = &mut self.peer.ours;
        let end = ours.tail + said.len() as u64;
        // Where its own words are nonsense, the other side has seen that, or will.
        if end.wrapping_sub(ours.words.get(Word::Head)) <= RING_BYTES as u64 {
            self.peer.say(&said);
        }
    }

    fn lend(&mut self) -> Vec<u8> {
        let within = self.next_slot;
        self.next_slot = (within + 1) % NUM_SLOTS;
        let nbytes = self.random.below(SLOT_BYTES + 1) as u64;
        let mut told = self.segment.descriptor(within, nbytes);
        if self.random.below(200) == 0 {
            let word = self.random.word();
            told = Descriptor { slot: word as u16 % 9, generation: word as u32 % 2, ..told };
        }
        self.peer.ours.words.set_held(told.slot, 1);
        record(SLOT, 0, &told.encode())
    }

    /// Give back all that the other side has sent.
    fn take_all(&mut self) {
        self.peer.words.set(Word::Head, self.peer.words.get(Word::Tail));
        (0..NUM_SLOTS).for_each(|slot| self.peer.words.set_held(slot, 0));
        self.peer.ring();
    }

    /// Change what the other side may be reading at this moment.
    fn change_payload(&mut self) {
        let at = TABLE_BYTES + self.random.below(usize::from(NUM_SLOTS) * SLOT_BYTES - 64);
        self.segment.map.copy_in(at, &[self.random.next() as u8; 64]);
        if self.random.below(400) == 0 {
            let at = self.random.below(usize::from(NUM_SLOTS)) * 4;
            self.segment.map.copy_in(at, &(self.random.word() as u32).to_ne_bytes());
        }
    }

    fn words(&mut self) -> &Words {
        if self.random.below(2) == 0 { &self.peer.words } else { &self.peer.ours.words }
    }

    fn change_flag(&mut self) {
        let (word, value) = (WORDS[2 + self.random.below(2)], self.random.word());
        self.words().set(word, value);
    }

    fn change_hold(&mut self) {
        let slot = match self.random.below(2) {
            0 => self.random.below(MAX_SLOTS),
            _ => self.random.below(usize::from(NUM_SLOTS)),
        };
        let held = self.random.word() as u8;
        self.words().set_held(slot as u16, held);
    }

    fn change_record(&mut self) {
        let back = self.random.below(256) as u64;
        let at = self.peer.ours.tail.wrapping_sub(back) as usize % RING_BYTES;
        let word = self.random.word().to_ne_bytes();
        self.peer.ours.data.write_at(at, &word[..1 + self.random.below(8)]);
    }

    fn change_position(&mut self) {
        let word = WORDS[self.random.below(2)];
        let (value, offset) = (self.random.word(), self.random.below(64) as u64);
        let is_near = self.random.below(2) == 0;
        let words = self.words();
        let near = words.get(word).wrapping_add(offset).wrapping_sub(32);
        words.set(word, if is_near { near } else { value });
        self.peer.ring();
    }

    fn punch_hole(&mut self) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.words().0, hole, 0, CONTROL_BYTES as u64).unwrap();
    }

    fn say_by_line(&mut self) {
        let Self { peer, segment, random, .. } = self;
        let told = Announcement {
            id: 1 + random.below(3) as u32,
            is_one_off: random.below(2) == 0,
            num_slots: random.word() as u16,
            slot_nbytes: random.word(),
            ..segment.told
        };
        // It may have been hung up on, or not be read.
        let _ = match random.below(40) {
            0 => peer.raw.try_write_with(&BYE, &[]),
            1 => peer.raw.try_write_with(&random.bytes(40), &[]),
            2 => peer.raw.try_write_with(&told.encode(), &[segment.fd.as_fd()]),
            _ => peer.raw.try_write_with(&PING, &[]),
        };
        peer.raw.read();
        peer.raw.received.clear();
        peer.raw.fds.clear();
    }
}
