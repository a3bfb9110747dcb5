//! What goes to a peer in shared memory: small parts in the ring, large ones in slots.

use std::collections::HashSet;
use std::io::IoSlice;
use std::sync::Arc;

use super::Account;
use super::record::{HEADER_BYTES, Header, Kind, RECORD_ALIGN, record_nbytes};
use super::starts::Starts;
use super::unread::Streamed;
use super::window::Window;
use crate::link::{Buffer, Closed, Message, Stream};
use crate::shm::{ControlMap, DESCRIPTOR_BYTES, RingData, Slot, Store};
use crate::sync::{Corrupt, Doorbell, RingWriter};
use crate::zmtp::Error;

/// Parts up to this go into the ring, larger ones into a slot.
pub(crate) const INLINE_MAX_BYTES: usize = 16 << 10;
/// Published at least this often, so that the peer reads while we write.
const PUBLISH_BYTES: usize = 64 << 10;

/// How an attempt to write a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    Whole,
    /// Nothing, until the peer rings.
    Full,
    /// Nothing, until the stream takes a descriptor.
    Blocked,
    /// Nothing: it has to go as a stream of frames.
    Unfit,
}

/// Our half of an upgraded link.
pub(crate) struct Outgoing<B> {
    pub(super) writer: RingWriter<ControlMap>,
    pub(super) data: RingData,
    pub(super) starts: Starts,
    pub(super) account: Account,
    pub(super) streamed: Streamed<B>,
    pub(super) window: Window,
    /// Segments that the peer was given.
    pub(super) announced: HashSet<u32>,
    bell: Arc<Doorbell>,
    published: u64,
    pub(super) is_sleeping: bool,
    /// A message of one part of at most so much goes into the ring as it is.
    inline_nbytes: usize,
}

impl<B: Buffer> Outgoing<B> {
    pub(super) fn new(
        control: ControlMap,
        data: RingData,
        bell: Arc<Doorbell>,
        own_nbytes: Option<usize>,
    ) -> Self {
        let inline_nbytes = INLINE_MAX_BYTES.min(data.nbytes() / 2 - HEADER_BYTES);
        Self {
            writer: RingWriter::new(control.clone(), data.nbytes()),
            account: Account::new(control, own_nbytes),
            streamed: Streamed::default(),
            starts: Starts::new(data.nbytes()),
            data,
            window: Window::default(),
            announced: HashSet::new(),
            bell,
            published: 0,
            is_sleeping: false,
            inline_nbytes,
        }
    }

    /// Whether the peer has to ring before more can be written.
    #[inline]
    pub(crate) fn is_sleeping(&self) -> bool {
        self.is_sleeping
    }

    /// The peer rang, or might have: try again.
    pub(crate) fn wake(&mut self) {
        self.is_sleeping = false;
    }

    pub(super) fn open_account(&mut self, store: &mut Store) {
        self.account.open(store);
    }

    pub(super) fn own_store(&self) -> Option<&Store> {
        self.account.own_store()
    }

    /// Write a message, all of it or nothing.
    ///
    /// # Errors
    ///
    /// The peer wrote what cannot be, or the stream is at its end.
    #[inline]
    pub(super) fn write(
        &mut self,
        message: &Message<B>,
        store: &mut Store,
        stream: &Stream,
    ) -> Result<Wrote, Closed> {
        if let Message::Single(part) = message
            && part.as_ref().len() <= self.inline_nbytes
        {
            return self.write_small(part.as_ref());
        }
        let mut total = 0;
        let mut num_large = 0;
        for part in message.parts() {
            let nbytes = part.as_ref().len();
            let is_large = nbytes > INLINE_MAX_BYTES;
            num_large += usize::from(is_large);
            total += record_nbytes(if is_large { DESCRIPTOR_BYTES } else { nbytes });
        }
        if total > self.data.nbytes() / 2 {
            return Ok(Wrote::Unfit);
        }
        let Some(offset) = self.writer.reserve(total).map_err(corrupt)? else {
            return self.sleep(total);
        };
        let mut slots = Vec::new();
        if num_large > 0 {
            match self.hold_large(message, num_large, store, stream, &mut slots)? {
                Wrote::Whole => {}
                other => return Ok(other),
            }
        }
        self.write_records(message.parts(), offset, slots, store);
        self.commit(total);
        let unpublished = self.writer.position() - self.published;
        if num_large > 0 || unpublished >= PUBLISH_BYTES as u64 {
            self.publish();
        }
        Ok(Wrote::Whole)
    }

    /// Write a message of one part that fits the ring.
    #[inline]
    fn write_small(&mut self, bytes: &[u8]) -> Result<Wrote, Closed> {
        let header = Header { kind: Kind::Part { more: false }, nbytes: bytes.len() };
        let total = header.record_nbytes();
        let Some(offset) = self.writer.reserve(total).map_err(corrupt)? else {
            return self.sleep(total);
        };
        self.data.write_at(offset, &header.encode());
        self.data.write_at(offset + HEADER_BYTES, bytes);
        self.commit(total);
        if self.writer.position() - self.published >= PUBLISH_BYTES as u64 {
            self.publish();
        }
        Ok(Wrote::Whole)
    }

    #[inline]
    fn write_records(
        &mut self,
        parts: &[B],
        mut offset: usize,
        slots: Vec<Slot>,
        store: &mut Store,
    ) {
        let mut slots = slots.into_iter();
        let mut left = parts.len();
        for part in parts {
            left -= 1;
            let (bytes, more) = (part.as_ref(), left > 0);
            if bytes.len() <= INLINE_MAX_BYTES {
                let header = Header { kind: Kind::Part { more }, nbytes: bytes.len() };
                self.data.write_at(offset, &header.encode());
                self.data.write_at(offset + HEADER_BYTES, bytes);
                offset += header.record_nbytes();
            } else if let Some(slot) = slots.next() {
                let header = Header { kind: Kind::Slot { more }, nbytes: DESCRIPTOR_BYTES };
                self.data.write_at(offset, &header.encode());
                self.data.write_at(offset + HEADER_BYTES, &slot.descriptor().encode());
                offset += header.record_nbytes();
                self.window.add(self.writer.position(), bytes.len());
                self.account.lend(store, slot);
            }
        }
    }

    /// Write what fits of a stream of frames; return how much that is.
    pub(in crate::link) fn write_stream(
        &mut self,
        slices: &[IoSlice<'_>],
    ) -> Result<usize, Closed> {
        let mut taken = 0;
        let limit = self.data.nbytes() / 4;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                // NB: a peer may release bytes that end no record.
                let room = self.writer.room().map_err(corrupt)?.min(limit) & !(RECORD_ALIGN - 1);
                let nbytes = rest.len().min(room.saturating_sub(HEADER_BYTES));
                if nbytes == 0 {
                    self.publish();
                    if self.writer.sleep(limit.min(record_nbytes(rest.len()))).map_err(corrupt)? {
                        self.is_sleeping = true;
                        return Ok(taken);
                    }
                    continue;
                }
                let header = Header { kind: Kind::Stream, nbytes };
                let Some(offset) = self.writer.reserve(header.record_nbytes()).map_err(corrupt)?
                else {
                    return Ok(taken);
                };
                self.data.write_at(offset, &header.encode());
                self.data.write_at(offset + HEADER_BYTES, &rest[..nbytes]);
                self.commit(header.record_nbytes());
                taken += nbytes;
                rest = &rest[nbytes..];
            }
        }
        Ok(taken)
    }

    /// Count what was written as one that the peer takes as a whole.
    #[inline]
    fn commit(&mut self, nbytes: usize) {
        self.starts.note(self.writer.position(), nbytes);
        self.writer.commit(nbytes);
    }

    /// Let the peer see what was written, and ring if it sleeps.
    #[inline]
    pub(in crate::link) fn publish(&mut self) {
        if self.published == self.writer.position() {
            return;
        }
        self.published = self.writer.position();
        if self.writer.publish() {
            self.bell.ring();
        }
    }

    /// Sleep until there is room for `nbytes`.
    #[cold]
    fn sleep(&mut self, nbytes: usize) -> Result<Wrote, Closed> {
        self.publish();
        self.is_sleeping = self.writer.sleep(nbytes).map_err(corrupt)?;
        // If there is room after all, the caller comes again.
        Ok(Wrote::Full)
    }

    /// Sleep until the peer has taken anything behind `head`.
    ///
    /// NB: that is where it was when it was decided to sleep. What it has taken since will
    /// not ring, so to look where it is by now would be to wait for what may never come.
    pub(super) fn sleep_beyond(&mut self, head: u64) -> Result<Wrote, Closed> {
        let room = self.data.nbytes() - (self.writer.position() - head) as usize;
        self.sleep(room + 1)
    }

    /// What the peer may still hold.
    pub(super) fn into_account(self) -> Account {
        self.account
    }
}

pub(super) fn corrupt(_: Corrupt) -> Closed {
    Error::malformed(0, "position in a ring that cannot be").into()
}
