//! Receiving over a link that was moved: records from the ring, and over the stream the
//! segments that they point into, and the end.

use super::MAX_RECEIVED;
use super::incoming::{Incoming, Next};
use super::notice::{NOTICE_BYTES, Notice};
use crate::link::{Buffer, Closed, Link};
use crate::shm::Announcement;
use crate::zmtp::Error;
use rustix::io::Errno;

/// Payload bytes after which one link lets the others have their turn, and which so stay in
/// the cache until they are taken.
pub(crate) const RING_BUDGET_BYTES: usize = 128 << 10;
/// What a message, or a piece of a stream, counts in it besides its payload.
const MESSAGE_COST: usize = 64;
/// What reading the stream of a moved link counts in it.
const LINE_COST: usize = RING_BUDGET_BYTES / 4;
/// Notices after which that stream lets the others have their turn.
const MAX_NOTICES: usize = 64;

impl<B: Buffer> Link<B> {
    /// Read what is in the ring, up to a budget, as far as the inbox has room; whether
    /// there may be more. At the end of what is there, the peer rings for what follows.
    pub(crate) fn read_ring(&mut self) -> Result<bool, Closed> {
        let Some(mut incoming) = self.incoming.take() else {
            return Ok(false);
        };
        let more = match self.read_records(&mut incoming) {
            Ok(more) => more,
            Err(closed) => {
                if let Closed::Protocol(_) = closed {
                    incoming.skip_message();
                }
                incoming.leave();
                return Err(closed);
            }
        };
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
                    budget = budget.saturating_sub(bytes.len() + MESSAGE_COST);
                    self.inbox.come_from(at);
                    self.consume_frames(bytes)?;
                    incoming.advance(record_nbytes);
                }
                Next::Unknown => {
                    budget = budget.saturating_sub(LINE_COST);
                    self.learn_segment(incoming)?;
                }
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
        let before = incoming.num_segments_learned();
        let read = self.read_line(incoming);
        let has_more = *read.as_ref().unwrap_or(&false);
        // What is wrong with the stream, or its end, will be found again.
        if incoming.num_segments_learned() != before || has_more {
            return Ok(());
        }
        read?;
        Err(Error::malformed(incoming.position(), "descriptor of no segment").into())
    }

    /// Read the stream of a moved link, up to a bound.
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
        read.map(drop)
    }

    /// Read what the stream has; whether there may be more.
    fn read_line(&mut self, incoming: &mut Incoming<B>) -> Result<bool, Closed> {
        for _ in 0..MAX_NOTICES {
            self.take_notices(incoming)?;
            let Some(stream) = &self.stream else {
                return Err(Closed::Eof);
            };
            let mut bytes = [0; NOTICE_BYTES];
            match stream.read_with(&mut bytes, &mut self.received) {
                // NB: of a peer that has died without having read all, the kernel says so.
                Ok(0) | Err(Errno::CONNRESET) => {
                    self.peer_has_left = true;
                    self.peer_is_gone = true;
                    return Err(Closed::Eof);
                }
                Ok(read) => {
                    self.heard = [true; 2];
                    self.line.extend_from_slice(&bytes[..read]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(true)
    }

    /// Act upon what was read from the stream.
    fn take_notices(&mut self, incoming: &mut Incoming<B>) -> Result<(), Closed> {
        let malformed = |reason| Err(Error::malformed(0, reason).into());
        while let Some(bytes) = self.line.first_chunk::<NOTICE_BYTES>().copied() {
            self.line.drain(..NOTICE_BYTES);
            match Notice::decode(&bytes) {
                Some(Notice::Segment(told)) => self.take_segment(incoming, told)?,
                Some(Notice::Forget { segment }) => incoming.forget_segment(segment)?,
                Some(Notice::Ping { ttl }) => {
                    self.peer_ttl = ttl;
                    self.say(Notice::Pong);
                }
                Some(Notice::Pong) => {}
                Some(Notice::Bye) => {
                    self.peer_has_left = true;
                    return Err(Closed::Eof);
                }
                None => return malformed("notice that nobody gives"),
            }
        }
        if self.received.fds.len() > MAX_RECEIVED {
            return malformed("descriptors of nothing");
        }
        Ok(())
    }

    fn take_segment(
        &mut self,
        incoming: &mut Incoming<B>,
        told: Announcement,
    ) -> Result<(), Closed> {
        let known = match self.received.fds.pop_front() {
            Some(fd) => incoming.add_segment(told, fd),
            None if self.received.lacks_some => Err(Closed::System(Errno::MFILE)),
            None => return Err(Error::malformed(0, "segment without a descriptor").into()),
        };
        self.lacks_room |= matches!(known, Err(Closed::System(_)));
        known
    }

    /// Give the peer back what was taken.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            let has_some = !self.stash.is_empty();
            let oldest = self.inbox.oldest().or(has_some.then(|| self.inbox.newest()));
            let oldest = oldest.filter(|_| self.inbox.holds_up());
            incoming.release(oldest.unwrap_or_else(|| incoming.position()));
        }
    }

    /// Read no more, of a peer that may live on: what was not read is the peer's again, and
    /// what was is ours.
    pub(in crate::link) fn leave_ring(&mut self) -> Option<Box<Incoming<B>>> {
        let mut incoming = self.incoming.take_if(|_| !self.peer_has_left)?;
        incoming.leave();
        Some(incoming)
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
        if self.is_upgraded() {
            self.say(Notice::Bye);
        }
    }

    /// Tell the peer, if it knows a segment, that nothing in it is used any more. One that
    /// does not hear of it maps it until the link ends.
    pub(crate) fn forget_segment(&mut self, segment: u32) {
        let outgoing = self.outgoing.as_mut();
        if outgoing.is_some_and(|outgoing| outgoing.announced.remove(&segment)) {
            self.say(Notice::Forget { segment });
        }
    }

    /// Ask the peer for a sign of life. NB: not by the ring, where it would wait until the
    /// peer's application takes what is before it.
    pub(in crate::link) fn ping_by_line(&mut self, ttl: u16) {
        self.say(Notice::Ping { ttl });
    }

    fn say(&self, notice: Notice) {
        if let Some(stream) = &self.stream {
            // A stream that takes nothing is at its end, or not read at all.
            let _ = stream.write(&[std::io::IoSlice::new(&notice.encode())]);
        }
    }
}
