//! Mapped memory: what else may write it, and how its bytes may be touched all the same.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::sync::atomic::AtomicU32;
use crate::sync::{HeldByte, RingWords};

/// How a segment lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Plain,
    /// Twice, back to back: what runs over the end goes on at the start.
    Doubled,
}

/// A mapped segment; unmapped when dropped.
///
/// Whatever another process may write in it can change at any time: read it once, or copy it.
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    /// Of the segment.
    nbytes: usize,
    /// Of the addresses: twice as many where it is doubled.
    span: usize,
    is_writable: bool,
}

// SAFETY: the addresses are those of the process, not of a thread, and only `drop` unmaps.
unsafe impl Send for Map {}
// SAFETY: through a shared reference it gives slices to read, atomics, and raw pointers whose
// users argue for themselves; writing takes a unique one.
unsafe impl Sync for Map {}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this value reserved these addresses and nothing that borrows from it is left.
        // An error would mean that they are not mapped, so there is nothing to do about it.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.span) };
    }
}

impl Map {
    /// Length of the segment in bytes, once where it is doubled.
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Whether this process may write here.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Copy `bytes` in at `offset`.
    ///
    /// # Panics
    ///
    /// Outside the map, or it is not writable.
    #[inline]
    pub fn copy_in(&mut self, offset: usize, bytes: &[u8]) {
        assert!(self.is_writable, "a map to read from");
        let start = self.at(offset, bytes.len());
        // SAFETY: `at` checked the range, it is writable, and `bytes` cannot be of it: that
        // would borrow from `self`, which is borrowed uniquely.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len()) };
    }

    /// View `nbytes` at `offset`.
    ///
    /// A peer that breaks the rules may change them while they are looked at: copy them, or
    /// hand them to whom any bytes will do, and decide nothing by two looks at one byte.
    ///
    /// # Panics
    ///
    /// Outside the map.
    #[inline]
    pub fn as_slice(&self, offset: usize, nbytes: usize) -> &[u8] {
        let start = self.at(offset, nbytes);
        // SAFETY: `at` checked the range, and the map lives as long as the borrow. Every byte
        // is a valid `u8` whoever writes it, and this process writes only through `&mut self`
        // or, in an arena, to slots that nobody else holds.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), nbytes) }
    }

    /// View the start of a control page.
    ///
    /// # Panics
    ///
    /// Too short, or a map to read from.
    #[inline]
    pub(super) fn ring_words(&self) -> &RingWords {
        assert!(self.is_writable, "a map to read from");
        let start = self.at(0, size_of::<RingWords>());
        // SAFETY: `at` checked the range, a page is aligned for it, and it is all atomics, for
        // which every bit pattern is one.
        unsafe { start.cast().as_ref() }
    }

    /// View `count` held bytes at `offset`.
    ///
    /// # Panics
    ///
    /// Outside the map, or a map to read from.
    #[inline]
    pub(super) fn held_bytes(&self, offset: usize, count: usize) -> &[HeldByte] {
        assert!(self.is_writable, "a map to read from");
        let start = self.at(offset, count);
        // SAFETY: `at` checked the range; a held byte is an atomic byte, for which every bit
        // pattern is one.
        unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), count) }
    }

    /// View `count` words of 4 bytes at `offset` as atomics.
    ///
    /// # Panics
    ///
    /// Outside the map, or not aligned.
    pub(super) fn atomic_words(&self, offset: usize, count: usize) -> &[AtomicU32] {
        assert!(offset.is_multiple_of(align_of::<AtomicU32>()), "words not aligned");
        let start = self.at(offset, count * size_of::<AtomicU32>());
        // SAFETY: `at` checked the range and maps begin at a page, so the words are aligned;
        // an atomic word has the layout of a word. Loads are fine on a map to read from.
        unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), count) }
    }

    /// Where `nbytes` at `offset` are, for who argues why they may be touched.
    ///
    /// # Panics
    ///
    /// Outside the map.
    #[inline]
    pub(super) fn at(&self, offset: usize, nbytes: usize) -> NonNull<u8> {
        let is_inside = offset.checked_add(nbytes).is_some_and(|end| end <= self.span);
        assert!(is_inside, "{nbytes} bytes at {offset} are outside the map");
        // SAFETY: `offset` is at most the length of the reservation.
        unsafe { self.start.add(offset) }
    }

    pub(super) fn new(
        fd: BorrowedFd<'_>,
        nbytes: usize,
        writable: bool,
        layout: Layout,
    ) -> Result<Self, Errno> {
        match layout {
            Layout::Plain => {
                let start = map_at(None, fd, nbytes, writable)?;
                Ok(Self { start, nbytes, span: nbytes, is_writable: writable })
            }
            Layout::Doubled => {
                if !nbytes.is_multiple_of(rustix::param::page_size()) {
                    return Err(Errno::INVAL);
                }
                let map = Self::reserve(nbytes, writable)?;
                map_at(Some(map.at(0, nbytes)), fd, nbytes, writable)?;
                map_at(Some(map.at(nbytes, nbytes)), fd, nbytes, writable)?;
                Ok(map)
            }
        }
    }

    /// Keep addresses for a segment of `nbytes` twice.
    fn reserve(nbytes: usize, is_writable: bool) -> Result<Self, Errno> {
        let span = nbytes.checked_mul(2).ok_or(Errno::NOMEM)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: addresses of the kernel's choice take the place of nothing.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), span, ProtFlags::empty(), flags) }?;
        Ok(Self { start: non_null(start)?, nbytes, span, is_writable })
    }
}

/// Map `fd` with its pages present, at `address` or where the kernel chooses.
fn map_at(
    address: Option<NonNull<u8>>,
    fd: BorrowedFd<'_>,
    nbytes: usize,
    writable: bool,
) -> Result<NonNull<u8>, Errno> {
    let mut flags = MapFlags::SHARED | MapFlags::POPULATE;
    let mut access = ProtFlags::READ;
    if writable {
        access |= ProtFlags::WRITE;
    }
    if address.is_some() {
        flags |= MapFlags::FIXED;
    }
    let address: *mut c_void = address.map_or(ptr::null_mut(), |address| address.as_ptr().cast());
    // SAFETY: an address is given only for a range that the caller has reserved and that
    // nothing uses yet; otherwise the kernel chooses one.
    let start = unsafe { mmap(address, nbytes, access, flags, fd, 0) }?;
    non_null(start)
}

fn non_null(start: *mut c_void) -> Result<NonNull<u8>, Errno> {
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}
