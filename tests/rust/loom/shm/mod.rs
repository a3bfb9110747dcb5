//! Of `rust/shm`: how the slots of an arena come back to its owner.

#[path = "../../../../rust/shm/free_list.rs"]
mod free_list;
#[path = "../../../../rust/shm/holds.rs"]
mod holds;

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

/// How many hold a slot.
pub struct SlotHolds(holds::Holds);

impl SlotHolds {
    /// Nobody does yet.
    #[expect(clippy::new_without_default, reason = "it is not there outside of a model")]
    pub fn new() -> Self {
        Self(holds::Holds::default())
    }

    /// Begin with one hold.
    pub fn occupy(&self) {
        self.0.occupy();
    }

    /// Add one.
    pub fn add(&self) {
        self.0.add();
    }

    /// Drop one; return whether it was the last.
    pub fn release(&self) -> bool {
        self.0.release()
    }

    /// Whether there is one alone.
    pub fn is_unique(&self) -> bool {
        self.0.is_unique()
    }

    /// Whether there is none.
    pub fn is_free(&self) -> bool {
        self.0.is_free()
    }

    /// Whether there is any.
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }
}
