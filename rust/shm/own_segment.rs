//! A segment of an arena, at its owner: what it is, and who holds its slots.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::budget::Share;
use super::holds::Holds;
use super::map::Map;
use super::{Announcement, TABLE_BYTES};
use crate::sync::atomic::Ordering;

/// What a segment is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) id: u32,
    pub(super) arena_id: u64,
    pub(super) slot_nbytes: usize,
    pub(super) first_slot: u16,
    pub(super) num_slots: u16,
    /// The list of its free slots; `None` where there is one, which is asked itself.
    pub(super) list: Option<usize>,
    pub(super) is_one_off: bool,
}

impl Plan {
    /// Length of the segment, if there is such a number.
    pub(super) fn nbytes(&self) -> Option<usize> {
        self.slot_nbytes.checked_mul(usize::from(self.num_slots))?.checked_add(TABLE_BYTES)
    }
}

/// A segment of an arena.
#[derive(Debug)]
pub struct OwnSegment {
    /// Its number in the arena; never used again.
    pub id: u32,
    pub slot_nbytes: u64,
    /// The arena's number of its first slot.
    pub first_slot: u16,
    pub num_slots: u16,
    /// Whether it is for one payload, and is given back to the system after it.
    pub is_one_off: bool,
    pub(super) arena_id: u64,
    pub(super) map: Map,
    fd: OwnedFd,
    list: Option<usize>,
    holds: Box<[Holds]>,
    // Last, so that it is given back when memory and descriptor are.
    share: Share,
}

impl OwnSegment {
    /// Cut `memory`, made as `plan` says and paid for by `share`, into slots.
    pub(super) fn new(plan: &Plan, memory: (Map, OwnedFd), share: Share) -> Self {
        let (map, fd) = memory;
        Self {
            id: plan.id,
            slot_nbytes: plan.slot_nbytes as u64,
            first_slot: plan.first_slot,
            num_slots: plan.num_slots,
            is_one_off: plan.is_one_off,
            arena_id: plan.arena_id,
            map,
            fd,
            list: plan.list,
            holds: (0..plan.num_slots).map(|_| Holds::default()).collect(),
            share,
        }
    }

    /// Borrow the descriptor, to hand it to a peer.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Say what the peer must know of it.
    pub fn announcement(&self) -> Announcement {
        Announcement {
            id: self.id,
            is_one_off: self.is_one_off,
            first_slot: self.first_slot,
            num_slots: self.num_slots,
            slot_nbytes: self.slot_nbytes,
            segment_nbytes: self.map.nbytes() as u64,
        }
    }

    /// Where the slot begins that is number `within` here.
    pub(super) fn offset(&self, within: u16) -> usize {
        TABLE_BYTES + usize::from(within) * self.slot_nbytes as usize
    }

    /// Begin the next generation of a free slot, with one hold; return it.
    pub(super) fn occupy(&self, within: u16) -> u32 {
        let within = usize::from(within);
        self.holds[within].occupy();
        // Nobody else writes the table, and the ring orders this for who reads it.
        let entry = &self.map.atomic_words(0, self.holds.len())[within];
        let generation = entry.load(Ordering::Relaxed).wrapping_add(1);
        entry.store(generation, Ordering::Relaxed);
        generation
    }

    /// Add a hold to those of a slot.
    pub(super) fn hold(&self, within: u16) {
        self.holds[usize::from(within)].add();
    }

    /// Drop a hold; without any the slot is free.
    pub(super) fn release(&self, within: u16) {
        if !self.holds[usize::from(within)].release() {
            return;
        }
        if let Some(list) = self.list {
            self.share.pool().free.push(list, self.first_slot + within);
        }
    }

    /// Whether a slot has no hold.
    pub(super) fn is_free(&self, within: u16) -> bool {
        self.holds[usize::from(within)].is_free()
    }

    /// Length in bytes.
    pub(super) fn nbytes(&self) -> usize {
        self.map.nbytes()
    }

    /// Whether a slot has one hold.
    pub(super) fn is_unique(&self, within: u16) -> bool {
        self.holds[usize::from(within)].is_unique()
    }

    pub(super) fn num_held(&self) -> usize {
        self.holds.iter().filter(|holds| holds.is_held()).count()
    }
}
