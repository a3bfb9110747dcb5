//! Frames whose bytes are Python `bytes` objects: read into once, never copied again. Those
//! that are received without an interpreter are copied once, when they are taken; those
//! that lie elsewhere, filled by a caller or in shared memory, are moved, and copied when
//! they are taken as `bytes`.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::slice;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::given::Given;
use super::lease::Lease;
use super::loan::Loan;
use super::memory::Memory;
use crate::link::{Buffer, Filling, OutOfMemory};
use crate::shm::{self, Slot};

/// The bytes of a frame: every one is set, and nobody writes to them.
pub(super) struct PyFrame(Memory);

impl PyFrame {
    /// Take memory that was filled.
    ///
    /// # Safety
    ///
    /// Every byte is set, and nobody writes to it any more.
    pub(super) unsafe fn new(memory: Memory) -> Self {
        Self(memory)
    }

    /// Hold a `bytes` object, or what a loan or a lease holds, or copy any other object
    /// with a buffer. A loan is noted in `given`, as the part that has `index` others
    /// before it.
    ///
    /// # Errors
    ///
    /// TypeError if it has none; BufferError or MemoryError from the object; ClosedError
    /// for a loan or a lease that was given up.
    #[inline]
    pub(super) fn from_data<'py>(
        data: &Bound<'py, PyAny>,
        index: usize,
        given: &mut Given<'py>,
    ) -> PyResult<Self> {
        match data.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Self(Memory::of_bytes(bytes.clone()))),
            Err(_) => Self::from_other(data, index, given),
        }
    }

    #[inline(never)]
    fn from_other<'py>(
        data: &Bound<'py, PyAny>,
        index: usize,
        given: &mut Given<'py>,
    ) -> PyResult<Self> {
        if let Ok(array) = data.cast_exact::<PyByteArray>() {
            // SAFETY: nobody else runs Python code until the bytes are copied.
            let bytes = unsafe { array.as_bytes() };
            return Ok(Self(Memory::of_bytes(PyBytes::new(data.py(), bytes))));
        }
        if let Ok(loan) = data.cast_exact::<Loan>() {
            return given.add(loan, index);
        }
        if let Ok(lease) = data.cast_exact::<Lease>() {
            return lease.get().share(data.py());
        }
        Self::copy_of(data)
    }

    fn copy_of(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        // SAFETY: `data` is a live object and the interpreter is attached.
        if unsafe { ffi::PyObject_CheckBuffer(data.as_ptr()) } == 0 {
            let kind = data.get_type().name()?;
            let text = format!("a bytes-like object is required, not '{kind}'");
            return Err(PyTypeError::new_err(text));
        }
        // SAFETY: as above; the call gives a new reference to an exact `bytes`, or NULL
        // with an exception set, which is what `from_owned_ptr_or_err` takes.
        let copy = unsafe {
            let copy = ffi::PyBytes_FromObject(data.as_ptr());
            Bound::from_owned_ptr_or_err(data.py(), copy)
        }?;
        Ok(Self(Memory::of_bytes(copy.cast_into::<PyBytes>()?)))
    }

    /// Give the `bytes` object that it is, or a copy.
    ///
    /// # Errors
    ///
    /// MemoryError.
    #[inline]
    pub(super) fn into_bytes(self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        // SAFETY: the memory is that of a frame.
        unsafe { self.0.into_bytes(py) }
    }

    #[inline]
    pub(super) fn into_memory(self) -> Memory {
        self.0
    }
}

impl<'py> IntoPyObject<'py> for PyFrame {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = PyErr;

    #[inline]
    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.into_bytes(py)?.into_bound(py))
    }
}

impl AsRef<[u8]> for PyFrame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the memory is that of a frame.
        unsafe { self.0.as_slice() }
    }
}

/// New memory that nobody else has seen, being filled.
pub(super) struct FillingBytes {
    memory: Memory,
    filled: usize,
}

impl FillingBytes {
    fn new(nbytes: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { memory: Memory::new(nbytes)?, filled: 0 })
    }

    #[inline]
    fn rest(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: `filled` is at most `nbytes`, so this stays inside the memory.
        let start = unsafe { self.memory.start().as_ptr().add(self.filled) };
        // SAFETY: the memory is alive, and only this value knows of it.
        unsafe { slice::from_raw_parts_mut(start.cast(), self.missing()) }
    }
}

impl Filling for FillingBytes {
    type Buffer = PyFrame;

    #[inline]
    fn missing(&self) -> usize {
        self.memory.nbytes() - self.filled
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.missing());
        let target = self.rest()[..taken].as_mut_ptr().cast();
        // SAFETY: both hold `taken` bytes, and nobody else knows of the new object.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, taken) };
        self.filled += taken;
        taken
    }

    fn read_from(&mut self, fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let (read, _) = rustix::io::read(fd, self.rest())?;
        let read = read.len();
        self.filled += read;
        Ok(read)
    }

    fn finish(self) -> PyFrame {
        assert_eq!(self.missing(), 0, "a frame is given out only when it is whole");
        PyFrame(self.memory)
    }
}

impl Buffer for PyFrame {
    type Filling = FillingBytes;

    const HOLDS_SLOTS: bool = true;

    #[inline]
    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut filling = FillingBytes::new(bytes.len())?;
        filling.extend(bytes);
        Ok(filling.finish())
    }

    #[inline]
    fn share(&self) -> Result<Self, OutOfMemory> {
        match self.0.share() {
            Some(memory) => Ok(Self(memory)),
            None => Self::copy_from(self.as_ref()),
        }
    }

    fn from_lease(lease: shm::Lease) -> Result<Self, OutOfMemory> {
        Ok(Self(Memory::of_lease(lease)))
    }

    fn from_slot(slot: Slot) -> Result<Self, OutOfMemory> {
        Ok(Self(Memory::of_slot(slot)))
    }

    #[inline]
    fn as_slot(&self) -> Option<&Slot> {
        self.0.as_slot()
    }

    fn reserve(nbytes: usize) -> Result<FillingBytes, OutOfMemory> {
        FillingBytes::new(nbytes)
    }
}
