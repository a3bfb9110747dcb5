//! The control page of one direction: the words of its ring, and what the receiver holds.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::OpenError;
use super::map::{Layout, Map};
use super::segment::{PeerAccess, create, open};
use crate::sync::{HeldByte, RingWords};

/// Length of a control page. The ring's words stand at 0.
pub const CONTROL_BYTES: usize = 4096;
/// Where the held bytes begin: one for each slot of the sender's arena, by its number.
pub const HELD_OFFSET: usize = 512;
/// Slots of an arena at most.
pub const MAX_SLOTS: usize = 2048;

const _: () = assert!(size_of::<RingWords>() <= HELD_OFFSET);
const _: () = assert!(HELD_OFFSET + MAX_SLOTS <= CONTROL_BYTES);

/// A mapped control page, which both sides write; a clone is the same map.
#[derive(Debug, Clone)]
pub struct ControlMap(Arc<Map>);

impl ControlMap {
    /// Make a page, and the descriptor to hand over.
    ///
    /// # Errors
    ///
    /// As [`create`].
    pub fn create() -> Result<(Self, OwnedFd), Errno> {
        let (map, fd) = create(CONTROL_BYTES, PeerAccess::ReadWrite, Layout::Plain)?;
        Ok((Self(Arc::new(map)), fd))
    }

    /// Map the page that a peer handed over.
    ///
    /// # Errors
    ///
    /// As [`open`].
    pub fn open(fd: OwnedFd) -> Result<Self, OpenError> {
        open(fd, CONTROL_BYTES, true, Layout::Plain).map(|map| Self(Arc::new(map)))
    }

    /// What the receiver holds, by the number of the slot; [`MAX_SLOTS`] of them.
    pub fn held(&self) -> &[HeldByte] {
        self.0.held_bytes(HELD_OFFSET, MAX_SLOTS)
    }
}

impl Deref for ControlMap {
    type Target = RingWords;

    fn deref(&self) -> &RingWords {
        self.0.ring_words()
    }
}
