//! Why a link is at its end.

use rustix::io::Errno;

use crate::zmtp::Error;

/// Why a link is at its end.
#[derive(Debug)]
pub enum Closed {
    /// The peer ended the stream between two messages.
    Eof,
    /// It vanished inside one.
    AmidMessage,
    /// It did not show in time that it is alive.
    Unresponsive,
    /// It did not complete its handshake in time.
    Overdue,
    System(Errno),
    Protocol(Error),
}

impl From<Errno> for Closed {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<Error> for Closed {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}
