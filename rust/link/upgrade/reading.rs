//! Receiving over a link that was moved: records from the ring, and over the stream the
//! segments that they point into, and the end.

use super::MAX_RECEIVED;
use super::incoming::{Incoming, Next};
use crate::link::{Buffer, Closed, Link};
use crate::shm::{ANNOUNCEMENT_BYTES, Announcement};
use crate::zmtp::Error;
use rustix::io::Errno;

/// Payload bytes after which one link lets the others have their turn, and which so stay in
/// the cache until they are taken.
pub(crate) const RING_BUDGET_BYTES: usize = 128 << 10;
/// What a message counts in it besides its payload.
const MESSAGE_COST: usize = 64;
/// What a side says over the stream that is about to leave it.
const BYE: [u8; ANNOUNCEMENT_BYTES] = {
    let mut bytes = [0; ANNOUNCEMENT_BYTES];
    [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]] = *b"BDBY\x01";
    bytes
};

impl<B: Buffer> Link<B> {
    /// Read what is in the ring, up to a budget, as far as the inbox has room; whether
    /// there may be more. At the end of what is there, the peer rings for what follows.
    pub(crate) fn read_ring(&mut self) -> Result<bool, Closed> {
        let Some(mut incoming) = self.incoming.take() else {
            return Ok(false);
        };
        let read = self.read_records(&mut incoming);
        // NB: behind an error there is nothing that can be read.
        let more = read?;
        self.incoming = Some(incoming);
        // It may have said so before a segment that was looked for.
        if self.peer_has_left && self.stream.is_some() { Err(Closed::Eof) } else { Ok(more) }
    }

    #[inline]
    fn read_records(&mut self, incoming: &mut Incoming<B>) -> Result<bool, Closed> {
        let limits = self.options.limits;
        let mut budget = RING_BUDGET_BYTES;
        incoming.wake();
        loop {
            incoming.is_held_up = !self.stash.is_empty() || !self.inbox.has_room();
            if incoming.is_held_up || budget == 0 {
                return Ok(!incoming.is_held_up);
            }
            let at = incoming.position();
            match incoming.next(&limits)? {
                Next::Message(message, at) => {
                    budget = budget.saturating_sub(message.nbytes() + MESSAGE_COST);
                    self.inbox.come_from(at);
                    self.inbox.accept(message);
                }
                Next::Stream(bytes, record_nbytes) => {
                    budget = budget.saturating_sub(bytes.len());
                    self.inbox.come_from(at);
                    self.consume_frames(bytes)?;
                    incoming.advance(record_nbytes);
                }
                Next::Unknown => self.learn_segment(incoming)?,
                Next::Empty => {
                    if incoming.sleep() {
                        return Ok(false);
                    }
                }
            }
            self.heard = [true; 2];
        }
    }

    /// Read what the peer hands over before it refers to it.
    fn learn_segment(&mut self, incoming: &mut Incoming<B>) -> Result<(), Closed> {
        let before = incoming.num_segments();
        match self.read_line(incoming) {
            // What is wrong with the stream, or its end, will be found again.
            Err(_) if incoming.num_segments() != before => Ok(()),
            Ok(()) if incoming.num_segments() == before => {
                Err(Error::malformed(incoming.position(), "descriptor of no segment").into())
            }
            read => read,
        }
    }

    /// Read the stream of a moved link to where it stands.
    ///
    /// # Errors
    ///
    /// Its end, above all.
    pub(in crate::link) fn on_line_readable(&mut self) -> Result<(), Closed> {
        let Some(mut incoming) = self.incoming.take() else {
            return Err(Closed::Eof);
        };
        let read = self.read_line(&mut incoming);
        self.incoming = Some(incoming);
        read
    }

    fn read_line(&mut self, incoming: &mut Incoming<B>) -> Result<(), Closed> {
        loop {
            self.take_notices(incoming)?;
            let Some(stream) = &self.stream else {
                return Err(Closed::Eof);
            };
            let mut bytes = [0; ANNOUNCEMENT_BYTES];
            match stream.read_with(&mut bytes, &mut self.received_fds) {
                Ok(0) => {
                    self.peer_has_left = true;
                    self.peer_is_gone = true;
                    return Err(Closed::Eof);
                }
                Ok(read) => self.line.extend_from_slice(&bytes[..read]),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Act upon what was read from the stream.
    fn take_notices(&mut self, incoming: &mut Incoming<B>) -> Result<(), Closed> {
        let malformed = |reason| Err(Error::malformed(0, reason).into());
        while let Some(notice) = self.line.first_chunk::<ANNOUNCEMENT_BYTES>().copied() {
            self.line.drain(..ANNOUNCEMENT_BYTES);
            if notice == BYE {
                self.peer_has_left = true;
                return Err(Closed::Eof);
            }
            let Ok(told) = Announcement::decode(&notice) else {
                return malformed("neither a segment nor an end");
            };
            match self.received_fds.pop_front() {
                Some(fd) => incoming.add_segment(told, fd)?,
                None => return malformed("segment without a descriptor"),
            }
        }
        if self.received_fds.len() > MAX_RECEIVED {
            return malformed("descriptors of nothing");
        }
        Ok(())
    }

    /// Give the peer back what was taken.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            let oldest = self.inbox.oldest().filter(|_| self.inbox.holds_up());
            let position = oldest.unwrap_or_else(|| incoming.position());
            incoming.release(position);
        }
    }

    /// Whether the ring has something that was not read.
    #[inline]
    pub(crate) fn has_unread(&mut self) -> bool {
        self.incoming.as_mut().is_some_and(|incoming| incoming.has_unread())
    }

    /// Whether nothing is there, and the peer rings for what comes.
    #[inline]
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.incoming.as_mut().is_none_or(|incoming| incoming.is_at_rest())
    }

    /// Tell the peer not to ring, for we look.
    pub(crate) fn stir(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            incoming.wake();
        }
    }

    /// Have the peer ring for what comes; `false` if something is there.
    pub(crate) fn rest(&mut self) -> bool {
        self.incoming.as_mut().is_none_or(|incoming| incoming.sleep())
    }

    /// Tell the peer that this side leaves: what it lent may be in use for longer, and keeps
    /// the stream open.
    pub(in crate::link) fn say_bye(&mut self) {
        if let Some(stream) = self.stream.as_ref().filter(|_| self.is_upgraded()) {
            // A stream that takes nothing is at its end, or the peer sees that it ends.
            let _ = stream.write(&[std::io::IoSlice::new(&BYE)]);
        }
    }
}
