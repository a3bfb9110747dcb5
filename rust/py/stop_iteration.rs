//! Giving an awaitable's result without making an exception object.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// Set StopIteration with `value`, which is neither a tuple nor an exception.
///
/// The caller's `__next__` must then return `Ok(None)`, which PyO3 makes into the NULL that
/// goes with it. Before CPython 3.12 an `await` takes the bare value from there; a `PyErr`
/// would be made into an object first, which took a third of the time of an `await recv()`.
pub(super) fn set_stop_iteration(value: Bound<'_, PyAny>) {
    // SAFETY: the interpreter is attached, as `value` shows, and keeps this class alive.
    let class = unsafe { ffi::PyExc_StopIteration };
    // SAFETY: both are live objects; the call takes references of its own.
    unsafe { ffi::PyErr_SetObject(class, value.as_ptr()) };
}
