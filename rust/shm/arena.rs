//! The memory that a context's payloads lie in: slots by size class, within one budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Number, Pool, Share};
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
/// The list of free numbers of one-offs stands behind those of the classes.
const ONE_OFF_LIST: usize = NUM_CLASSES;
/// The slots at the end of the numbers that are kept for one-offs, which come and go.
const MAX_ONE_OFFS: usize = 64;
const MAX_CLASS_SLOTS: usize = MAX_SLOTS - MAX_ONE_OFFS;

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
    /// The segment of each slot but one-offs, by the slot's number.
    segments: Vec<Arc<OwnSegment>>,
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
            pool.free.push(ONE_OFF_LIST, number as u16);
        }
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            max_nbytes,
            pool: Arc::new(pool),
            segments: Vec::new(),
            next_segment: 0,
            refusal: None,
        }
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
        let mut num_held = 0;
        let mut num_one_offs = self.num_segments();
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
        class_of(nbytes).is_some_and(|class| self.pool.free.has_some(class))
    }

    /// Take a slot for a payload of `nbytes`, the one of its size class that was free last.
    ///
    /// A new segment is made if none is free. Above [`LARGEST_CLASS_BYTES`] the payload has a
    /// segment for itself; one such at a time may exceed the budget.
    ///
    /// `None` if the budget or the system has no room. What the system refused is asked for
    /// again when a segment was given back, or a second later.
    pub fn take(&mut self, nbytes: usize) -> Option<Slot> {
        let Some(class) = class_of(nbytes) else {
            return self.take_one_off(nbytes);
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

    fn take_one_off(&mut self, nbytes: usize) -> Option<Slot> {
        let slot_nbytes = nbytes.checked_next_multiple_of(rustix::param::page_size())?;
        let plan = Plan { num_slots: 1, ..self.plan(slot_nbytes) };
        let total = self.num_spent_bytes().checked_add(plan.nbytes()?)?;
        let exceeds = total > self.max_nbytes;
        if exceeds && self.pool.is_exceeded() {
            return None;
        }
        let number = self.pool.free.pop(ONE_OFF_LIST)?;
        let plan = Plan { first_slot: number, ..plan };
        let share = |pool: &_, nbytes| {
            Share::one_off(pool, nbytes, Number { list: ONE_OFF_LIST, number }, exceeds)
        };
        let Some(segment) = self.create(&plan, share) else {
            self.pool.free.push(ONE_OFF_LIST, number);
            return None;
        };
        Some(Slot::occupy(segment, 0, nbytes))
    }

    fn plan(&self, slot_nbytes: usize) -> Plan {
        Plan {
            id: self.next_segment,
            arena_id: self.id,
            slot_nbytes,
            first_slot: 0,
            num_slots: 0,
            list: None,
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
