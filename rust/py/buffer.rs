//! Frames whose bytes are Python `bytes` objects: read into once, never copied again. Those
//! that are received without an interpreter are copied once, when they are taken.
#![allow(unsafe_code)]

use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::io_thread::is_io_thread;
use crate::link::{Buffer, Filling, OutOfMemory};

/// Memory that never moves: of a `bytes` object, which it keeps alive, or native where
/// there is no interpreter.
struct Memory {
    /// `None` for native memory, which is a boxed slice of its own.
    owner: Option<Py<PyBytes>>,
    start: NonNull<u8>,
    nbytes: usize,
}

// SAFETY: the memory of a `bytes` object stays where it is while `owner` holds it, and `Py`
// itself may be sent between threads; native memory belongs to this value alone.
unsafe impl Send for Memory {}
// SAFETY: sharing it gives only reads; it is written through a unique reference, and only
// while nobody else knows of it.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.owner.is_none() {
            let slice: *mut [MaybeUninit<u8>] =
                ptr::slice_from_raw_parts_mut(self.start.as_ptr().cast(), self.nbytes);
            // SAFETY: it came from such a box in `native`, and is given back once.
            drop(unsafe { Box::from_raw(slice) });
        }
    }
}

impl Memory {
    fn new(nbytes: usize) -> Result<Self, OutOfMemory> {
        if is_io_thread() { Self::native(nbytes) } else { Self::python(nbytes) }
    }

    fn native(nbytes: usize) -> Result<Self, OutOfMemory> {
        let mut bytes = Vec::<MaybeUninit<u8>>::new();
        bytes.try_reserve_exact(nbytes).map_err(|_| OutOfMemory)?;
        // SAFETY: there is room for them, and they may be unset. Setting them would take
        // pages for what a peer has only announced.
        unsafe { bytes.set_len(nbytes) };
        let slice = Box::into_raw(bytes.into_boxed_slice());
        let start = NonNull::new(slice.cast::<u8>()).ok_or(OutOfMemory)?;
        Ok(Self { owner: None, start, nbytes })
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
        Ok(Self { owner: Some(owner.unbind()), start, nbytes })
    }
}

/// The bytes of a frame.
pub(super) struct PyFrame(Memory);

impl PyFrame {
    pub(super) fn new(owner: Bound<'_, PyBytes>) -> Self {
        let bytes = owner.as_bytes();
        // A slice is never null.
        let start = NonNull::from(bytes).cast();
        Self(Memory { nbytes: bytes.len(), start, owner: Some(owner.unbind()) })
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

    /// Give the `bytes` object; native memory is copied into one.
    ///
    /// # Errors
    ///
    /// MemoryError.
    pub(super) fn into_bytes(self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let memory = ManuallyDrop::new(self.0);
        // SAFETY: `memory` is not dropped where it has an owner, which so is moved out once.
        if let Some(owner) = unsafe { ptr::read(&memory.owner) } {
            return Ok(owner);
        }
        let frame = Self(ManuallyDrop::into_inner(memory));
        let bytes = frame.as_ref();
        PyBytes::new_with(py, bytes.len(), |target| {
            target.copy_from_slice(bytes);
            Ok(())
        })
        .map(Bound::unbind)
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
        // SAFETY: `start` and `nbytes` are of memory that lives as long as `self`, every
        // byte of it is set, and nobody writes to it any more.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.nbytes) }
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
        let start = unsafe { self.memory.start.as_ptr().add(self.filled) };
        // SAFETY: the memory is alive, and only this value knows of it.
        unsafe { slice::from_raw_parts_mut(start.cast(), self.missing()) }
    }
}

impl Filling for FillingBytes {
    type Buffer = PyFrame;

    #[inline]
    fn missing(&self) -> usize {
        self.memory.nbytes - self.filled
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

    #[inline]
    fn copy_from(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut filling = FillingBytes::new(bytes.len())?;
        filling.extend(bytes);
        Ok(filling.finish())
    }

    #[inline]
    fn share(&self) -> Result<Self, OutOfMemory> {
        let owner = self.0.owner.as_ref().filter(|_| !is_io_thread());
        let Some(owner) = owner else {
            return Self::copy_from(self.as_ref());
        };
        // SAFETY: as in `Memory::python`.
        let py = unsafe { Python::assume_attached() };
        let owner = Some(owner.clone_ref(py));
        Ok(Self(Memory { owner, start: self.0.start, nbytes: self.0.nbytes }))
    }

    fn reserve(nbytes: usize) -> Result<FillingBytes, OutOfMemory> {
        FillingBytes::new(nbytes)
    }
}
