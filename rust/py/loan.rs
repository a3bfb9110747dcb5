//! `Loan`: memory that is filled in place and then sent.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyString};

use super::arrays::{self, Request};
use super::buffer::PyFrame;
use super::held::Held;
use super::lease::Lease;
use super::memory::Memory;
use crate::shm::Slot;

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Loan(Held);

impl Loan {
    fn new(memory: Memory) -> Self {
        Self(Held::new("loan", memory))
    }

    /// Make one of shared memory that nobody else holds.
    pub(super) fn shared(slot: Slot) -> Self {
        Self::new(Memory::of_slot(slot))
    }

    /// Make one in private memory.
    ///
    /// # Errors
    ///
    /// MemoryError.
    pub(super) fn private(nbytes: usize) -> PyResult<Self> {
        let memory = Memory::aligned(nbytes);
        Ok(Self::new(memory.map_err(|_| PyMemoryError::new_err(()))?))
    }

    /// Give what it holds to a message; to be followed by [`Self::settle`].
    ///
    /// # Errors
    ///
    /// BufferError if views of it are held, ClosedError if it was given up.
    pub(super) fn give(&self, py: Python<'_>) -> PyResult<PyFrame> {
        self.0.give(py)
    }

    /// Tell whether the message it was given to was accepted; if not, it is as before.
    pub(super) fn settle(&self, is_accepted: bool) {
        self.0.settle(is_accepted);
    }
}

/// What a loan can be filled with.
#[derive(FromPyObject)]
enum Piece<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
}

impl Piece<'_> {
    fn as_bytes(&self) -> PyResult<&[u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.as_bytes()),
            Self::Text(text) => text.to_str().map(str::as_bytes),
        }
    }
}

#[pymethods]
impl Loan {
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.look(py, Memory::nbytes)
    }

    #[getter]
    fn is_shared(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.look(py, |memory| memory.as_slot().is_some())
    }

    #[getter]
    fn released(&self) -> bool {
        self.0.is_released()
    }

    fn release(&self) -> PyResult<()> {
        self.0.release()
    }

    fn fill(&self, py: Python<'_>, parts: Vec<Piece<'_>>) -> PyResult<()> {
        let pieces: PyResult<Vec<&[u8]>> = parts.iter().map(Piece::as_bytes).collect();
        self.0.fill(py, &pieces?)
    }

    fn freeze(&self, py: Python<'_>) -> PyResult<Lease> {
        let frame = self.0.give(py)?;
        self.0.settle(true);
        Ok(Lease::new(frame))
    }

    #[pyo3(signature = (dtype=None, shape=None), text_signature = "($self, dtype='uint8', shape=None)")]
    fn as_numpy<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<Bound<'py, PyAny>>,
        shape: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        arrays::to_numpy(slf.as_any(), dtype, shape)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.nbytes(py)
    }

    // SAFETY: the interpreter calls it as `bf_getbuffer`, with a view to be filled in.
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: as above.
        unsafe { slf.get().0.open_view(slf.as_any(), view, flags, false) }
    }

    // SAFETY: the interpreter calls it as `bf_releasebuffer`, once for each view.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.0.close_view();
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        slf: &Bound<'py, Self>,
        stream: Option<Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let request = Request { has_stream: stream.is_some(), max_version, dl_device, copy };
        request.answer(slf.as_any(), false)
    }

    fn __dlpack_device__(&self, py: Python<'_>) -> PyResult<(i32, i32)> {
        self.0.look(py, |_| arrays::DEVICE)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.0.exit(exc_type)
    }
}
