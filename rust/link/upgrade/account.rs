//! What was lent to one peer, and from which store.

use crate::shm::{ControlMap, Descriptor, LenderKey, Slot, Store};

/// One peer's place in a store, or in one of its own.
pub(crate) struct Account {
    control: ControlMap,
    key: Option<LenderKey>,
    /// Of a peer that shares with no other.
    own: Option<Store>,
}

impl Account {
    /// Make one of the peer with this control page; with `own_nbytes`, it shares with nobody
    /// and may hold so much.
    pub(super) fn new(control: ControlMap, own_nbytes: Option<usize>) -> Self {
        Self { control, key: None, own: own_nbytes.map(Store::new) }
    }

    pub(super) fn open(&mut self, shared: &mut Store) {
        let store = self.own.as_mut().unwrap_or(shared);
        self.key = Some(store.open(self.control.clone()));
    }

    fn place<'a>(&'a mut self, shared: &'a mut Store) -> Option<(&'a mut Store, LenderKey)> {
        Some((self.own.as_mut().unwrap_or(shared), self.key?))
    }

    /// Take a slot, the one that this peer or another gave back last.
    pub(super) fn take(&mut self, shared: &mut Store, nbytes: usize) -> Option<Slot> {
        let (store, key) = self.place(shared)?;
        store.take(key, nbytes)
    }

    /// Whether `slot` can be lent as it is.
    pub(super) fn suits(&mut self, shared: &mut Store, slot: &Slot) -> bool {
        self.place(shared).is_some_and(|(store, key)| store.suits(key, slot))
    }

    /// Lend `slot`, which suits.
    pub(super) fn lend(&mut self, shared: &mut Store, slot: Slot) {
        if let Some((store, key)) = self.place(shared) {
            store.lend(key, slot);
        }
    }

    /// What was lent as `told`, and not given back.
    pub(super) fn lent<'a>(&'a self, shared: &'a Store, told: &Descriptor) -> Option<&'a Slot> {
        self.own.as_ref().unwrap_or(shared).lent(self.key?, told)
    }

    pub(super) fn own_store(&self) -> Option<&Store> {
        self.own.as_ref()
    }

    /// Take back what the peer gave back, or all of it if the peer `is_gone`; whether it
    /// holds something still.
    pub(crate) fn settle(&mut self, shared: &mut Store, is_gone: bool) -> bool {
        let Some((store, key)) = self.place(shared) else {
            return false;
        };
        let holds_some = !is_gone && store.sweep(key) > 0;
        if !holds_some {
            store.close(key);
            self.key = None;
        }
        holds_some
    }
}
