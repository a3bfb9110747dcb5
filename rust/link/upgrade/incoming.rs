//! What comes from a peer in shared memory. All of it is the peer's to write: each word is
//! read once, checked, and then used.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::record::{HEADER_BYTES, Header, Kind};
use crate::link::{Buffer, Closed, Limits, Message, OutOfMemory};
use crate::shm::{
    Announcement, Borrower, ControlMap, Descriptor, Lease, OpenError, RingData, TakeError,
};
use crate::sync::{Corrupt, Doorbell, RingReader};
use crate::zmtp::Error;

/// The peer's half of an upgraded link.
pub(crate) struct Incoming<B> {
    reader: RingReader<ControlMap>,
    data: RingData,
    borrower: Borrower,
    bell: Arc<Doorbell>,
    /// Of a message whose last part is still to be read.
    parts: Vec<B>,
    message_nbytes: u64,
    message_at: u64,
    /// Up to where the ring was given back, and was when the writer was last looked after.
    released: u64,
    looked_after: u64,
    /// What was copied at once and is lent until it is taken, by its position.
    copied: VecDeque<(u64, Lease)>,
    is_asleep: bool,
    /// The inbox had no room for more.
    pub(super) is_held_up: bool,
}

/// What stands next in the ring.
pub(super) enum Next<'a, B> {
    /// A message, and where its first record begins.
    Message(Message<B>, u64),
    /// A piece of a stream of frames, to be parsed, then [`Incoming::advance`].
    Stream(&'a [u8], usize),
    /// The descriptor of a segment has to be read from the stream first.
    Unknown,
    Empty,
}

impl<B: Buffer> Incoming<B> {
    pub(super) fn new(
        control: ControlMap,
        data: RingData,
        bell: Arc<Doorbell>,
        line: Arc<OwnedFd>,
    ) -> Self {
        Self {
            reader: RingReader::new(control.clone(), data.nbytes()),
            borrower: Borrower::new(control, bell.clone(), line),
            data,
            bell,
            parts: Vec::new(),
            message_nbytes: 0,
            message_at: 0,
            released: 0,
            looked_after: 0,
            copied: VecDeque::new(),
            is_asleep: false,
            is_held_up: false,
        }
    }

    /// Whether something waits to be read. What the peer wrote wrongly does, too.
    #[inline]
    pub(crate) fn has_unread(&mut self) -> bool {
        self.reader.available() != Ok(0)
    }

    /// Read no more than is there now.
    pub(crate) fn end(&mut self) {
        self.reader.end();
    }

    /// Whether reading stopped for want of room in the inbox.
    pub(crate) fn is_held_up(&self) -> bool {
        self.is_held_up
    }

    pub(super) fn num_segments_learned(&self) -> u64 {
        self.borrower.num_learned()
    }

    /// Know a segment that the peer handed over.
    pub(super) fn add_segment(&mut self, told: Announcement, fd: OwnedFd) -> Result<(), Closed> {
        self.borrower.add_segment(told, fd).map_err(|refused| match refused {
            OpenError::System(errno) => errno.into(),
            _ => Error::malformed(self.reader.position(), "segment that cannot be used").into(),
        })
    }

    /// Forget a segment that the peer has given up.
    pub(super) fn forget_segment(&mut self, id: u32) -> Result<(), Closed> {
        match self.borrower.forget_segment(id) {
            true => Ok(()),
            false => Err(Error::malformed(0, "end of a segment that is not known").into()),
        }
    }

    /// Read the next record, and those that belong to the same message.
    #[inline]
    pub(super) fn next(&mut self, limits: &Limits) -> Result<Next<'_, B>, Error> {
        if self.parts.is_empty() {
            self.message_at = self.reader.position();
            self.message_nbytes = 0;
        }
        loop {
            let at = self.reader.position();
            let available = self.reader.available().map_err(|Corrupt| nonsense(at))?;
            if available == 0 {
                return match self.parts.is_empty() {
                    true => Ok(Next::Empty),
                    false => Err(Error::malformed(at, "message cut in a ring")),
                };
            }
            let (header, body_at) = self.header(at, available)?;
            let record_nbytes = header.record_nbytes();
            let (part, more) = match header.kind {
                Kind::Part { more } => {
                    self.check(header.nbytes as u64, limits)?;
                    (B::copy_from(self.data.slice(body_at, header.nbytes)), more)
                }
                Kind::Slot { more } => match self.lease(body_at, header.nbytes, limits)? {
                    Some(part) => (part, more),
                    None => return Ok(Next::Unknown),
                },
                Kind::Stream if self.parts.is_empty() => {
                    let bytes = self.data.slice(body_at, header.nbytes);
                    return Ok(Next::Stream(bytes, record_nbytes));
                }
                Kind::Stream => return Err(Error::malformed(at, "stream amid a message")),
            };
            let part = part.map_err(|_| Error::OutOfMemory { size: header.nbytes as u64 })?;
            self.reader.advance(record_nbytes);
            if !more && self.parts.is_empty() {
                return Ok(Next::Message(Message::Single(part), self.message_at));
            }
            self.parts.push(part);
            if !more {
                let message = Message::Multi(std::mem::take(&mut self.parts));
                return Ok(Next::Message(message, self.message_at));
            }
        }
    }

    #[inline]
    fn header(&self, at: u64, available: usize) -> Result<(Header, usize), Error> {
        if available < HEADER_BYTES {
            return Err(nonsense(at));
        }
        let offset = self.reader.offset();
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(self.data.slice(offset, HEADER_BYTES));
        Ok((Header::decode(header, available, at)?, offset + HEADER_BYTES))
    }

    /// Count a part of `nbytes` into the message.
    #[inline]
    fn check(&mut self, nbytes: u64, limits: &Limits) -> Result<(), Error> {
        let total = self.message_nbytes.saturating_add(nbytes);
        limits.check(total, self.parts.len() + 1)?;
        self.message_nbytes = total;
        Ok(())
    }

    /// Hold what a descriptor points at; `None` if its segment is not known yet.
    fn lease(
        &mut self,
        body_at: usize,
        nbytes: usize,
        limits: &Limits,
    ) -> Result<Option<Result<B, OutOfMemory>>, Error> {
        let at = self.reader.position();
        let told = Descriptor::decode(self.data.slice(body_at, nbytes))
            .map_err(|_| Error::malformed(at, "descriptor that is none"))?;
        match self.borrower.take(told) {
            Ok(lease) => {
                self.check(told.nbytes, limits)?;
                Ok(Some(self.hold(lease)))
            }
            Err(TakeError::UnknownSegment) => Ok(None),
            Err(_) => Err(Error::malformed(at, "descriptor of no slot that we hold")),
        }
    }

    /// Make a part of what is lent. NB: the peer may not have it back before the part is
    /// taken, for it would send it again if this process died.
    fn hold(&mut self, lease: Lease) -> Result<B, OutOfMemory> {
        if B::HOLDS_SLOTS {
            return B::from_lease(lease);
        }
        let part = B::copy_from(lease.as_ref());
        self.copied.push_back((self.message_at, lease));
        part
    }

    /// Go on behind a record that was parsed.
    pub(super) fn advance(&mut self, record_nbytes: usize) {
        self.reader.advance(record_nbytes);
    }

    /// Where the message begins that is to be read next, or to its end.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        if self.parts.is_empty() { self.reader.position() } else { self.message_at }
    }

    /// Give back what stands before `position`: for good, for its messages were taken. Ring
    /// if the peer waits for so much.
    #[inline]
    pub(super) fn release(&mut self, position: u64) {
        if position <= self.released {
            return;
        }
        self.released = position;
        self.reader.release(position);
        while self.copied.front().is_some_and(|(at, _)| *at < position) {
            self.copied.pop_front();
        }
        let is_much = position - self.looked_after >= self.data.nbytes() as u64 / 4;
        if is_much || position == self.reader.position() {
            self.looked_after = position;
            if self.reader.wakes_writer() {
                self.bell.ring();
            }
        }
    }

    /// Pass over the message at hand, which is wrong: nobody is to be sent it again.
    pub(super) fn skip_message(&mut self) {
        self.parts.clear();
        while let Ok(available) = self.reader.available()
            && let Ok((header, _)) = self.header(self.reader.position(), available)
        {
            self.reader.advance(header.record_nbytes());
            if !matches!(header.kind, Kind::Part { more: true } | Kind::Slot { more: true }) {
                return;
            }
        }
    }

    /// Say for good what was read; the rest goes back to the peer.
    pub(super) fn leave(&mut self) {
        self.release(self.position());
    }

    /// Sleep until the peer rings; `false` if something came meanwhile.
    #[inline]
    pub(super) fn sleep(&mut self) -> bool {
        if !self.is_asleep {
            // What is wrong is found by reading on.
            self.is_asleep = self.reader.sleep().unwrap_or(false);
        }
        self.is_asleep
    }

    #[inline]
    pub(super) fn is_at_rest(&mut self) -> bool {
        self.is_asleep && !self.has_unread()
    }

    /// Look without being rung for.
    #[inline]
    pub(crate) fn wake(&mut self) {
        if self.is_asleep {
            self.is_asleep = false;
            self.reader.wake();
        }
    }
}

#[cold]
fn nonsense(at: u64) -> Error {
    Error::malformed(at, "position in a ring that cannot be")
}
