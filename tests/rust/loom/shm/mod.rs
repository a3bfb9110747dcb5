//! Of `rust/shm`: how the slots of an arena come back to its owner.

#[path = "../../../../rust/shm/free_list.rs"]
mod free_list;

/// Few, as each is an atomic that loom follows.
const MAX_SLOTS: usize = 3;

/// The free slots of one size.
pub struct FreeSlots(free_list::FreeLists);

impl FreeSlots {
    /// None is free yet.
    #[expect(clippy::new_without_default, reason = "it is not there outside of a model")]
    pub fn new() -> Self {
        Self(free_list::FreeLists::new(1))
    }

    /// Whether one is free.
    pub fn has_some(&self) -> bool {
        self.0.has_some(0)
    }

    /// Give a slot back, from any thread.
    pub fn push(&self, number: u16) {
        self.0.push(0, number);
    }

    /// Take the slot that was given back last, as the owner.
    pub fn pop(&self) -> Option<u16> {
        self.0.pop(0)
    }
}
