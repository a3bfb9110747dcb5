//! What stands in a ring (docs/wire.md, "Ring"): records of whole 8 bytes.

use crate::zmtp::Error;

/// A record's header.
pub(super) const HEADER_BYTES: usize = 8;
/// What the length of a record is a multiple of.
pub(super) const RECORD_ALIGN: usize = 8;
const MORE: u8 = 1;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One part of a message.
    Part { more: bool },
    /// A descriptor of one that lies in a slot.
    Slot { more: bool },
    /// Bytes of a stream of ZMTP frames, cut anywhere.
    Stream,
}

/// The start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes of the body, less its padding.
    pub(super) nbytes: usize,
}

impl Header {
    /// Bytes of the record, padding included.
    #[inline]
    pub(super) fn record_nbytes(&self) -> usize {
        record_nbytes(self.nbytes)
    }

    #[inline]
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let (kind, more) = match self.kind {
            Kind::Part { more } => (1, more),
            Kind::Slot { more } => (2, more),
            Kind::Stream => (3, false),
        };
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&(self.nbytes as u32).to_le_bytes());
        header[4] = kind;
        header[5] = if more { MORE } else { 0 };
        header
    }

    /// Read the header of a record that lies within the next `available` bytes of the ring,
    /// of which the first is at `position`.
    #[inline]
    pub(super) fn decode(
        header: [u8; HEADER_BYTES],
        available: usize,
        position: u64,
    ) -> Result<Self, Error> {
        let [n0, n1, n2, n3, kind, flags, 0, 0] = header else {
            return Err(Error::malformed(position, "record with reserved bits"));
        };
        let more = flags == MORE;
        let kind = match (kind, flags) {
            (1, 0 | MORE) => Kind::Part { more },
            (2, 0 | MORE) => Kind::Slot { more },
            (3, 0) => Kind::Stream,
            _ => return Err(Error::malformed(position, "record of an unknown kind")),
        };
        let nbytes = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
        let header = Self { kind, nbytes };
        if header.record_nbytes() > available {
            return Err(Error::malformed(position, "record past the end of the ring"));
        }
        Ok(header)
    }
}

/// Bytes of a record whose body has `nbytes`.
#[inline]
pub(super) fn record_nbytes(nbytes: usize) -> usize {
    (HEADER_BYTES + nbytes).next_multiple_of(RECORD_ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        let kinds = [false, true].map(|more| [Kind::Part { more }, Kind::Slot { more }]);
        for kind in kinds.into_iter().flatten().chain([Kind::Stream]) {
            for nbytes in [0, 1, 8, 16 << 10] {
                let header = Header { kind, nbytes };
                let available = header.record_nbytes();
                assert_eq!(available % 8, 0);
                assert_eq!(Header::decode(header.encode(), available, 0), Ok(header));
                assert!(Header::decode(header.encode(), available - 8, 0).is_err());
            }
        }
    }

    #[test]
    fn headers_that_nobody_writes_are_refused() {
        for (at, byte) in [(4, 0), (4, 4), (5, 2), (6, 1), (7, 1)] {
            let mut header = Header { kind: Kind::Part { more: false }, nbytes: 8 }.encode();
            header[at] = byte;
            assert!(Header::decode(header, 64, 0).is_err(), "byte {at} of {byte}");
        }
        assert!(Header::decode([0xff; 8], usize::MAX, 0).is_err());
        assert!(Header::decode([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0], 1 << 19, 0).is_err());
    }
}
