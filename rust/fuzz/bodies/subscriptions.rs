//! A publisher's table under any order of subscriptions: it agrees with a plain list.
//!
//! Each step is three bytes and a topic: what is done, by which key, the topic's length.

use std::collections::BTreeSet;

use busduct::socket::{Inserted, Removed, Subscriptions};

pub(crate) fn run(data: &[u8]) {
    let mut table = Subscriptions::new();
    let mut model = BTreeSet::<(Vec<u8>, u8)>::new();
    let mut keys = Vec::new();
    let mut rest = data;
    while let [choice, key, nbytes, tail @ ..] = rest {
        let (topic, next) = tail.split_at(usize::from(*nbytes).min(tail.len()));
        rest = next;
        let key = key % 8;
        let held = (topic.to_vec(), key);
        let num_others =
            model.iter().filter(|(other, holder)| *other == topic && *holder != key).count();
        match choice % 4 {
            0 => {
                let expected = match (model.insert(held), num_others) {
                    (true, 0) => Inserted::NewTopic,
                    (true, _) => Inserted::NewHolder,
                    (false, _) => Inserted::Nothing,
                };
                assert_eq!(table.insert(topic, key), expected);
            }
            1 => {
                let expected = match (model.remove(&held), num_others) {
                    (true, 0) => Removed::LastHolder,
                    (true, _) => Removed::Holder,
                    (false, _) => Removed::Nothing,
                };
                assert_eq!(table.remove(topic, key), expected);
            }
            2 => {
                table.remove_all(key, |_| {});
                model.retain(|(_, holder)| *holder != key);
            }
            _ => {
                table.matches(topic, &mut keys);
                let matching = model.iter().filter(|(prefix, _)| topic.starts_with(prefix));
                let expected: BTreeSet<u8> = matching.map(|(_, holder)| *holder).collect();
                assert!(keys.iter().copied().eq(expected));
            }
        }
        assert_eq!(table.len(), model.len());
    }
}
