//! The capsule of DLPack: memory that another library takes over as an array, and gives
//! back by a call of its own.
//!
//! The layout is that of <https://dmlc.github.io/dlpack/latest/c_api.html>.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr;

use pyo3::buffer::PyBuffer;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::arrays::DEVICE;

/// Flags of an array: nobody may write it.
pub(super) const READ_ONLY: u64 = 1;
/// Nobody else sees it.
pub(super) const IS_COPIED: u64 = 2;

/// `DLTensor`.
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    num_dimensions: i32,
    dtype_code: u8,
    dtype_bits: u8,
    dtype_lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

type Deleter<M> = unsafe extern "C" fn(*mut M);

/// `DLManagedTensor`.
#[repr(C)]
struct Managed {
    tensor: Tensor,
    context: *mut c_void,
    deleter: Deleter<Self>,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
struct ManagedVersioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Deleter<Self>,
    flags: u64,
    tensor: Tensor,
}

/// One of the two.
trait Layout: Sized {
    /// What a capsule is called whose array nobody took over.
    const NAME: &'static CStr;

    fn new(tensor: Tensor, flags: u64, deleter: Deleter<Self>) -> Self;

    fn tensor(&mut self) -> &mut Tensor;
}

impl Layout for Managed {
    const NAME: &'static CStr = c"dltensor";

    fn new(tensor: Tensor, _flags: u64, deleter: Deleter<Self>) -> Self {
        Self { tensor, context: ptr::null_mut(), deleter }
    }

    fn tensor(&mut self) -> &mut Tensor {
        &mut self.tensor
    }
}

impl Layout for ManagedVersioned {
    const NAME: &'static CStr = c"dltensor_versioned";

    fn new(tensor: Tensor, flags: u64, deleter: Deleter<Self>) -> Self {
        Self { major: 1, minor: 0, context: ptr::null_mut(), deleter, flags, tensor }
    }

    fn tensor(&mut self) -> &mut Tensor {
        &mut self.tensor
    }
}

/// An array that was given out, and what it points to.
#[repr(C)]
struct Export<M> {
    /// First, so that a pointer to it is one to all of it.
    managed: M,
    extent: [i64; 1],
    stride: [i64; 1],
    _view: PyBuffer<u8>,
}

/// Copy one view into another, which is new, writable, and as long.
pub(super) fn copy(source: &PyBuffer<u8>, target: &PyBuffer<u8>) {
    let nbytes = source.len_bytes().min(target.len_bytes());
    // SAFETY: views of loans and leases have one dimension and no gaps, these two hold as
    // many bytes, and nobody else knows of the target.
    unsafe {
        ptr::copy_nonoverlapping(source.buf_ptr().cast::<u8>(), target.buf_ptr().cast(), nbytes);
    }
}

/// Make the capsule of an array of bytes over `view`, which is held until the array is
/// deleted, by whichever thread.
///
/// # Errors
///
/// MemoryError.
pub(super) fn export<'py>(
    py: Python<'py>,
    view: PyBuffer<u8>,
    is_versioned: bool,
    flags: u64,
) -> PyResult<Bound<'py, PyCapsule>> {
    if is_versioned {
        make_capsule::<ManagedVersioned>(py, view, flags)
    } else {
        make_capsule::<Managed>(py, view, flags)
    }
}

fn make_capsule<'py, M: Layout>(
    py: Python<'py>,
    view: PyBuffer<u8>,
    flags: u64,
) -> PyResult<Bound<'py, PyCapsule>> {
    let managed = into_managed::<M>(view, flags)?;
    // SAFETY: the pointer is not null, the name is static, and the destructor is for
    // capsules of this kind.
    let capsule =
        unsafe { ffi::PyCapsule_New(managed.cast(), M::NAME.as_ptr(), Some(destroy::<M>)) };
    // SAFETY: the call gives a new reference or NULL with an exception set.
    let capsule = unsafe { Bound::from_owned_ptr_or_err(py, capsule) };
    if capsule.is_err() {
        // SAFETY: nobody else knows of it.
        unsafe { delete::<M>(managed) };
    }
    Ok(capsule?.cast_into::<PyCapsule>()?)
}

fn into_managed<M: Layout>(view: PyBuffer<u8>, flags: u64) -> PyResult<*mut M> {
    let extent = i64::try_from(view.len_bytes())?;
    let (device_type, device_id) = DEVICE;
    let tensor = Tensor {
        data: view.buf_ptr(),
        device_type,
        device_id,
        num_dimensions: 1,
        dtype_code: 1, // kDLUInt
        dtype_bits: 8,
        dtype_lanes: 1,
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    };
    let managed = M::new(tensor, flags, delete::<M>);
    let export = Box::new(Export { managed, extent: [extent], stride: [1], _view: view });
    let export = Box::into_raw(export);
    // SAFETY: the box was just given away, and stays where it is until it is deleted.
    let Export { managed, extent, stride, .. } = unsafe { &mut *export };
    let tensor = managed.tensor();
    tensor.shape = extent.as_mut_ptr();
    tensor.strides = stride.as_mut_ptr();
    Ok(export.cast())
}

/// Take an array back: what its `deleter` points to.
///
/// # Safety
///
/// `managed` came from [`into_managed`], and nobody uses it any more.
unsafe extern "C" fn delete<M: Layout>(managed: *mut M) {
    // SAFETY: it is the first field of a box that was given out, and comes back once.
    drop(unsafe { Box::from_raw(managed.cast::<Export<M>>()) });
}

/// Delete the array of a capsule, unless somebody took it over, who renames the capsule.
///
/// # Safety
///
/// The interpreter calls it, for a capsule of [`make_capsule`].
unsafe extern "C" fn destroy<M: Layout>(capsule: *mut ffi::PyObject) {
    // SAFETY: `capsule` is a live capsule.
    if unsafe { ffi::PyCapsule_IsValid(capsule, M::NAME.as_ptr()) } == 0 {
        return;
    }
    // SAFETY: it is valid by that name, so that this cannot fail.
    let managed = unsafe { ffi::PyCapsule_GetPointer(capsule, M::NAME.as_ptr()) };
    // SAFETY: under that name is what `make_capsule` put there, which nobody took over.
    unsafe { delete::<M>(managed.cast()) };
}
