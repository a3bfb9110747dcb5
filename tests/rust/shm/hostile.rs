//! A side that scribbles over whatever it can write, while the other works on.
//!
//! For as many seconds as `BUSDUCT_HOSTILE_SECONDS` says, or 1; longer where the machine is
//! busy, until enough has happened.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use busduct::shm::{
    Announcement, Arena, CONTROL_BYTES, ControlMap, Descriptor, HELD_OFFSET, Layout, Map,
    PeerAccess, RingData, TakeError, create,
};
use busduct::sync::{Corrupt, RingReader, RingWriter};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::pwrite;

use super::support::{Ends, duplicate, pattern};

const RING_BYTES: usize = 4096;
const SLOT_BYTES: usize = 8192;
const NUM_SLOTS: u16 = 16;
const TABLE_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a test goes on.
struct Term {
    end: Instant,
}

impl Term {
    fn begin() -> Self {
        let text = std::env::var("BUSDUCT_HOSTILE_SECONDS").ok();
        let seconds = text.and_then(|text| text.parse().ok()).unwrap_or(1);
        Self { end: Instant::now() + Duration::from_secs(seconds) }
    }

    fn goes_on(&self, suffices: bool) -> bool {
        let now = Instant::now();
        now < self.end || (!suffices && now < self.end + PATIENCE)
    }
}

/// Numbers after G. Marsaglia, "Xorshift RNGs" (2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
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

/// Write anything into the control page, where the other side does not look at most words.
fn scribble_control(random: &mut Random, control: BorrowedFd<'_>) {
    let word = random.word().to_ne_bytes();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match random.below(1000) {
        0 => fallocate(control, hole, 0, CONTROL_BYTES as u64).unwrap(),
        1..400 => {
            let line = random.below(4) * 128;
            pwrite(control, &word, line as u64).map(drop).unwrap();
        }
        _ => {
            let at = HELD_OFFSET + random.below(64);
            pwrite(control, &word[..1], at as u64).map(drop).unwrap();
        }
    }
}

/// Run `scribble` on a thread of its own for as long as `work` takes.
fn beside<T>(mut scribble: impl FnMut(&mut Random) + Send, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            while !done.load(Ordering::Relaxed) {
                scribble(&mut random);
            }
        });
        // Even if `work` panics, so that the other thread ends.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How often something went well, and how often it was refused.
#[derive(Default)]
struct Tally {
    num_good: u64,
    num_refused: u64,
}

impl Tally {
    fn count<T, E>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(_) => self.num_good += 1,
            Err(_) => self.num_refused += 1,
        }
        result.ok()
    }

    fn suffices(&self) -> bool {
        self.num_good > 10 && self.num_refused > 10
    }

    fn check(&self, what: &str) {
        assert!(self.num_good > 10, "{what} went well {} times", self.num_good);
        assert!(self.num_refused > 10, "{what} was refused {} times", self.num_refused);
    }
}

/// Write a record as a link does.
fn write_record(
    writer: &mut RingWriter<ControlMap>,
    data: &mut RingData,
    record: &[u8],
) -> Result<(), Corrupt> {
    if let Some(offset) = writer.reserve(record.len())? {
        data.write_at(offset, record);
        writer.commit(record.len());
        writer.publish();
    }
    writer.room()?;
    writer.head()?;
    if writer.sleep(record.len())? {
        writer.wake();
    }
    Ok(())
}

#[test]
fn an_owner_bears_a_hostile_peer() {
    let (control, control_fd) = ControlMap::create().unwrap();
    let mut ends = Ends::with_control(8 << 20, control.clone(), duplicate(control_fd.as_fd()));
    let (mut data, _data_fd) = RingData::create(RING_BYTES).unwrap();
    let mut random = Random(7);
    let mut tally = Tally::default();
    let term = Term::begin();
    beside(
        |random| scribble_control(random, control_fd.as_fd()),
        || {
            let mut writer = RingWriter::new(control.clone(), RING_BYTES);
            let mut kept = Vec::new();
            while term.goes_on(tally.suffices()) {
                let nbytes = random.below(100_000);
                if let Some(mut slot) = ends.arena.take(nbytes) {
                    let payload = pattern(nbytes as u8, nbytes);
                    slot.copy_from(&payload);
                    kept.push((slot.clone(), payload));
                    ends.lender.lend(slot).expect("it was free");
                }
                ends.lender.sweep();
                let record = vec![7; 1 + random.below(RING_BYTES)];
                if tally.count(write_record(&mut writer, &mut data, &record)).is_none() {
                    writer = RingWriter::new(control.clone(), RING_BYTES);
                }
                if kept.len() == 8 {
                    let intact = kept.drain(..).all(|(slot, payload)| slot.as_ref() == payload);
                    assert!(intact, "a payload changed that is held");
                }
            }
        },
    );
    tally.check("writing");
    ends.lender.reclaim();
    assert_eq!(ends.arena.num_held(), 0);
}

/// What a hostile owner can write.
struct HostileOwner {
    control: OwnedFd,
    ring: RingData,
    segment: Map,
}

impl HostileOwner {
    fn scribble(&mut self, random: &mut Random) {
        for _ in 0..8 {
            scribble_control(random, self.control.as_fd());
        }
        let word = random.word().to_ne_bytes();
        self.ring.write_at(random.below(RING_BYTES), &word);
        let entry = random.below(usize::from(NUM_SLOTS)) * 4;
        self.segment.copy_in(entry, &word[..4]);
        self.segment.copy_in(TABLE_BYTES + random.below(SLOT_BYTES), &word);
    }
}

/// Read what the ring has as a link does; look at every byte.
fn read_ring(reader: &mut RingReader<ControlMap>, data: &RingData) -> Result<u64, Corrupt> {
    let nbytes = reader.available()?;
    let sum = sum(data.slice(reader.offset(), nbytes));
    reader.advance(nbytes);
    reader.release(reader.position());
    let _ = reader.wakes_writer();
    if reader.sleep()? {
        reader.wake();
    }
    Ok(sum)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

fn any_descriptor(random: &mut Random) -> Descriptor {
    Descriptor {
        segment: random.below(2) as u32,
        slot: random.below(usize::from(NUM_SLOTS) + 1) as u16,
        generation: random.below(3) as u32,
        nbytes: match random.below(4) {
            0 => random.word(),
            _ => random.below(SLOT_BYTES + 1) as u64,
        },
    }
}

fn any_announcement(random: &mut Random) -> Announcement {
    Announcement {
        id: 1 + random.below(3) as u32,
        is_one_off: random.below(2) == 0,
        first_slot: random.word() as u16,
        num_slots: random.word() as u16,
        slot_nbytes: random.word(),
        segment_nbytes: random.word(),
    }
}

#[test]
fn a_receiver_bears_a_hostile_owner() {
    let nbytes = TABLE_BYTES + SLOT_BYTES * usize::from(NUM_SLOTS);
    let (segment, segment_fd) = create(nbytes, PeerAccess::ReadOnly, Layout::Plain).unwrap();
    let (ring, ring_fd) = RingData::create(RING_BYTES).unwrap();
    let (_, control) = ControlMap::create().unwrap();
    let peer_control = ControlMap::open(duplicate(control.as_fd())).unwrap();
    let data = RingData::open(ring_fd, RING_BYTES).unwrap();
    let mut ends = Ends::with_control(0, peer_control.clone(), duplicate(control.as_fd()));
    let announcement = Announcement {
        id: 0,
        is_one_off: false,
        first_slot: 0,
        num_slots: NUM_SLOTS,
        slot_nbytes: SLOT_BYTES as u64,
        segment_nbytes: nbytes as u64,
    };
    ends.borrower.add_segment(announcement, duplicate(segment_fd.as_fd())).unwrap();

    let mut owner = HostileOwner { control, ring, segment };
    let mut random = Random(11);
    let (mut reads, mut takes) = (Tally::default(), Tally::default());
    let mut refusals = [0_u32; 4];
    let term = Term::begin();
    beside(
        |random| owner.scribble(random),
        || {
            let mut reader = RingReader::new(peer_control.clone(), RING_BYTES);
            let mut leases = Vec::new();
            let is_each_there = |refusals: &[u32; 4]| refusals.iter().all(|count| *count > 0);
            while term.goes_on(reads.suffices() && takes.suffices() && is_each_there(&refusals)) {
                if reads.count(read_ring(&mut reader, &data)).is_none() {
                    reader = RingReader::new(peer_control.clone(), RING_BYTES);
                }
                let taken = ends.borrower.take(any_descriptor(&mut random));
                if let Err(error) = taken {
                    refusals[cause(error)] += 1;
                }
                leases.extend(takes.count(taken));
                if leases.len() == 8 {
                    std::hint::black_box(
                        leases.drain(..).map(|lease| sum(lease.as_ref())).sum::<u64>(),
                    );
                }
                let announcement = any_announcement(&mut random);
                let refused =
                    ends.borrower.add_segment(announcement, duplicate(segment_fd.as_fd()));
                assert!(refused.is_err(), "{announcement:?}");
            }
        },
    );
    reads.check("reading the ring");
    takes.check("taking a payload");
    assert!(refusals.iter().all(|count| *count > 0), "causes of refusals: {refusals:?}");
}

fn cause(error: TakeError) -> usize {
    match error {
        TakeError::UnknownSegment => 0,
        TakeError::OutOfRange => 1,
        TakeError::Stale { .. } => 2,
        TakeError::NotHeld => 3,
    }
}

/// The memory of an arena, by the descriptor that its peers have.
#[test]
fn a_peer_cannot_touch_the_memory_of_an_arena() {
    let mut arena = Arena::new(1 << 20);
    let mut slot = arena.take(1000).unwrap();
    slot.copy_from(&pattern(1, 1000));
    let fd = duplicate(slot.segment().fd());
    let mut random = Random(3);
    for _ in 0..1000 {
        let at = random.below(600_000) as u64;
        pwrite(&fd, &random.next().to_ne_bytes(), at).unwrap_err();
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&fd, hole, at & !4095, 4096).unwrap_err();
        fallocate(&fd, FallocateFlags::ZERO_RANGE, at & !4095, 4096).unwrap_err();
    }
    assert_eq!(slot.as_ref(), pattern(1, 1000));
}
