//! Where the records begin that we wrote into a ring.

/// Records are whole numbers of these.
const UNIT_BYTES: usize = 8;
const WORD_UNITS: usize = u64::BITS as usize;

/// The starts of the records that a ring has, a bit for each place where one could begin.
///
/// A reader that says that it has read up to somewhere else lies: what stands there was
/// never meant as a record.
#[derive(Debug)]
pub(super) struct Starts {
    words: Box<[u64]>,
}

impl Starts {
    /// Know of no record in a ring of `nbytes`, a power of two of at least 512.
    pub(super) fn new(nbytes: usize) -> Self {
        Self { words: vec![0; nbytes / UNIT_BYTES / WORD_UNITS].into() }
    }

    /// Note that what takes up `nbytes`, in whole units and one at least, begins at `position`.
    #[inline]
    pub(super) fn note(&mut self, position: u64, nbytes: usize) {
        let (word, bit) = self.place(position);
        let num_units = nbytes / UNIT_BYTES;
        let num_here = num_units.min(WORD_UNITS - bit);
        let stale = u64::MAX >> (WORD_UNITS - num_here) << bit;
        self.words[word] = (self.words[word] & !stale) | (1 << bit);
        if num_units > num_here {
            self.forget(word + 1, num_units - num_here);
        }
    }

    /// Forget what began in the first `num_units` from `word` on.
    fn forget(&mut self, word: usize, num_units: usize) {
        let mask = self.words.len() - 1;
        let end = word + num_units / WORD_UNITS;
        (word..end).for_each(|word| self.words[word & mask] = 0);
        self.words[end & mask] &= u64::MAX << (num_units % WORD_UNITS);
    }

    #[inline]
    fn place(&self, position: u64) -> (usize, usize) {
        let unit = (position / UNIT_BYTES as u64) as usize;
        ((unit / WORD_UNITS) & (self.words.len() - 1), unit % WORD_UNITS)
    }

    /// Whether something begins at `position`, which is in the ring.
    pub(super) fn has(&self, position: u64) -> bool {
        let (word, bit) = self.place(position);
        position.is_multiple_of(UNIT_BYTES as u64) && self.words[word] >> bit & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const RING_BYTES: usize = 4096;

    #[test]
    fn only_what_was_noted_last_begins_anywhere() {
        let mut starts = Starts::new(RING_BYTES);
        let mut noted = BTreeSet::new();
        let mut position = 0;
        for round in 0..400 {
            let nbytes = [8, 16, 504, 512, 520, 1024, 4096, 24][round * 7 % 8];
            starts.note(position, nbytes);
            noted.insert(position);
            position += nbytes as u64;
            let oldest = position.saturating_sub(RING_BYTES as u64);
            for at in oldest..position {
                assert_eq!(starts.has(at), noted.contains(&at), "at {at} of {position}");
            }
        }
    }
}
