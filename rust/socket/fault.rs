//! Why a message is not accepted, or not given.

use crate::link::OutOfMemory;

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// No peer has room; the marks that say so.
    Full {
        hwm_messages: usize,
        hwm_bytes: usize,
    },
    TooLarge {
        size: u64,
        limit: u64,
        unit: &'static str,
    },
    /// No peer has that routing id.
    NoRoute(Vec<u8>),
    /// The peer that waited for it, by its endpoint, is gone.
    PeerLost(String),
    /// The type of the socket does not allow it, or not in this turn.
    Misuse(&'static str),
    Closed,
    OutOfMemory,
}

/// Why a message cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvFault {
    Closed,
    /// The type of the socket does not allow it, or not in this turn.
    Misuse(&'static str),
    /// The next message has several parts; it was left where it is.
    Multipart {
        num_parts: usize,
    },
    /// The peer that was to send it, by its endpoint, is gone.
    PeerLost(String),
    OutOfMemory,
}

/// Why a topic cannot be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicFault {
    TooLong { nbytes: usize },
    NotSubscribed,
    Misuse(&'static str),
    Closed,
    OutOfMemory,
}

impl From<TopicFault> for SendFault {
    fn from(fault: TopicFault) -> Self {
        match fault {
            TopicFault::TooLong { nbytes } => {
                let (size, limit) = (nbytes as u64, super::MAX_TOPIC_BYTES as u64);
                Self::TooLarge { size, limit, unit: "bytes" }
            }
            TopicFault::NotSubscribed => Self::Misuse("not subscribed"),
            TopicFault::Misuse(text) => Self::Misuse(text),
            TopicFault::Closed => Self::Closed,
            TopicFault::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<OutOfMemory> for SendFault {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for RecvFault {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}
