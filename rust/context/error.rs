//! Why a socket cannot be set up.

use std::fmt;

use crate::link::{BindError, EndpointError};
use crate::socket::OptionError;

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
