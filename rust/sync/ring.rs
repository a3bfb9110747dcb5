//! The positions of a byte ring with one writer and one reader, perhaps of two processes.
//!
//! Positions count bytes from 0 and only grow; a position modulo the capacity is the offset
//! in the ring. Each side owns one shared word and keeps the last value that it saw of the
//! other's, so that both loads and misses of the cache are rare:
//!
//! ```text
//! released <= read  <=  tail seen  <=  published <= committed <= head seen + capacity
//! ^ head word  reader only             ^ tail word  writer only
//! ```
//!
//! **Data.** The writer fills bytes, then stores tail with Release; the reader that loads it
//! with Acquire sees them. The reader's last look at bytes comes before its Release store of
//! head; the writer that loads head with Acquire overwrites them only after that look.
//!
//! **Sleep.** See [`SleepFlag`](super::words::SleepFlag): publish then take the reader's flag,
//! release then take the writer's; set one's own flag, then look at the other's position.
//!
//! **Trust.** The other side may store anything at any time. Its position is loaded once,
//! and used only if it lies in the range above; so every offset is less than the capacity and
//! no count exceeds it, whatever the words hold.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use super::atomic::Ordering;
use super::words::RingWords;

/// The other side stored a position that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("position in shared memory is out of range")
    }
}

impl Error for Corrupt {}

/// The writing side; there must be one of them for a ring.
#[derive(Debug)]
pub struct RingWriter<W> {
    words: W,
    capacity: usize,
    /// Head as seen last; `head <= published <= tail <= head + capacity`.
    head: u64,
    published: u64,
    tail: u64,
}

impl<W: Deref<Target = RingWords>> RingWriter<W> {
    /// Write to a ring of `capacity` bytes whose `words` are still all zero.
    ///
    /// # Panics
    ///
    /// If `capacity` is not a power of two.
    pub fn new(words: W, capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "capacity of {capacity} is not a power of two");
        Self { words, capacity, head: 0, published: 0, tail: 0 }
    }

    /// Size of the ring in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// End of what was committed, published or not.
    #[inline]
    pub fn position(&self) -> u64 {
        self.tail
    }

    /// Return the offset where `nbytes` may be written, or `None` while there is no room.
    ///
    /// Head is looked at again only if what was seen of it leaves no room.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    #[inline]
    pub fn reserve(&mut self, nbytes: usize) -> Result<Option<usize>, Corrupt> {
        if nbytes > self.known_room() && nbytes > self.room()? {
            return Ok(None);
        }
        Ok(Some(offset(self.tail, self.capacity)))
    }

    /// Count `nbytes` as written, at most what was reserved. The reader does not see them
    /// before [`RingWriter::publish`].
    #[inline]
    pub fn commit(&mut self, nbytes: usize) {
        debug_assert!(nbytes <= self.known_room());
        self.tail += nbytes as u64;
    }

    /// Let the reader see what was committed; return whether it slept and must be rung.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.published = self.tail;
        // SYNC: tail (pairs with `RingReader::look`)
        self.words.tail.store(self.tail, Ordering::Release);
        self.words.reader_sleeps.take()
    }

    /// Free bytes, head looked at again.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    pub fn room(&mut self) -> Result<usize, Corrupt> {
        self.head()?;
        Ok(self.known_room())
    }

    /// How far the reader has released, head looked at again.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    pub fn head(&mut self) -> Result<u64, Corrupt> {
        // SYNC: head (pairs with `RingReader::release`)
        let head = self.words.head.load(Ordering::Acquire);
        if head < self.head || head > self.published {
            return Err(Corrupt);
        }
        self.head = head;
        Ok(head)
    }

    /// Say that we sleep until `nbytes` are free; false if they are, and we stay up.
    ///
    /// A ring means that some room was made: look, and sleep again if it is too little.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    pub fn sleep(&mut self, nbytes: usize) -> Result<bool, Corrupt> {
        self.announce_sleep();
        let sleeps = self.room()? < nbytes;
        if !sleeps {
            self.wake();
        }
        Ok(sleeps)
    }

    /// Say that we sleep until room or a slot is given back. Look at what is waited for
    /// after this; then sleep, or [`RingWriter::wake`].
    pub fn announce_sleep(&mut self) {
        self.words.writer_sleeps.set();
    }

    /// Say that we are up by ourselves, if the reader was not about to ring.
    pub fn wake(&mut self) {
        self.words.writer_sleeps.clear();
    }

    fn known_room(&self) -> usize {
        self.capacity - (self.tail - self.head) as usize
    }
}

/// The reading side; there must be one of them for a ring.
#[derive(Debug)]
pub struct RingReader<W> {
    words: W,
    capacity: usize,
    released: u64,
    /// Read so far; `released <= head <= tail <= released + capacity`.
    head: u64,
    /// Tail as seen last.
    tail: u64,
    /// Tail is not looked at any more.
    has_ended: bool,
}

impl<W: Deref<Target = RingWords>> RingReader<W> {
    /// Read from a ring of `capacity` bytes of which nothing was read yet.
    ///
    /// # Panics
    ///
    /// If `capacity` is not a power of two.
    pub fn new(words: W, capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "capacity of {capacity} is not a power of two");
        Self { words, capacity, released: 0, head: 0, tail: 0, has_ended: false }
    }

    /// Read no more than is published now: the writer may be there still, and go on.
    pub fn end(&mut self) {
        // What is wrong counts for nothing now: all before it can be read.
        let _ = self.look();
        self.has_ended = true;
    }

    /// Bytes published and not read yet; tail is looked at again only at 0.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    #[inline]
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        if self.head == self.tail {
            self.look()?;
        }
        Ok((self.tail - self.head) as usize)
    }

    /// Where the next byte to read is, counted from the first ever.
    #[inline]
    pub fn position(&self) -> u64 {
        self.head
    }

    /// Where the next byte to read is in the ring.
    #[inline]
    pub fn offset(&self) -> usize {
        offset(self.head, self.capacity)
    }

    /// Count `nbytes` as read, at most what is available. The writer does not see it before
    /// [`RingReader::release`].
    #[inline]
    pub fn advance(&mut self, nbytes: usize) {
        debug_assert!(nbytes as u64 <= self.tail - self.head);
        self.head += nbytes as u64;
    }

    /// Give everything before `position` back, which was read; wakes nobody.
    #[inline]
    pub fn release(&mut self, position: u64) {
        debug_assert!(self.released <= position && position <= self.head);
        self.released = position;
        // SYNC: head (pairs with `RingWriter::head`)
        self.words.head.store(position, Ordering::Release);
    }

    /// Return whether the writer slept and must be rung.
    ///
    /// It has a fence, so ask rarely: after much was released, and always between the last
    /// release and sleep, or both sides may sleep.
    pub fn wakes_writer(&mut self) -> bool {
        self.words.wakes_writer()
    }

    /// Say that we sleep until something is published; false if it is, and we stay up.
    ///
    /// # Errors
    ///
    /// [`Corrupt`].
    pub fn sleep(&mut self) -> Result<bool, Corrupt> {
        self.words.reader_sleeps.set();
        let sleeps = self.available()? == 0;
        if !sleeps {
            self.wake();
        }
        Ok(sleeps)
    }

    /// Say that we are up by ourselves, if the writer was not about to ring.
    pub fn wake(&mut self) {
        self.words.reader_sleeps.clear();
    }

    fn look(&mut self) -> Result<(), Corrupt> {
        if self.has_ended {
            return Ok(());
        }
        // SYNC: tail (pairs with `RingWriter::publish`)
        let tail = self.words.tail.load(Ordering::Acquire);
        if tail < self.tail || tail - self.released > self.capacity as u64 {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(())
    }
}

#[inline]
fn offset(position: u64, capacity: usize) -> usize {
    position as usize & (capacity - 1)
}
