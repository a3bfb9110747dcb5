//! Segments for one large payload at a time, kept for the next one: faulting in afresh what
//! was given back costs several times what filling it does (64 MiB: 0.1 s of 0.11 s).

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use super::OwnSegment;

/// A payload takes a kept segment of up to so many times its size.
const MAX_WASTE: usize = 2;

/// A kept segment is of one of so many sizes between a power of two and the next, so that it
/// has room for payloads that are not all of one length.
const SIZES_PER_DOUBLING: usize = 8;

/// The kept segments of an arena: few, so they are looked through.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The least recently used first.
    segments: Vec<Entry>,
    /// Numbers of those that were given back, for peers to be told.
    retired: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    segment: Arc<OwnSegment>,
    used_at: Instant,
}

impl Entry {
    fn suits(&self, nbytes: usize) -> bool {
        let slot_nbytes = self.segment.slot_nbytes as usize;
        (nbytes..=nbytes.saturating_mul(MAX_WASTE)).contains(&slot_nbytes)
    }

    fn is_free(&self) -> bool {
        self.segment.is_free(0)
    }
}

impl Kept {
    /// Keep a segment, which is in use from now on.
    pub(super) fn add(&mut self, segment: Arc<OwnSegment>) {
        self.segments.push(Entry { segment, used_at: Instant::now() });
    }

    /// Take the smallest that is free and has room for `nbytes`, of such the one used last.
    pub(super) fn take(&mut self, nbytes: usize) -> Option<Arc<OwnSegment>> {
        let rank = |at, entry: &Entry| (entry.segment.slot_nbytes, Reverse(at));
        let (at, _) = self.free(nbytes).min_by_key(|&(at, entry)| rank(at, entry))?;
        let segment = self.segments.remove(at).segment;
        self.add(Arc::clone(&segment));
        Some(segment)
    }

    /// Whether [`Self::take`] would give one.
    pub(super) fn has_free(&self, nbytes: usize) -> bool {
        self.free(nbytes).next().is_some()
    }

    fn free(&self, nbytes: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let entries = self.segments.iter().enumerate();
        entries.filter(move |(_, entry)| entry.suits(nbytes) && entry.is_free())
    }

    /// Whether one would do for `nbytes` that is in use.
    pub(super) fn has_suiting(&self, nbytes: usize) -> bool {
        self.segments.iter().any(|entry| entry.suits(nbytes))
    }

    /// Give the least recently used that is free back to the system; `false` if none is.
    pub(super) fn retire_one(&mut self) -> bool {
        let free = self.segments.iter().position(Entry::is_free);
        if let Some(at) = free {
            self.retired.push(self.segments.remove(at).segment.id);
        }
        free.is_some()
    }

    /// Give those back that are free and were not taken since `since`.
    pub(super) fn retire_unused(&mut self, since: Instant) {
        let retired = &mut self.retired;
        self.segments.retain(|entry| {
            let stays = entry.used_at >= since || !entry.is_free();
            if !stays {
                retired.push(entry.segment.id);
            }
            stays
        });
    }

    /// The numbers of those that were given back since this was asked for last.
    pub(super) fn take_retired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.retired)
    }

    /// Number of them.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// When the one was taken that was not taken for longest.
    pub(super) fn oldest_use(&self) -> Option<Instant> {
        self.segments.first().map(|entry| entry.used_at)
    }

    /// Number of those that are in use.
    pub(super) fn num_held(&self) -> usize {
        self.segments.iter().filter(|entry| !entry.is_free()).count()
    }

    /// Bytes of those that are not.
    pub(super) fn num_free_bytes(&self) -> usize {
        let free = self.segments.iter().filter(|entry| entry.is_free());
        free.map(|entry| entry.segment.nbytes()).sum()
    }
}

/// How long the slot of a kept segment is to be that `nbytes` are to go into.
pub(super) fn kept_nbytes(nbytes: usize) -> Option<usize> {
    let step = nbytes.checked_next_power_of_two()? / 2 / SIZES_PER_DOUBLING;
    nbytes.checked_next_multiple_of(step)
}
