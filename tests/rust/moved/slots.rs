//! Peers that hand over, or point at, what is no payload of theirs.

use std::os::fd::{AsFd, OwnedFd};

use busduct::shm::{Announcement, Descriptor, Layout, MAX_SEGMENTS, MAX_SLOTS, PeerAccess, create};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::drive::settle;
use crate::half::{Moved, PART, SLOT, Segment, TABLE_BYTES, forget, record};
use crate::raw::borrowed;
use crate::scene::Scene;

const SLOT_BYTES: usize = 32 << 10;
const UNUSABLE: &str = "segment that cannot be used";

/// How the context calls what `say` does.
#[track_caller]
fn error_of(say: impl FnOnce(&mut Moved)) -> String {
    let mut scene = Scene::new(|options| options.max_message_bytes = 200_000);
    let mut peer = scene.moved();
    say(&mut peer);
    let error = scene.first_error();
    while scene.context.try_recv(scene.pull).unwrap().is_some() {}
    drop(peer);
    scene.ended();
    error
}

/// A segment of four slots, that the peer has announced.
fn announced(peer: &mut Moved, id: u32) -> Segment {
    let segment = Segment::make(id, 8, 4, SLOT_BYTES);
    peer.announce(segment.told, segment.fd.as_fd());
    segment
}

#[test]
fn slots_are_read_and_given_back() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    let mut segment = Segment::make(1, 8, 4, SLOT_BYTES);
    for within in 0..4 {
        segment.map.copy_in(TABLE_BYTES + within * SLOT_BYTES, &[within as u8; SLOT_BYTES]);
    }
    peer.announce(segment.told, segment.fd.as_fd());
    for (within, nbytes) in [(0, 0), (1, 1), (2, SLOT_BYTES - 1), (3, SLOT_BYTES)] {
        let told = segment.descriptor(within, nbytes as u64);
        peer.say_slot(told);
        assert_eq!(scene.recv(), vec![within as u8; nbytes]);
        assert!(!peer.ours.words.is_held(told.slot));
    }
    drop(peer);
    scene.ended();
}

#[test]
fn a_descriptor_of_what_is_not_lent_ends_the_link() {
    let hostile: [fn(&mut Descriptor); 9] = [
        |told| told.slot = 7,
        |told| told.slot = 12,
        |told| told.slot = 0,
        |told| told.slot = MAX_SLOTS as u16,
        |told| told.slot = u16::MAX,
        |told| told.nbytes = SLOT_BYTES as u64 + 1,
        |told| told.nbytes = u64::MAX,
        |told| told.generation = 1,
        |told| told.generation = u32::MAX,
    ];
    for (number, spoil) in hostile.into_iter().enumerate() {
        let error = error_of(|peer| {
            let segment = announced(peer, 1);
            let mut told = segment.descriptor(0, 100);
            spoil(&mut told);
            peer.ours.words.set_held(told.slot % 2048, 1);
            peer.say(&record(SLOT, 0, &told.encode()));
        });
        assert!(error.contains("descriptor of no slot that we hold"), "{number}: {error}");
    }
    let error = error_of(|peer| {
        let segment = announced(peer, 1);
        peer.say(&record(SLOT, 0, &segment.descriptor(0, 100).encode()));
    });
    assert!(error.contains("descriptor of no slot that we hold"), "not held: {error}");
}

#[test]
fn a_descriptor_of_an_unknown_segment_ends_the_link() {
    let error = error_of(|peer| {
        let mut told = announced(peer, 1).descriptor(0, 100);
        told.segment = 2;
        peer.say_slot(told);
    });
    assert!(error.contains("descriptor of no segment"), "{error}");
}

#[test]
fn what_is_no_descriptor_ends_the_link() {
    for nbytes in [0, 8, 23, 25, 32] {
        let error = error_of(|peer| peer.say(&record(SLOT, 0, &vec![0; nbytes])));
        assert!(error.contains("descriptor that is none"), "{nbytes}: {error}");
    }
    for at in [6, 7, 12, 15] {
        let mut bytes = [0; 24];
        bytes[at] = 1;
        let error = error_of(|peer| peer.say(&record(SLOT, 0, &bytes)));
        assert!(error.contains("descriptor that is none"), "{at}: {error}");
    }
}

#[test]
fn slots_count_against_the_limit_of_a_message() {
    let error = error_of(|peer| {
        let segment = Segment::make(1, 0, 1, 1 << 20);
        peer.announce(segment.told, segment.fd.as_fd());
        peer.say_slot(segment.descriptor(0, 200_001));
    });
    assert!(error.contains("exceeds limit of 200000 bytes"), "{error}");
    let error = error_of(|peer| {
        let segment = Segment::make(1, 0, 2, 100_000);
        peer.announce(segment.told, segment.fd.as_fd());
        let [one, other] = [0, 1].map(|within| segment.descriptor(within, 100_000));
        (0..2).for_each(|slot| peer.ours.words.set_held(slot, 1));
        let parts = [record(SLOT, 1, &one.encode()), record(SLOT, 1, &other.encode())];
        peer.say(&[parts.concat(), record(PART, 0, b"x")].concat());
    });
    assert!(error.contains("message of 200001 bytes exceeds limit"), "{error}");
}

#[test]
fn a_segment_for_one_payload_is_forgotten_once_it_is_taken() {
    let error = error_of(|peer| {
        let mut segment = Segment::make(1, 8, 1, SLOT_BYTES);
        segment.told.is_one_off = true;
        peer.announce(segment.told, segment.fd.as_fd());
        peer.say_slot(segment.descriptor(0, 100));
        peer.say_slot(segment.descriptor(0, 100));
    });
    assert!(error.contains("descriptor of no segment"), "{error}");
}

#[test]
fn a_segment_that_was_given_up_makes_place_for_another() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    let mut last = None;
    for id in 0..100 {
        // NB: both are read at once, so that there are as many segments as before.
        if let Some(last) = last {
            peer.raw.write(&forget(last));
        }
        let segment = announced(&mut peer, id);
        peer.say_slot(segment.descriptor(0, 10));
        assert_eq!(scene.recv(), [0; 10], "{id}");
        last = Some(id);
    }
    drop(peer);
    scene.ended();
}

#[test]
fn what_points_into_a_segment_that_was_given_up_ends_the_link() {
    let error = error_of(|peer| {
        let segment = announced(peer, 1);
        peer.raw.write(&forget(1));
        peer.say_slot(segment.descriptor(0, 100));
    });
    assert!(error.contains("descriptor of no segment"), "{error}");
}

#[test]
fn the_end_of_an_unknown_segment_ends_the_link() {
    for known in [false, true] {
        let error = error_of(|peer| {
            if known {
                announced(peer, 1);
                peer.raw.write(&forget(1));
            }
            peer.raw.write(&forget(1));
        });
        assert!(error.contains("end of a segment that is not known"), "{error}");
    }
}

#[test]
fn an_announcement_that_contradicts_itself_ends_the_link() {
    let hostile: [fn(&mut Announcement); 11] = [
        |told| told.num_slots = 0,
        |told| told.num_slots = 5,
        |told| told.num_slots = u16::MAX,
        |told| told.first_slot = MAX_SLOTS as u16 - 3,
        |told| told.first_slot = u16::MAX,
        |told| told.slot_nbytes += 1,
        |told| told.slot_nbytes = u64::MAX,
        |told| told.slot_nbytes = u64::MAX / 4,
        |told| told.segment_nbytes += 1,
        |told| told.segment_nbytes = u64::MAX,
        |told| told.is_one_off = true,
    ];
    for (number, spoil) in hostile.into_iter().enumerate() {
        let error = error_of(|peer| {
            let mut segment = Segment::make(1, 8, 4, SLOT_BYTES);
            spoil(&mut segment.told);
            peer.announce(segment.told, segment.fd.as_fd());
        });
        assert!(error.contains(UNUSABLE), "{number}: {error}");
    }
    let error = error_of(|peer| {
        announced(peer, 1);
        announced(peer, 1);
    });
    assert!(error.contains(UNUSABLE), "known: {error}");
}

fn memfd(nbytes: usize, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, nbytes as u64).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

#[test]
fn a_segment_of_something_else_ends_the_link() {
    let shut = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    let nbytes = TABLE_BYTES + 4 * SLOT_BYTES;
    let hostile: [OwnedFd; 7] = [
        rustix::pipe::pipe().unwrap().0,
        std::fs::File::open(std::env::current_exe().unwrap()).unwrap().into(),
        create(nbytes, PeerAccess::ReadWrite, Layout::Plain).unwrap().1,
        create(nbytes - 4096, PeerAccess::ReadOnly, Layout::Plain).unwrap().1,
        memfd(nbytes, SealFlags::empty()),
        memfd(nbytes, shut),
        memfd(1 << 40, shut),
    ];
    for (number, fd) in hostile.into_iter().enumerate() {
        let error = error_of(|peer| {
            let told = Segment::make(1, 8, 4, SLOT_BYTES).told;
            peer.announce(told, fd.as_fd());
        });
        assert!(error.contains(UNUSABLE), "{number}: {error}");
    }
}

#[test]
fn what_is_no_notice_ends_the_link() {
    let told = Segment::make(1, 8, 4, SLOT_BYTES).told.encode();
    for at in [0, 4, 5, 6] {
        let mut bytes = told;
        bytes[at] ^= 0x40;
        let error = error_of(|peer| assert!(peer.raw.write(&bytes)));
        assert!(error.contains("notice that nobody gives"), "{at}: {error}");
    }
    let error = error_of(|peer| assert!(peer.raw.write(&told)));
    assert!(error.contains("segment without a descriptor"), "{error}");
}

#[test]
fn descriptors_of_nothing_end_the_link() {
    let error = error_of(|peer| {
        let fds = [(); 4].map(|()| rustix::pipe::pipe().unwrap().0);
        // Less than a notice; some may find that they were hung up on.
        for _ in 0..31 {
            peer.raw.write_with(b"B", &borrowed(&fds));
        }
    });
    assert!(error.contains("descriptors of nothing"), "{error}");
}

#[test]
fn an_announcement_may_be_cut_anywhere() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    for cut in 1..32 {
        let segment = Segment::make(cut as u32, 8, 4, SLOT_BYTES);
        let bytes = segment.told.encode();
        peer.raw.write_with(&bytes[..cut], &[segment.fd.as_fd()]);
        scene.honest_goes_on();
        peer.raw.write(&bytes[cut..]);
        peer.say_slot(segment.descriptor(0, 10));
        assert_eq!(scene.recv(), [0; 10]);
    }
}

#[test]
fn segments_are_limited() {
    let mut scene = Scene::new(|_| {});
    let mut peer = scene.moved();
    let segment = Segment::make(0, 0, 1, 4096);
    for id in 0..MAX_SEGMENTS as u32 {
        peer.announce(Announcement { id, ..segment.told }, segment.fd.as_fd());
        if id % 32 == 0 {
            settle(&mut scene.context);
        }
    }
    scene.honest_goes_on();
    assert_eq!(scene.context.faults(scene.pull), []);
    let id = MAX_SEGMENTS as u32;
    peer.announce(Announcement { id, ..segment.told }, segment.fd.as_fd());
    assert!(scene.error().contains(UNUSABLE));
}
