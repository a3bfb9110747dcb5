//! Memory that never moves, and whoever keeps it alive.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::slice;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use rustix::mm::{Advice, madvise};

use super::io_thread::is_io_thread;
use super::owner::{Other, Owner};
use crate::link::OutOfMemory;
use crate::shm::{Lease, Slot};

/// Above this the interpreter is left to others while bytes are copied.
pub(super) const DETACH_BYTES: usize = 256 << 10;

/// From here on huge pages are asked for: to fault memory in page by page costs more than to
/// fill it.
const HUGE_BYTES: usize = 4 << 20;

/// Memory that never moves, kept alive by its owner. Whoever makes it may write it, until
/// others know of it.
pub(super) struct Memory {
    owner: Owner,
    start: NonNull<u8>,
    nbytes: usize,
}

// SAFETY: the memory stays where it is while `owner` holds it, and an owner may be sent
// between threads.
unsafe impl Send for Memory {}
// SAFETY: sharing it gives only reads; whoever writes it upholds that nobody else reads.
unsafe impl Sync for Memory {}

impl Memory {
    /// Make memory for a frame that is to be received.
    ///
    /// NB: in small pages: a peer may announce much, and send no more than a little of it.
    pub(super) fn new(nbytes: usize) -> Result<Self, OutOfMemory> {
        if is_io_thread() {
            Ok(Self::other(Other::plain(nbytes)?, nbytes))
        } else {
            Self::python(nbytes)
        }
    }

    /// Make memory for a caller to fill, aligned to 64 bytes.
    pub(super) fn aligned(nbytes: usize) -> Result<Self, OutOfMemory> {
        let memory = Self::other(Other::aligned(nbytes)?, nbytes);
        prefer_huge_pages(memory.start, nbytes);
        Ok(memory)
    }

    fn other(mut other: Other, nbytes: usize) -> Self {
        let start = other.start();
        Self { owner: Owner::of_other(other), start, nbytes }
    }

    /// Hold a piece of our own shared memory.
    pub(super) fn of_slot(slot: Slot) -> Self {
        let nbytes = slot.nbytes();
        Self::other(Other::Slot(slot), nbytes)
    }

    /// Hold what a peer lent.
    pub(super) fn of_lease(lease: Lease) -> Self {
        let nbytes = lease.nbytes();
        Self::other(Other::Lease(lease), nbytes)
    }

    fn python(nbytes: usize) -> Result<Self, OutOfMemory> {
        let size = ffi::Py_ssize_t::try_from(nbytes).map_err(|_| OutOfMemory)?;
        // SAFETY: this module's core is entered by methods of Python classes, which run
        // attached, and by threads of its own, which do not come here.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: a NULL source asks for an object with bytes not yet set.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), size) };
        // SAFETY: the call gives a new reference or NULL with an exception set.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object) };
        let owner = object
            .and_then(|object| Ok(object.cast_into::<PyBytes>()?))
            .map_err(|_| OutOfMemory)?;
        // SAFETY: `owner` is a `bytes` object.
        let start = unsafe { ffi::PyBytes_AsString(owner.as_ptr()) }.cast::<u8>();
        let start = NonNull::new(start).ok_or(OutOfMemory)?;
        Ok(Self { owner: Owner::of_bytes(owner.unbind()), start, nbytes })
    }

    /// Hold a `bytes` object.
    #[inline]
    pub(super) fn of_bytes(owner: Bound<'_, PyBytes>) -> Self {
        let bytes = owner.as_bytes();
        // A slice is never null.
        let start = NonNull::from(bytes).cast();
        Self { nbytes: bytes.len(), start, owner: Owner::of_bytes(owner.unbind()) }
    }

    #[inline]
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    #[inline]
    pub(super) fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Hold the same memory once more; `None` for `bytes` where there is no interpreter.
    #[inline]
    pub(super) fn share(&self) -> Option<Self> {
        Some(Self { owner: self.owner.share()?, start: self.start, nbytes: self.nbytes })
    }

    /// The piece of our own shared memory that it is.
    #[inline]
    pub(super) fn as_slot(&self) -> Option<&Slot> {
        match self.owner.as_other() {
            Some(Other::Slot(slot)) => Some(slot),
            _ => None,
        }
    }

    /// Whether it is shared memory, ours or a peer's.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.owner.as_other(), Some(Other::Slot(_) | Other::Lease(_)))
    }

    /// Set the bytes of memory that was made for a caller, who did not see it.
    ///
    /// # Safety
    ///
    /// Nobody else knows of the memory.
    pub(super) unsafe fn set(&mut self) {
        if self.as_slot().is_some() {
            // What the system gave, or a message before.
            return;
        }
        // SAFETY: `start` and `nbytes` are of memory that lives as long as `self`; that nobody
        // reads it is the caller's to uphold.
        unsafe { ptr::write_bytes(self.start.as_ptr(), 0, self.nbytes) };
    }

    /// The bytes of it.
    ///
    /// # Safety
    ///
    /// Every byte is set, and nobody writes to it while the slice is used.
    #[inline]
    pub(super) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` and `nbytes` are of memory that lives as long as `self`; the rest
        // is the caller's to uphold.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.nbytes) }
    }

    /// Give the `bytes` object that this is, or a copy.
    ///
    /// # Errors
    ///
    /// MemoryError.
    ///
    /// # Safety
    ///
    /// As [`Self::as_slice`].
    #[inline]
    pub(super) unsafe fn into_bytes(self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let Self { owner, start, nbytes } = self;
        owner.into_bytes().or_else(|owner| {
            let memory = Self { owner, start, nbytes };
            // SAFETY: as promised by the caller.
            copy(py, unsafe { memory.as_slice() })
        })
    }
}

/// Have large memory that was not touched yet come in huge pages, where the system gives some.
fn prefer_huge_pages(start: NonNull<u8>, nbytes: usize) {
    if nbytes < HUGE_BYTES {
        return;
    }
    let page = rustix::param::page_size();
    let skipped = start.addr().get().wrapping_neg() % page;
    let whole = (nbytes - skipped) / page * page;
    // SAFETY: less than a page is skipped, of at least `HUGE_BYTES`.
    let first = unsafe { start.add(skipped) };
    // SAFETY: these pages lie within memory of ours, and the advice changes no byte of it.
    let advised = unsafe { madvise(first.as_ptr().cast(), whole, Advice::LinuxHugepage) };
    // Without them it is slower, no more.
    let _ = advised;
}

/// Copy into a `bytes` object.
///
/// # Errors
///
/// MemoryError.
fn copy(py: Python<'_>, source: &[u8]) -> PyResult<Py<PyBytes>> {
    let copied = Memory::python(source.len()).map_err(|_| PyMemoryError::new_err(()))?;
    prefer_huge_pages(copied.start, copied.nbytes);
    // SAFETY: `start` and `nbytes` are of the new object, which nobody else knows of.
    let target: &mut [MaybeUninit<u8>] =
        unsafe { slice::from_raw_parts_mut(copied.start.as_ptr().cast(), copied.nbytes) };
    let mut copy = || {
        // SAFETY: both hold as many bytes, and do not overlap: the target is new.
        unsafe {
            ptr::copy_nonoverlapping(source.as_ptr(), target.as_mut_ptr().cast(), source.len())
        }
    };
    if source.len() > DETACH_BYTES {
        py.detach(copy)
    } else {
        copy()
    }
    copied.owner.into_bytes().map_err(|_| PyMemoryError::new_err(()))
}
