//! A subscriber's own topics, each counted.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::trie::MAX_TOPIC_BYTES;

/// Prefixes that were asked for, and how often.
///
/// # Examples
///
/// ```
/// use busduct::socket::Topics;
///
/// let mut topics = Topics::default();
/// assert!(topics.add(b"kv."));
/// assert!(!topics.add(b"kv."));
/// assert!(topics.matches(b"kv.rank0") && !topics.matches(b"load"));
/// assert_eq!(topics.remove(b"kv."), Some(false));
/// assert_eq!(topics.remove(b"kv."), Some(true));
/// assert_eq!(topics.remove(b"kv."), None);
/// ```
#[derive(Debug, Default)]
pub struct Topics {
    counts: BTreeMap<Box<[u8]>, usize>,
}

impl Topics {
    /// Different topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Count `topic` once more; whether it is there for the first time.
    pub fn add(&mut self, topic: &[u8]) -> bool {
        if let Some(count) = self.counts.get_mut(topic) {
            *count += 1;
            return false;
        }
        self.counts.insert(topic.into(), 1);
        true
    }

    /// Count `topic` once less; whether that was the last time. `None` if it is not there.
    pub fn remove(&mut self, topic: &[u8]) -> Option<bool> {
        let count = self.counts.get_mut(topic)?;
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.counts.remove(topic);
        }
        Some(is_last)
    }

    /// Whether one of them is a prefix of `topic`, of which the first 255 bytes count.
    #[inline]
    #[must_use]
    pub fn matches(&self, topic: &[u8]) -> bool {
        match self.counts.first_key_value() {
            None => false,
            Some((first, _)) if first.is_empty() => true,
            Some(_) => self.has_prefix_of(&topic[..topic.len().min(MAX_TOPIC_BYTES)]),
        }
    }

    /// The greatest topic that is not beyond `probe` has every prefix of `probe` that is
    /// held as its own prefix: so `probe` shrinks to what the two share, until one fits.
    fn has_prefix_of(&self, mut probe: &[u8]) -> bool {
        loop {
            let range = (Bound::Unbounded, Bound::Included(probe));
            let Some((found, _)) = self.counts.range::<[u8], _>(range).next_back() else {
                return false;
            };
            let num_common = found.iter().zip(probe).take_while(|(a, b)| a == b).count();
            if num_common == found.len() {
                return true;
            }
            probe = &probe[..num_common];
        }
    }

    /// Each topic once, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.counts.keys().map(|topic| &**topic)
    }
}
