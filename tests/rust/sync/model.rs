//! A ring with its bytes beside a `VecDeque`, and beside a peer that stores anything.

use std::collections::VecDeque;

use busduct::sync::{Corrupt, RingReader, RingWriter};
use proptest::prelude::*;

use super::page::{HEAD, Page, READER_SLEEPS, TAIL, WRITER_SLEEPS};

/// Both sides and the memory, with what they must say about it.
struct Ring {
    page: Page,
    writer: RingWriter<Page>,
    reader: RingReader<Page>,
    memory: Vec<u8>,
    /// What was committed and not released.
    expected: VecDeque<u8>,
    next_byte: u8,
    published: u64,
    /// As far as the reader knows.
    seen: u64,
    released: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Publish,
    Pop(usize),
    Release(usize),
    ReaderSleeps,
    WriterSleeps(usize),
    WakesWriter,
    ReaderWakes,
    WriterWakes,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        let page = Page::new();
        Self {
            writer: RingWriter::new(page.clone(), capacity),
            reader: RingReader::new(page.clone(), capacity),
            page,
            memory: vec![0; capacity],
            expected: VecDeque::new(),
            next_byte: 0,
            published: 0,
            seen: 0,
            released: 0,
        }
    }

    fn room(&self) -> usize {
        self.memory.len() - self.expected.len()
    }

    fn flag(&self, index: usize) -> bool {
        self.page.load(index) != 0
    }

    fn push(&mut self, nbytes: usize) {
        let has_room = nbytes <= self.room();
        let offset = self.writer.reserve(nbytes).unwrap();
        assert_eq!(offset.is_some(), has_room);
        let Some(offset) = offset else { return };
        for index in offset..offset + nbytes {
            let size = self.memory.len();
            self.memory[index % size] = self.next_byte;
            self.expected.push_back(self.next_byte);
            self.next_byte = self.next_byte.wrapping_add(1);
        }
        self.writer.commit(nbytes);
    }

    fn publish(&mut self) {
        let slept = self.flag(READER_SLEEPS);
        assert_eq!(self.writer.publish(), slept);
        assert!(!self.flag(READER_SLEEPS));
        self.published = self.writer.position();
    }

    fn available(&mut self) -> usize {
        if self.reader.position() == self.seen {
            self.seen = self.published;
        }
        let nbytes = (self.seen - self.reader.position()) as usize;
        assert_eq!(self.reader.available(), Ok(nbytes));
        nbytes
    }

    fn pop(&mut self, nbytes: usize) {
        let nbytes = nbytes.min(self.available());
        let read = (self.reader.position() - self.released) as usize;
        for index in 0..nbytes {
            let byte = self.memory[(self.reader.offset() + index) % self.memory.len()];
            assert_eq!(byte, self.expected[read + index]);
        }
        self.reader.advance(nbytes);
    }

    fn release(&mut self, nbytes: usize) {
        let nbytes = nbytes.min((self.reader.position() - self.released) as usize);
        self.released += nbytes as u64;
        self.expected.drain(..nbytes);
        self.reader.release(self.released);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(nbytes) => self.push(nbytes),
            Step::Publish => self.publish(),
            Step::Pop(nbytes) => self.pop(nbytes),
            Step::Release(nbytes) => self.release(nbytes),
            Step::ReaderSleeps => {
                let sleeps = self.reader.sleep().unwrap();
                assert_eq!(sleeps, self.available() == 0);
                assert_eq!(self.flag(READER_SLEEPS), sleeps);
            }
            Step::WriterSleeps(nbytes) => {
                assert_eq!(self.writer.sleep(nbytes), Ok(nbytes > self.room()));
                assert_eq!(self.flag(WRITER_SLEEPS), nbytes > self.room());
            }
            Step::WakesWriter => {
                let slept = self.flag(WRITER_SLEEPS);
                assert_eq!(self.reader.wakes_writer(), slept);
                assert!(!self.flag(WRITER_SLEEPS));
            }
            Step::ReaderWakes => {
                self.reader.wake();
                assert!(!self.flag(READER_SLEEPS));
            }
            Step::WriterWakes => {
                self.writer.wake();
                assert!(!self.flag(WRITER_SLEEPS));
            }
        }
        assert_eq!(self.page.load(TAIL), self.published);
        assert_eq!(self.page.load(HEAD), self.released);
    }
}

/// The sizes where something can go wrong, and those between.
fn sizes(capacity: usize) -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        4 => 0..=capacity,
        1 => prop::sample::select(vec![0, 1, capacity, capacity + 1, usize::MAX]),
    ]
}

fn steps(capacity: usize) -> impl Strategy<Value = Vec<Step>> {
    let sizes = sizes(capacity);
    let step = prop_oneof![
        6 => sizes.clone().prop_map(Step::Push),
        6 => Just(Step::Publish),
        6 => sizes.clone().prop_map(Step::Pop),
        6 => sizes.clone().prop_map(Step::Release),
        1 => Just(Step::ReaderSleeps),
        1 => sizes.prop_map(Step::WriterSleeps),
        1 => Just(Step::WakesWriter),
        1 => Just(Step::ReaderWakes),
        1 => Just(Step::WriterWakes),
    ];
    prop::collection::vec(step, 0..200)
}

fn capacity_and_steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    (0..8_u32).prop_flat_map(|shift| (Just(1 << shift), steps(1 << shift)))
}

/// Positions near those that may be, and any other.
fn words() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..200_u64, 1 => u64::MAX - 200..=u64::MAX, 1 => any::<u64>()]
}

/// Do as the writer does, and ask for nothing outside the ring.
fn write(writer: &mut RingWriter<Page>, nbytes: usize) -> Result<(), Corrupt> {
    let capacity = writer.capacity();
    if let Some(offset) = writer.reserve(nbytes)? {
        assert!(offset < capacity && nbytes <= capacity);
        writer.commit(nbytes);
    }
    writer.publish();
    writer.sleep(nbytes)?;
    assert!(writer.room()? <= capacity && writer.head()? <= writer.position());
    Ok(())
}

/// Do as the reader does, and read nothing outside the ring.
fn read(reader: &mut RingReader<Page>, nbytes: usize, releases: bool) -> Result<(), Corrupt> {
    let available = reader.available()?;
    assert!(available <= 64 && reader.offset() < 64);
    reader.advance(available.min(nbytes));
    if releases {
        reader.release(reader.position());
        reader.wakes_writer();
    }
    reader.sleep()?;
    Ok(())
}

proptest! {
    #[test]
    fn ring_is_a_queue_of_bytes((capacity, steps) in capacity_and_steps()) {
        let mut ring = Ring::new(capacity);
        for step in &steps {
            ring.step(step);
        }
    }

    #[test]
    fn writer_stays_in_the_ring_whatever_is_stored(
        steps in prop::collection::vec((words(), any::<u64>(), sizes(64)), 1..50),
    ) {
        let page = Page::new();
        let mut writer = RingWriter::new(page.clone(), 64);
        for (head, sleeps, nbytes) in steps {
            page.store(HEAD, head);
            page.store(READER_SLEEPS, sleeps);
            let before = writer.position();
            let _ = write(&mut writer, nbytes);
            prop_assert!(writer.position() >= before);
        }
    }

    #[test]
    fn reader_stays_in_the_ring_whatever_is_stored(
        steps in prop::collection::vec((words(), any::<u64>(), sizes(64), any::<bool>()), 1..50),
    ) {
        let page = Page::new();
        let mut reader = RingReader::new(page.clone(), 64);
        for (tail, sleeps, nbytes, releases) in steps {
            page.store(TAIL, tail);
            page.store(WRITER_SLEEPS, sleeps);
            let before = reader.position();
            let _ = read(&mut reader, nbytes, releases);
            prop_assert!(reader.position() >= before);
        }
    }
}

#[test]
fn every_size_passes_at_every_offset() {
    const CAPACITY: usize = 16;
    for offset in 0..CAPACITY {
        for nbytes in 0..=CAPACITY {
            let mut ring = Ring::new(CAPACITY);
            for step in [offset, nbytes, CAPACITY - nbytes, CAPACITY] {
                ring.step(&Step::Push(step));
                ring.step(&Step::Publish);
                ring.step(&Step::Pop(step));
                ring.step(&Step::Release(step));
            }
            assert_eq!(ring.available(), 0);
        }
    }
}
