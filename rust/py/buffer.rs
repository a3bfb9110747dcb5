//! Frames whose bytes are Python `bytes` objects: read into once, never copied again.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::link::{Buffer, Filling, OutOfMemory};

/// The bytes of a `bytes` object, which it keeps alive.
pub(super) struct PyFrame {
    owner: Py<PyBytes>,
    start: NonNull<u8>,
    nbytes: usize,
}

// SAFETY: the memory of a `bytes` object never changes or moves while `owner` holds it,
// and `Py` itself may be sent between threads.
unsafe impl Send for PyFrame {}
// SAFETY: sharing it gives only reads of memory that never changes.
unsafe impl Sync for PyFrame {}

impl PyFrame {
    pub(super) fn new(owner: Bound<'_, PyBytes>) -> Self {
        let bytes = owner.as_bytes();
        // A slice is never null.
        let start = NonNull::from(bytes).cast();
        Self { nbytes: bytes.len(), start, owner: owner.unbind() }
    }

    /// Hold a `bytes` object, or copy any other object with a buffer.
    ///
    /// # Errors
    ///
    /// TypeError if it has none; BufferError or MemoryError from the object.
    pub(super) fn from_data(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            return Ok(Self::new(bytes.clone()));
        }
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
        Ok(Self::new(copy.cast_into::<PyBytes>()?))
    }

    pub(super) fn into_bytes(self) -> Py<PyBytes> {
        self.owner
    }
}

impl AsRef<[u8]> for PyFrame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` and `nbytes` are of the object that `owner` keeps alive, and
        // nobody writes to a `bytes` object.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.nbytes) }
    }
}

/// A new `bytes` object that nobody else has seen, being filled.
pub(super) struct FillingBytes {
    owner: Py<PyBytes>,
    start: NonNull<u8>,
    nbytes: usize,
    filled: usize,
}

// SAFETY: as for `PyFrame`; and nobody else holds the object while it is written.
unsafe impl Send for FillingBytes {}
// SAFETY: it is only written through a unique reference.
unsafe impl Sync for FillingBytes {}

impl FillingBytes {
    fn new(nbytes: usize) -> Result<Self, OutOfMemory> {
        let size = ffi::Py_ssize_t::try_from(nbytes).map_err(|_| OutOfMemory)?;
        // SAFETY: this module's core is only entered by methods of Python classes, which
        // run attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: a NULL source asks for an object with bytes not yet set.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
        // SAFETY: the call gives a new reference or NULL with an exception set.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object) };
        let owner = object
            .and_then(|object| Ok(object.cast_into::<PyBytes>()?))
            .map_err(|_| OutOfMemory)?;
        // SAFETY: `owner` is a `bytes` object.
        let start = unsafe { ffi::PyBytes_AsString(owner.as_ptr()) }.cast::<u8>();
        let start = NonNull::new(start).ok_or(OutOfMemory)?;
        Ok(Self { owner: owner.unbind(), start, nbytes, filled: 0 })
    }

    #[inline]
    fn rest(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: `filled` is at most `nbytes`, so this stays inside the object.
        let start = unsafe { self.start.as_ptr().add(self.filled) };
        // SAFETY: the object is alive, and only this value knows of it.
        unsafe { slice::from_raw_parts_mut(start.cast(), self.nbytes - self.filled) }
    }
}

impl Filling for FillingBytes {
    type Buffer = PyFrame;

    #[inline]
    fn missing(&self) -> usize {
        self.nbytes - self.filled
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.missing());
        let target = self.rest()[..taken].as_mut_ptr().cast();
        // SAFETY: both hold `taken` bytes, and nobody else knows of the new object.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, taken) };
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
        assert_eq!(self.filled, self.nbytes, "a frame is given out only when it is whole");
        PyFrame { owner: self.owner, start: self.start, nbytes: self.nbytes }
    }
}

impl Buffer for PyFrame {
    type Filling = FillingBytes;

    #[inline]
    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut filling = FillingBytes::new(bytes.len())?;
        filling.extend(bytes);
        Ok(filling.finish())
    }

    #[inline]
    fn share(&self) -> Result<Self, OutOfMemory> {
        // SAFETY: as in `FillingBytes::new`.
        let py = unsafe { Python::assume_attached() };
        let owner = self.owner.clone_ref(py);
        Ok(Self { owner, start: self.start, nbytes: self.nbytes })
    }

    fn reserve(nbytes: usize) -> Result<FillingBytes, OutOfMemory> {
        FillingBytes::new(nbytes)
    }
}
