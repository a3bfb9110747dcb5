//! Why memory of a peer is refused, or what it says about it.

use std::fmt;

use rustix::io::Errno;

/// Why memory that a peer handed over is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The descriptor is not of a memfd of ordinary pages.
    NotMemfd,
    /// It could be shrunk, or what is only to be read could be changed by others.
    NotSealed,
    /// It is not as long as was said.
    WrongSize { nbytes: u64, expected: u64 },
    /// Some of it has no memory, which reading it would have to find.
    Sparse { nbytes: u64, allocated: u64 },
    /// What was said of it contradicts itself.
    Inconsistent { reason: &'static str },
    /// A segment of that number is known.
    Known { id: u32 },
    /// The peer handed over as many as we take.
    TooMany { limit: usize },
    /// The system refuses.
    System(Errno),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMemfd => f.write_str("segment is not a memfd"),
            Self::NotSealed => f.write_str("segment is not sealed"),
            Self::WrongSize { nbytes, expected } => {
                write!(f, "segment of {nbytes} bytes where {expected} bytes were announced")
            }
            Self::Sparse { nbytes, allocated } => {
                write!(f, "segment of {nbytes} bytes has memory for {allocated} bytes")
            }
            Self::Inconsistent { reason } => f.write_str(reason),
            Self::Known { id } => write!(f, "segment {id} is known already"),
            Self::TooMany { limit } => write!(f, "peer exceeds limit of {limit} segments"),
            Self::System(errno) => write!(f, "segment cannot be mapped: {errno}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Why a descriptor of a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeError {
    /// No such segment was handed over, or it was for one payload, which was taken.
    UnknownSegment,
    /// Outside the segment, or longer than a slot.
    OutOfRange,
    /// The slot is used for something else by now: for `generation`.
    Stale { generation: u32 },
    /// The control page says that we do not hold the slot.
    NotHeld,
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSegment => f.write_str("descriptor of an unknown segment"),
            Self::OutOfRange => f.write_str("descriptor outside its segment"),
            Self::Stale { generation } => {
                write!(f, "stale descriptor: the slot is in generation {generation}")
            }
            Self::NotHeld => f.write_str("descriptor of a slot that is not held"),
        }
    }
}

impl std::error::Error for TakeError {}

/// Bytes of a peer that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    WrongLength {
        nbytes: usize,
        expected: usize,
    },
    /// Not an announcement.
    WrongMagic,
    UnknownVersion {
        version: u8,
    },
    UnknownFlags {
        flags: u8,
    },
    /// A reserved field is not zero.
    ReservedUsed,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongLength { nbytes, expected } => {
                write!(f, "{nbytes} bytes where {expected} bytes were expected")
            }
            Self::WrongMagic => f.write_str("not the announcement of a segment"),
            Self::UnknownVersion { version } => write!(f, "unknown version {version}"),
            Self::UnknownFlags { flags } => write!(f, "unknown flags {flags:#04x}"),
            Self::ReservedUsed => f.write_str("reserved field is not zero"),
        }
    }
}

impl std::error::Error for DecodeError {}
