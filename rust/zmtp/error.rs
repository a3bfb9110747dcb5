//! What can be wrong with a peer's bytes.

use std::fmt;

/// A violation of the protocol by the peer. It ends that peer's link and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Bytes that do not parse; `offset` counts from the start of the peer's stream.
    Malformed { offset: u64, reason: &'static str },
    /// A message over a limit, found before anything was allocated for it.
    TooLarge { size: u64, limit: u64, unit: &'static str },
    /// The peer cannot or will not speak with us: version, mechanism, type, ERROR.
    Refused { reason: String },
    /// The peer does not know the key.
    WrongKey,
    /// A record is not what the peer sealed.
    Tampered { reason: String },
    /// The system has no memory for a frame that is within the limits.
    OutOfMemory { size: u64 },
}

impl Error {
    pub(crate) fn malformed(offset: u64, reason: &'static str) -> Self {
        Self::Malformed { offset, reason }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { offset, reason } => write!(f, "{reason} at byte {offset}"),
            Self::TooLarge { size, limit, unit } => {
                write!(f, "message of {size} {unit} exceeds limit of {limit} {unit}")
            }
            Self::WrongKey => f.write_str("peer does not know the key"),
            Self::Refused { reason } | Self::Tampered { reason } => f.write_str(reason),
            Self::OutOfMemory { size } => write!(f, "no memory for a frame of {size} bytes"),
        }
    }
}

impl std::error::Error for Error {}
