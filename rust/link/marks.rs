//! High-water marks, and what becomes of a message beyond one.

/// A high-water mark, by messages and by bytes as [`super::Message::cost`] counts them.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    pub messages: usize,
    pub nbytes: usize,
}

impl Marks {
    /// Whether a queue of `len` messages and `cost` bytes may take one more of `extra`
    /// bytes. An empty queue takes anything.
    #[inline]
    #[must_use]
    pub fn admit(&self, len: usize, cost: usize, extra: usize) -> bool {
        len == 0 || (len < self.messages && cost.saturating_add(extra) <= self.nbytes)
    }

    /// Whether a queue fell so far that who waits for it should go on.
    #[inline]
    #[must_use]
    pub fn is_low(&self, len: usize, cost: usize) -> bool {
        len <= self.messages / 2 && cost <= self.nbytes / 2
    }
}

/// What becomes of a message that a full queue does not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is not taken: who gives it waits.
    Wait,
    /// It is dropped.
    DropNew,
    /// The oldest ones are dropped until it fits.
    DropOld,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_admits_anything_and_a_full_one_nothing() {
        let marks = Marks { messages: 2, nbytes: 100 };
        assert!(marks.admit(0, 0, 1_000));
        assert!(marks.admit(1, 50, 50));
        assert!(!marks.admit(1, 50, 51));
        assert!(!marks.admit(2, 0, 0));
    }
}
