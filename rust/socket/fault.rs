//! Why a message is not accepted, or not given.

use crate::link::{Excess, OutOfMemory};
use crate::zmtp::SocketType;

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
    /// A socket of this type sends no urgent messages.
    NeverUrgent(SocketType),
    Closed,
    /// An XSUB's message is a subscription to a topic of so many bytes.
    TopicTooLong {
        nbytes: usize,
    },
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
    TooLong {
        nbytes: usize,
    },
    NotSubscribed,
    /// A socket of this type has no subscribers.
    NotPublisher(SocketType),
    /// A socket of this type has no subscriptions.
    NotSubscriber(SocketType),
    Closed,
    OutOfMemory,
}

impl From<TopicFault> for SendFault {
    fn from(fault: TopicFault) -> Self {
        match fault {
            TopicFault::TooLong { nbytes } => Self::TopicTooLong { nbytes },
            TopicFault::NotSubscribed
            | TopicFault::NotPublisher(_)
            | TopicFault::NotSubscriber(_) => Self::Misuse("not subscribed to that topic"),
            TopicFault::Closed => Self::Closed,
            TopicFault::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<Excess> for SendFault {
    fn from(Excess { size, limit, unit }: Excess) -> Self {
        Self::TooLarge { size, limit, unit }
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
