//! What a peer sends: read, parsed, and acted upon.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::upgrade::MAX_RECEIVED;
use super::{Buffer, Closed, Filling, Item, Link, Message, Phase};
use crate::zmtp::{Command, Error, SocketType, encode_pong};

/// A frame of which at least this much is missing is read straight into its buffer.
const DIRECT_READ_BYTES: usize = 32 << 10;
/// What is read where a large frame's header is expected: the less of its body comes with
/// it, the less is copied.
const HEADER_READ_BYTES: usize = 4 << 10;
/// Bytes after which one link lets the others have their turn.
const READ_BUDGET_BYTES: usize = 1 << 20;
/// Answers to PINGs that may wait to be written; a peer that floods loses the rest.
const MAX_CONTROL_BYTES: usize = 4096;

impl<B: Buffer> Link<B> {
    /// Read what is there, up to a budget, and parse it as far as the marks allow.
    pub(crate) fn on_readable(&mut self, scratch: &mut [u8]) -> Result<(), Closed> {
        let mut budget = READ_BUDGET_BYTES;
        while self.wants_read() && budget > 0 {
            if self.is_upgraded() {
                return self.on_line_readable();
            }
            let (read, offered) = match self.read_once(scratch) {
                Ok(read) => read,
                Err(Closed::System(Errno::AGAIN | Errno::INTR)) => return Ok(()),
                Err(closed) => return Err(closed),
            };
            self.heard = [true; 2];
            if read == 0 {
                let is_amid = self.assembler.is_amid_message() || self.guard.is_amid_record();
                let cut = is_amid && !self.is_draining();
                return Err(if cut { Closed::AmidMessage } else { Closed::Eof });
            }
            // NB: what follows the last word before the move may have come with it.
            if read < offered && !self.is_upgraded() {
                return Ok(());
            }
            budget = budget.saturating_sub(read);
        }
        Ok(())
    }

    fn read_once(&mut self, scratch: &mut [u8]) -> Result<(usize, usize), Closed> {
        let Some(stream) = &self.stream else {
            return Err(Closed::Eof);
        };
        if self.phase == Phase::Draining {
            return Ok((stream.read(scratch)?, scratch.len()));
        }
        if !self.guard.is_sealed()
            && let Some(filling) = self.assembler.large_part(DIRECT_READ_BYTES)
        {
            let offered = filling.missing();
            let read = filling.read_from(stream.as_fd())?;
            self.assembler.advance(read);
            self.expects_large = true;
            if read == offered {
                self.parse(&mut &[][..])?;
            }
            return Ok((read, offered));
        }
        let limit = if self.expects_large { HEADER_READ_BYTES } else { scratch.len() };
        self.expects_large = false;
        let read = match self.takes_descriptors() {
            true => stream.read_with(&mut scratch[..limit], &mut self.received)?,
            false => stream.read(&mut scratch[..limit])?,
        };
        if self.received.fds.len() > MAX_RECEIVED {
            return Err(Error::malformed(self.assembler.offset(), "descriptors of nothing").into());
        }
        self.consume(&scratch[..read])?;
        Ok((read, limit))
    }

    fn consume(&mut self, mut input: &[u8]) -> Result<(), Closed> {
        if self.phase == Phase::Greeting && !self.greet(&mut input)? {
            return Ok(());
        }
        self.take_in(input)
    }

    /// Take in bytes of the stream of frames.
    pub(super) fn consume_frames(&mut self, mut input: &[u8]) -> Result<(), Closed> {
        if !self.stash.is_empty() {
            self.stash.extend_from_slice(input);
            return Ok(());
        }
        self.parse(&mut input)?;
        if !input.is_empty() {
            self.stash = input.to_vec();
        }
        Ok(())
    }

    fn parse(&mut self, input: &mut &[u8]) -> Result<(), Closed> {
        while self.inbox.has_room() {
            match self.assembler.next(input)? {
                None => break,
                // NB: a link that drains may still hold back what came while it was up.
                Some(Item::Message(message))
                    if matches!(self.phase, Phase::Up | Phase::Draining) =>
                {
                    self.inbox.accept(message);
                }
                Some(Item::Message(_)) => {
                    let offset = self.assembler.offset();
                    return Err(Error::malformed(offset, "message before READY").into());
                }
                Some(Item::Command(body)) => {
                    let was_moved = self.is_upgraded();
                    self.on_command(&body)?;
                    if self.is_upgraded() && !was_moved {
                        // What follows is no frame.
                        self.line.extend_from_slice(std::mem::take(input));
                    }
                }
            }
        }
        Ok(())
    }

    /// Tell that the last message is none that the socket can take.
    pub(crate) fn malformed(&self, reason: &'static str) -> Error {
        Error::malformed(self.assembler.offset(), reason)
    }

    fn on_command(&mut self, body: &[u8]) -> Result<(), Error> {
        let offset = self.assembler.offset();
        match Command::parse(body, offset)? {
            Command::Ready(_) if self.phase != Phase::Handshake => {
                return Err(Error::malformed(offset, "second READY"));
            }
            Command::Ready(ready) => {
                if !self.options.kind.accepts(ready.socket_type) {
                    return Err(Error::refused(self.options.kind.refusal(ready.socket_type)));
                }
                self.peer_routing_id = ready.identity.into();
                self.begin_upgrade(ready.capability)?;
            }
            Command::Error(reason) => {
                let reason = String::from_utf8_lossy(reason);
                let text = format!("peer refused: {}", reason.escape_debug());
                return Err(Error::refused(text));
            }
            Command::Ping { ttl, context } => {
                self.peer_ttl = ttl;
                if self.control.len() < MAX_CONTROL_BYTES {
                    encode_pong(&mut self.control, context);
                }
            }
            Command::Sharing(sharing) => self.on_sharing(sharing, offset)?,
            Command::Subscribe(topic) => self.on_subscription(true, topic)?,
            Command::Cancel(topic) => self.on_subscription(false, topic)?,
            Command::Pong | Command::Unknown => {}
        }
        Ok(())
    }

    /// Take a subscription in as the message that it was before ZMTP 3.1.
    fn on_subscription(&mut self, subscribe: bool, topic: &[u8]) -> Result<(), Error> {
        let offset = self.assembler.offset();
        if !matches!(self.options.kind, SocketType::Pub | SocketType::XPub) {
            return Err(Error::malformed(
                offset,
                if subscribe {
                    "SUBSCRIBE to a socket that does not publish"
                } else {
                    "CANCEL to a socket that does not publish"
                },
            ));
        }
        if !matches!(self.phase, Phase::Up | Phase::Draining) {
            return Err(Error::malformed(offset, "SUBSCRIBE before READY"));
        }
        let message = Message::subscription(subscribe, topic)
            .map_err(|_| Error::OutOfMemory { size: 1 + topic.len() as u64 })?;
        self.inbox.accept(message);
        Ok(())
    }

    /// Drop the messages that were received and not taken, and go on behind them.
    pub(crate) fn skip_messages(&mut self) -> Result<(), Closed> {
        loop {
            // NB: what is held back may end amid a frame, so it cannot just be dropped.
            let parsed = self.parse_stash();
            self.inbox.clear();
            self.release();
            parsed?;
            if !self.has_stash() {
                return Ok(());
            }
            if self.is_upgraded() && self.stream.is_some() {
                // A peer that never pauses must not have us read for ever.
                self.ring_self();
                return Ok(());
            }
        }
    }

    /// Parse bytes that were held back, as far as the marks allow. Call it when the inbox
    /// is low.
    pub(crate) fn parse_stash(&mut self) -> Result<(), Closed> {
        if self.stash.is_empty() {
            let more = self.read_ring()?;
            if more {
                self.ring_self();
            }
            return Ok(());
        }
        let stash = std::mem::take(&mut self.stash);
        let mut rest = &stash[self.stash_at..];
        let parsed = self.parse(&mut rest);
        self.stash_at = stash.len() - rest.len();
        // NB: what follows an error is not to be parsed again.
        if rest.is_empty() || parsed.is_err() {
            self.stash_at = 0;
        } else {
            self.stash = stash;
        }
        parsed
    }
}
