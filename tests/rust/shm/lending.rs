//! A payload's way from the owner of its slot to a peer, and the slot's way back.

use std::sync::Arc;

use busduct::shm::{Announcement, Descriptor, LARGEST_CLASS_BYTES, OpenError, TakeError};
use busduct::sync::RingWriter;

use super::support::{Ends, becomes_readable, duplicate, is_readable, pattern};

const MIB: usize = 1 << 20;

#[test]
fn a_payload_is_leased_and_its_slot_comes_back() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1000);
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let lease = ends.borrower.take(descriptor).unwrap();
    assert_eq!(lease.as_ref(), pattern(1, 1000));
    assert_eq!(lease.nbytes(), 1000);
    assert_eq!((ends.lender.sweep(), ends.arena.num_held()), (0, 1));
    drop(lease);
    assert_eq!((ends.lender.sweep(), ends.arena.num_held()), (1, 0));
    assert_eq!(ends.lender.num_lent(), 0);
}

#[test]
fn a_slot_lent_to_two_is_free_when_both_gave_it_back() {
    let mut one = Ends::new(MIB);
    let mut two = Ends::new(MIB);
    let slot = one.fill(2, 10);
    for ends in [&mut one, &mut two] {
        ends.introduce(&slot);
        ends.lender.lend(slot.clone()).unwrap();
    }
    let descriptor = slot.descriptor();
    drop(slot);
    let leases = [&mut one, &mut two].map(|ends| ends.borrower.take(descriptor).unwrap());
    for (lease, num_held) in leases.into_iter().zip([1, 0]) {
        drop(lease);
        one.lender.sweep();
        two.lender.sweep();
        assert_eq!(one.arena.num_held(), num_held);
    }
}

#[test]
fn a_peer_has_a_slot_once() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1);
    ends.lender.lend(slot.clone()).unwrap();
    let refused = ends.lender.lend(slot.clone()).unwrap_err();
    assert_eq!(refused.index(), slot.index());
    assert_eq!(ends.lender.find(slot.index()).unwrap().descriptor(), slot.descriptor());
    assert!(ends.lender.find(slot.index() + 1).is_none());
    assert!(ends.lender.is_held(0) && !ends.lender.is_held(1));
    ends.control.held()[0].give_back();
    assert!(!ends.lender.is_held(0), "it can be lent again before it is swept");
    ends.lender.lend(slot).unwrap();
    assert_eq!(ends.lender.num_lent(), 1);
}

#[test]
fn what_a_dead_peer_held_comes_back() {
    let mut ends = Ends::new(MIB);
    for seed in 0..5 {
        let slot = ends.fill(seed, 10);
        ends.lender.lend(slot).unwrap();
    }
    assert_eq!((ends.lender.sweep(), ends.arena.num_held()), (0, 5));
    ends.lender.reclaim();
    assert_eq!((ends.lender.num_lent(), ends.arena.num_held()), (0, 0));
    let slot = ends.fill(9, 10);
    ends.lender.lend(slot).unwrap();
}

#[test]
fn a_lease_outlives_both_sides() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(7, 100_000);
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let lease = ends.borrower.take(descriptor).unwrap();
    drop(ends);
    assert_eq!(lease.as_ref(), pattern(7, 100_000));
}

#[test]
fn the_line_stays_open_until_the_last_lease_is_dropped() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1);
    ends.introduce(&slot);
    ends.lender.lend(slot.clone()).unwrap();
    let lease = ends.borrower.take(slot.descriptor()).unwrap();
    drop(ends.borrower);
    assert!(!is_readable(&ends.line));
    drop(lease);
    assert!(becomes_readable(&ends.line));
}

#[test]
fn the_end_of_a_lease_wakes_an_owner_that_sleeps() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1);
    ends.introduce(&slot);
    ends.lender.lend(slot.clone()).unwrap();
    let mut writer = RingWriter::new(ends.control.clone(), 4096);
    drop(ends.borrower.take(slot.descriptor()).unwrap());
    assert!(!is_readable(&*ends.bell));

    ends.lender.sweep();
    ends.lender.lend(slot.clone()).unwrap();
    let lease = ends.borrower.take(slot.descriptor()).unwrap();
    assert_eq!(writer.reserve(4096), Ok(Some(0)));
    writer.commit(4096);
    assert_eq!(writer.sleep(1), Ok(true));
    drop(lease);
    assert!(is_readable(&*ends.bell));
}

#[test]
fn a_descriptor_must_point_at_what_is_lent() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 100);
    let good = slot.descriptor();
    assert_eq!(ends.borrower.take(good).unwrap_err(), TakeError::UnknownSegment);
    ends.introduce(&slot);
    assert_eq!(ends.borrower.take(good).unwrap_err(), TakeError::NotHeld);
    ends.lender.lend(slot).unwrap();
    let stale = TakeError::Stale { generation: good.generation };
    let cases = [
        (Descriptor { segment: 9, ..good }, TakeError::UnknownSegment),
        (Descriptor { slot: 16, ..good }, TakeError::OutOfRange),
        (Descriptor { slot: u16::MAX, ..good }, TakeError::OutOfRange),
        (Descriptor { nbytes: (32 << 10) + 1, ..good }, TakeError::OutOfRange),
        (Descriptor { nbytes: u64::MAX, ..good }, TakeError::OutOfRange),
        (Descriptor { generation: good.generation + 1, ..good }, stale),
    ];
    for (descriptor, error) in cases {
        assert_eq!(ends.borrower.take(descriptor).unwrap_err(), error);
    }
    ends.borrower.take(good).unwrap();
    assert_eq!(ends.borrower.take(good).unwrap_err(), TakeError::NotHeld);
}

#[test]
fn a_one_off_is_forgotten_once_taken() {
    let mut ends = Ends::new(MIB);
    let nbytes = LARGEST_CLASS_BYTES + 1;
    let slot = ends.fill(4, nbytes);
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let lease = ends.borrower.take(descriptor).unwrap();
    assert_eq!(ends.borrower.num_segments(), 0);
    assert_eq!(lease.as_ref(), pattern(4, nbytes));
    drop(lease);
    assert_eq!((ends.lender.sweep(), ends.arena.num_segments()), (1, 0));
}

#[test]
fn a_segment_that_its_owner_gave_up_is_forgotten() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(4, 1000);
    ends.introduce(&slot);
    let descriptor = slot.descriptor();
    ends.lender.lend(slot).unwrap();
    let lease = ends.borrower.take(descriptor).unwrap();
    assert!(!ends.borrower.forget_segment(descriptor.segment + 1));
    assert!(ends.borrower.forget_segment(descriptor.segment));
    assert!(!ends.borrower.forget_segment(descriptor.segment));
    assert_eq!((ends.borrower.num_segments(), ends.borrower.num_learned()), (0, 1));
    assert_eq!(ends.borrower.take(descriptor).unwrap_err(), TakeError::UnknownSegment);
    assert_eq!(lease.as_ref(), pattern(4, 1000));
}

#[test]
fn an_announcement_must_make_sense() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1);
    let good = slot.segment().announcement();
    let cases = [
        Announcement { num_slots: 0, ..good },
        Announcement { num_slots: 17, ..good },
        Announcement { num_slots: 1025, slot_nbytes: 1, ..good },
        Announcement { first_slot: 2040, ..good },
        Announcement { first_slot: u16::MAX, ..good },
        Announcement { slot_nbytes: good.slot_nbytes + 1, ..good },
        Announcement { slot_nbytes: u64::MAX, ..good },
        Announcement { segment_nbytes: 4096, ..good },
        Announcement { is_one_off: true, ..good },
    ];
    for bad in cases {
        let refused = ends.borrower.add_segment(bad, duplicate(slot.segment().fd())).unwrap_err();
        assert!(matches!(refused, OpenError::Inconsistent { .. }), "{bad:?}: {refused}");
    }
    let longer = Announcement { segment_nbytes: good.segment_nbytes + 4096, ..good };
    let refused = ends.borrower.add_segment(longer, duplicate(slot.segment().fd())).unwrap_err();
    assert!(matches!(refused, OpenError::WrongSize { .. }));
    ends.introduce(&slot);
    let again = ends.borrower.add_segment(good, duplicate(slot.segment().fd()));
    assert_eq!(again.unwrap_err(), OpenError::Known { id: good.id });
}

#[test]
fn leases_end_on_any_thread() {
    let mut ends = Ends::new(MIB);
    let slot = ends.fill(1, 1);
    ends.introduce(&slot);
    ends.lender.lend(slot.clone()).unwrap();
    let lease = Arc::new(ends.borrower.take(slot.descriptor()).unwrap());
    std::thread::spawn(move || drop(lease)).join().unwrap();
    assert_eq!(ends.lender.sweep(), 1);
}
