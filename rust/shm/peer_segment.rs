//! A segment of a peer's arena, mapped to read from.

use std::os::fd::OwnedFd;

use super::map::{Layout, Map};
use super::segment::open;
use super::{Announcement, Descriptor, MAX_SLOTS, OpenError, TABLE_BYTES, TakeError};
use crate::sync::atomic::{AtomicU32, Ordering};

/// A segment that was announced and found to be as announced.
#[derive(Debug)]
pub(super) struct PeerSegment {
    map: Map,
    first_slot: u16,
    num_slots: u16,
    slot_nbytes: usize,
    pub(super) is_one_off: bool,
}

impl PeerSegment {
    /// Map what `announcement` came with.
    ///
    /// # Errors
    ///
    /// The announcement contradicts itself, or is not true of `fd`.
    pub(super) fn open(announcement: &Announcement, fd: OwnedFd) -> Result<Self, OpenError> {
        let (nbytes, slot_nbytes) = check(announcement)
            .ok_or(OpenError::Inconsistent { reason: "segment with slots outside of it" })?;
        Ok(Self {
            map: open(fd, nbytes, false, Layout::Plain)?,
            first_slot: announcement.first_slot,
            num_slots: announcement.num_slots,
            slot_nbytes,
            is_one_off: announcement.is_one_off,
        })
    }

    /// Where the payload lies that `descriptor` points at: offset and length.
    ///
    /// # Errors
    ///
    /// It is not within a slot, or of another generation.
    pub(super) fn locate(&self, descriptor: &Descriptor) -> Result<(usize, usize), TakeError> {
        let within = descriptor.slot.checked_sub(self.first_slot).ok_or(TakeError::OutOfRange)?;
        let nbytes = usize::try_from(descriptor.nbytes).map_err(|_| TakeError::OutOfRange)?;
        if within >= self.num_slots || nbytes > self.slot_nbytes {
            return Err(TakeError::OutOfRange);
        }
        let within = usize::from(within);
        let table = self.map.atomic_words(0, usize::from(self.num_slots));
        // The ring that the descriptor came by orders this behind the owner's store.
        let generation = table[within].load(Ordering::Relaxed);
        if generation != descriptor.generation {
            return Err(TakeError::Stale { generation });
        }
        Ok((TABLE_BYTES + within * self.slot_nbytes, nbytes))
    }

    pub(super) fn as_slice(&self, offset: usize, nbytes: usize) -> &[u8] {
        self.map.as_slice(offset, nbytes)
    }
}

/// Lengths of the segment and of a slot, if the table and all slots are inside.
fn check(announcement: &Announcement) -> Option<(usize, usize)> {
    let nbytes = usize::try_from(announcement.segment_nbytes).ok()?;
    let slot_nbytes = usize::try_from(announcement.slot_nbytes).ok()?;
    let num_slots = usize::from(announcement.num_slots);
    let end = slot_nbytes.checked_mul(num_slots)?.checked_add(TABLE_BYTES)?;
    let fits = num_slots > 0
        && num_slots * size_of::<AtomicU32>() <= TABLE_BYTES
        && usize::from(announcement.first_slot) + num_slots <= MAX_SLOTS
        && (num_slots == 1 || !announcement.is_one_off)
        && end <= nbytes;
    fits.then_some((nbytes, slot_nbytes))
}
