//! Doorbells: each ring is an edge, and only an eventfd is taken from a peer.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use busduct::sync::Doorbell;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

/// How many edges wait, without waiting for any.
fn num_edges(epoll: &OwnedFd) -> usize {
    let mut events = [MaybeUninit::uninit(); 4];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    epoll::wait(epoll, &mut events, Some(&now)).unwrap().0.len()
}

fn watch(bell: &Doorbell) -> OwnedFd {
    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&epoll, bell, EventData::new_u64(1), EventFlags::IN | EventFlags::ET).unwrap();
    epoll
}

#[test]
fn each_ring_is_an_edge_and_nothing_is_read() {
    let bell = Doorbell::new().unwrap();
    let epoll = watch(&bell);
    assert_eq!(num_edges(&epoll), 0);
    for _ in 0..3 {
        bell.ring();
        assert_eq!(num_edges(&epoll), 1);
        assert_eq!(num_edges(&epoll), 0);
    }
}

#[test]
fn a_ring_before_the_watch_counts() {
    let bell = Doorbell::new().unwrap();
    bell.ring();
    assert_eq!(num_edges(&watch(&bell)), 1);
}

#[test]
fn a_bell_that_was_handed_over_rings_the_same() {
    let bell = Doorbell::new().unwrap();
    let epoll = watch(&bell);
    let theirs = Doorbell::open(bell.as_fd().try_clone_to_owned().unwrap()).unwrap();
    theirs.ring();
    assert_eq!(num_edges(&epoll), 1);
}

#[test]
fn a_bell_that_was_handed_over_never_blocks() {
    let blocking = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let bell = Doorbell::open(blocking).unwrap();
    rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    bell.ring();
    assert!(fcntl_getfl(&bell).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn files_pipes_and_sockets_are_no_bells() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let (_end, pipe) = rustix::pipe::pipe().unwrap();
    let device = File::options().write(true).open("/dev/null").unwrap();
    for fd in [socket.into(), pipe, device.into()] {
        assert_eq!(Doorbell::open(fd).unwrap_err(), Errno::INVAL);
    }
}
