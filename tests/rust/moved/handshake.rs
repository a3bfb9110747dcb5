//! Ways to get the handshake wrong, and odd ways to get it right.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use busduct::context::ShmOptions;
use busduct::shm::{CONTROL_BYTES, ControlMap, Layout, PeerAccess, create};
use busduct::socket::PeerFault;
use busduct::zmtp::{Sharing, SocketType::Push};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::drive::{until, until_peers};
use crate::half::{Half, Moved, RING_BYTES};
use crate::raw::{MAX_FDS, Raw, accept, borrowed, command, decline, frame, offer, ready};
use crate::scene::{Scene, required};

/// A peer that was heard to be able to move, and said so.
fn able(scene: &mut Scene) -> Raw {
    let path = scene.path();
    let (mut raw, capability) = Raw::introduced(&mut scene.context, &path);
    raw.write(&ready(Push, capability.as_ref()));
    raw
}

/// The same, once the other side has made its own offer.
fn offered(scene: &mut Scene) -> Raw {
    let mut raw = able(scene);
    until(&mut scene.context, |_| {
        raw.read();
        raw.fds.len() == 3
    });
    raw
}

/// How the context calls what a peer does that says this once both are able.
#[track_caller]
fn error_of(said: &[u8], fds: &[OwnedFd]) -> String {
    let mut scene = Scene::new(|_| {});
    let mut raw = able(&mut scene);
    raw.write_with(said, &borrowed(fds));
    scene.error()
}

fn memfd(nbytes: usize, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, nbytes as u64).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn made(nbytes: usize, access: PeerAccess) -> OwnedFd {
    create(nbytes, access, Layout::Plain).unwrap().1
}

fn file() -> OwnedFd {
    std::fs::File::open(std::env::current_exe().unwrap()).unwrap().into()
}

/// What a proper offer hands over.
fn proper() -> [OwnedFd; 3] {
    Half::make(RING_BYTES).fds().map(|fd| fd.try_clone_to_owned().unwrap())
}

#[test]
fn a_peer_that_moves_is_heard_in_shared_memory() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    peer.say_part(b"through the ring");
    assert_eq!(scene.recv(), b"through the ring");
    drop(peer);
    scene.ended();
    assert_eq!(scene.context.faults(scene.pull), []);
}

#[test]
fn an_offer_and_its_acceptance_may_come_in_one_write() {
    let mut scene = Scene::new(|_| {});
    let mut raw = offered(&mut scene);
    let ours = Half::make(RING_BYTES);
    raw.write_with(&[ours.offer(), accept()].concat(), &ours.fds());
    let mut peer = Moved::accepting(&mut scene.context, raw, ours);
    peer.say_part(b"moved");
    assert_eq!(scene.recv(), b"moved");
}

#[test]
fn a_peer_may_hand_over_more_than_it_needs_to() {
    for num_more in [1, 60, MAX_FDS - 3] {
        let mut scene = Scene::new(|_| {});
        let mut raw = able(&mut scene);
        let ours = Half::make(RING_BYTES);
        let more: Vec<_> = (0..num_more).map(|_| file()).collect();
        raw.write_with(&ours.offer(), &[&ours.fds()[..], &borrowed(&more)].concat());
        let mut peer = Moved::accepting(&mut scene.context, raw, ours);
        peer.say_part(b"moved");
        assert_eq!(scene.recv(), b"moved");
    }
}

#[test]
fn an_offer_of_something_else_ends_the_link() {
    let shut = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    let pipe = || rustix::pipe::pipe().unwrap().0;
    let hostile: [(usize, OwnedFd); 11] = [
        (0, pipe()),
        (0, file()),
        (0, made(2 * CONTROL_BYTES, PeerAccess::ReadWrite)),
        (0, memfd(CONTROL_BYTES, SealFlags::empty())),
        (1, pipe()),
        (1, file()),
        (1, made(RING_BYTES / 2, PeerAccess::ReadOnly)),
        (1, made(RING_BYTES, PeerAccess::ReadWrite)),
        (1, memfd(RING_BYTES, SealFlags::empty())),
        // With no memory, and with a length that no memory could have.
        (1, memfd(RING_BYTES, shut)),
        (1, memfd(1 << 40, shut)),
    ];
    for (number, (at, fd)) in hostile.into_iter().enumerate() {
        let mut fds = proper();
        fds[at] = fd;
        let error = error_of(&offer(RING_BYTES as u64), &fds);
        assert!(error.contains("descriptors of something else"), "{number}: {error}");
    }
}

#[test]
fn a_bell_that_cannot_be_rung_ends_the_link() {
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    for bell in [read_end, write_end, file(), made(4096, PeerAccess::ReadWrite)] {
        let mut fds = proper();
        fds[2] = bell;
        let error = error_of(&offer(RING_BYTES as u64), &fds);
        assert!(error.contains("descriptors of something else"), "{error}");
    }
}

#[test]
fn an_offer_of_too_few_descriptors_ends_the_link() {
    for num_fds in 0..3 {
        let error = error_of(&offer(RING_BYTES as u64), &proper()[..num_fds]);
        assert!(error.contains("offer without descriptors"), "{num_fds}: {error}");
    }
}

#[test]
fn a_ring_of_a_size_that_no_ring_has_ends_the_link() {
    for nbytes in [0, 1, 2048, 4095, 4097, 6144, 32 << 20, 1 << 40, u64::MAX] {
        let error = error_of(&offer(nbytes), &proper());
        assert!(error.contains("ring of a wrong size"), "{nbytes}: {error}");
    }
}

#[test]
fn a_control_page_that_cannot_be_written_leaves_the_link_in_the_kernel() {
    let mut scene = Scene::new(|_| {});
    let mut raw = offered(&mut scene);
    let mut fds = proper();
    fds[0] = made(CONTROL_BYTES, PeerAccess::ReadOnly);
    raw.write_with(&offer(RING_BYTES as u64), &borrowed(&fds));
    assert!(matches!(raw.take_sharing(&mut scene.context), Sharing::Offer { .. }));
    assert_eq!(raw.take_sharing(&mut scene.context), Sharing::Decline);
    raw.write(&frame(b"by the kernel"));
    assert_eq!(scene.recv(), b"by the kernel");
    assert_eq!(scene.context.shm_statistics().num_shm_peers, 1);
}

#[test]
fn what_is_out_of_place_ends_the_link() {
    let ring = offer(RING_BYTES as u64);
    let twice = [ring.clone(), ring].concat();
    let unknown = command(b"\x03SHM\x02\x02");
    let said: [(&[u8], &str); 5] = [
        (&accept(), "SHM out of place"),
        (&twice, "SHM out of place"),
        (&frame(b"too early"), "message before READY"),
        (&ready(Push, None), "second READY"),
        (&unknown, "SHM command of another version or kind"),
    ];
    for (said, expected) in said {
        let error = error_of(said, &proper());
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn a_peer_that_talks_of_moving_before_both_are_able_ends_its_link() {
    for said in [offer(RING_BYTES as u64), accept(), decline()] {
        let mut scene = Scene::new(|_| {});
        let path = scene.path();
        let mut raw = Raw::greeted(&mut scene.context, &path);
        raw.write_with(&said, &borrowed(&proper()));
        assert!(scene.error().contains("SHM out of place"));
        let mut scene = Scene::new(|_| {});
        let path = scene.path();
        let mut raw = Raw::greeted(&mut scene.context, &path);
        raw.write_with(&[ready(Push, None), said].concat(), &borrowed(&proper()));
        assert!(scene.error().contains("SHM out of place"));
    }
}

#[test]
fn what_was_declined_is_talked_of_in_vain() {
    let mut scene = Scene::new(|_| {});
    let mut raw = able(&mut scene);
    raw.write(&decline());
    for said in [decline(), accept(), offer(RING_BYTES as u64), offer(1), decline()] {
        raw.write_with(&said, &borrowed(&proper()));
        raw.write(&frame(b"by the kernel"));
        assert_eq!(scene.recv(), b"by the kernel");
    }
    assert_eq!(scene.context.shm_statistics().num_shm_peers, 1);
    drop(raw);
    scene.ended();
}

#[test]
fn a_peer_that_declines_what_is_required_is_refused() {
    let mut scene = Scene::with(required(), |_| {});
    let mut raw = able(&mut scene);
    raw.write(&decline());
    assert!(scene.error().contains("shared memory is required"));
    let mut scene = Scene::with(required(), |_| {});
    let path = scene.path();
    let mut raw = Raw::greeted(&mut scene.context, &path);
    raw.write(&ready(Push, None));
    assert!(scene.error().contains("shared memory is required"));
}

#[test]
fn a_peer_that_stops_amid_the_move_is_let_go() {
    let half = Half::make(RING_BYTES);
    let cut = &half.offer()[..5];
    for said in [&[][..], cut, &half.offer()] {
        let mut scene = Scene::new(|options| {
            // Time enough to get that far, though this thread may be held up for a while.
            options.handshake_timeout = Duration::from_millis(500);
        });
        let mut raw = able(&mut scene);
        raw.write_with(&[&command(b"\x04PING\0\0")[..], said].concat(), &half.fds());
        assert!(matches!(scene.fault(), PeerFault::Silent(_)));
        raw.until_ended(&mut scene.context);
    }
}

#[test]
fn a_peer_may_vanish_anywhere_in_the_move() {
    let half = Half::make(RING_BYTES);
    let whole = [half.offer(), accept()].concat();
    for cut in 0..=whole.len() {
        let mut scene = Scene::new(|_| {});
        let mut raw = able(&mut scene);
        raw.write_with(&[&command(b"\x04PING\0\0")[..], &whole[..cut]].concat(), &half.fds());
        drop(raw);
        scene.ended();
    }
}

/// All that the other side writes is what it reads.
#[test]
fn a_peer_may_hand_back_what_it_was_handed() {
    let mut scene = Scene::with(ShmOptions { ring_bytes: RING_BYTES, ..required() }, |_| {});
    let mut raw = offered(&mut scene);
    assert!(matches!(raw.take_sharing(&mut scene.context), Sharing::Offer { .. }));
    let fds: Vec<_> = raw.fds.drain(..).collect();
    raw.write_with(&offer(RING_BYTES as u64), &borrowed(&fds));
    assert_eq!(raw.take_sharing(&mut scene.context), Sharing::Accept);
    raw.write(&accept());
    until_peers(&mut scene.context, scene.pull, 2);
    let control = ControlMap::open(fds[0].as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(!control.wakes_writer());
    scene.honest_goes_on();
    drop(raw);
    scene.ended();
}
