//! How much of large parts may be on its way to a peer.

use std::collections::VecDeque;

/// So much may be unread before the next part waits: so few slots are in turn that they
/// stay in the cache (1 MiB parts: 8.6 to 11.7 k/s with 8 slots, 3.8 k/s with 64).
const WINDOW_SLOTS: usize = 8;
const WINDOW_BYTES: usize = 8 << 20;
/// As many as there are may be unread within this.
const HOT_BYTES: usize = 1 << 20;

/// The large parts in a ring that were unread when its reader was last looked at.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Where the message of each begins, and the bytes in it.
    unread: VecDeque<(u64, usize)>,
    nbytes: usize,
}

impl Window {
    /// Note a part of `nbytes` in the message at `position`.
    pub(super) fn add(&mut self, position: u64, nbytes: usize) {
        self.unread.push_back((position, nbytes));
        self.nbytes += nbytes;
    }

    /// The peer has taken what comes before `head`.
    pub(super) fn forget_until(&mut self, head: u64) {
        while let Some(&(position, nbytes)) = self.unread.front()
            && position < head
        {
            self.unread.pop_front();
            self.nbytes -= nbytes;
        }
    }

    /// Whether so few are unread that `num_parts` of `nbytes` in all may follow.
    pub(super) fn admits(&self, num_parts: usize, nbytes: usize) -> bool {
        let (slots, nbytes) = (self.unread.len() + num_parts, self.nbytes + nbytes);
        let is_hot = nbytes <= HOT_BYTES;
        let is_small = slots <= WINDOW_SLOTS && nbytes <= WINDOW_BYTES;
        self.unread.len() < 2 || is_hot || is_small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_small_parts_may_be_unread() {
        let mut window = Window::default();
        // However large, one may be filled while another is read.
        for position in 0..2 {
            assert!(window.admits(1, 1 << 30));
            window.add(position, 1 << 30);
        }
        assert!(!window.admits(1, 1));
        window.forget_until(1);
        assert!(window.admits(1, 1 << 30));
        window.forget_until(2);
        for position in 0..WINDOW_SLOTS as u64 {
            assert!(window.admits(1, 1 << 20));
            window.add(position, 1 << 20);
        }
        assert!(!window.admits(1, 1 << 20));
        window.forget_until(u64::MAX);
        // What fits the cache anyway is not counted by the piece.
        for position in 0..32 {
            assert!(window.admits(1, 32 << 10));
            window.add(position, 32 << 10);
        }
        assert!(!window.admits(1, 32 << 10));
    }
}
