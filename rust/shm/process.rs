//! Which process this is, for less than the price of a system call.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// A word that is 0 in a forked child until the child sets it.
struct Word(NonNull<AtomicU32>);

// SAFETY: the word is mapped for as long as the process lives, and it is an atomic.
unsafe impl Send for Word {}
// SAFETY: as above.
unsafe impl Sync for Word {}

/// The number of this process. A child that was forked gets its own.
pub(super) fn id() -> u32 {
    static WORD: OnceLock<Option<Word>> = OnceLock::new();
    let Some(word) = WORD.get_or_init(Word::map) else {
        return std::process::id();
    };
    // SAFETY: it is mapped and never unmapped.
    let word = unsafe { word.0.as_ref() };
    match word.load(Ordering::Relaxed) {
        0 => {
            let id = std::process::id();
            word.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

impl Word {
    /// Map one, where the system can clear it at a fork.
    fn map() -> Option<Self> {
        let nbytes = size_of::<AtomicU32>();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: addresses of the kernel's choice take the place of nothing.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), nbytes, access, MapFlags::PRIVATE) }.ok()?;
        // SAFETY: the page belongs to this function so far.
        if unsafe { madvise(start, nbytes, Advice::LinuxWipeOnFork) }.is_err() {
            // SAFETY: as above.
            let _ = unsafe { munmap(start, nbytes) };
            return None;
        }
        NonNull::new(start.cast()).map(Self)
    }
}
