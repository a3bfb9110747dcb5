//! What keeps the memory of a frame where it is.
#![allow(unsafe_code)]

use std::mem::{ManuallyDrop, MaybeUninit, transmute};
use std::ptr::NonNull;
use std::sync::Arc;

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::io_thread::is_io_thread;
use crate::link::OutOfMemory;
use crate::shm::{Lease, Slot};

/// Set in an address that is not of a Python object. Both kinds are aligned to more.
const IS_OTHER: usize = 1;

/// What whoever fills memory with numbers or vectors wants it aligned to.
#[repr(C, align(64))]
pub(super) struct Line([MaybeUninit<u8>; 64]);

/// What is no Python object. Moving any of these does not touch what it points to.
pub(super) enum Other {
    Plain(Vec<MaybeUninit<u8>>),
    Aligned(Vec<Line>),
    /// Of this process, in shared memory.
    Slot(Slot),
    /// Of a peer's, in shared memory.
    Lease(Lease),
}

const _: () = assert!(align_of::<Other>() > IS_OTHER && align_of::<PyObject>() > IS_OTHER);

impl Other {
    /// Make memory of which nothing is set.
    pub(super) fn plain(nbytes: usize) -> Result<Self, OutOfMemory> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(nbytes).map_err(|_| OutOfMemory)?;
        // SAFETY: there is room for them, and they may be unset. Setting them would take
        // pages for what a peer has only announced.
        unsafe { bytes.set_len(nbytes) };
        Ok(Self::Plain(bytes))
    }

    /// As [`Self::plain`], aligned to 64 bytes.
    pub(super) fn aligned(nbytes: usize) -> Result<Self, OutOfMemory> {
        let count = nbytes.div_ceil(size_of::<Line>());
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
        // SAFETY: there is room for them, and bytes that may be unset are all they hold.
        unsafe { lines.set_len(count) };
        Ok(Self::Aligned(lines))
    }

    pub(super) fn start(&mut self) -> NonNull<u8> {
        match self {
            Self::Plain(bytes) => NonNull::from(bytes.as_mut_slice()).cast(),
            Self::Aligned(lines) => NonNull::from(lines.as_mut_slice()).cast(),
            // SAFETY: what is mapped has an address.
            Self::Slot(slot) => unsafe { NonNull::new_unchecked(slot.as_mut_ptr()) },
            Self::Lease(lease) => NonNull::from(lease.as_ref()).cast(),
        }
    }
}

/// A `Py<PyBytes>` or an `Arc<Other>`, in one word: messages are moved from queue to queue,
/// and what makes them larger slows them all (16 bytes more: 6 ns of 59 in `send_many`).
pub(super) struct Owner(NonNull<u8>);

// SAFETY: what it stands for may be sent between threads, either way.
unsafe impl Send for Owner {}
// SAFETY: as above, shared.
unsafe impl Sync for Owner {}

impl Owner {
    #[inline]
    pub(super) fn of_bytes(bytes: Py<PyBytes>) -> Self {
        // SAFETY: an object has an address.
        Self(unsafe { NonNull::new_unchecked(bytes.into_ptr()) }.cast())
    }

    pub(super) fn of_other(other: Other) -> Self {
        let start = Arc::into_raw(Arc::new(other)).cast_mut().cast::<u8>();
        // SAFETY: what an `Arc` points to has an address, also with that bit.
        Self(unsafe { NonNull::new_unchecked(start.map_addr(|address| address | IS_OTHER)) })
    }

    /// What is no Python object, if it is none.
    #[inline]
    pub(super) fn as_other(&self) -> Option<&Other> {
        // SAFETY: it came from `Arc::into_raw`, and lives as long as the count of `self`.
        self.other().map(|other| unsafe { &*other })
    }

    /// The address that [`Self::of_other`] was given by `Arc::into_raw`, if it was.
    #[inline]
    fn other(&self) -> Option<*const Other> {
        let is_other = self.0.addr().get() & IS_OTHER != 0;
        let start = self.0.as_ptr().map_addr(|address| address & !IS_OTHER);
        is_other.then(|| start.cast::<Other>().cast_const())
    }

    /// The `bytes` object, if it is one, with the reference of `self`.
    #[inline]
    fn take_bytes(&mut self) -> Option<Py<PyBytes>> {
        // SAFETY: without that bit it is the object of `of_bytes`, which had been a `Py`:
        // transparent over its address. Each caller gives `self` up, so that the reference
        // is moved out once.
        let take = || unsafe { transmute::<NonNull<u8>, Py<PyBytes>>(self.0) };
        self.other().is_none().then(take)
    }

    /// Give the `bytes` object, if it is one.
    #[inline]
    pub(super) fn into_bytes(self) -> Result<Py<PyBytes>, Self> {
        let mut owner = ManuallyDrop::new(self);
        owner.take_bytes().ok_or_else(|| ManuallyDrop::into_inner(owner))
    }

    /// Hold the same once more; `None` for `bytes` where there is no interpreter.
    #[inline]
    pub(super) fn share(&self) -> Option<Self> {
        match self.other() {
            // SAFETY: it came from `Arc::into_raw`, and one count is held by `self`.
            Some(other) => unsafe { Arc::increment_strong_count(other) },
            None if is_io_thread() => return None,
            // SAFETY: it is a live object, and the core is entered by methods of Python
            // classes, which run attached, and by threads of its own.
            None => unsafe { pyo3::ffi::Py_INCREF(self.0.as_ptr().cast()) },
        }
        Some(Self(self.0))
    }
}

impl Drop for Owner {
    #[inline]
    fn drop(&mut self) {
        match self.other() {
            // SAFETY: it came from `Arc::into_raw`, and the count of `self` is given back.
            Some(other) => drop(unsafe { Arc::from_raw(other) }),
            // NB: `Py` knows what to do where there is no interpreter.
            None => drop(self.take_bytes()),
        }
    }
}
