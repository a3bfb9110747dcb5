//! An owner and a peer that are processes, and what is left when one of them is killed.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;

use busduct::shm::{
    Announcement, Arena, Borrower, ControlMap, Descriptor, LARGEST_CLASS_BYTES, Lease, Lender, Slot,
};
use busduct::sync::Doorbell;

use super::processes::{Line, Peer, with_peer};
use super::support::{duplicate, pattern};

const MIB: usize = 1 << 20;
const SIZES: [usize; 4] = [1, 32 << 10, MIB, LARGEST_CLASS_BYTES + 1];

/// The owner of an arena, and what its peer was told.
struct Owner {
    line: Line,
    arena: Arena,
    lender: Lender,
    announced: HashSet<u32>,
}

impl Owner {
    fn new(line: Line) -> Self {
        let (control, fd) = ControlMap::create().unwrap();
        let bell = Doorbell::new().unwrap();
        line.send(b"control", &[fd.as_fd(), bell.as_fd()]);
        let lender = Lender::new(control);
        Self { line, arena: Arena::new(64 * MIB), lender, announced: HashSet::new() }
    }

    /// Fill a slot and lend it; false if the peer is gone.
    fn lend(&mut self, seed: u8, nbytes: usize) -> bool {
        let mut slot: Slot = self.arena.take(nbytes).unwrap();
        slot.copy_from(&pattern(seed, nbytes));
        let segment = slot.segment();
        if segment.is_one_off || self.announced.insert(segment.id) {
            self.line.send(&segment.announcement().encode(), &[segment.fd()]);
        }
        let descriptor = slot.descriptor();
        self.lender.lend(slot).unwrap();
        self.line.send(&descriptor.encode(), &[])
    }
}

/// Lease whatever is lent.
struct Holder {
    line: Arc<Line>,
    borrower: Borrower,
    leases: Vec<Lease>,
}

impl Holder {
    fn new(line: Line) -> Self {
        let (_, mut fds) = line.recv().unwrap();
        let bell = Arc::new(Doorbell::open(fds.pop().unwrap()).unwrap());
        let control = ControlMap::open(fds.pop().unwrap()).unwrap();
        let socket = Arc::new(duplicate(line.0.as_fd()));
        let borrower = Borrower::new(control, bell, socket);
        Self { line: Arc::new(line), borrower, leases: Vec::new() }
    }

    /// Take in one message; false if it was none of these.
    fn turn(&mut self, bytes: &[u8], fds: Vec<std::os::fd::OwnedFd>) -> bool {
        if let Ok(announcement) = Announcement::decode(bytes) {
            for fd in fds {
                self.borrower.add_segment(announcement, fd).unwrap();
            }
        } else if let Ok(descriptor) = Descriptor::decode(bytes) {
            self.leases.push(self.borrower.take(descriptor).unwrap());
        } else {
            return false;
        }
        true
    }

    /// Do as told until the other side is gone: whatever is no payload means "drop them all".
    fn serve(mut self) {
        while let Some((bytes, fds)) = self.line.clone().recv() {
            if !self.turn(&bytes, fds) {
                let intact = self
                    .leases
                    .drain(..)
                    .enumerate()
                    .all(|(seed, lease)| lease.as_ref() == pattern(seed as u8, lease.nbytes()));
                self.line.send(&[intact.into()], &[]);
            }
        }
    }
}

#[test]
fn slots_come_back_from_another_process() {
    let peer = |line| Holder::new(line).serve();
    with_peer("two_processes::slots_come_back_from_another_process", peer, |line, _peer| {
        let mut owner = Owner::new(line);
        for _ in 0..3 {
            for (seed, nbytes) in SIZES.into_iter().enumerate() {
                assert!(owner.lend(seed as u8, nbytes));
            }
            assert_eq!((owner.lender.sweep(), owner.arena.num_held()), (0, SIZES.len()));
            owner.line.send(b"drop", &[]);
            assert_eq!(owner.line.recv().unwrap().0, [1], "a payload is not what was sent");
            assert_eq!((owner.lender.sweep(), owner.arena.num_held()), (SIZES.len(), 0));
        }
    });
}

#[test]
fn what_a_killed_peer_held_comes_back() {
    let name = "two_processes::what_a_killed_peer_held_comes_back";
    for round in 0..20 {
        let peer = |line| Holder::new(line).serve();
        with_peer(name, peer, |line, mut peer| {
            let mut owner = Owner::new(line);
            let num_told = round * 7;
            for at in 0..num_told {
                assert!(owner.lend(at as u8, SIZES[at % 3]));
                if at % 5 == 4 {
                    owner.line.send(b"drop", &[]);
                }
                owner.lender.sweep();
            }
            // Somewhere amid what it was told.
            peer.kill();
            while owner.line.recv().is_some() {}
            owner.lender.sweep();
            assert_eq!(owner.arena.num_held(), owner.lender.num_lent());
            owner.lender.reclaim();
            assert_eq!(owner.arena.num_held(), 0);
        });
    }
}

#[test]
fn leases_outlive_an_owner_that_is_killed() {
    let name = "two_processes::leases_outlive_an_owner_that_is_killed";
    let owner = |line| {
        let mut owner = Owner::new(line);
        for (seed, nbytes) in SIZES.into_iter().enumerate() {
            owner.lend(seed as u8, nbytes);
        }
        owner.line.recv();
    };
    with_peer(name, owner, |line, mut owner: Peer| {
        let mut holder = Holder::new(line);
        while holder.leases.len() < SIZES.len() {
            let (bytes, fds) = holder.line.recv().unwrap();
            assert!(holder.turn(&bytes, fds));
        }
        owner.kill();
        drop(holder.borrower);
        for (seed, (lease, nbytes)) in holder.leases.iter().zip(SIZES).enumerate() {
            assert_eq!(lease.as_ref(), pattern(seed as u8, nbytes));
        }
    });
}
