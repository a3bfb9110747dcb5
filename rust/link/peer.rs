//! The link to one peer: handshake, then messages both ways.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::{Assembler, Buffer, Filling, Item, Limits, Marks, Message, Outbox, Stream};
use crate::link::outbox::Written;
use crate::zmtp::{
    Command, Error, GREETING_BYTES, SocketType, check_greeting, encode_error, encode_greeting,
    encode_pong, encode_ready,
};

/// A frame of which at least this much is missing is read straight into its buffer.
const DIRECT_READ_BYTES: usize = 32 << 10;
/// What is read where a large frame's header is expected: the less of its body comes with
/// it, the less is copied.
const HEADER_READ_BYTES: usize = 4 << 10;
/// Bytes after which one link lets the others have their turn.
const READ_BUDGET_BYTES: usize = 1 << 20;
/// Answers to PINGs that may wait to be written; a peer that floods loses the rest.
const MAX_CONTROL_BYTES: usize = 4096;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Greeting,
    Handshake,
    Up,
    /// Nothing more is sent; what still comes is dropped until the peer ends too.
    Draining,
}

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<K> {
    Accepted,
    Connected(K),
}

/// Why a link is at its end.
#[derive(Debug)]
pub enum Closed {
    /// The peer ended the stream between two messages.
    Eof,
    /// It vanished inside one.
    AmidMessage,
    System(Errno),
    Protocol(Error),
}

impl From<Errno> for Closed {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<Error> for Closed {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

/// One peer.
pub struct Link<B: Buffer> {
    stream: Option<Stream>,
    phase: Phase,
    kind: SocketType,
    routing_id: Vec<u8>,
    greeting: Vec<u8>,
    peer_routing_id: Vec<u8>,
    assembler: Assembler<B>,
    marks: Marks,
    inbox: VecDeque<Message<B>>,
    inbox_cost: usize,
    /// Read and not parsed yet, because the inbox is full.
    stash: Vec<u8>,
    stash_at: usize,
    pub(crate) outbox: Outbox<B>,
    /// Greeting and commands to be written, and how much of them is.
    control: Vec<u8>,
    control_at: usize,
    /// The kernel took less than it was offered: wait until the stream is writable.
    blocked: bool,
    /// The last frame was read straight into its buffer: the next may be large too.
    expects_large: bool,
    /// Messages were written to it.
    has_sent: bool,
    /// Nothing can be written any more; what the peer sent before may still be read.
    severed: bool,
}

impl<B: Buffer> Link<B> {
    /// Start a link over `stream` that announces `kind` and `routing_id`.
    pub fn new(
        stream: Stream,
        connecting: bool,
        kind: SocketType,
        routing_id: &[u8],
        limits: Limits,
        marks: Marks,
    ) -> Self {
        Self {
            stream: Some(stream),
            phase: if connecting { Phase::Connecting } else { Phase::Greeting },
            kind,
            routing_id: routing_id.into(),
            greeting: Vec::new(),
            peer_routing_id: Vec::new(),
            assembler: Assembler::new(limits, GREETING_BYTES as u64),
            marks,
            inbox: VecDeque::new(),
            inbox_cost: 0,
            stash: Vec::new(),
            stash_at: 0,
            outbox: Outbox::new(),
            control: encode_greeting().into(),
            control_at: 0,
            blocked: connecting,
            expects_large: false,
            has_sent: false,
            severed: false,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The id in the peer's READY; empty if it has none.
    pub fn peer_routing_id(&self) -> &[u8] {
        &self.peer_routing_id
    }

    /// Name a peer that has no id of its own.
    pub(crate) fn set_peer_routing_id(&mut self, id: Vec<u8>) {
        self.peer_routing_id = id;
    }

    /// Messages parsed and not taken, and their cost.
    pub fn queued(&self) -> (usize, usize) {
        (self.inbox.len(), self.inbox_cost)
    }

    /// The descriptor, while the stream is open.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether bytes from the peer are welcome; if not, the stream is left alone.
    pub(crate) fn wants_read(&self) -> bool {
        self.is_open() && self.stash.is_empty() && self.has_inbox_room()
    }

    /// Whether to be told when the stream takes bytes again.
    pub(crate) fn wants_write(&self) -> bool {
        self.is_open() && self.blocked
    }

    /// Whether a message fits between the marks.
    #[inline]
    pub(crate) fn admits(&self, cost: usize) -> bool {
        self.marks.admit(self.outbox.len(), self.outbox.cost(), cost)
    }

    pub(crate) fn is_low(&self) -> bool {
        self.marks.is_low(self.outbox.len(), self.outbox.cost())
    }

    /// Whether all that was to be written is.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && self.control.is_empty()
    }

    /// Take the next message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message<B>> {
        let message = self.inbox.pop_front()?;
        self.inbox_cost -= message.cost();
        Some(message)
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<&Message<B>> {
        self.inbox.front()
    }

    /// Parse bytes that were held back, as far as the marks allow. Call it when the inbox
    /// is low.
    pub(crate) fn parse_stash(&mut self) -> Result<(), Closed> {
        if self.stash.is_empty() {
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

    /// Whether the inbox fell so far that reading should go on.
    #[inline]
    pub(crate) fn inbox_is_low(&self) -> bool {
        self.marks.is_low(self.inbox.len(), self.inbox_cost)
    }

    pub(crate) fn has_stash(&self) -> bool {
        !self.stash.is_empty()
    }

    /// Write no more; what the peer sent can still be read.
    pub(crate) fn sever(&mut self) {
        self.severed = true;
        self.blocked = false;
        self.control.clear();
        self.control_at = 0;
    }

    /// Drop what was received and not taken; nothing more is parsed after it.
    pub(crate) fn discard_inbox(&mut self) {
        self.inbox.clear();
        self.inbox_cost = 0;
        self.stash.clear();
        self.stash_at = 0;
    }

    /// Drop the messages that were received and not taken, and go on behind them.
    pub(crate) fn skip_messages(&mut self) -> Result<(), Closed> {
        loop {
            self.inbox.clear();
            self.inbox_cost = 0;
            if self.stash.is_empty() {
                return Ok(());
            }
            // NB: what is held back may end amid a frame, so it cannot just be dropped.
            self.parse_stash()?;
        }
    }

    /// Close the stream; what was parsed can still be taken.
    pub(crate) fn close(&mut self) {
        self.sever();
        self.stream = None;
    }

    /// Whether the peer ended the stream; what it sent before may still be unread.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.stream.as_ref().is_none_or(Stream::is_hung_up)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// Send no more, and drop what comes, until the peer ends the stream.
    ///
    /// `false` where that is not needed or not possible: the stream can just be closed.
    pub(crate) fn drain(&mut self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        // NB: closing a TCP socket with unread bytes resets it, and a reset takes with it
        // what the kernel has not delivered yet.
        if !stream.is_tcp() || self.phase != Phase::Up || !self.has_sent {
            return false;
        }
        let ended = stream.shutdown_write().is_ok();
        if ended {
            self.phase = Phase::Draining;
            self.discard_inbox();
        }
        ended
    }

    /// Tell the peer why its link is closed, as far as the kernel takes it at once.
    pub(crate) fn refuse(&mut self, reason: &str) {
        if self.outbox.is_amid_message() || self.phase == Phase::Connecting {
            return;
        }
        encode_error(&mut self.control, reason);
        // The link ends now: whether the peer hears of it or not.
        let _ = self.flush_control();
    }

    /// Read what is there, up to a budget, and parse it as far as the marks allow.
    pub(crate) fn on_readable(&mut self, scratch: &mut [u8]) -> Result<(), Closed> {
        let mut budget = READ_BUDGET_BYTES;
        while self.wants_read() && budget > 0 {
            let (read, offered) = match self.read_once(scratch) {
                Ok(read) => read,
                Err(Closed::System(Errno::AGAIN | Errno::INTR)) => return Ok(()),
                Err(closed) => return Err(closed),
            };
            if read == 0 {
                let cut = self.assembler.is_amid_message();
                return Err(if cut { Closed::AmidMessage } else { Closed::Eof });
            }
            if read < offered {
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
        if let Some(filling) = self.assembler.large_part(DIRECT_READ_BYTES) {
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
        let read = stream.read(&mut scratch[..limit])?;
        self.consume(&scratch[..read])?;
        Ok((read, limit))
    }

    fn consume(&mut self, mut input: &[u8]) -> Result<(), Closed> {
        if self.phase == Phase::Greeting {
            let wanted = (GREETING_BYTES - self.greeting.len()).min(input.len());
            self.greeting.extend_from_slice(&input[..wanted]);
            input = &input[wanted..];
            if !check_greeting(&self.greeting)? {
                return Ok(());
            }
            encode_ready(&mut self.control, self.kind, &self.routing_id);
            self.phase = Phase::Handshake;
        }
        self.parse(&mut input)?;
        if !input.is_empty() {
            self.stash = input.to_vec();
        }
        Ok(())
    }

    #[inline]
    fn has_inbox_room(&self) -> bool {
        self.marks.admit(self.inbox.len(), self.inbox_cost, 0)
    }

    fn parse(&mut self, input: &mut &[u8]) -> Result<(), Closed> {
        while self.has_inbox_room() {
            match self.assembler.next(input)? {
                None => break,
                Some(Item::Message(message)) if self.phase == Phase::Up => {
                    self.inbox_cost += message.cost();
                    self.inbox.push_back(message);
                }
                Some(Item::Message(_)) => {
                    let offset = self.assembler.offset();
                    return Err(Error::malformed(offset, "message before READY").into());
                }
                Some(Item::Command(body)) => self.on_command(&body)?,
            }
        }
        Ok(())
    }

    fn on_command(&mut self, body: &[u8]) -> Result<(), Error> {
        let offset = self.assembler.offset();
        match Command::parse(body, offset)? {
            Command::Ready(_) if self.phase == Phase::Up => {
                return Err(Error::malformed(offset, "second READY"));
            }
            Command::Ready(ready) => {
                if !self.kind.accepts(ready.socket_type) {
                    return Err(Error::refused(format!(
                        "socket type {} does not speak with {}",
                        self.kind.name(),
                        String::from_utf8_lossy(ready.socket_type).escape_debug()
                    )));
                }
                self.peer_routing_id = ready.identity.into();
                self.phase = Phase::Up;
            }
            Command::Error(reason) => {
                let reason = String::from_utf8_lossy(reason);
                let text = format!("peer refused: {}", reason.escape_debug());
                return Err(Error::refused(text));
            }
            Command::Ping { context } => {
                if self.control.len() < MAX_CONTROL_BYTES {
                    encode_pong(&mut self.control, context);
                }
            }
            Command::Pong | Command::Unknown => {}
        }
        Ok(())
    }

    /// The stream became writable: a connection is made, or the kernel has room.
    pub(crate) fn on_writable(&mut self) -> Result<(), Closed> {
        self.blocked = false;
        if self.phase == Phase::Connecting
            && let Some(stream) = &self.stream
        {
            stream.connect_result()?;
            self.phase = Phase::Greeting;
        }
        Ok(())
    }

    /// Write until all is written or the kernel takes no more.
    pub(crate) fn flush(&mut self, scratch: &mut Vec<u8>) -> Result<Written, Closed> {
        let mut total = Written::default();
        if !self.outbox.is_empty() && self.stream.as_ref().is_some_and(Stream::has_ended) {
            return Err(Closed::Eof);
        }
        while !self.blocked && !self.severed && !self.is_flushed() {
            if !self.control.is_empty() && !self.outbox.is_amid_message() {
                self.flush_control()?;
                continue;
            }
            if self.outbox.is_empty() || self.phase != Phase::Up {
                break;
            }
            let only_first = !self.control.is_empty();
            let done = self.write_messages(scratch, only_first)?;
            total.num_messages += done.num_messages;
            total.nbytes += done.nbytes;
        }
        Ok(total)
    }

    fn write_messages(
        &mut self,
        scratch: &mut Vec<u8>,
        only_first: bool,
    ) -> Result<Written, Closed> {
        let Some(stream) = &self.stream else {
            return Ok(Written::default());
        };
        let write = |slices: &[IoSlice<'_>]| stream.write(slices);
        match self.outbox.write_batch(scratch, only_first, write) {
            Ok((written, all)) => {
                self.has_sent = true;
                self.blocked = !all;
                Ok(written)
            }
            Err(Errno::AGAIN) => {
                self.blocked = true;
                Ok(Written::default())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn flush_control(&mut self) -> Result<(), Closed> {
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let rest = &self.control[self.control_at..];
        match stream.write(&[IoSlice::new(rest)]) {
            Ok(taken) if taken == rest.len() => {
                self.control.clear();
                self.control_at = 0;
            }
            Ok(taken) => {
                self.control_at += taken;
                self.blocked = true;
            }
            Err(Errno::AGAIN) => self.blocked = true,
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}
