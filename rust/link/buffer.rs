//! Where the bytes of a frame live: chosen by whoever owns the context.

use std::os::fd::BorrowedFd;

use crate::shm::{Lease, Slot};

/// The system has no room for a frame of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

/// The bytes of one frame.
///
/// The core is generic over it so that a frame is read from the kernel straight into the
/// memory that its receiver will see: `Vec<u8>` in Rust, a `bytes` object in Python.
pub trait Buffer: AsRef<[u8]> + Sized {
    /// A buffer on its way to being full.
    type Filling: Filling<Buffer = Self>;

    /// Whether [`Self::from_slot`] holds rather than copies.
    const HOLDS_SLOTS: bool = false;

    /// Copy a frame that is already in memory.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory>;

    /// Hold the same bytes once more, for another receiver.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn share(&self) -> Result<Self, OutOfMemory>;

    /// Hold what a peer lent, or copy it.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn from_lease(lease: Lease) -> Result<Self, OutOfMemory> {
        Self::copy_from(lease.as_ref())
    }

    /// Hold a piece of our own shared memory, or copy it.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn from_slot(slot: Slot) -> Result<Self, OutOfMemory> {
        Self::copy_from(slot.as_ref())
    }

    /// The piece of our own shared memory that it holds, all of it.
    fn as_slot(&self) -> Option<&Slot> {
        None
    }

    /// Reserve room for a frame that is still to come.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn reserve(nbytes: usize) -> Result<Self::Filling, OutOfMemory>;
}

/// A frame of known length that is being received.
pub trait Filling {
    /// What it becomes.
    type Buffer;

    /// Bytes still missing.
    fn missing(&self) -> usize;

    /// Append the front of `bytes` that fits; return how many were taken.
    fn extend(&mut self, bytes: &[u8]) -> usize;

    /// Read what is missing from `fd`, once; 0 means that the stream ended.
    ///
    /// # Errors
    ///
    /// As `read(2)`.
    fn read_from(&mut self, fd: BorrowedFd<'_>) -> rustix::io::Result<usize>;

    /// Return the buffer. Call it when nothing is missing.
    fn finish(self) -> Self::Buffer;
}

/// A `Vec` that is being filled. Memory is reserved for all of it, and touched only as it
/// comes: a peer that announces much and sends nothing costs nothing.
#[derive(Debug)]
pub struct FillingVec {
    bytes: Vec<u8>,
    nbytes: usize,
}

/// How much of a `Vec` is made ready for one read.
const STEP_BYTES: usize = 1 << 20;

impl Buffer for Vec<u8> {
    type Filling = FillingVec;

    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut filling = <Self as Buffer>::reserve(bytes.len())?;
        filling.extend(bytes);
        Ok(filling.finish())
    }

    fn share(&self) -> Result<Self, OutOfMemory> {
        Self::copy_from(self)
    }

    fn reserve(nbytes: usize) -> Result<FillingVec, OutOfMemory> {
        let mut bytes = Self::new();
        bytes.try_reserve_exact(nbytes).map_err(|_| OutOfMemory)?;
        Ok(FillingVec { bytes, nbytes })
    }
}

impl Filling for FillingVec {
    type Buffer = Vec<u8>;

    fn missing(&self) -> usize {
        self.nbytes - self.bytes.len()
    }

    fn extend(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.missing());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    fn read_from(&mut self, fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let filled = self.bytes.len();
        self.bytes.resize(filled + self.missing().min(STEP_BYTES), 0);
        let read = rustix::io::read(fd, &mut self.bytes[filled..]);
        self.bytes.truncate(filled + read.unwrap_or(0));
        read
    }

    fn finish(self) -> Vec<u8> {
        debug_assert_eq!(self.bytes.len(), self.nbytes);
        self.bytes
    }
}
