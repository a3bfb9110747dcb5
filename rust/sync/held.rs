//! Whether a peer holds a slot of our arena: one byte of the memory shared with it.

use super::atomic::{AtomicU8, Ordering};

/// One slot as seen by one peer: the owner of the slot lends it, the peer gives it back.
///
/// All-zero memory is a slot that is not lent. A peer that writes nonsense can keep only
/// what was lent to it, or spoil only what it reads itself.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct HeldByte(AtomicU8);

impl HeldByte {
    /// Lend the slot, by its owner; do it before the descriptor is published.
    #[inline]
    pub fn lend(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Return whether the slot is lent. Once false, the owner may write to it: the peer
    /// has made its last read.
    #[inline]
    #[must_use]
    pub fn is_lent(&self) -> bool {
        // SYNC: held (pairs with `give_back`): the peer's reads come before our next write.
        self.0.load(Ordering::Acquire) != 0
    }

    /// Give the slot back, by the peer, after its last read of it.
    ///
    /// Ask [`RingWords::wakes_writer`](super::RingWords::wakes_writer) next: the owner may
    /// sleep until a slot is free.
    #[inline]
    pub fn give_back(&self) {
        // SYNC: held (pairs with `is_lent`)
        self.0.store(0, Ordering::Release);
    }
}
