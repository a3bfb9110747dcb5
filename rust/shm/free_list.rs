//! Last-in first-out lists of free slot numbers: any thread gives back, one takes.

use super::MAX_SLOTS;
use crate::sync::atomic::{AtomicU32, Ordering};

const NONE: u32 = u32::MAX;

/// Lists that share one set of numbers below [`MAX_SLOTS`], each on one list at most.
///
/// The list is that of R. K. Treiber (IBM RJ 5118, 1986). With one taker, a number at the head
/// cannot be taken and come back between its two looks at the head, so no tag is needed.
#[derive(Debug)]
pub(super) struct FreeLists {
    heads: Box<[AtomicU32]>,
    next: Box<[AtomicU32]>,
}

impl FreeLists {
    pub(super) fn new(num_lists: usize) -> Self {
        let empty = |count| (0..count).map(|_| AtomicU32::new(NONE)).collect();
        Self { heads: empty(num_lists), next: empty(MAX_SLOTS) }
    }

    /// Put `number`, which is on no list, on top of `list`. From any thread.
    pub(super) fn push(&self, list: usize, number: u16) {
        let head = &self.heads[list];
        let mut below = head.load(Ordering::Relaxed);
        loop {
            self.next[usize::from(number)].store(below, Ordering::Relaxed);
            // SYNC: head (pairs with FreeLists::pop), so that the taker sees what was done with
            // the slot and what is below it.
            match head.compare_exchange_weak(
                below,
                number.into(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => below = seen,
            }
        }
    }

    /// Whether something is on `list`.
    pub(super) fn has_some(&self, list: usize) -> bool {
        self.heads[list].load(Ordering::Relaxed) != NONE
    }

    /// Take what was put on `list` last. NB: by one thread at a time.
    pub(super) fn pop(&self, list: usize) -> Option<u16> {
        let head = &self.heads[list];
        // SYNC: head (pairs with FreeLists::push)
        let mut number = head.load(Ordering::Acquire);
        loop {
            let below = self.next.get(number as usize)?.load(Ordering::Relaxed);
            // SYNC: head (pairs with FreeLists::push), where another is on top meanwhile.
            match head.compare_exchange_weak(number, below, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Some(number as u16),
                Err(seen) => number = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_in_is_the_first_out() {
        let lists = FreeLists::new(2);
        for number in [3, 1, 2] {
            lists.push(0, number);
        }
        lists.push(1, 7);
        assert_eq!([0; 4].map(|list| lists.pop(list)), [Some(2), Some(1), Some(3), None]);
        assert_eq!([1; 2].map(|list| lists.pop(list)), [Some(7), None]);
    }

    #[test]
    fn what_many_threads_give_back_is_taken_once_each() {
        const NUM_THREADS: u16 = 3;
        const NUM_EACH: u16 = 100;
        const NUM_TAKEN: usize = 20_000;
        let lists = FreeLists::new(1);
        for number in 0..NUM_THREADS * NUM_EACH {
            lists.push(0, number);
        }
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..NUM_THREADS).map(|_| std::sync::mpsc::channel::<u16>()).unzip();
        std::thread::scope(|scope| {
            for receiver in receivers {
                let lists = &lists;
                scope.spawn(move || receiver.into_iter().for_each(|number| lists.push(0, number)));
            }
            let mut num_taken = 0;
            while num_taken < NUM_TAKEN {
                if let Some(number) = lists.pop(0) {
                    senders[num_taken % senders.len()].send(number).unwrap();
                    num_taken += 1;
                }
            }
            drop(senders);
        });
        let mut left: Vec<u16> = std::iter::from_fn(|| lists.pop(0)).collect();
        left.sort_unstable();
        assert_eq!(left, (0..NUM_THREADS * NUM_EACH).collect::<Vec<_>>());
    }
}
