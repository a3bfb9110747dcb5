//! The bytes that point at a slot, and those that announce a segment. Pure functions.

use super::DecodeError;

/// Length of an encoded [`Descriptor`].
pub const DESCRIPTOR_BYTES: usize = 24;
/// Length of an encoded [`Announcement`].
pub const ANNOUNCEMENT_BYTES: usize = 32;

const MAGIC: [u8; 4] = *b"BDSG";
const VERSION: u8 = 1;
const ONE_OFF: u8 = 1;

/// Where a payload is.
///
/// | offset | size | type | meaning |
/// | --- | --- | --- | --- |
/// | 0 | 4 | u32 | number of the segment |
/// | 4 | 2 | u16 | number of the slot in its arena |
/// | 6 | 2 | | 0 |
/// | 8 | 4 | u32 | generation of the slot |
/// | 12 | 4 | | 0 |
/// | 16 | 8 | u64 | length of the payload in bytes |
///
/// All little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub segment: u32,
    pub slot: u16,
    pub generation: u32,
    pub nbytes: u64,
}

impl Descriptor {
    /// Encode it.
    pub fn encode(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut out = [0; DESCRIPTOR_BYTES];
        out[..4].copy_from_slice(&self.segment.to_le_bytes());
        out[4..6].copy_from_slice(&self.slot.to_le_bytes());
        out[8..12].copy_from_slice(&self.generation.to_le_bytes());
        out[16..].copy_from_slice(&self.nbytes.to_le_bytes());
        out
    }

    /// Decode exactly one.
    ///
    /// # Errors
    ///
    /// Wrong length, or a reserved field that is not zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = exactly::<DESCRIPTOR_BYTES>(bytes)?;
        if bytes[6..8] != [0; 2] || bytes[12..16] != [0; 4] {
            return Err(DecodeError::ReservedUsed);
        }
        Ok(Self {
            segment: u32::from_le_bytes(field(bytes, 0)),
            slot: u16::from_le_bytes(field(bytes, 4)),
            generation: u32::from_le_bytes(field(bytes, 8)),
            nbytes: u64::from_le_bytes(field(bytes, 16)),
        })
    }
}

/// What a segment is, said with its file descriptor.
///
/// | offset | size | type | meaning |
/// | --- | --- | --- | --- |
/// | 0 | 4 | | `BDSG` |
/// | 4 | 1 | u8 | version, 1 |
/// | 5 | 1 | u8 | flags: 1 if it is for one payload and not used again |
/// | 6 | 2 | | 0 |
/// | 8 | 4 | u32 | number of the segment |
/// | 12 | 2 | u16 | number in the arena of its first slot |
/// | 14 | 2 | u16 | number of its slots |
/// | 16 | 8 | u64 | length of a slot in bytes |
/// | 24 | 8 | u64 | length of the segment in bytes |
///
/// All little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    pub id: u32,
    pub is_one_off: bool,
    pub first_slot: u16,
    pub num_slots: u16,
    pub slot_nbytes: u64,
    pub segment_nbytes: u64,
}

impl Announcement {
    /// Encode it.
    pub fn encode(&self) -> [u8; ANNOUNCEMENT_BYTES] {
        let mut out = [0; ANNOUNCEMENT_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = if self.is_one_off { ONE_OFF } else { 0 };
        out[8..12].copy_from_slice(&self.id.to_le_bytes());
        out[12..14].copy_from_slice(&self.first_slot.to_le_bytes());
        out[14..16].copy_from_slice(&self.num_slots.to_le_bytes());
        out[16..24].copy_from_slice(&self.slot_nbytes.to_le_bytes());
        out[24..].copy_from_slice(&self.segment_nbytes.to_le_bytes());
        out
    }

    /// Decode exactly one. Whether it makes sense is for who maps the segment to find.
    ///
    /// # Errors
    ///
    /// Wrong length or magic, an unknown version or flag, a reserved field that is not zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = exactly::<ANNOUNCEMENT_BYTES>(bytes)?;
        let [version, flags] = field(bytes, 4);
        if bytes[..4] != MAGIC {
            return Err(DecodeError::WrongMagic);
        }
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { version });
        }
        if flags & !ONE_OFF != 0 {
            return Err(DecodeError::UnknownFlags { flags });
        }
        if bytes[6..8] != [0; 2] {
            return Err(DecodeError::ReservedUsed);
        }
        Ok(Self {
            id: u32::from_le_bytes(field(bytes, 8)),
            is_one_off: flags == ONE_OFF,
            first_slot: u16::from_le_bytes(field(bytes, 12)),
            num_slots: u16::from_le_bytes(field(bytes, 14)),
            slot_nbytes: u64::from_le_bytes(field(bytes, 16)),
            segment_nbytes: u64::from_le_bytes(field(bytes, 24)),
        })
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], DecodeError> {
    let wrong = DecodeError::WrongLength { nbytes: bytes.len(), expected: N };
    bytes.try_into().map_err(|_| wrong)
}

/// The `N` bytes at `offset`, which both are constants within the layout.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}
