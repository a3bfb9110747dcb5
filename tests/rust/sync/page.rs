//! The words of a ring as bare memory, as the other process could write them.
#![expect(unsafe_code, reason = "words are overlaid on memory, as shared maps do it")]

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use busduct::sync::RingWords;

/// Index of a word in the page, in units of 8 bytes.
pub(crate) const TAIL: usize = 0;
pub(crate) const HEAD: usize = 128 / 8;
pub(crate) const READER_SLEEPS: usize = 256 / 8;
pub(crate) const WRITER_SLEEPS: usize = 384 / 8;

#[repr(C, align(128))]
struct Memory([AtomicU64; 512 / 8]);

#[derive(Clone)]
pub(crate) struct Page(Arc<Memory>);

impl Page {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Memory([const { AtomicU64::new(0) }; 512 / 8])))
    }

    pub(crate) fn load(&self, index: usize) -> u64 {
        self.0.0[index].load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self, index: usize, word: u64) {
        self.0.0[index].store(word, Ordering::Relaxed);
    }
}

impl Deref for Page {
    type Target = RingWords;

    fn deref(&self) -> &RingWords {
        // SAFETY: as large and as aligned as `RingWords`, which is valid for every pattern of
        // bits and is only ever accessed atomically.
        unsafe { &*(&raw const *self.0).cast::<RingWords>() }
    }
}
