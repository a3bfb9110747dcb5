//! Memory that an object holds and gives views of, until it gives it up.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::buffer::PyFrame;
use super::error;
use super::memory::{DETACH_BYTES, Memory};

/// Memory of a loan or a lease. Views of it, which the interpreter counts by calls, keep the
/// object alive, and it keeps the memory.
pub(super) struct Held {
    /// What the object is called where it complains.
    name: &'static str,
    state: Mutex<State>,
}

struct State {
    /// `None` once it was given up.
    memory: Option<Memory>,
    num_views: usize,
    /// It is in a message that may not be accepted.
    is_given: bool,
    was_viewed: bool,
}

impl State {
    /// The memory, unless it was given up.
    fn current(&mut self) -> Option<&mut Memory> {
        if self.is_given { None } else { self.memory.as_mut() }
    }
}

impl Held {
    pub(super) fn new(name: &'static str, memory: Memory) -> Self {
        let state =
            State { memory: Some(memory), num_views: 0, is_given: false, was_viewed: false };
        Self { name, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_use(&self) -> PyErr {
        PyBufferError::new_err(format!("views of the {} are held", self.name))
    }

    /// Look at the memory.
    ///
    /// NB: `look` must not run Python code, which could come back here.
    ///
    /// # Errors
    ///
    /// ClosedError if it was given up.
    pub(super) fn look<R>(&self, py: Python<'_>, look: impl FnOnce(&Memory) -> R) -> PyResult<R> {
        let mut state = self.lock();
        let memory = state.current().ok_or_else(|| error::closed(py, self.name))?;
        Ok(look(memory))
    }

    pub(super) fn is_released(&self) -> bool {
        self.lock().current().is_none()
    }

    /// Give the memory up. Idempotent.
    ///
    /// # Errors
    ///
    /// BufferError if views of it are held.
    pub(super) fn release(&self) -> PyResult<()> {
        let mut state = self.lock();
        if state.num_views > 0 {
            return Err(self.in_use());
        }
        let memory = state.memory.take();
        drop(state);
        drop(memory);
        Ok(())
    }

    /// Release it at the end of a `with` block. Where that ends by an exception, whose
    /// traceback may hold views, the memory goes with the last of them.
    ///
    /// # Errors
    ///
    /// As [`Self::release`].
    pub(super) fn exit(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let released = self.release();
        if exception.is_none() { released } else { Ok(()) }
    }

    /// Hold the memory once more, as a frame.
    ///
    /// # Errors
    ///
    /// As [`Self::look`].
    ///
    /// # Safety
    ///
    /// It is that of a frame.
    pub(super) unsafe fn share(&self, py: Python<'_>) -> PyResult<PyFrame> {
        let shared = self.look(py, Memory::share)?;
        let memory = shared.ok_or_else(|| PyMemoryError::new_err(()))?;
        // SAFETY: as promised by the caller.
        Ok(unsafe { PyFrame::new(memory) })
    }

    /// Give what was filled to a message; to be followed by [`Self::settle`].
    ///
    /// # Errors
    ///
    /// As [`Self::look`], and BufferError if views of it are held.
    pub(super) fn give(&self, py: Python<'_>) -> PyResult<PyFrame> {
        let mut state = self.lock();
        let (num_views, was_viewed) = (state.num_views, state.was_viewed);
        let memory = state.current().ok_or_else(|| error::closed(py, self.name))?;
        if num_views > 0 {
            return Err(self.in_use());
        }
        if !was_viewed {
            // SAFETY: there never was a view, and this value alone holds the memory.
            unsafe { memory.set() };
        }
        let shared = memory.share().ok_or_else(|| PyMemoryError::new_err(()))?;
        state.is_given = true;
        // SAFETY: whoever had a view may have set any byte of it, so none is known to be
        // unset, and nobody has a view any more, nor gets one while it is given.
        Ok(unsafe { PyFrame::new(shared) })
    }

    /// Fill the memory with `pieces`, one after the other.
    ///
    /// # Errors
    ///
    /// As [`Self::look`], BufferError if views of it are held, ValueError if they have another
    /// length.
    pub(super) fn fill(&self, py: Python<'_>, pieces: &[&[u8]]) -> PyResult<()> {
        let mut state = self.lock();
        let num_views = state.num_views;
        let memory = state.current().ok_or_else(|| error::closed(py, self.name))?;
        if num_views > 0 {
            return Err(self.in_use());
        }
        let nbytes = pieces.iter().fold(0, |sum: usize, piece| sum.saturating_add(piece.len()));
        let limit = memory.nbytes();
        if nbytes != limit {
            let text = format!("parts of {nbytes} bytes for a {} of {limit} bytes", self.name);
            return Err(PyValueError::new_err(text));
        }
        let start = memory.start().as_ptr().cast::<MaybeUninit<u8>>();
        // SAFETY: nobody has a view of it, nor gets one while `state` is locked.
        let target = unsafe { slice::from_raw_parts_mut(start, nbytes) };
        let mut copy = || copy_pieces(pieces, target);
        if nbytes > DETACH_BYTES {
            py.detach(copy)
        } else {
            copy()
        }
        state.was_viewed = true;
        Ok(())
    }

    /// Tell whether the message it was given to was accepted; if not, it is held as before.
    pub(super) fn settle(&self, is_accepted: bool) {
        let mut state = self.lock();
        state.is_given = false;
        let memory = if is_accepted { state.memory.take() } else { None };
        drop(state);
        drop(memory);
    }

    /// Fill in a view of the memory for `object`, to which this belongs.
    ///
    /// # Errors
    ///
    /// As [`Self::look`], and BufferError if the view is to be writable and may not be.
    ///
    /// # Safety
    ///
    /// `view` and `flags` are those of a call of the object's `bf_getbuffer`.
    pub(super) unsafe fn open_view(
        &self,
        object: &Bound<'_, PyAny>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
        is_readonly: bool,
    ) -> PyResult<()> {
        // SAFETY: the caller of `bf_getbuffer` gives a view to be filled in, and expects
        // this of one that is refused.
        unsafe { (*view).obj = ptr::null_mut() };
        let (start, nbytes) = self.count_view(object.py())?;
        // SAFETY: as above; the memory is not given up while views are counted.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, object.as_ptr(), start, nbytes, is_readonly.into(), flags)
        };
        if filled == 0 {
            return Ok(());
        }
        self.close_view();
        Err(PyErr::fetch(object.py()))
    }

    /// Count one more view; return where the memory is.
    fn count_view(&self, py: Python<'_>) -> PyResult<(*mut c_void, ffi::Py_ssize_t)> {
        let mut state = self.lock();
        let memory = state.current().ok_or_else(|| error::closed(py, self.name))?;
        let (start, nbytes) = (memory.start().as_ptr().cast(), memory.nbytes().try_into()?);
        state.num_views += 1;
        state.was_viewed = true;
        Ok((start, nbytes))
    }

    /// Note that a view is gone.
    pub(super) fn close_view(&self) {
        let mut state = self.lock();
        state.num_views = state.num_views.saturating_sub(1);
    }
}

/// Copy `pieces`, which are as long as `target` in all.
fn copy_pieces(pieces: &[&[u8]], mut target: &mut [MaybeUninit<u8>]) {
    for piece in pieces {
        let (to, rest) = target.split_at_mut(piece.len());
        // SAFETY: both hold as many bytes, and do not overlap: the target is borrowed uniquely.
        unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), to.as_mut_ptr().cast(), to.len()) };
        target = rest;
    }
}
