//! What one peer holds of our arena, at the owner's side of the connection.

use super::{ControlMap, MAX_SLOTS, Slot};

/// The slots lent to one peer.
///
/// Dropping it takes them all back, which is right only when the peer is gone: see
/// [`Lender::reclaim`].
#[derive(Debug)]
pub struct Lender {
    control: ControlMap,
    lent: Vec<Slot>,
    /// Whether a slot is in `lent`, by its number.
    is_lent: Box<[bool]>,
}

impl Lender {
    /// Lend nothing yet, by the control page of the direction towards the peer.
    pub fn new(control: ControlMap) -> Self {
        Self { control, lent: Vec::new(), is_lent: vec![false; MAX_SLOTS].into() }
    }

    /// Keep a hold for the peer until it gives the slot back. Do it before the descriptor is
    /// published. All slots are of one arena.
    ///
    /// # Errors
    ///
    /// The slot, if the peer has it already.
    pub fn lend(&mut self, slot: Slot) -> Result<(), Slot> {
        let index = usize::from(slot.index());
        let held = &self.control.held()[index];
        if self.is_lent[index] {
            if held.is_lent() {
                return Err(slot);
            }
            // Given back since the last sweep.
            self.lent.retain(|lent| lent.index() != slot.index());
        }
        held.lend();
        self.is_lent[index] = true;
        self.lent.push(slot);
        Ok(())
    }

    /// Drop the holds of what the peer gave back; return how many.
    ///
    /// NB: who is about to sleep until a slot is free sweeps once more after it has said so.
    pub fn sweep(&mut self) -> usize {
        let held = self.control.held();
        let num_lent = self.lent.len();
        self.lent.retain(|slot| {
            let index = usize::from(slot.index());
            let is_lent = held[index].is_lent();
            self.is_lent[index] = is_lent;
            is_lent
        });
        num_lent - self.lent.len()
    }

    /// Whether the peer has a slot that it did not give back yet, swept or not.
    pub fn is_held(&self, index: u16) -> bool {
        let index = usize::from(index);
        self.is_lent[index] && self.control.held()[index].is_lent()
    }

    /// Find what is lent by its number.
    pub fn find(&self, index: u16) -> Option<&Slot> {
        self.lent.iter().find(|slot| slot.index() == index)
    }

    /// Drop all holds, of a peer that is dead or has no lease left.
    ///
    /// The slots of one that lives on will change under its eyes.
    pub fn reclaim(&mut self) {
        for slot in self.lent.drain(..) {
            let index = usize::from(slot.index());
            self.control.held()[index].give_back();
            self.is_lent[index] = false;
        }
    }

    /// Number of slots that the peer holds, or has given back since the last sweep.
    pub fn num_lent(&self) -> usize {
        self.lent.len()
    }
}
