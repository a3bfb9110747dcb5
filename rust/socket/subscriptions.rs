//! A publisher's table: which peer asked for which topics, and who gets a message
//! (docs/wire.md, "Subscriptions").

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::trie::{NodeId, Trie};

/// What an insertion changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Nobody had the topic.
    NewTopic,
    /// Others had it, and this one had not.
    NewHolder,
    Nothing,
}

/// What a removal changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Nobody has the topic any more.
    LastHolder,
    /// Others still have it.
    Holder,
    Nothing,
}

/// Topics and who holds them; either has a topic or not.
///
/// Memory is linear in the bytes of the topics held. Topics are prefixes of at most 255
/// bytes; who fills the table sees to that.
///
/// # Examples
///
/// ```
/// use busduct::socket::{Inserted, Removed, Subscriptions};
///
/// let mut table = Subscriptions::new();
/// assert_eq!(table.insert(b"kv.", 7), Inserted::NewTopic);
/// assert_eq!(table.insert(b"", 9), Inserted::NewTopic);
/// let mut keys = Vec::new();
/// table.matches(b"kv.rank0", &mut keys);
/// assert_eq!(keys, [7, 9]);
/// assert_eq!(table.remove(b"kv.", 7), Removed::LastHolder);
/// ```
#[derive(Debug)]
pub struct Subscriptions<K> {
    trie: Trie<K>,
    /// The nodes of each key's topics.
    topics: HashMap<K, BTreeSet<NodeId>>,
    len: usize,
}

impl<K: Copy + Ord + Hash> Subscriptions<K> {
    #[must_use]
    pub fn new() -> Self {
        Self { trie: Trie::new(), topics: HashMap::new(), len: 0 }
    }

    /// Subscriptions of all keys together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Topics that `key` holds.
    #[must_use]
    pub fn num_topics_of(&self, key: K) -> usize {
        self.topics.get(&key).map_or(0, BTreeSet::len)
    }

    /// Let `key` hold `topic`.
    pub fn insert(&mut self, topic: &[u8], key: K) -> Inserted {
        let id = self.trie.find_or_make(topic);
        if !self.trie.add_holder(id, key) {
            return Inserted::Nothing;
        }
        self.topics.entry(key).or_default().insert(id);
        self.len += 1;
        if self.trie.holders(id).len() == 1 { Inserted::NewTopic } else { Inserted::NewHolder }
    }

    /// Let `key` hold `topic` no more.
    pub fn remove(&mut self, topic: &[u8], key: K) -> Removed {
        let Some(id) = self.trie.find(topic) else {
            return Removed::Nothing;
        };
        let Some(held) = self.topics.get_mut(&key).filter(|held| held.contains(&id)) else {
            return Removed::Nothing;
        };
        held.remove(&id);
        if held.is_empty() {
            self.topics.remove(&key);
        }
        self.take(id, key);
        if !self.trie.holders(id).is_empty() {
            return Removed::Holder;
        }
        self.trie.prune(id);
        self.reset_if_empty();
        Removed::LastHolder
    }

    /// Let `key` hold nothing any more; `on_last` gets each topic that nobody else holds.
    pub fn remove_all(&mut self, key: K, mut on_last: impl FnMut(&[u8])) {
        for id in self.topics.remove(&key).unwrap_or_default() {
            self.take(id, key);
            if self.trie.holders(id).is_empty() {
                on_last(&self.trie.topic(id));
                self.trie.prune(id);
            }
        }
        self.reset_if_empty();
    }

    fn take(&mut self, id: NodeId, key: K) {
        self.trie.remove_holder(id, key);
        self.len -= 1;
    }

    /// Give the arena back, which does not shrink otherwise.
    fn reset_if_empty(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }

    /// Put into `keys`, in place of what is there, who holds a prefix of `topic`: each
    /// once, in order. Of `topic` the first 255 bytes count.
    #[inline]
    pub fn matches(&self, topic: &[u8], keys: &mut Vec<K>) {
        keys.clear();
        let mut num_lists = 0;
        self.trie.walk(topic, |holders| {
            keys.extend_from_slice(holders);
            num_lists += 1;
        });
        // One list holds nobody twice, and one is what there is as a rule.
        if num_lists > 1 {
            keys.sort_unstable();
            keys.dedup();
        }
    }
}

impl<K: Copy + Ord + Hash> Default for Subscriptions<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_share_prefixes_split_and_merge_nodes() {
        let mut table = Subscriptions::new();
        table.insert(b"abcd", 1);
        table.insert(b"abxy", 1);
        // The root, "ab", "cd" and "xy".
        assert_eq!(table.trie.num_nodes(), 4);
        table.insert(b"ab", 2);
        assert_eq!(table.trie.num_nodes(), 4);
        table.remove(b"ab", 2);
        table.remove(b"abcd", 1);
        assert_eq!(table.trie.num_nodes(), 2);
        let mut keys = Vec::new();
        table.matches(b"abxyz", &mut keys);
        assert_eq!(keys, [1]);
        table.insert(b"abx", 2);
        table.remove(b"abx", 2);
        assert_eq!(table.trie.num_nodes(), 2);
    }

    #[test]
    fn nodes_are_used_again_and_given_back() {
        let mut table = Subscriptions::new();
        table.insert(b"anchor", 0);
        for round in 0..1000_u32 {
            for topic in 0..10 {
                table.insert(format!("{round}.{topic}").as_bytes(), 1);
            }
            table.remove_all(1, |_| {});
        }
        assert_eq!(table.trie.num_nodes(), 2);
        assert!(format!("{:?}", table.trie).len() < 4000, "unused nodes pile up");
        table.remove_all(0, |_| {});
        assert!(table.is_empty());
        assert_eq!(table.trie.num_nodes(), 1);
    }
}
