//! What an arena has of the system, counted until the last holder of each segment is gone.

use std::sync::Arc;

use super::free_list::FreeLists;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The part of an arena that its slots and segments reach from any thread.
#[derive(Debug)]
pub(super) struct Pool {
    /// Free slots by size class; the last list is of numbers for single ones.
    pub(super) free: FreeLists,
    nbytes: AtomicUsize,
    num_segments: AtomicUsize,
    num_returned: AtomicU64,
    /// Of a segment that was made beyond the budget.
    num_excess_bytes: AtomicUsize,
}

impl Pool {
    pub(super) fn new(num_lists: usize) -> Self {
        Self {
            free: FreeLists::new(num_lists),
            nbytes: AtomicUsize::new(0),
            num_segments: AtomicUsize::new(0),
            num_returned: AtomicU64::new(0),
            num_excess_bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn nbytes(&self) -> usize {
        self.nbytes.load(Ordering::Relaxed)
    }

    pub(super) fn num_segments(&self) -> usize {
        self.num_segments.load(Ordering::Relaxed)
    }

    /// How many segments were given back to the system.
    pub(super) fn num_returned(&self) -> u64 {
        self.num_returned.load(Ordering::Relaxed)
    }

    /// Whether a segment lives that was made beyond the budget.
    pub(super) fn is_exceeded(&self) -> bool {
        self.num_excess_bytes.load(Ordering::Relaxed) > 0
    }

    /// What counts in the budget: all but a segment that was made beyond it, which would
    /// leave nothing to others for as long as it lives.
    pub(super) fn num_spent_bytes(&self) -> usize {
        self.nbytes().saturating_sub(self.num_excess_bytes.load(Ordering::Relaxed))
    }
}

/// Where the number of a single slot goes when its segment is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) list: usize,
    pub(super) number: u16,
}

/// A segment's part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    pool: Arc<Pool>,
    nbytes: usize,
    exceeds: bool,
    number: Option<Number>,
}

impl Share {
    pub(super) fn new(pool: &Arc<Pool>, nbytes: usize) -> Self {
        pool.nbytes.fetch_add(nbytes, Ordering::Relaxed);
        pool.num_segments.fetch_add(1, Ordering::Relaxed);
        Self { pool: Arc::clone(pool), nbytes, exceeds: false, number: None }
    }

    /// The same for a segment of a single slot, which returns its number too.
    pub(super) fn single(pool: &Arc<Pool>, nbytes: usize, number: Number, exceeds: bool) -> Self {
        if exceeds {
            pool.num_excess_bytes.store(nbytes, Ordering::Relaxed);
        }
        let mut share = Self::new(pool, nbytes);
        share.exceeds = exceeds;
        share.number = Some(number);
        share
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.nbytes.fetch_sub(self.nbytes, Ordering::Relaxed);
        self.pool.num_segments.fetch_sub(1, Ordering::Relaxed);
        self.pool.num_returned.fetch_add(1, Ordering::Relaxed);
        if self.exceeds {
            self.pool.num_excess_bytes.store(0, Ordering::Relaxed);
        }
        if let Some(Number { list, number }) = self.number {
            self.pool.free.push(list, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_gives_all_back_that_it_took() {
        let pool = Arc::new(Pool::new(1));
        let number = Number { list: 0, number: 3 };
        let share = Share::single(&pool, 100, number, true);
        assert_eq!((pool.nbytes(), pool.num_segments(), pool.is_exceeded()), (100, 1, true));
        assert_eq!((pool.num_spent_bytes(), pool.num_returned(), pool.free.pop(0)), (0, 0, None));
        drop(share);
        assert_eq!((pool.nbytes(), pool.num_segments(), pool.is_exceeded()), (0, 0, false));
        assert_eq!((pool.num_returned(), pool.free.pop(0)), (1, Some(3)));
    }
}
