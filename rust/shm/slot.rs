//! An owner's hold of a slot of its arena.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

use super::{Descriptor, OwnSegment};

/// A hold of a slot; a clone is one more, and the slot is free when none is left.
///
/// From any thread. Its bytes can be written only by who holds it alone, so a payload that is
/// lent, or held twice, does not change.
#[derive(Debug)]
pub struct Slot {
    segment: Arc<OwnSegment>,
    nbytes: usize,
    generation: u32,
    /// In the arena.
    index: u16,
    /// In the segment.
    within: u16,
}

impl Slot {
    /// Take the first hold of a free slot of `segment`, for `nbytes` that it has room for.
    pub(super) fn occupy(segment: Arc<OwnSegment>, within: u16, nbytes: usize) -> Self {
        let generation = segment.occupy(within);
        let index = segment.first_slot + within;
        Self { segment, nbytes, generation, index, within }
    }

    /// Length of the payload in bytes.
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Make the payload shorter; one that is shorter already stays.
    pub fn truncate(&mut self, nbytes: usize) {
        self.nbytes = self.nbytes.min(nbytes);
    }

    /// Whether this is the only hold.
    pub fn is_unique(&self) -> bool {
        self.segment.is_unique(self.within)
    }

    /// Fill the payload.
    ///
    /// # Panics
    ///
    /// There are other holds, or `bytes` is not as long as the payload.
    pub fn copy_from(&mut self, bytes: &[u8]) {
        assert!(self.is_unique(), "slot {} is held by others", self.index);
        assert_eq!(bytes.len(), self.nbytes, "bytes for a payload of another length");
        let start = self.as_mut_ptr();
        // SAFETY: the payload lies within the slot. No other hold exists, nor can one be made
        // while `self` is borrowed uniquely, so nobody in this process looks at it, `bytes`
        // does not overlap it, and peers are told of it only later.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    }

    /// Where the payload begins, for who fills it in place.
    ///
    /// It may be written, `nbytes` long, as long as this is the only hold and nobody looks at
    /// it by `as_ref`. Its bytes are what the slot was used for before.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start()
    }

    /// The number of the slot in its arena.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The arena it is of.
    pub fn arena_id(&self) -> u64 {
        self.segment.arena_id
    }

    /// The segment it is of.
    pub fn segment(&self) -> &OwnSegment {
        &self.segment
    }

    /// Say where the payload is.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            segment: self.segment.id,
            slot: self.index,
            generation: self.generation,
            nbytes: self.nbytes as u64,
        }
    }

    fn start(&self) -> *mut u8 {
        self.segment.map.at(self.segment.offset(self.within), self.nbytes).as_ptr()
    }
}

impl AsRef<[u8]> for Slot {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the payload lies within the map, which `self.segment` keeps. Peers cannot
        // write it, as the segment is sealed, and this process does so only through a unique
        // borrow of the only hold.
        unsafe { std::slice::from_raw_parts(self.start(), self.nbytes) }
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        self.segment.hold(self.within);
        Self { segment: Arc::clone(&self.segment), ..*self }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.segment.release(self.within);
    }
}
