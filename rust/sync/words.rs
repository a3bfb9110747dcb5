//! The words that both sides of a ring share, and how one side sleeps until the other acts.

use std::ops::Deref;

use super::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// What both sides of a ring share: 512 bytes, all zero at first.
#[derive(Debug, Default)]
#[repr(C)]
pub struct RingWords {
    pub(super) tail: Line<AtomicU64>,
    pub(super) head: Line<AtomicU64>,
    pub(super) reader_sleeps: Line<SleepFlag>,
    pub(super) writer_sleeps: Line<SleepFlag>,
}

/// The layout is a format: both processes must mean the same bytes.
const _: () = assert!(size_of::<RingWords>() == 512);

impl RingWords {
    /// After room or a slot was given back: return whether the writer slept and must be rung.
    #[must_use]
    pub fn wakes_writer(&self) -> bool {
        self.writer_sleeps.take()
    }
}

/// A word on a line of its own: 128 bytes, as processors prefetch lines of 64 in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Says that one side sleeps until the other has acted and rings.
///
/// The sleeper sets the flag, then looks once more for what it waits for. The other side
/// stores what it did, then takes the flag. Each has a SeqCst fence between its store and its
/// load, and of two such fences one is first: if the sleeper's is, the flag is found and the
/// bell is rung; if the other's is, the sleeper finds what was stored and stays up.
///
/// A flag may be left over from a sleep that has ended. Every write of it is a swap, and one
/// after the taker's fence follows each flag set before that fence: so a flag left over costs
/// one needless ring at worst, and never hides the sleep that comes after.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct SleepFlag(AtomicU32);

impl SleepFlag {
    /// Say that we sleep. Look for what is waited for after this, not before.
    pub(super) fn set(&self) {
        self.0.swap(1, Ordering::Relaxed);
        // SYNC: sleep (pairs with `take`)
        fence(Ordering::SeqCst);
    }

    /// Say that we are up, if nobody is about to ring.
    pub(super) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.swap(0, Ordering::Relaxed);
        }
    }

    /// Return whether the other side sleeps and was not told so before.
    #[inline]
    pub(super) fn take(&self) -> bool {
        // SYNC: sleep (pairs with `set`)
        fence(Ordering::SeqCst);
        // A swap alone would take the line from its owner at every call.
        self.0.load(Ordering::Relaxed) != 0 && self.0.swap(0, Ordering::Relaxed) != 0
    }
}
