//! Subscriptions that a peer is still to be told of, where it takes them slowly.

use std::collections::{BTreeMap, HashMap};

/// Changes in their order, of which those that undo each other are gone.
///
/// So a peer that does not read makes it no larger than the topics subscribed to and those
/// that the peer was told of.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    changes: BTreeMap<u64, (Box<[u8]>, bool)>,
    places: HashMap<Box<[u8]>, u64>,
    num_added: u64,
}

impl Announcements {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Note that a topic is subscribed to, or is so no more.
    pub(super) fn add(&mut self, subscribe: bool, topic: &[u8]) {
        if let Some(place) = self.places.remove(topic) {
            let undone = self.changes.remove(&place);
            if undone.is_some_and(|(_, was)| was != subscribe) {
                return;
            }
        }
        self.num_added += 1;
        self.places.insert(topic.into(), self.num_added);
        self.changes.insert(self.num_added, (topic.into(), subscribe));
    }

    /// Take the oldest change: a topic, and whether it is subscribed to.
    pub(super) fn pop(&mut self) -> Option<(Box<[u8]>, bool)> {
        let (_, change) = self.changes.pop_first()?;
        self.places.remove(&change.0);
        Some(change)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_is_not_told_and_the_rest_keeps_its_order() {
        let mut changes = Announcements::default();
        for (subscribe, topic) in [(true, "a"), (false, "b"), (true, "c"), (false, "a")] {
            changes.add(subscribe, topic.as_bytes());
        }
        changes.add(true, b"a");
        let told: Vec<_> = std::iter::from_fn(|| changes.pop()).collect();
        let expected = [("b", false), ("c", true), ("a", true)];
        assert_eq!(told, expected.map(|(topic, is)| (topic.as_bytes().into(), is)));
        assert!(changes.is_empty() && changes.places.is_empty());
    }
}
