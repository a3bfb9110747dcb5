//! How many hold a slot, counted in private memory.

use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// The holds of one slot.
///
/// Models in `tests/rust/loom` look at every interleaving.
#[derive(Debug, Default)]
pub(super) struct Holds(AtomicU32);

impl Holds {
    /// Begin with one, of a slot that was free.
    pub(super) fn occupy(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Add one, by who has one.
    pub(super) fn add(&self) {
        // It cannot overflow: 2^32 holds do not fit in memory.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Drop one; return whether the slot is free by that.
    pub(super) fn release(&self) -> bool {
        // SYNC: holds (pairs with the fence below, and with `is_unique`)
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // SYNC: holds (pairs with the subtraction above), so that what the others did with the
        // slot comes before whatever it is used for next.
        fence(Ordering::Acquire);
        true
    }

    /// Whether there is one; by who has it, nobody can add to it meanwhile.
    pub(super) fn is_unique(&self) -> bool {
        // SYNC: holds (pairs with `release`), so that what the others did is done.
        self.0.load(Ordering::Acquire) == 1
    }

    /// Whether there is none, and so nobody who could add one.
    pub(super) fn is_free(&self) -> bool {
        // SYNC: holds (pairs with `release`), so that what the others did is done.
        self.0.load(Ordering::Acquire) == 0
    }

    /// Whether there is any, at a moment that has passed.
    pub(super) fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
