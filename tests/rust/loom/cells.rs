//! A ring with its memory, one loom cell a byte: an access that races is found there.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use busduct_loom::sync::{RingReader, RingWords, RingWriter};

type Cells = Arc<Vec<UnsafeCell<u8>>>;

pub(crate) struct Sender {
    pub(crate) positions: RingWriter<Arc<RingWords>>,
    pub(crate) words: Arc<RingWords>,
    cells: Cells,
}

pub(crate) struct Receiver {
    pub(crate) positions: RingReader<Arc<RingWords>>,
    cells: Cells,
}

/// Make both sides of an empty ring.
pub(crate) fn ring(capacity: usize) -> (Sender, Receiver) {
    let words = Arc::new(RingWords::default());
    let cells: Cells = Arc::new((0..capacity).map(|_| UnsafeCell::new(0)).collect());
    let writer = RingWriter::new(Arc::clone(&words), capacity);
    let reader = RingReader::new(Arc::clone(&words), capacity);
    let sender = Sender { positions: writer, words, cells: Arc::clone(&cells) };
    (sender, Receiver { positions: reader, cells })
}

impl Sender {
    /// Write `byte` and publish it if there is room; return whether there was, and whether
    /// the reader must be rung.
    pub(crate) fn try_push(&mut self, byte: u8) -> (bool, bool) {
        let Some(offset) = self.positions.reserve(1).unwrap() else { return (false, false) };
        // SAFETY: the cell is ours until it is published; loom fails the model if not.
        self.cells[offset].with_mut(|cell| unsafe { *cell = byte });
        self.positions.commit(1);
        (true, self.positions.publish())
    }
}

impl Receiver {
    /// Read one byte, and release it, if there is one.
    pub(crate) fn try_pop(&mut self) -> Option<u8> {
        if self.positions.available().unwrap() == 0 {
            return None;
        }
        // SAFETY: the cell is ours until it is released; loom fails the model if not.
        let byte = self.cells[self.positions.offset()].with(|cell| unsafe { *cell });
        self.positions.advance(1);
        self.positions.release(self.positions.position());
        Some(byte)
    }
}
