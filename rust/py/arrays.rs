//! Memory as arrays of other libraries: by numpy, and by the protocol of DLPack.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::dlpack;
use super::loan::Loan;

/// The CPU, as DLPack numbers devices.
pub(super) const DEVICE: (i32, i32) = (1, 0);

/// Return a view of `object`, which has a buffer.
///
/// # Errors
///
/// ImportError without numpy, or ml_dtypes for a type of its own; ValueError.
pub(super) fn to_numpy<'py>(
    object: &Bound<'py, PyAny>,
    dtype: Option<Bound<'py, PyAny>>,
    shape: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let as_array = PyModule::import(py, "busduct._arrays")?.getattr("as_array")?;
    as_array.call1((object, dtype, shape))
}

/// What is asked of `__dlpack__`.
pub(super) struct Request {
    pub(super) has_stream: bool,
    pub(super) max_version: Option<(u32, u32)>,
    pub(super) dl_device: Option<(i32, i32)>,
    pub(super) copy: Option<bool>,
}

impl Request {
    /// Make the capsule that holds `object`, or a copy of it, as an array of bytes.
    ///
    /// # Errors
    ///
    /// BufferError for what is not possible: a stream, another device, or memory that is
    /// read-only for a consumer of DLPack before 1.0, which cannot be told so.
    pub(super) fn answer<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        is_readonly: bool,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let py = object.py();
        if self.has_stream {
            return Err(PyBufferError::new_err("memory of the CPU has no stream"));
        }
        if self.dl_device.is_some_and(|device| device != DEVICE) {
            return Err(PyBufferError::new_err("it is memory of the CPU, device (1, 0)"));
        }
        let is_versioned = self.max_version.is_some_and(|(major, _)| major >= 1);
        let view = PyBuffer::<u8>::get(object)?;
        if self.copy == Some(true) {
            let copied = Bound::new(py, Loan::private(view.len_bytes())?)?;
            let copied = PyBuffer::<u8>::get(copied.as_any())?;
            dlpack::copy(&view, &copied);
            return dlpack::export(py, copied, is_versioned, dlpack::IS_COPIED);
        }
        if is_readonly && !is_versioned {
            let text = "it is read-only, which DLPack can tell from version 1.0";
            return Err(PyBufferError::new_err(text));
        }
        let flags = if is_readonly { dlpack::READ_ONLY } else { 0 };
        dlpack::export(py, view, is_versioned, flags)
    }
}
