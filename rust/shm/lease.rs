//! What the receiver holds of a peer's arena, and gives back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{Shutdown, shutdown};

use super::peer_segment::PeerSegment;
use super::{Announcement, ControlMap, Descriptor, OpenError, TakeError, process};
use crate::sync::Doorbell;

/// Segments of one peer at most.
pub const MAX_SEGMENTS: usize = 4096;

/// What a peer lends to us over one connection.
#[derive(Debug)]
pub struct Borrower {
    segments: HashMap<u32, Arc<PeerSegment>>,
    num_learned: u64,
    origin: Arc<Origin>,
}

/// What giving back takes, whatever else is gone.
#[derive(Debug)]
struct Origin {
    control: ControlMap,
    bell: Arc<Doorbell>,
    /// Its end tells the owner of the slots that nobody holds one any more.
    line: Arc<OwnedFd>,
    process: u32,
}

impl Drop for Origin {
    fn drop(&mut self) {
        if self.process == process::id() {
            // NB: whoever waits for the same of the peer keeps the descriptor open. One that is
            // no socket, or not connected any more, needs no end.
            let _ = shutdown(&self.line, Shutdown::Write);
        }
    }
}

impl Borrower {
    /// Hold nothing yet.
    ///
    /// `control` is the page of the direction from the peer, `bell` wakes the peer, and `line`
    /// is the socket to it, over which nothing is sent once the last lease is dropped.
    pub fn new(control: ControlMap, bell: Arc<Doorbell>, line: Arc<OwnedFd>) -> Self {
        let origin = Origin { control, bell, line, process: process::id() };
        Self { segments: HashMap::new(), num_learned: 0, origin: Arc::new(origin) }
    }

    /// Map a segment that the peer handed over.
    ///
    /// # Errors
    ///
    /// It is refused, and its descriptor closed; the others stay as they are.
    pub fn add_segment(
        &mut self,
        announcement: Announcement,
        fd: OwnedFd,
    ) -> Result<(), OpenError> {
        let num_segments = self.segments.len();
        match self.segments.entry(announcement.id) {
            Entry::Occupied(_) => Err(OpenError::Known { id: announcement.id }),
            Entry::Vacant(_) if num_segments >= MAX_SEGMENTS => {
                Err(OpenError::TooMany { limit: MAX_SEGMENTS })
            }
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(PeerSegment::open(&announcement, fd)?));
                self.num_learned += 1;
                Ok(())
            }
        }
    }

    /// Number of segments that are mapped, without those that only leases keep.
    pub fn num_segments(&self) -> usize {
        self.segments.len()
    }

    /// Number of segments that were ever mapped.
    pub fn num_learned(&self) -> u64 {
        self.num_learned
    }

    /// Forget a segment of which the peer uses no slot any more; leases of it stay valid.
    /// Whether it was known.
    pub fn forget_segment(&mut self, id: u32) -> bool {
        self.segments.remove(&id).is_some()
    }

    /// Take what `descriptor` points at. A segment for one payload is forgotten by that.
    ///
    /// # Errors
    ///
    /// The descriptor is not of something that the peer lends to us; nothing has changed.
    pub fn take(&mut self, descriptor: Descriptor) -> Result<Lease, TakeError> {
        let id = descriptor.segment;
        let segment = self.segments.get(&id).ok_or(TakeError::UnknownSegment)?;
        let (offset, nbytes) = segment.locate(&descriptor)?;
        // A slot of a segment has a held byte, which was checked when it was handed over.
        if !self.origin.control.held()[usize::from(descriptor.slot)].is_lent() {
            return Err(TakeError::NotHeld);
        }
        let segment = Arc::clone(segment);
        if segment.is_one_off {
            self.segments.remove(&id);
        }
        let origin = Arc::clone(&self.origin);
        Ok(Lease { segment, origin, offset, nbytes, slot: descriptor.slot })
    }
}

/// A payload in a peer's slot, which is the peer's again when this is dropped.
///
/// It stays valid whatever becomes of the connection and the peer, and may be dropped by any
/// thread. A child that was forked can read it; only the process that took it gives it back.
#[derive(Debug)]
pub struct Lease {
    segment: Arc<PeerSegment>,
    origin: Arc<Origin>,
    offset: usize,
    nbytes: usize,
    slot: u16,
}

impl Lease {
    /// Length in bytes.
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }
}

impl AsRef<[u8]> for Lease {
    /// View the payload. A peer that breaks the rules may change it meanwhile.
    fn as_ref(&self) -> &[u8] {
        self.segment.as_slice(self.offset, self.nbytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Origin { control, bell, process, .. } = &*self.origin;
        if *process != process::id() {
            return;
        }
        control.held()[usize::from(self.slot)].give_back();
        if control.wakes_writer() {
            bell.ring();
        }
    }
}
