//! Descriptors and announcements as bytes.

use busduct::shm::{ANNOUNCEMENT_BYTES, Announcement, DESCRIPTOR_BYTES, DecodeError, Descriptor};
use proptest::prelude::*;

const DESCRIPTOR: Descriptor =
    Descriptor { segment: 0x0403_0201, slot: 0x0605, generation: 0x0a09_0807, nbytes: 1 << 32 };
const ANNOUNCEMENT: Announcement = Announcement {
    id: 7,
    is_one_off: true,
    first_slot: 1984,
    num_slots: 1,
    slot_nbytes: 1 << 32,
    segment_nbytes: (1 << 32) + 4096,
};

#[test]
fn a_descriptor_is_these_bytes() {
    let bytes = *b"\x01\x02\x03\x04\x05\x06\0\0\x07\x08\x09\x0a\0\0\0\0\0\0\0\0\x01\0\0\0";
    assert_eq!(DESCRIPTOR.encode(), bytes);
    assert_eq!(Descriptor::decode(&bytes), Ok(DESCRIPTOR));
}

#[test]
fn an_announcement_is_these_bytes() {
    let bytes = *b"BDSG\x01\x01\0\0\x07\0\0\0\xc0\x07\x01\0\0\0\0\0\x01\0\0\0\0\x10\0\0\x01\0\0\0";
    assert_eq!(ANNOUNCEMENT.encode(), bytes);
    assert_eq!(Announcement::decode(&bytes), Ok(ANNOUNCEMENT));
}

#[test]
fn what_is_not_understood_is_refused() {
    let good = ANNOUNCEMENT.encode();
    let cases = [
        (0, DecodeError::WrongMagic),
        (4, DecodeError::UnknownVersion { version: 0xff }),
        (5, DecodeError::UnknownFlags { flags: 0xff }),
        (6, DecodeError::ReservedUsed),
        (7, DecodeError::ReservedUsed),
    ];
    for (at, error) in cases {
        let mut bytes = good;
        bytes[at] = 0xff;
        assert_eq!(Announcement::decode(&bytes), Err(error));
    }
    for at in [6, 7, 12, 13, 14, 15] {
        let mut bytes = DESCRIPTOR.encode();
        bytes[at] = 1;
        assert_eq!(Descriptor::decode(&bytes), Err(DecodeError::ReservedUsed));
    }
}

#[test]
fn no_other_length_is_taken() {
    let bytes = [0; 64];
    for nbytes in (0..64).filter(|nbytes| *nbytes != DESCRIPTOR_BYTES) {
        let error = DecodeError::WrongLength { nbytes, expected: DESCRIPTOR_BYTES };
        assert_eq!(Descriptor::decode(&bytes[..nbytes]), Err(error));
    }
    for nbytes in (0..64).filter(|nbytes| *nbytes != ANNOUNCEMENT_BYTES) {
        let error = DecodeError::WrongLength { nbytes, expected: ANNOUNCEMENT_BYTES };
        assert_eq!(Announcement::decode(&bytes[..nbytes]), Err(error));
    }
}

/// Random bytes, with a good beginning now and then.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just(&b""[..]), Just(&b"BDSG\x01\0\0\0"[..])];
    (start, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(start, rest)| [start, &rest].concat())
}

proptest! {
    #[test]
    fn what_is_decoded_is_encoded_the_same(bytes in noise()) {
        if let Ok(descriptor) = Descriptor::decode(&bytes) {
            prop_assert_eq!(&descriptor.encode()[..], &bytes[..]);
        }
        if let Ok(announcement) = Announcement::decode(&bytes) {
            prop_assert_eq!(&announcement.encode()[..], &bytes[..]);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_the_same(
        segment: u32, slot: u16, generation: u32, nbytes: u64,
        is_one_off: bool, num_slots: u16, segment_nbytes: u64,
    ) {
        let descriptor = Descriptor { segment, slot, generation, nbytes };
        prop_assert_eq!(Descriptor::decode(&descriptor.encode()), Ok(descriptor));
        let announcement = Announcement {
            id: segment, is_one_off, first_slot: slot, num_slots, slot_nbytes: nbytes, segment_nbytes,
        };
        prop_assert_eq!(Announcement::decode(&announcement.encode()), Ok(announcement));
    }
}
