//! The bytes of a ring, which the sender writes and the receiver can only read.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::OpenError;
use super::map::{Layout, Map};
use super::segment::{PeerAccess, create, open};

/// The smallest ring.
pub const MIN_RING_BYTES: usize = 4096;

/// The mapped bytes of a ring, twice back to back, so that whatever begins inside ends inside.
#[derive(Debug)]
pub struct RingData(Map);

impl RingData {
    /// Make a ring of `nbytes`, at its sender, and the descriptor to hand over.
    ///
    /// # Errors
    ///
    /// As [`create`]; also EINVAL if `nbytes` is not a power of two of at least
    /// [`MIN_RING_BYTES`].
    pub fn create(nbytes: usize) -> Result<(Self, OwnedFd), Errno> {
        if !is_ring(nbytes) {
            return Err(Errno::INVAL);
        }
        let (map, fd) = create(nbytes, PeerAccess::ReadOnly, Layout::Doubled)?;
        Ok((Self(map), fd))
    }

    /// Map the ring of `nbytes` that a peer handed over, to read from.
    ///
    /// # Errors
    ///
    /// As [`open`]; also if `nbytes` is not a power of two of at least [`MIN_RING_BYTES`].
    pub fn open(fd: OwnedFd, nbytes: usize) -> Result<Self, OpenError> {
        if !is_ring(nbytes) {
            return Err(OpenError::Inconsistent { reason: "ring is not a power of two" });
        }
        open(fd, nbytes, false, Layout::Doubled).map(Self)
    }

    /// Length of the ring in bytes.
    pub fn nbytes(&self) -> usize {
        self.0.nbytes()
    }

    /// Write `bytes` at `offset`, over the end of the ring too.
    ///
    /// # Panics
    ///
    /// At the receiver, or beyond twice the ring.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        self.0.copy_in(offset, bytes);
    }

    /// View `nbytes` at `offset`, over the end of the ring too.
    ///
    /// A sender that breaks the rules may change them meanwhile: copy what decides anything.
    ///
    /// # Panics
    ///
    /// Beyond twice the ring.
    #[inline]
    pub fn slice(&self, offset: usize, nbytes: usize) -> &[u8] {
        self.0.as_slice(offset, nbytes)
    }
}

fn is_ring(nbytes: usize) -> bool {
    nbytes.is_power_of_two() && nbytes >= MIN_RING_BYTES
}
