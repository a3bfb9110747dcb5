//! What is said over the stream of a moved link (docs/wire.md, "The stream after the move").

use crate::shm::{ANNOUNCEMENT_BYTES, Announcement};

/// Length of each.
pub(super) const NOTICE_BYTES: usize = ANNOUNCEMENT_BYTES;
const VERSION: u8 = 1;
const BYE: [u8; 4] = *b"BDBY";
const PING: [u8; 4] = *b"BDPI";
const PONG: [u8; 4] = *b"BDPO";
const FORGET: [u8; 4] = *b"BDFG";

/// Something that must not wait behind messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// A segment, whose descriptor comes with it.
    Segment(Announcement),
    /// The side leaves: it takes nothing more, and may use what it holds for longer.
    Bye,
    /// A PING, with the tenths of a second in which something comes; 0 for none.
    Ping { ttl: u16 },
    /// The answer.
    Pong,
    /// A segment is not used any more.
    Forget { segment: u32 },
}

impl Notice {
    pub(super) fn encode(&self) -> [u8; NOTICE_BYTES] {
        let (name, ttl, segment) = match self {
            Self::Segment(segment) => return segment.encode(),
            Self::Bye => (BYE, 0, 0),
            Self::Ping { ttl } => (PING, *ttl, 0),
            Self::Pong => (PONG, 0, 0),
            Self::Forget { segment } => (FORGET, 0, *segment),
        };
        let mut bytes = [0; NOTICE_BYTES];
        bytes[..4].copy_from_slice(&name);
        bytes[4] = VERSION;
        bytes[6..8].copy_from_slice(&ttl.to_le_bytes());
        bytes[8..12].copy_from_slice(&segment.to_le_bytes());
        bytes
    }

    /// Decode one; `None` for what nobody says.
    pub(super) fn decode(bytes: &[u8; NOTICE_BYTES]) -> Option<Self> {
        let [n0, n1, n2, n3, VERSION, 0, t0, t1, s0, s1, s2, s3, rest @ ..] = bytes else {
            return Announcement::decode(bytes).ok().map(Self::Segment);
        };
        let segment = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
        let ttl = u16::from_le_bytes([*t0, *t1]);
        let notice = match ([*n0, *n1, *n2, *n3], ttl, segment) {
            (BYE, 0, 0) => Self::Bye,
            (PING, ttl, 0) => Self::Ping { ttl },
            (PONG, 0, 0) => Self::Pong,
            (FORGET, 0, segment) => Self::Forget { segment },
            _ => return Announcement::decode(bytes).ok().map(Self::Segment),
        };
        rest.iter().all(|&byte| byte == 0).then_some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_round_trip() {
        let segment = Announcement {
            id: 7,
            is_one_off: false,
            first_slot: 8,
            num_slots: 16,
            slot_nbytes: 1 << 15,
            segment_nbytes: 4096 + (16 << 15),
        };
        let is_one_off = Announcement { is_one_off: true, num_slots: 1, ..segment };
        let segments = [segment, is_one_off].map(Notice::Segment);
        let others =
            [Notice::Bye, Notice::Ping { ttl: 0 }, Notice::Ping { ttl: 700 }, Notice::Pong];
        let ends = [0, 7, u32::MAX].map(|segment| Notice::Forget { segment });
        let others = others.into_iter().chain(ends);
        for notice in segments.into_iter().chain(others) {
            assert_eq!(Notice::decode(&notice.encode()), Some(notice));
        }
    }

    #[test]
    fn what_nobody_says_is_no_notice() {
        for notice in [Notice::Bye, Notice::Ping { ttl: 3 }, Notice::Pong] {
            for at in [0, 3, 4, 5, 8, NOTICE_BYTES - 1] {
                let mut bytes = notice.encode();
                bytes[at] ^= 0x40;
                assert_eq!(Notice::decode(&bytes), None, "{notice:?}, byte {at}");
            }
        }
        for at in [0, 3, 4, 5, 6, 7, 12, NOTICE_BYTES - 1] {
            let mut bytes = Notice::Forget { segment: 3 }.encode();
            bytes[at] ^= 0x40;
            assert_eq!(Notice::decode(&bytes), None, "end of a segment, byte {at}");
        }
        let mut bye = Notice::Bye.encode();
        bye[6] = 1;
        assert_eq!(Notice::decode(&bye), None);
    }
}
