//! What the system refuses, and that nothing is left of what is dropped.

use std::fs::{read_dir, read_link, read_to_string};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use busduct::shm::{Arena, ControlMap, Layout, PeerAccess, RingData, create};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::processes::alone;
use super::support::{Ends, duplicate};

const MIB: usize = 1 << 20;

fn limit(resource: Resource, current: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(current), maximum }).unwrap();
}

fn create_error(nbytes: usize) -> Errno {
    create(nbytes, PeerAccess::ReadOnly, Layout::Plain).unwrap_err()
}

fn num_fds() -> usize {
    let fds = read_dir("/proc/self/fd").unwrap();
    fds.filter(|fd| {
        let target = read_link(fd.as_ref().unwrap().path()).unwrap_or_default();
        target.to_string_lossy().contains("memfd:busduct")
    })
    .count()
}

fn num_maps() -> usize {
    read_to_string("/proc/self/maps").unwrap().matches("memfd:busduct").count()
}

#[test]
fn a_refusal_is_no_slot_and_the_next_try_waits() {
    alone("limits::a_refusal_is_no_slot_and_the_next_try_waits", || {
        let mut arena = Arena::new(256 * MIB);
        let kept = arena.take(100).unwrap();
        let num_fds = read_dir("/proc/self/fd").unwrap().count();
        limit(Resource::Nofile, 1);
        assert_eq!(create_error(4096), Errno::MFILE);
        assert!(arena.take(MIB).is_none());
        // Slots that are there need nothing of the system.
        assert!(arena.take(100).is_some());
        let refused_at = Instant::now();
        limit(Resource::Nofile, num_fds as u64 + 10);
        if arena.take(MIB).is_some() {
            assert!(refused_at.elapsed() > Duration::from_millis(900), "asked again at once");
        }
        let smaller = arena.take(64 << 10);
        assert!(smaller.is_some(), "another size was not refused");
        while arena.take(MIB).is_none() {
            assert!(refused_at.elapsed() < Duration::from_secs(10), "never asked again");
            std::thread::yield_now();
        }
        assert!(refused_at.elapsed() > Duration::from_millis(900), "asked again too soon");
        drop(kept);
    });
}

#[test]
fn what_is_given_back_ends_a_refusal() {
    alone("limits::what_is_given_back_ends_a_refusal", || {
        let mut arena = Arena::new(256 * MIB);
        let one_off = arena.take(17 * MIB).unwrap();
        limit(Resource::Fsize, 10 * MIB as u64);
        assert_eq!(create_error(11 * MIB), Errno::FBIG);
        assert!(arena.take(20 * MIB).is_none());
        limit(Resource::Fsize, 100 * MIB as u64);
        drop(one_off);
        assert!(arena.take(20 * MIB).is_some());
    });
}

#[test]
fn refusals_use_no_numbers_up() {
    alone("limits::refusals_use_no_numbers_up", || {
        let mut arena = Arena::new(256 * MIB);
        limit(Resource::Fsize, MIB as u64);
        for at in 0..100 {
            // Each less than the one before, so that each is asked for.
            assert!(arena.take(20 * MIB - at * 4096).is_none());
        }
        limit(Resource::Fsize, 100 * MIB as u64);
        assert!(arena.take(17 * MIB).is_some());
    });
}

#[test]
fn no_addresses_is_an_error() {
    alone("limits::no_addresses_is_an_error", || {
        let status = read_to_string("/proc/self/statm").unwrap();
        let num_pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
        limit(Resource::As, num_pages * rustix::param::page_size() as u64 + 96 * MIB as u64);
        let error = create(64 * MIB, PeerAccess::ReadOnly, Layout::Doubled).unwrap_err();
        assert_eq!(error, Errno::NOMEM);
        assert_eq!((num_fds(), num_maps()), (0, 0));
    });
}

#[test]
fn more_than_the_machine_has_is_an_error() {
    assert_eq!(create_error(1 << 50), Errno::NOMEM);
    assert_eq!(create_error(0), Errno::INVAL);
}

#[test]
fn nothing_is_left_of_what_is_dropped() {
    alone("limits::nothing_is_left_of_what_is_dropped", || {
        let mut ends = Ends::new(64 * MIB);
        let mut leases = Vec::new();
        for nbytes in [1, 100_000, MIB, 17 * MIB] {
            let slot = ends.fill(1, nbytes);
            ends.introduce(&slot);
            ends.lender.lend(slot.clone()).unwrap();
            leases.push(ends.borrower.take(slot.descriptor()).unwrap());
        }
        let (_ring, fd) = RingData::create(4096).unwrap();
        let peer_ring = RingData::open(duplicate(fd.as_fd()), 4096).unwrap();
        assert!(RingData::open(duplicate(fd.as_fd()), 8192).is_err());
        assert!(ControlMap::open(fd).is_err());
        // Segments of the owner, whose peer keeps none, and the ring that is bound to `_ring`.
        assert_eq!(num_fds(), 4);
        // Those, mapped on both sides, two control pages and two rings twice.
        assert_eq!(num_maps(), 4 * 2 + 2 + 2 * 2);
        drop((ends, peer_ring));
        assert_eq!(num_fds(), 0);
        drop(leases);
        drop(_ring);
        assert_eq!(num_maps(), 0);
    });
}
