//! What is sealed opens, and nothing else does.

use std::io::IoSlice;

use proptest::prelude::*;

use super::*;
use crate::zmtp::seal::SPLIT_BYTES;
use crate::zmtp::{MAX_SEAL_BYTES, Sealer};

const KEY: [u8; 32] = [7; 32];

fn seal(payload: &[u8]) -> Vec<u8> {
    seal_with(&mut Sealer::new(&KEY), &[payload])
}

fn seal_with(sealer: &mut Sealer, parts: &[&[u8]]) -> Vec<u8> {
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut out = Vec::new();
    let offered = parts.iter().map(|part| part.len()).sum::<usize>();
    assert_eq!(sealer.seal(&slices, &mut out), offered.min(MAX_SEAL_BYTES));
    out
}

fn open(opener: &mut Opener, input: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let mut plain = Vec::new();
    let opened = opener.open(input, |payload| {
        plain.extend_from_slice(payload);
        Ok(())
    });
    (plain, opened)
}

fn patterned(nbytes: usize) -> Vec<u8> {
    (0..nbytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn what_is_sealed_opens_wherever_it_is_cut() {
    for nbytes in [1, 2, SPLIT_BYTES - 1, SPLIT_BYTES, 70_000, MAX_SEAL_BYTES] {
        let plain = patterned(nbytes);
        let sealed = seal(&plain);
        for cut in [1, 3, 4, 5, 20, 21, 1000, 16_404, 65_556, usize::MAX] {
            let mut opener = Opener::new(&KEY);
            let mut got = Vec::new();
            for piece in sealed.chunks(cut.min(sealed.len())) {
                let (plain, opened) = open(&mut opener, piece);
                opened.unwrap();
                got.extend(plain);
            }
            assert!(got == plain, "{nbytes} bytes cut at {cut}");
            assert!(!opener.is_amid_record());
        }
    }
}

#[test]
fn a_call_seals_no_more_than_its_bound() {
    let plain = patterned(MAX_SEAL_BYTES + 5);
    let sealed = seal(&plain);
    let (got, opened) = open(&mut Opener::new(&KEY), &sealed);
    opened.unwrap();
    assert!(got == plain[..MAX_SEAL_BYTES]);
}

#[test]
fn nothing_sealed_is_nothing_sent() {
    assert!(seal(&[]).is_empty());
}

#[test]
fn largest_record_opens_and_a_larger_one_is_refused_by_its_length() {
    let plain = patterned(MAX_RECORD_BYTES);
    let mut record = (MAX_RECORD_BYTES as u32).to_be_bytes().to_vec();
    record.extend_from_slice(&plain);
    let mut mac = Vec::new();
    Macs::new(&KEY).each(&[&record], |_, hash| mac.extend_from_slice(hash.as_bytes()));
    record.extend_from_slice(&mac);
    let (got, opened) = open(&mut Opener::new(&KEY), &record);
    opened.unwrap();
    assert!(got == plain);
    for length in [0, MAX_RECORD_BYTES as u32 + 1, u32::MAX] {
        let (got, opened) = open(&mut Opener::new(&KEY), &length.to_be_bytes());
        assert!(got.is_empty());
        let reason = format!("record 0 of {length} bytes is not one of 1 to 65536 bytes");
        assert_eq!(opened, Err(Error::Tampered { reason }));
    }
}

#[test]
fn a_broken_opener_opens_nothing_more() {
    let mut sealer = Sealer::new(&KEY);
    let mut first = seal_with(&mut sealer, &[b"one"]);
    let second = seal_with(&mut sealer, &[b"two"]);
    first[5] ^= 1;
    let mut opener = Opener::new(&KEY);
    assert!(open(&mut opener, &first).1.is_err());
    first[5] ^= 1;
    for sound in [first, second] {
        let (got, opened) = open(&mut opener, &sound);
        assert!(got.is_empty() && opened.is_err());
    }
}

#[test]
fn record_repeated_dropped_or_moved_is_refused() {
    let mut sealer = Sealer::new(&KEY);
    let records: Vec<_> = (0_u8..6).map(|at| seal_with(&mut sealer, &[&[at; 9]])).collect();
    for (order, num_sound) in [
        (vec![0, 0], 1),
        (vec![1], 0),
        (vec![0, 2], 1),
        (vec![0, 1, 2, 4, 3, 5], 3),
        (vec![0, 1, 2, 3, 4, 4], 5),
    ] {
        let wire: Vec<u8> = order.iter().flat_map(|&at: &usize| records[at].clone()).collect();
        let (got, opened) = open(&mut Opener::new(&KEY), &wire);
        assert_eq!(got.len(), 9 * num_sound, "{order:?}");
        let reason = format!("record {num_sound} was tampered with");
        assert_eq!(opened, Err(Error::Tampered { reason }));
    }
}

proptest! {
    #[test]
    fn any_changed_bit_is_noticed_before_anything_of_its_record_is_given(
        nbytes in 1_usize..30_000, at: prop::sample::Index, bit in 0_u32..8, cut in 1_usize..9_000,
    ) {
        let plain = patterned(nbytes);
        let mut sealed = seal(&plain);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let mut opener = Opener::new(&KEY);
        let mut got = Vec::new();
        let mut has_failed = false;
        for piece in sealed.chunks(cut) {
            let (plain, opened) = open(&mut opener, piece);
            got.extend(plain);
            has_failed |= opened.is_err();
        }
        // A length that grew makes a record that is never whole.
        prop_assert!(has_failed || opener.is_amid_record());
        prop_assert!(got.len() <= at && plain.starts_with(&got));
    }

    #[test]
    fn parts_are_sealed_as_if_they_were_one(sizes in prop::collection::vec(0_usize..9_000, 0..12)) {
        let parts: Vec<_> = sizes.iter().map(|&nbytes| patterned(nbytes)).collect();
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let apart = seal_with(&mut Sealer::new(&KEY), &parts);
        prop_assert_eq!(apart, seal(&parts.concat()));
    }
}
