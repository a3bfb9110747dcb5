//! Topic tables against models that are too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use busduct::socket::{Inserted, Removed, Subscriptions, Topics};
use proptest::prelude::*;

/// Few letters and few keys, so that topics share prefixes and holders.
fn topic() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(b'a'..b'd', 0..6),
        1 => (250_usize..256).prop_map(|n| vec![b'a'; n]),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>, u8),
    Remove(Vec<u8>, u8),
    RemoveAll(u8),
    Match(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..5_u8;
    prop_oneof![
        6 => (topic(), key.clone()).prop_map(|(topic, key)| Step::Insert(topic, key)),
        4 => (topic(), key.clone()).prop_map(|(topic, key)| Step::Remove(topic, key)),
        1 => key.prop_map(Step::RemoveAll),
        4 => (topic(), topic()).prop_map(|(a, b)| Step::Match([a, b].concat())),
    ]
}

#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, BTreeSet<u8>>);

impl Model {
    fn insert(&mut self, topic: &[u8], key: u8) -> Inserted {
        let holders = self.0.entry(topic.into()).or_default();
        match (holders.is_empty(), holders.insert(key)) {
            (true, _) => Inserted::NewTopic,
            (_, true) => Inserted::NewHolder,
            _ => Inserted::Nothing,
        }
    }

    fn remove(&mut self, topic: &[u8], key: u8) -> Removed {
        let Some(holders) = self.0.get_mut(topic) else {
            return Removed::Nothing;
        };
        if !holders.remove(&key) {
            return Removed::Nothing;
        }
        if !holders.is_empty() {
            return Removed::Holder;
        }
        self.0.remove(topic);
        Removed::LastHolder
    }

    fn remove_all(&mut self, key: u8) -> BTreeSet<Vec<u8>> {
        let topics: Vec<_> = self.0.keys().cloned().collect();
        topics.into_iter().filter(|topic| self.remove(topic, key) == Removed::LastHolder).collect()
    }

    fn matches(&self, topic: &[u8]) -> Vec<u8> {
        let topic = &topic[..topic.len().min(255)];
        let matching = self.0.iter().filter(|(held, _)| topic.starts_with(held));
        let keys: BTreeSet<u8> = matching.flat_map(|(_, holders)| holders).copied().collect();
        keys.into_iter().collect()
    }

    fn num_topics_of(&self, key: u8) -> usize {
        self.0.values().filter(|holders| holders.contains(&key)).count()
    }
}

proptest! {
    #[test]
    fn publishers_table_agrees_with_a_map_of_sets(steps in prop::collection::vec(step(), 0..200)) {
        let (mut table, mut model) = (Subscriptions::new(), Model::default());
        let mut keys = vec![99];
        for step in steps {
            match step {
                Step::Insert(topic, key) => {
                    prop_assert_eq!(table.insert(&topic, key), model.insert(&topic, key));
                }
                Step::Remove(topic, key) => {
                    prop_assert_eq!(table.remove(&topic, key), model.remove(&topic, key));
                }
                Step::RemoveAll(key) => {
                    let mut lost = Vec::new();
                    table.remove_all(key, |topic| lost.push(topic.to_vec()));
                    lost.sort();
                    prop_assert_eq!(lost, Vec::from_iter(model.remove_all(key)));
                }
                Step::Match(topic) => {
                    table.matches(&topic, &mut keys);
                    prop_assert_eq!(&keys, &model.matches(&topic));
                }
            }
            let counts = (0..5).map(|key| model.num_topics_of(key));
            prop_assert_eq!(table.len(), counts.clone().sum::<usize>());
            for (key, count) in counts.enumerate() {
                prop_assert_eq!(table.num_topics_of(key as u8), count);
            }
        }
    }

    #[test]
    fn subscribers_topics_agree_with_a_list(
        steps in prop::collection::vec((any::<bool>(), topic(), topic()), 0..100)
    ) {
        let (mut topics, mut model) = (Topics::default(), Vec::<Vec<u8>>::new());
        for (adds, topic, beyond) in steps {
            let at = model.iter().position(|held| *held == topic);
            if adds {
                prop_assert_eq!(topics.add(&topic), at.is_none());
                model.push(topic.clone());
            } else {
                at.map(|at| model.swap_remove(at));
                let expected = at.map(|_| !model.contains(&topic));
                prop_assert_eq!(topics.remove(&topic), expected);
            }
            let message = [topic, beyond].concat();
            let counted = &message[..message.len().min(255)];
            let expected = model.iter().any(|held| counted.starts_with(held));
            prop_assert_eq!(topics.matches(&message), expected);
            let held: BTreeSet<&[u8]> = model.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(topics.iter().collect::<Vec<_>>(), Vec::from_iter(held));
        }
    }
}

/// The most levels that topics can have, all of them held by all of the keys,
/// on a stack that no recursion would fit.
#[test]
fn deepest_table_needs_no_stack() {
    let work = || {
        let mut table = Subscriptions::new();
        for key in 0..8_u32 {
            for nbytes in 0..256 {
                table.insert(&vec![b'.'; nbytes], key);
            }
        }
        assert_eq!(table.len(), 8 * 256);
        let mut keys = Vec::new();
        table.matches(&[b'.'; 10_000], &mut keys);
        assert_eq!(keys, Vec::from_iter(0..8));
        table.remove_all(3, |_| unreachable!("others hold them all"));
        assert_eq!(table.len(), 7 * 256);
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap();
    thread.join().unwrap();
}
