//! A frame that stays where it came to lie, as the frames of the Python package do.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use busduct::link::{Buffer, Filling, OutOfMemory};
use busduct::shm::{Lease, Slot};

#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Bytes(Arc<[u8]>),
    Lease(Arc<Lease>),
    Slot(Slot),
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Lease(lease) => (**lease).as_ref(),
            Self::Slot(slot) => slot.as_ref(),
        }
    }
}

impl Buffer for Frame {
    type Filling = FillingFrame;

    const HOLDS_SLOTS: bool = true;

    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        Ok(Self::Bytes(bytes.into()))
    }

    fn share(&self) -> Result<Self, OutOfMemory> {
        Ok(self.clone())
    }

    fn from_lease(lease: Lease) -> Result<Self, OutOfMemory> {
        Ok(Self::Lease(Arc::new(lease)))
    }

    fn from_slot(slot: Slot) -> Result<Self, OutOfMemory> {
        Ok(Self::Slot(slot))
    }

    fn as_slot(&self) -> Option<&Slot> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Bytes(_) | Self::Lease(_) => None,
        }
    }

    fn reserve(nbytes: usize) -> Result<FillingFrame, OutOfMemory> {
        <Vec<u8> as Buffer>::reserve(nbytes).map(FillingFrame)
    }
}

pub(crate) struct FillingFrame(<Vec<u8> as Buffer>::Filling);

impl Filling for FillingFrame {
    type Buffer = Frame;

    fn missing(&self) -> usize {
        self.0.missing()
    }

    fn extend(&mut self, bytes: &[u8]) -> usize {
        self.0.extend(bytes)
    }

    fn read_from(&mut self, fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        self.0.read_from(fd)
    }

    fn finish(self) -> Frame {
        self.0.finish().into()
    }
}
