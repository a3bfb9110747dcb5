//! `Lease`: a part that does not change any more, where it lies.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use super::arguments::amount;
use super::arrays::{self, Request};
use super::buffer::PyFrame;
use super::held::Held;
use super::memory::Memory;
use super::text;

#[pyclass(module = "busduct._core", frozen)]
pub(super) struct Lease(Held);

impl Lease {
    pub(super) fn new(frame: PyFrame) -> Self {
        Self(Held::new("lease", frame.into_memory()))
    }

    /// Hold what it holds once more, for a message.
    ///
    /// # Errors
    ///
    /// ClosedError if it was given up.
    pub(super) fn share(&self, py: Python<'_>) -> PyResult<PyFrame> {
        // SAFETY: a lease is made of a frame.
        unsafe { self.0.share(py) }
    }
}

#[pymethods]
impl Lease {
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.look(py, Memory::nbytes)
    }

    #[getter]
    fn is_shared(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.look(py, Memory::is_shared)
    }

    #[getter]
    fn released(&self) -> bool {
        self.0.is_released()
    }

    fn release(&self) -> PyResult<()> {
        self.0.release()
    }

    fn tobytes(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        // NB: held once more, as it may be released by another thread while it is copied.
        self.share(py)?.into_bytes(py)
    }

    fn split_texts<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = amount)] min_nbytes: i64,
    ) -> PyResult<Option<text::Split<'py>>> {
        let min_nbytes = usize::try_from(min_nbytes).unwrap_or(0);
        // NB: held once more, as it may be released by another thread meanwhile.
        text::split(py, self.share(py)?.as_ref(), min_nbytes)
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
        unsafe { slf.get().0.open_view(slf.as_any(), view, flags, true) }
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
        request.answer(slf.as_any(), true)
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
