//! The words of a control page, read and written as anybody can who has its descriptor.

use std::os::fd::OwnedFd;

use busduct::shm::HELD_OFFSET;
use rustix::io::{pread, pwrite};

/// Where a word stands; each has a line of 128 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word {
    Tail = 0,
    Head = 128,
    ReaderSleeps = 256,
    WriterSleeps = 384,
}

/// A control page by its descriptor.
pub(crate) struct Words(pub(crate) OwnedFd);

impl Words {
    pub(crate) fn get(&self, word: Word) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(pread(&self.0, &mut bytes, word as u64), Ok(8));
        u64::from_ne_bytes(bytes)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        assert_eq!(pwrite(&self.0, &value.to_ne_bytes(), word as u64), Ok(8));
    }

    pub(crate) fn is_held(&self, slot: u16) -> bool {
        let mut byte = [0; 1];
        assert_eq!(pread(&self.0, &mut byte, held_at(slot)), Ok(1));
        byte != [0]
    }

    pub(crate) fn set_held(&self, slot: u16, held: u8) {
        assert_eq!(pwrite(&self.0, &[held], held_at(slot)), Ok(1));
    }
}

fn held_at(slot: u16) -> u64 {
    HELD_OFFSET as u64 + u64::from(slot)
}
