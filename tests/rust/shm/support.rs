//! Both ends of a direction, in one process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use busduct::shm::{Arena, Borrower, ControlMap, Lender, OpenError, Slot};
use busduct::sync::Doorbell;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a slot is filled with in these tests.
pub(crate) fn pattern(seed: u8, nbytes: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..=u8::MAX).map(|at| at.wrapping_mul(31).wrapping_add(seed)).collect();
    let mut pattern = block.repeat(nbytes.div_ceil(block.len()));
    pattern.truncate(nbytes);
    pattern
}

/// The owner of an arena with one peer, and that peer.
pub(crate) struct Ends {
    pub(crate) arena: Arena,
    pub(crate) lender: Lender,
    /// Of the owner.
    pub(crate) control: ControlMap,
    pub(crate) bell: Arc<Doorbell>,
    /// The owner's end of the line.
    pub(crate) line: UnixStream,
    pub(crate) borrower: Borrower,
}

impl Ends {
    pub(crate) fn new(max_nbytes: usize) -> Self {
        let (control, fd) = ControlMap::create().unwrap();
        Self::with_control(max_nbytes, control, fd)
    }

    /// The same on a control page whose descriptor is `fd`.
    pub(crate) fn with_control(max_nbytes: usize, control: ControlMap, fd: OwnedFd) -> Self {
        let (line, peer_line) = UnixStream::pair().unwrap();
        let bell = Arc::new(Doorbell::new().unwrap());
        let peer_line = Arc::new(OwnedFd::from(peer_line));
        let borrower = Borrower::new(ControlMap::open(fd).unwrap(), Arc::clone(&bell), peer_line);
        let lender = Lender::new(control.clone());
        Self { arena: Arena::new(max_nbytes), lender, control, bell, line, borrower }
    }

    /// Take a slot and fill it.
    pub(crate) fn fill(&mut self, seed: u8, nbytes: usize) -> Slot {
        let mut slot = self.arena.take(nbytes).unwrap();
        slot.copy_from(&pattern(seed, nbytes));
        slot
    }

    /// Hand over the segment of `slot`, if the peer does not know it.
    pub(crate) fn introduce(&mut self, slot: &Slot) {
        let segment = slot.segment();
        match self.borrower.add_segment(segment.announcement(), duplicate(segment.fd())) {
            Ok(()) | Err(OpenError::Known { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> OwnedFd {
    fd.try_clone_to_owned().unwrap()
}

/// Whether a read of `fd` would end at once.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    is_readable_within(fd, 0)
}

/// Whether it will soon. NB: a process that another test is about to start has copies of our
/// descriptors for a moment, so that a hang-up may be late.
pub(crate) fn becomes_readable(fd: impl AsFd) -> bool {
    is_readable_within(fd, 10)
}

fn is_readable_within(fd: impl AsFd, seconds: i64) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() > 0
}
