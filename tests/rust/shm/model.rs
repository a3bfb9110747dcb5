//! Arena, lender and borrower against a model that counts.

use std::collections::{BTreeMap, BTreeSet};

use busduct::shm::{Lease, Slot, TakeError};
use proptest::prelude::*;

use super::support::{Ends, pattern};

const BUDGET: usize = 3 << 20;
/// Two classes that share the budget, one that hardly fits, and one that never does.
const SIZES: [usize; 6] = [0, 1, 32 << 10, (32 << 10) + 1, 1 << 20, 17 << 20];

#[derive(Debug, Clone)]
enum Step {
    Take(prop::sample::Index),
    Clone(prop::sample::Index),
    Drop(prop::sample::Index),
    Truncate(prop::sample::Index),
    Lend(prop::sample::Index),
    Lease(prop::sample::Index),
    Release(prop::sample::Index),
    Sweep,
    Reclaim,
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<prop::sample::Index>();
    prop_oneof![
        8 => index().prop_map(Step::Take),
        2 => index().prop_map(Step::Clone),
        4 => index().prop_map(Step::Drop),
        1 => index().prop_map(Step::Truncate),
        6 => index().prop_map(Step::Lend),
        6 => index().prop_map(Step::Lease),
        5 => index().prop_map(Step::Release),
        3 => Just(Step::Sweep),
        1 => Just(Step::Reclaim),
    ]
}

/// A payload as it should be.
#[derive(Clone)]
struct Payload {
    slot: u16,
    seed: u8,
    nbytes: usize,
}

struct World {
    ends: Ends,
    num_taken: u8,
    holds: Vec<(Slot, Payload)>,
    /// What the owner believes to be lent; true while the peer has not given it back.
    lent: BTreeMap<u16, (Payload, bool)>,
    /// What the peer was told, of which it may lease each once.
    told: Vec<(busduct::shm::Descriptor, Payload)>,
    leases: Vec<(Lease, Payload)>,
}

impl World {
    fn new() -> Self {
        Self {
            ends: Ends::new(BUDGET),
            num_taken: 0,
            holds: Vec::new(),
            lent: BTreeMap::new(),
            told: Vec::new(),
            leases: Vec::new(),
        }
    }

    fn held(&self) -> BTreeSet<u16> {
        let holds = self.holds.iter().map(|(_, payload)| payload.slot);
        holds.chain(self.lent.keys().copied()).collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Take(which) => self.take(SIZES[which.index(SIZES.len())]),
            Step::Sweep => {
                let num_back = self.lent.values().filter(|(_, is_lent)| !is_lent).count();
                assert_eq!(self.ends.lender.sweep(), num_back);
                self.lent.retain(|_, (_, is_lent)| *is_lent);
            }
            Step::Reclaim => self.reclaim(),
            Step::Lease(which) if !self.told.is_empty() => {
                let (descriptor, payload) = self.told.swap_remove(which.index(self.told.len()));
                let lease = self.ends.borrower.take(descriptor).unwrap();
                self.leases.push((lease, payload));
            }
            Step::Release(which) if !self.leases.is_empty() => {
                let (lease, payload) = self.leases.swap_remove(which.index(self.leases.len()));
                drop(lease);
                self.lent.get_mut(&payload.slot).unwrap().1 = false;
            }
            Step::Clone(which) | Step::Drop(which) | Step::Truncate(which) | Step::Lend(which)
                if !self.holds.is_empty() =>
            {
                self.touch(step, which.index(self.holds.len()));
            }
            _ => {}
        }
    }

    fn take(&mut self, nbytes: usize) {
        let num_held = self.ends.arena.num_held();
        let Some(mut slot) = self.ends.arena.take(nbytes) else {
            // Never while the arena is empty, but for what cannot fit at all.
            assert!(num_held > 0 || self.ends.arena.nbytes() > 0);
            return;
        };
        assert!(slot.is_unique() && !self.held().contains(&slot.index()));
        slot.copy_from(&pattern(self.num_taken, nbytes));
        let payload = Payload { slot: slot.index(), seed: self.num_taken, nbytes };
        self.num_taken = self.num_taken.wrapping_add(1);
        self.holds.push((slot, payload));
    }

    /// Do something with a hold.
    fn touch(&mut self, step: &Step, at: usize) {
        match step {
            Step::Clone(_) => self.holds.push(self.holds[at].clone()),
            Step::Drop(_) => drop(self.holds.swap_remove(at)),
            Step::Truncate(_) => {
                let (slot, payload) = &mut self.holds[at];
                payload.nbytes /= 2;
                slot.truncate(payload.nbytes);
            }
            _ => {
                let (slot, payload) = self.holds.swap_remove(at);
                self.lend(slot, payload);
            }
        }
    }

    fn lend(&mut self, slot: Slot, payload: Payload) {
        self.ends.introduce(&slot);
        let descriptor = slot.descriptor();
        let is_lent = self.lent.get(&payload.slot).is_some_and(|(_, is_lent)| *is_lent);
        match self.ends.lender.lend(slot) {
            Err(slot) => {
                assert!(is_lent);
                self.holds.push((slot, payload));
            }
            Ok(()) => {
                assert!(!is_lent);
                self.lent.insert(payload.slot, (payload.clone(), true));
                self.told.push((descriptor, payload));
            }
        }
    }

    /// The peer dies, and another comes in its place.
    fn reclaim(&mut self) {
        self.leases.clear();
        self.ends.lender.reclaim();
        self.lent.clear();
        for (descriptor, payload) in self.told.drain(..) {
            // It could still come on, but not get what is used for something else by now.
            match self.ends.borrower.take(descriptor) {
                Ok(lease) => assert_eq!(lease.nbytes(), payload.nbytes),
                Err(error) => {
                    assert!(matches!(error, TakeError::Stale { .. } | TakeError::NotHeld));
                }
            }
        }
    }

    fn check(&self) {
        let arena = &self.ends.arena;
        let large = self.held().iter().filter(|slot| **slot >= 1984).count() * (17 << 20);
        assert!(arena.nbytes() <= BUDGET + large + 4096, "{} bytes", arena.nbytes());
        assert_eq!(arena.num_held(), self.held().len());
        assert_eq!(self.ends.lender.num_lent(), self.lent.len());
        for (slot, payload) in &self.holds {
            assert!(slot.as_ref() == intact(payload), "slot {}", payload.slot);
        }
        for (lease, payload) in &self.leases {
            assert!(lease.as_ref() == intact(payload), "lease {}", payload.slot);
        }
    }

    /// All is dropped: every slot of every segment is free, and can be used again.
    fn end(mut self) {
        self.holds.clear();
        self.leases.clear();
        self.ends.lender.reclaim();
        let Ends { mut arena, .. } = self.ends;
        assert_eq!(arena.num_held(), 0);
        let classes = [1, (32 << 10) + 1, 1 << 20];
        let slots: Vec<Slot> = classes
            .into_iter()
            .flat_map(|nbytes| std::iter::from_fn(|| arena.take(nbytes)).collect::<Vec<_>>())
            .collect();
        let sum: u64 = slots.iter().map(|slot| slot.segment().slot_nbytes).sum();
        let tables = arena.num_segments() * 4096;
        assert_eq!(sum as usize + tables, arena.nbytes(), "some slots did not come back");
    }
}

fn intact(payload: &Payload) -> Vec<u8> {
    pattern(payload.seed, payload.nbytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn slots_are_where_the_model_has_them(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.end();
    }
}
