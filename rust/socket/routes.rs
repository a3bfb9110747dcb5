//! A ROUTER's table from routing ids to links.

use std::collections::HashMap;

use super::LinkKey;

/// Routing ids in use. An id is never taken over while its holder lives.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    links: HashMap<Vec<u8>, LinkKey>,
    num_generated: u32,
}

impl Routes {
    pub(crate) fn get(&self, id: &[u8]) -> Option<LinkKey> {
        self.links.get(id).copied()
    }

    /// Enter a link under `id`, which is free.
    pub(crate) fn insert(&mut self, id: &[u8], link: LinkKey) {
        self.links.insert(id.into(), link);
    }

    pub(crate) fn remove(&mut self, id: &[u8], link: LinkKey) {
        if self.get(id) == Some(link) {
            self.links.remove(id);
        }
    }

    /// Make an id for a peer that has none: a zero byte, which no peer may begin its own
    /// with, and a number.
    pub(crate) fn generate(&mut self) -> Vec<u8> {
        loop {
            self.num_generated = self.num_generated.wrapping_add(1);
            let mut id = vec![0];
            id.extend_from_slice(&self.num_generated.to_be_bytes());
            if !self.links.contains_key(&id) {
                return id;
            }
        }
    }
}
