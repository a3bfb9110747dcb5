//! The memory that a context's payloads lie in: slots by size class, within one budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Number, Pool, Share};
use super::kept::{Kept, kept_nbytes};
use super::map::Layout;
use super::own_segment::{OwnSegment, Plan};
use super::segment::{PeerAccess, create};
use super::{MAX_SLOTS, Slot, TABLE_BYTES};
use crate::sync::atomic::{AtomicU64, Ordering};

/// What the slots of the smallest class hold.
pub const SMALLEST_CLASS_BYTES: usize = 32 << 10;
/// What those of the largest hold; each is twice the one before.
pub const LARGEST_CLASS_BYTES: usize = 16 << 20;

const NUM_CLASSES: usize =
    (LARGEST_CLASS_BYTES / SMALLEST_CLASS_BYTES).trailing_zeros() as usize + 1;
/// The list of free numbers of single slots stands behind those of the classes.
const SINGLE_LIST: usize = NUM_CLASSES;
/// The slots at the end of the numbers that are left to single ones, which come and go.
const MAX_SINGLES: usize = 64;
const MAX_CLASS_SLOTS: usize = MAX_SLOTS - MAX_SINGLES;

/// How large a segment is: both of these, but no more than the third.
const MIN_SEGMENT_BYTES: usize = 512 << 10;
const MIN_SEGMENT_SLOTS: usize = 8;
const MAX_SEGMENT_BYTES: usize = 64 << 20;
/// Unless the budget ends.
const FEWEST_SEGMENT_SLOTS: usize = 2;

/// How long the system is not asked again for what it refused.
const REFUSAL: Duration = Duration::from_secs(1);

/// Where segments are made, and slots taken from; one thread's at a time.
///
/// Slots may outlive it, and keep their segments.
#[derive(Debug)]
pub struct Arena {
    id: u64,
    max_nbytes: usize,
    pool: Arc<Pool>,
    /// The segment of each slot but single ones, by the slot's number.
    segments: Vec<Arc<OwnSegment>>,
    kept: Kept,
    keeps_large: bool,
    next_segment: u32,
    refusal: Option<Refusal>,
}

/// What the system would not give.
#[derive(Debug)]
struct Refusal {
    nbytes: usize,
    at: Instant,
    /// As the pool counted then.
    num_returned: u64,
}

impl Arena {
    /// Make an empty arena, of at most `max_nbytes` in all its segments.
    pub fn new(max_nbytes: usize) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let pool = Pool::new(NUM_CLASSES + 1);
        for number in (MAX_CLASS_SLOTS..MAX_SLOTS).rev() {
            pool.free.push(SINGLE_LIST, number as u16);
        }
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            max_nbytes,
            pool: Arc::new(pool),
            segments: Vec::new(),
            kept: Kept::default(),
            keeps_large: false,
            next_segment: 0,
            refusal: None,
        }
    }

    /// Keep segments for payloads above [`LARGEST_CLASS_BYTES`] too, until they are retired:
    /// for who retires them, and tells peers.
    pub(super) fn keep_large(&mut self) {
        self.keeps_large = true;
    }

    /// Tell it apart from every other arena of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of all segments that live, with those that only their slots keep.
    pub fn nbytes(&self) -> usize {
        self.pool.nbytes()
    }

    /// Of these, what counts in the budget.
    pub(super) fn num_spent_bytes(&self) -> usize {
        self.pool.num_spent_bytes()
    }

    /// Number of these segments.
    pub fn num_segments(&self) -> usize {
        self.pool.num_segments()
    }

    /// Number of slots that somebody holds.
    pub fn num_held(&self) -> usize {
        let mut num_held = self.kept.num_held();
        let mut num_one_offs = self.num_segments() - self.kept.len();
        let mut number = 0;
        while let Some(segment) = self.segments.get(number) {
            num_held += segment.num_held();
            num_one_offs -= 1;
            number += usize::from(segment.num_slots);
        }
        // One that nobody holds is gone.
        num_held + num_one_offs
    }

    /// Change what all segments together may take; those that are made stay.
    pub fn set_limit(&mut self, max_nbytes: usize) {
        self.max_nbytes = max_nbytes;
    }

    /// Whether a slot for `nbytes` can be taken without new memory.
    pub fn has_free(&self, nbytes: usize) -> bool {
        match class_of(nbytes) {
            Some(class) => self.pool.free.has_some(class),
            None => self.kept.has_free(nbytes),
        }
    }

    /// What peers are to be told of, and what to retire by and by.
    pub(super) fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// Whether the budget has room for a segment of `nbytes`, once kept ones that nobody
    /// holds were given back as far as needed.
    pub(super) fn make_room(&mut self, nbytes: usize) -> bool {
        let spent = self.num_spent_bytes().saturating_sub(self.kept.num_free_bytes());
        if spent.checked_add(nbytes).is_none_or(|total| total > self.max_nbytes) {
            return false;
        }
        while self.num_spent_bytes() + nbytes > self.max_nbytes && self.kept.retire_one() {}
        true
    }

    /// Take a slot for a payload of `nbytes`, the one of its size class that was free last.
    ///
    /// A new segment is made if none is free. Above [`LARGEST_CLASS_BYTES`] the payload has a
    /// segment for itself, which is kept where the arena is to, or given back after it; one of
    /// the latter at a time may exceed the budget.
    ///
    /// `None` if the budget or the system has no room. What the system refused is asked for
    /// again when a segment was given back, or a second later.
    pub fn take(&mut self, nbytes: usize) -> Option<Slot> {
        let Some(class) = class_of(nbytes) else {
            return self.take_single(nbytes);
        };
        let number = match self.pool.free.pop(class) {
            Some(number) => number,
            None => self.grow(class)?,
        };
        let segment = self.segments.get(usize::from(number))?;
        Some(Slot::occupy(Arc::clone(segment), number - segment.first_slot, nbytes))
    }

    /// Make a segment of `class`; return the number of a slot of it.
    fn grow(&mut self, class: usize) -> Option<u16> {
        let slot_nbytes = SMALLEST_CLASS_BYTES << class;
        // Kept ones give way; with what they leave, a segment has perhaps fewer slots.
        for num_slots in (1..=wanted_slots(slot_nbytes)).rev() {
            if self.make_room(num_slots * slot_nbytes + TABLE_BYTES) {
                break;
            }
        }
        let room =
            self.max_nbytes.saturating_sub(self.num_spent_bytes()).saturating_sub(TABLE_BYTES);
        let num_slots = wanted_slots(slot_nbytes)
            .min(room / slot_nbytes)
            .min(MAX_CLASS_SLOTS - self.segments.len());
        if num_slots == 0 {
            return None;
        }
        let plan = Plan {
            first_slot: self.segments.len() as u16,
            num_slots: num_slots as u16,
            list: Some(class),
            ..self.plan(slot_nbytes)
        };
        let segment = self.create(&plan, Share::new)?;
        self.segments.extend(std::iter::repeat_n(segment, num_slots));
        for within in (1..plan.num_slots).rev() {
            self.pool.free.push(class, plan.first_slot + within);
        }
        Some(plan.first_slot)
    }

    /// Take a slot with a segment for itself.
    fn take_single(&mut self, nbytes: usize) -> Option<Slot> {
        if let Some(segment) = self.kept.take(nbytes) {
            return Some(Slot::occupy(segment, 0, nbytes));
        }
        if !self.keeps_large {
            return self.take_one_off(nbytes);
        }
        let slot_nbytes = kept_nbytes(nbytes)?;
        if self.make_room(slot_nbytes.checked_add(TABLE_BYTES)?) {
            let segment = self.create_single(slot_nbytes, false, false)?;
            self.kept.add(Arc::clone(&segment));
            return Some(Slot::occupy(segment, 0, nbytes));
        }
        // To fault in another beyond the budget costs more than to wait for one in use.
        if self.kept.has_suiting(nbytes) { None } else { self.take_one_off(nbytes) }
    }

    fn take_one_off(&mut self, nbytes: usize) -> Option<Slot> {
        let slot_nbytes = nbytes.checked_next_multiple_of(rustix::param::page_size())?;
        let exceeds = !self.make_room(slot_nbytes.checked_add(TABLE_BYTES)?);
        if exceeds && self.pool.is_exceeded() {
            return None;
        }
        let segment = self.create_single(slot_nbytes, true, exceeds)?;
        Some(Slot::occupy(segment, 0, nbytes))
    }

    /// Make a segment of one slot.
    fn create_single(
        &mut self,
        slot_nbytes: usize,
        is_one_off: bool,
        exceeds: bool,
    ) -> Option<Arc<OwnSegment>> {
        let number = self.pool.free.pop(SINGLE_LIST).or_else(|| {
            self.kept.retire_one();
            self.pool.free.pop(SINGLE_LIST)
        })?;
        let plan = Plan { first_slot: number, num_slots: 1, is_one_off, ..self.plan(slot_nbytes) };
        let share = |pool: &_, nbytes| {
            Share::single(pool, nbytes, Number { list: SINGLE_LIST, number }, exceeds)
        };
        let segment = self.create(&plan, share);
        if segment.is_none() {
            self.pool.free.push(SINGLE_LIST, number);
        }
        segment
    }

    fn plan(&self, slot_nbytes: usize) -> Plan {
        Plan {
            id: self.next_segment,
            arena_id: self.id,
            slot_nbytes,
            first_slot: 0,
            num_slots: 0,
            list: None,
            is_one_off: false,
        }
    }

    /// Make a segment, unless the system refused one as large just before.
    fn create(
        &mut self,
        plan: &Plan,
        share: impl FnOnce(&Arc<Pool>, usize) -> Share,
    ) -> Option<Arc<OwnSegment>> {
        let nbytes = plan.nbytes()?;
        let next_segment = self.next_segment.checked_add(1)?;
        let num_returned = self.pool.num_returned();
        if self.refusal.as_ref().is_some_and(|refusal| refusal.covers(nbytes, num_returned)) {
            return None;
        }
        let Ok(memory) = create(nbytes, PeerAccess::ReadOnly, Layout::Plain) else {
            self.refusal = Some(Refusal { nbytes, at: Instant::now(), num_returned });
            return None;
        };
        self.next_segment = next_segment;
        Some(Arc::new(OwnSegment::new(plan, memory, share(&self.pool, nbytes))))
    }
}

impl Refusal {
    /// Whether asking for `nbytes` is not worth a system call.
    fn covers(&self, nbytes: usize, num_returned: u64) -> bool {
        nbytes >= self.nbytes && num_returned == self.num_returned && self.at.elapsed() < REFUSAL
    }
}

/// The smallest class with room for `nbytes`; `None` above the largest.
fn class_of(nbytes: usize) -> Option<usize> {
    if nbytes > LARGEST_CLASS_BYTES {
        return None;
    }
    let slot_nbytes = nbytes.max(SMALLEST_CLASS_BYTES).next_power_of_two();
    Some((slot_nbytes / SMALLEST_CLASS_BYTES).trailing_zeros() as usize)
}

/// How many slots of a class make a segment where the budget allows it.
fn wanted_slots(slot_nbytes: usize) -> usize {
    (MIN_SEGMENT_BYTES / slot_nbytes)
        .max(MIN_SEGMENT_SLOTS)
        .min(MAX_SEGMENT_BYTES / slot_nbytes)
        .max(FEWEST_SEGMENT_SLOTS)
}
