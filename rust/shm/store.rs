//! What a context has to lend, and to whom: its arena, and a lender for each peer.

use std::time::Instant;

use slotmap::{SlotMap, new_key_type};

use super::{Arena, ControlMap, Descriptor, Lender, Slot};

new_key_type! {
    /// Names a peer of a store.
    pub struct LenderKey;
}

/// An arena and those who hold slots of it, within one budget.
#[derive(Debug)]
pub struct Store {
    arena: Arena,
    lenders: SlotMap<LenderKey, Lender>,
    max_nbytes: usize,
    /// Of the budget, spent otherwise.
    num_reserved_bytes: usize,
}

impl Store {
    /// Make an empty store, of at most `max_nbytes` with what is reserved.
    #[must_use]
    pub fn new(max_nbytes: usize) -> Self {
        Self {
            arena: Arena::new(max_nbytes),
            lenders: SlotMap::with_key(),
            max_nbytes,
            num_reserved_bytes: 0,
        }
    }

    /// As [`Self::new`], and keep segments for the largest payloads too, until
    /// [`Self::retire_unused`].
    #[must_use]
    pub fn keeping_large(max_nbytes: usize) -> Self {
        let mut store = Self::new(max_nbytes);
        store.arena.keep_large();
        store
    }

    /// Spend `nbytes` of the budget on something else; `false` if so much is not left.
    pub fn reserve(&mut self, nbytes: usize) -> bool {
        let fits = self.arena.make_room(nbytes) || {
            self.sweep_all();
            self.arena.make_room(nbytes)
        };
        if fits {
            self.num_reserved_bytes += nbytes;
            self.arena.set_limit(self.max_nbytes - self.num_reserved_bytes);
        }
        fits
    }

    /// Give back what was reserved.
    pub fn unreserve(&mut self, nbytes: usize) {
        self.num_reserved_bytes -= nbytes;
        self.arena.set_limit(self.max_nbytes - self.num_reserved_bytes);
    }

    /// Begin to lend to the peer with this control page.
    pub fn open(&mut self, control: ControlMap) -> LenderKey {
        self.lenders.insert(Lender::new(control))
    }

    /// Take back all that a peer holds, which must be gone, and forget it.
    pub fn close(&mut self, key: LenderKey) {
        self.lenders.remove(key);
    }

    /// Take a slot to fill for a peer: one that it has given back, while that is still in the
    /// cache, before one of another, and that before memory that was never used.
    ///
    /// `None` as [`Arena::take`].
    pub fn take(&mut self, key: LenderKey, nbytes: usize) -> Option<Slot> {
        self.lenders.get_mut(key)?.sweep();
        self.take_any(nbytes)
    }

    /// Take a slot to fill for whoever will be sent it.
    pub fn take_any(&mut self, nbytes: usize) -> Option<Slot> {
        if !self.arena.has_free(nbytes) {
            self.sweep_all();
        }
        self.arena.take(nbytes)
    }

    /// Take back what the peers gave back.
    pub fn sweep_all(&mut self) {
        for lender in self.lenders.values_mut() {
            lender.sweep();
        }
    }

    /// Give back to the system what is kept for the largest payloads and was not used since
    /// `since`.
    pub fn retire_unused(&mut self, since: Instant) {
        self.sweep_all();
        self.arena.kept().retire_unused(since);
    }

    /// Of what is kept for the largest payloads, when that was used which was not used for
    /// longest; `None` if nothing is kept.
    #[must_use]
    pub fn oldest_use(&mut self) -> Option<Instant> {
        self.arena.kept().oldest_use()
    }

    /// Numbers of the segments that were given back since this was asked for last, for peers
    /// to be told.
    pub fn take_retired(&mut self) -> Vec<u32> {
        self.arena.kept().take_retired()
    }

    /// Take back what a peer gave back; return how many slots it holds still.
    pub fn sweep(&mut self, key: LenderKey) -> usize {
        self.lenders.get_mut(key).map_or(0, |lender| {
            lender.sweep();
            lender.num_lent()
        })
    }

    /// Whether `slot` is of this store, and a peer does not hold it already.
    #[must_use]
    pub fn suits(&self, key: LenderKey, slot: &Slot) -> bool {
        let lender = self.lenders.get(key);
        slot.arena_id() == self.arena.id()
            && lender.is_some_and(|lender| !lender.is_held(slot.index()))
    }

    /// Lend a slot that suits, before its descriptor is published.
    pub fn lend(&mut self, key: LenderKey, slot: Slot) {
        let lent = self.lenders.get_mut(key).map(|lender| lender.lend(slot));
        debug_assert!(matches!(lent, Some(Ok(()))), "it suits");
    }

    /// Find what was lent by `told` and not given back.
    #[must_use]
    pub fn lent(&self, key: LenderKey, told: &Descriptor) -> Option<&Slot> {
        self.lenders.get(key)?.find(told.slot).filter(|slot| slot.descriptor() == *told)
    }

    /// The arena, to be looked at.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Bytes that were reserved.
    #[must_use]
    pub fn num_reserved_bytes(&self) -> usize {
        self.num_reserved_bytes
    }
}
