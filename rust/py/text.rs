//! Long texts in and out of memory that others share, each copied once.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::slice;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::memory::DETACH_BYTES;
use crate::msgpack::{LongString, long_strings};

/// In place of a text: an extension of 4 bytes, of type 0, and the number of the text.
const STAND_IN: [u8; 2] = [0xd6, 0];
/// Whether the bytes are ASCII is asked after so many; no shorter text is long.
const BLOCK_BYTES: usize = 4096;
const LINE_BYTES: usize = 128;

/// A msgpack value without its long texts, and the texts.
pub(super) type Split<'py> = (Bound<'py, PyBytes>, Vec<Bound<'py, PyString>>);

/// Take the strings of at least `min_nbytes` out of a msgpack value. `None` where there are
/// none, or it cannot be done: that says nothing about the value.
///
/// # Errors
///
/// MemoryError.
pub(super) fn split<'py>(
    py: Python<'py>,
    bytes: &[u8],
    min_nbytes: usize,
) -> PyResult<Option<Split<'py>>> {
    let found = match long_strings(bytes, min_nbytes.max(BLOCK_BYTES)) {
        Some(found) if !found.is_empty() => found,
        _ => return Ok(None),
    };
    let mut rest = Vec::new();
    let mut texts = Vec::new();
    let mut done = 0;
    for (number, LongString { token, start, end }) in (0_u32..).zip(found) {
        let Some(text) = ascii(py, &bytes[start..end])? else {
            return Ok(None);
        };
        texts.push(text);
        rest.extend_from_slice(&bytes[done..token]);
        rest.extend_from_slice(&STAND_IN);
        rest.extend_from_slice(&number.to_be_bytes());
        done = end;
    }
    rest.extend_from_slice(&bytes[done..]);
    Ok(Some((PyBytes::new(py, &rest), texts)))
}

/// Copy text that is ASCII into a new `str`; `None` for other text.
///
/// What the interpreter has for this looks at the text twice, 8 bytes at a time: 60 us for
/// 1 MiB, where this takes half. Nor does it matter here that a peer may change shared memory
/// at any time: what is looked at is what is stored.
///
/// # Errors
///
/// MemoryError.
fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyString>>> {
    let text = blank(py, bytes.len())?;
    let mut nbytes = 0;
    // SAFETY: `text` is a live `str`, which gives an address that is valid as long as it is, or
    // NULL with an exception set.
    let start = unsafe { ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut nbytes) };
    if start.is_null() {
        return Err(PyErr::fetch(py));
    }
    if usize::try_from(nbytes) != Ok(bytes.len()) {
        return Ok(None);
    }
    let start = start.cast_mut().cast::<MaybeUninit<u8>>();
    // SAFETY: so many bytes are there, and nobody else knows of the new object.
    let target = unsafe { slice::from_raw_parts_mut(start, bytes.len()) };
    let mut copy = || copy_ascii(bytes, target);
    let is_ascii = if bytes.len() > DETACH_BYTES { py.detach(copy) } else { copy() };
    Ok((is_ascii && was_filled(&text, bytes)).then_some(text))
}

/// Make a `str` of so many characters, all ASCII once they are set; two at least.
///
/// # Errors
///
/// MemoryError.
fn blank(py: Python<'_>, nbytes: usize) -> PyResult<Bound<'_, PyString>> {
    let size = ffi::Py_ssize_t::try_from(nbytes)?;
    // NB: shorter ones may be in use elsewhere.
    let mut text = PyString::new(py, "  ").into_any().into_ptr();
    // SAFETY: the object was made here, and the reference is ours: the call puts that of a
    // longer one in its place, or leaves it as it is and sets an exception.
    let resized = unsafe { ffi::PyUnicode_Resize(&raw mut text, size) };
    // SAFETY: it is a new reference in either case.
    let text = unsafe { Bound::from_owned_ptr(py, text) };
    if resized == 0 { Ok(text.cast_into::<PyString>()?) } else { Err(PyErr::fetch(py)) }
}

/// Copy as long as it is ASCII; whether all is.
fn copy_ascii(source: &[u8], target: &mut [MaybeUninit<u8>]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what it is compiled for.
        return unsafe { copy_ascii_avx2(source, target) };
    }
    copy_blocks(source, target)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn copy_ascii_avx2(source: &[u8], target: &mut [MaybeUninit<u8>]) -> bool {
    copy_blocks(source, target)
}

/// NB: by lines, as a loop over bytes is made two of, of which one is a call for each block.
#[inline(always)]
fn copy_blocks(source: &[u8], target: &mut [MaybeUninit<u8>]) -> bool {
    source.chunks(BLOCK_BYTES).zip(target.chunks_mut(BLOCK_BYTES)).all(|(source, target)| {
        let (from, from_rest) = source.as_chunks::<LINE_BYTES>();
        let (to, to_rest) = target.as_chunks_mut::<LINE_BYTES>();
        let mut seen = [0; LINE_BYTES];
        for (to, &line) in to.iter_mut().zip(from) {
            *to = line.map(MaybeUninit::new);
            seen.iter_mut().zip(line).for_each(|(seen, byte)| *seen |= byte);
        }
        for (to, &byte) in to_rest.iter_mut().zip(from_rest) {
            to.write(byte);
            seen[0] |= byte;
        }
        seen.is_ascii()
    })
}

/// Whether what was written to where a text lies is the text: an interpreter might give the
/// address of a copy.
fn was_filled(text: &Bound<'_, PyString>, bytes: &[u8]) -> bool {
    let ends = [(0, bytes.first()), (bytes.len() - 1, bytes.last())];
    ends.into_iter().all(|(at, byte)| {
        // SAFETY: `text` is a live `str` of as many characters as there are bytes.
        let found = unsafe { ffi::PyUnicode_ReadChar(text.as_ptr(), at.cast_signed()) };
        byte.is_some_and(|&byte| found == u32::from(byte))
    })
}
