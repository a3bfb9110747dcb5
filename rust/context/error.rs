//! Why a call of a context fails.

use std::fmt;

use crate::link::{BindError, EndpointError, OutOfMemory};
use crate::socket::OptionError;

/// Why a message cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvFault {
    Closed,
    /// The type of the socket does not allow it.
    Misuse(&'static str),
    /// The next message has several parts; it was left where it is.
    Multipart {
        num_parts: usize,
    },
    OutOfMemory,
}

impl From<OutOfMemory> for RecvFault {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why a socket cannot be opened, bound or connected.
#[derive(Debug)]
pub enum SetupError {
    Closed,
    Option(OptionError),
    Endpoint(EndpointError),
    Bind {
        endpoint: String,
        error: BindError,
    },
    System(rustix::io::Errno),
    /// Nothing is bound, or connected, there.
    NotThere {
        endpoint: String,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("socket is closed"),
            Self::Option(error) => error.fmt(f),
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, error } => write!(f, "{endpoint}: {error}"),
            Self::System(errno) => errno.fmt(f),
            Self::NotThere { endpoint } => write!(f, "nothing at endpoint {endpoint}"),
        }
    }
}

impl std::error::Error for SetupError {}

impl From<EndpointError> for SetupError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl From<OptionError> for SetupError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

impl From<rustix::io::Errno> for SetupError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno)
    }
}
