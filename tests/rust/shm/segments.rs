//! What can be done with a segment by who was handed it, and what is refused.

use std::os::fd::{AsFd, OwnedFd};

use busduct::shm::{Arena, ControlMap, Layout, OpenError, PeerAccess, RingData, create, open};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::io::{Errno, pwrite};

use super::support::duplicate;

const NBYTES: usize = 64 << 10;
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// A memfd as a peer could make it.
fn memfd(nbytes: u64, allocated: u64, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("peer", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, nbytes).unwrap();
    if allocated > 0 {
        fallocate(&fd, FallocateFlags::empty(), 0, allocated).unwrap();
    }
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn refusal(fd: OwnedFd, writable: bool) -> OpenError {
    open(fd, NBYTES, writable, Layout::Plain).unwrap_err()
}

#[test]
fn what_one_side_writes_the_other_reads() {
    let (mut map, fd) = create(NBYTES, PeerAccess::ReadOnly, Layout::Plain).unwrap();
    let peer = open(fd, NBYTES, false, Layout::Plain).unwrap();
    map.copy_in(NBYTES - 3, b"end");
    assert_eq!(peer.as_slice(NBYTES - 4, 4), b"\0end");
    assert_eq!((map.nbytes(), map.is_writable()), (NBYTES, true));
    assert_eq!((peer.nbytes(), peer.is_writable()), (NBYTES, false));
}

#[test]
fn a_ring_goes_on_at_its_start() {
    let (mut ring, fd) = RingData::create(4096).unwrap();
    let peer = RingData::open(fd, 4096).unwrap();
    ring.write_at(4090, b"over the end");
    assert_eq!(peer.slice(4090, 12), b"over the end");
    assert_eq!(peer.slice(0, 6), b"he end");
    assert_eq!(ring.slice(4096, 6), b"he end");
    assert_eq!(ring.nbytes(), 4096);
}

#[test]
fn a_ring_is_a_power_of_two() {
    for nbytes in [0, 1, 2048, 4095, 12 << 10] {
        assert_eq!(RingData::create(nbytes).unwrap_err(), Errno::INVAL);
        let (_, fd) = RingData::create(4096).unwrap();
        assert!(matches!(RingData::open(fd, nbytes).unwrap_err(), OpenError::Inconsistent { .. }));
    }
}

#[test]
fn nothing_outside_a_map_is_reached() {
    let (mut map, _fd) = create(NBYTES, PeerAccess::ReadOnly, Layout::Plain).unwrap();
    for (offset, nbytes) in [(NBYTES, 1), (0, NBYTES + 1), (usize::MAX, 2), (1, usize::MAX)] {
        let read = std::panic::AssertUnwindSafe(|| map.as_slice(offset, nbytes).len());
        assert!(std::panic::catch_unwind(read).is_err());
    }
    let write = std::panic::AssertUnwindSafe(|| map.copy_in(NBYTES - 1, b"ab"));
    assert!(std::panic::catch_unwind(write).is_err());
}

#[test]
fn a_peer_cannot_write_what_it_may_only_read() {
    let mut arena = Arena::new(1 << 20);
    let slot = arena.take(100).unwrap();
    let nbytes = slot.segment().announcement().segment_nbytes as usize;
    let segment = || duplicate(slot.segment().fd());
    let (ring, ring_fd) = RingData::create(4096).unwrap();
    for (fd, nbytes) in [(segment(), nbytes), (ring_fd, ring.nbytes())] {
        assert_eq!(pwrite(&fd, b"x", 0), Err(Errno::PERM));
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert_eq!(fallocate(&fd, hole, 0, 4096), Err(Errno::PERM));
        assert_eq!(fcntl_add_seals(&fd, SealFlags::WRITE), Err(Errno::PERM));
        let mapped = open(fd, nbytes, true, Layout::Plain);
        assert_eq!(mapped.unwrap_err(), OpenError::System(Errno::PERM));
    }
}

#[test]
fn nobody_can_resize_a_segment() {
    let (_control, control_fd) = ControlMap::create().unwrap();
    let (_ring, ring_fd) = RingData::create(4096).unwrap();
    let slot = Arena::new(1 << 20).take(1).unwrap();
    for fd in [control_fd.as_fd(), ring_fd.as_fd(), slot.segment().fd()] {
        for nbytes in [0, 100, 1 << 30] {
            assert_eq!(ftruncate(fd, nbytes), Err(Errno::PERM));
        }
    }
}

#[test]
fn a_read_only_map_is_not_written() {
    let (_ring, fd) = RingData::create(4096).unwrap();
    let mut peer = RingData::open(fd, 4096).unwrap();
    let write = std::panic::AssertUnwindSafe(|| peer.write_at(0, b"x"));
    assert!(std::panic::catch_unwind(write).is_err());
}

#[test]
fn what_is_no_memfd_is_refused() {
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let socket: OwnedFd = std::os::unix::net::UnixDatagram::unbound().unwrap().into();
    for fd in [file, socket] {
        assert_eq!(refusal(fd, false), OpenError::NotMemfd);
    }
}

#[test]
fn a_memfd_that_lacks_a_seal_is_refused() {
    let nbytes = NBYTES as u64;
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE] {
        let fd = memfd(nbytes, nbytes, SEALS - missing);
        assert_eq!(refusal(fd, false), OpenError::NotSealed);
    }
    let fd = memfd(nbytes, nbytes, SealFlags::SHRINK);
    assert_eq!(refusal(fd, true), OpenError::NotSealed);
    open(memfd(nbytes, nbytes, SEALS), NBYTES, false, Layout::Plain).unwrap();
}

#[test]
fn a_memfd_of_another_length_is_refused() {
    for nbytes in [0, 4096, NBYTES as u64 - 1, NBYTES as u64 + 1] {
        let expected = NBYTES as u64;
        let fd = memfd(nbytes, nbytes, SEALS);
        assert_eq!(refusal(fd, false), OpenError::WrongSize { nbytes, expected });
    }
}

#[test]
fn a_memfd_with_holes_is_refused() {
    let nbytes = NBYTES as u64;
    let fd = memfd(nbytes, nbytes / 2, SEALS);
    assert_eq!(refusal(fd, false), OpenError::Sparse { nbytes, allocated: nbytes / 2 });
}

#[test]
fn a_memfd_of_huge_pages_is_refused() {
    const HUGE: usize = 2 << 20;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    // Where the system has none there is nothing to refuse.
    if let Ok(fd) = memfd_create("peer", flags | MemfdFlags::HUGE_2MB) {
        ftruncate(&fd, HUGE as u64).unwrap();
        fcntl_add_seals(&fd, SEALS).unwrap();
        let refused = open(fd, HUGE, false, Layout::Plain).unwrap_err();
        assert_eq!(refused, OpenError::NotMemfd);
    }
}

#[test]
fn a_control_page_has_its_length() {
    let (_map, fd) = create(8192, PeerAccess::ReadWrite, Layout::Plain).unwrap();
    let refused = OpenError::WrongSize { nbytes: 8192, expected: 4096 };
    assert_eq!(ControlMap::open(fd).unwrap_err(), refused);
}
