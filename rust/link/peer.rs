//! The link to one peer: handshake, then messages both ways.

use std::os::fd::{AsFd, BorrowedFd};

use super::announcements::Announcements;
use super::upgrade::{Incoming, Outgoing, Upgrade};
use super::{
    Assembler, Buffer, Closed, Guard, Inbox, Limits, Marks, Message, OutOfMemory, Outbox, Overflow,
    Received, Stream,
};
use crate::sync::Doorbell;
use crate::zmtp::{
    GREETING_BYTES, SocketType, encode_error, encode_greeting, encode_header, encode_subscription,
};

/// Encoded subscriptions that may wait to be written.
const MAX_ANNOUNCED_BYTES: usize = 64 << 10;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Greeting,
    Handshake,
    /// Whether to move into shared memory is being talked about.
    Upgrading,
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

/// What a link is to announce, and how much it may hold.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    pub kind: SocketType,
    pub routing_id: Vec<u8>,
    pub limits: Limits,
    /// Of messages to be sent, less the urgent ones.
    pub outbox: Marks,
    /// Of urgent messages to be sent.
    pub urgent: Marks,
    /// Of messages received.
    pub inbox: Marks,
    /// What becomes of received messages beyond their marks; with [`Overflow::Wait`] the
    /// stream is left alone.
    pub overflow: Overflow,
}

/// One peer.
pub struct Link<B: Buffer> {
    pub(super) stream: Option<Stream>,
    pub(super) phase: Phase,
    pub(super) options: LinkOptions,
    pub(super) greeting: Vec<u8>,
    pub(super) guard: Guard,
    /// Of the ZMTP 3 that the peer speaks.
    pub(super) peer_minor: u8,
    /// The peer is a socket of the same context, and there is no stream.
    pub(super) is_inproc: bool,
    pub(super) peer_routing_id: Vec<u8>,
    pub(super) assembler: Assembler<B>,
    pub(crate) inbox: Inbox<B>,
    /// Read and not parsed yet, because the inbox is full.
    pub(super) stash: Vec<u8>,
    pub(super) stash_at: usize,
    pub(crate) outbox: Outbox<B>,
    /// Greeting and commands to be written, and how much of them is.
    pub(super) control: Vec<u8>,
    pub(super) control_at: usize,
    /// Subscriptions that follow once that is written.
    pub(super) announcements: Announcements,
    /// The kernel took less than it was offered: wait until the stream is writable.
    pub(super) blocked: bool,
    /// The last frame was read straight into its buffer: the next may be large too.
    pub(super) expects_large: bool,
    /// Messages were written to it.
    pub(super) has_sent: bool,
    /// Nothing can be written any more; what the peer sent before may still be read.
    pub(super) severed: bool,
    /// Bytes came since each [`Watch`] last asked.
    pub(super) heard: [bool; 2],
    /// The peer's stack took bytes since the time to answer a PING began.
    pub(super) has_progress: bool,
    /// As in the peer's last PING.
    pub(super) peer_ttl: u16,
    pub(super) upgrade: Upgrade,
    /// Both sides could, and there was no memory.
    pub(super) is_upgrade_refused: bool,
    pub(super) received: Received,
    /// Of a moved link: what each side sends, the bell that rings us, and what was read from
    /// the stream and not acted upon.
    pub(super) outgoing: Option<Box<Outgoing<B>>>,
    pub(super) incoming: Option<Box<Incoming<B>>>,
    pub(super) bell: Option<Doorbell>,
    pub(super) line: Vec<u8>,
    /// The peer said so, or is gone: nothing more is taken there.
    pub(super) peer_has_left: bool,
    /// It holds nothing any more.
    pub(super) peer_is_gone: bool,
    /// This process could not take in what the peer handed over.
    pub(super) lacks_room: bool,
}

impl<B: Buffer> Link<B> {
    /// Start a link over `stream`.
    pub fn new(stream: Stream, connecting: bool, options: LinkOptions) -> Self {
        Self {
            stream: Some(stream),
            phase: if connecting { Phase::Connecting } else { Phase::Greeting },
            control: encode_greeting().into(),
            blocked: connecting,
            ..Self::bare(options)
        }
    }

    /// Make one half of a link within a context: its owner moves the messages.
    pub(crate) fn inproc(options: LinkOptions, peer_routing_id: &[u8]) -> Self {
        Self {
            is_inproc: true,
            phase: Phase::Up,
            peer_routing_id: peer_routing_id.into(),
            ..Self::bare(options)
        }
    }

    fn bare(options: LinkOptions) -> Self {
        Self {
            stream: None,
            phase: Phase::Greeting,
            greeting: Vec::new(),
            guard: Guard::Open,
            peer_minor: 0,
            is_inproc: false,
            peer_routing_id: Vec::new(),
            assembler: Assembler::new(options.limits, GREETING_BYTES as u64),
            inbox: Inbox::new(options.inbox, options.overflow),
            options,
            stash: Vec::new(),
            stash_at: 0,
            outbox: Outbox::new(),
            control: Vec::new(),
            control_at: 0,
            announcements: Announcements::default(),
            blocked: false,
            expects_large: false,
            has_sent: false,
            severed: false,
            heard: [false; 2],
            has_progress: false,
            peer_ttl: 0,
            upgrade: Upgrade::Never,
            is_upgrade_refused: false,
            received: Received::default(),
            lacks_room: false,
            outgoing: None,
            incoming: None,
            bell: None,
            line: Vec::new(),
            peer_has_left: false,
            peer_is_gone: false,
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

    /// The descriptor, while the stream is open.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some() || self.is_inproc
    }

    pub(crate) fn options(&self) -> &LinkOptions {
        &self.options
    }

    /// Whether bytes from the peer are welcome; if not, the stream is left alone.
    pub(crate) fn wants_read(&self) -> bool {
        let is_paused = !self.stash.is_empty() || !self.inbox.has_room();
        // What a moved link reads from its stream is no message.
        self.is_open() && (self.is_draining() || !is_paused || self.is_upgraded())
    }

    /// Whether to be told when the stream takes bytes again.
    pub(crate) fn wants_write(&self) -> bool {
        self.is_open() && self.blocked
    }

    /// Whether writing has to wait for the peer.
    #[inline]
    pub(crate) fn is_stuck(&self) -> bool {
        self.blocked || self.outgoing.as_ref().is_some_and(|outgoing| outgoing.is_sleeping())
    }

    /// The peer of a moved link rang: it may have made room.
    pub(crate) fn on_rung(&mut self) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.wake();
            outgoing.forget_taken();
        }
    }

    /// Whether a message fits between the marks.
    #[inline]
    pub(crate) fn admits(&self, cost: usize) -> bool {
        self.outbox.admits(&self.options.outbox, cost)
    }

    /// Whether an urgent one does.
    pub(crate) fn admits_urgent(&self, cost: usize) -> bool {
        self.outbox.admits_urgent(&self.options.urgent, cost)
    }

    pub(crate) fn is_low(&self) -> bool {
        self.outbox.is_low(&self.options.outbox)
    }

    pub(crate) fn is_low_on_urgent(&self) -> bool {
        self.outbox.is_low_on_urgent(&self.options.urgent)
    }

    /// Whether all that was to be written is.
    pub(crate) fn is_flushed(&self) -> bool {
        let is_told =
            self.control.is_empty() && self.announcements.is_empty() && !self.owes_offer();
        is_told && self.outbox.is_empty() && !self.guard.has_pending()
    }

    /// Whether something was received that is still to be parsed, and nobody will tell of.
    pub(crate) fn has_stash(&mut self) -> bool {
        let is_closed = self.stream.is_none();
        !self.stash.is_empty()
            || self
                .incoming
                .as_mut()
                .is_some_and(|incoming| incoming.is_held_up() || is_closed && incoming.has_unread())
    }

    /// Write no more; what the peer sent can still be read.
    pub(crate) fn sever(&mut self) {
        self.severed = true;
        self.blocked = false;
        self.control.clear();
        self.control_at = 0;
        self.announcements.clear();
        self.guard.discard();
    }

    /// Drop what was received and not taken; nothing more is parsed after it.
    pub(crate) fn discard_inbox(&mut self) {
        self.inbox.clear();
        self.stash.clear();
        self.stash_at = 0;
        self.incoming = None;
    }

    /// Close the stream; what was parsed can still be taken.
    pub(crate) fn close(&mut self) {
        self.sever();
        let left = self.leave_ring();
        self.say_bye();
        // NB: with the last that is lent by the peer, the stream ends.
        drop(left);
        if let Some(incoming) = &mut self.incoming {
            incoming.end();
        }
        self.stream = None;
        self.bell = None;
        self.received.fds.clear();
        self.is_inproc = false;
    }

    /// Tell the peer that we want, or want no more, what starts with `topic`.
    pub(crate) fn push_subscription(
        &mut self,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), OutOfMemory> {
        if self.is_inproc {
            let message = Message::subscription(subscribe, topic)?;
            let cost = message.cost();
            self.outbox.push(message, cost);
        } else if !self.severed {
            self.announcements.add(subscribe, topic);
            self.announce();
        }
        Ok(())
    }

    /// Encode subscriptions, no more than a peer that reads takes at once.
    pub(super) fn announce(&mut self) {
        while self.control.len() < MAX_ANNOUNCED_BYTES
            && let Some((topic, subscribe)) = self.announcements.pop()
        {
            encode_subscription(&mut self.control, self.peer_minor, subscribe, &topic);
        }
    }

    /// Write an empty message before all others, which is nobody's to lose. Within a context
    /// there is no stream to write it to: whoever joins two sockets moves it.
    pub(crate) fn push_probe(&mut self) {
        if !self.is_inproc && !self.severed {
            encode_header(&mut self.control, 0, false, false);
        }
    }

    /// Whether the peer ended the stream; what it sent before may still be unread.
    pub(crate) fn is_hung_up(&self) -> bool {
        !self.is_inproc && self.stream.as_ref().is_none_or(Stream::is_hung_up)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// Send no more, and drop what comes, until the peer ends the stream. What came before
    /// can still be taken.
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
        if self.guard.has_pending() {
            // Counted as sent, so it has to be on its way before the stream is ended.
            self.phase = Phase::Draining;
            self.control.clear();
            self.control_at = 0;
            return true;
        }
        let ended = stream.shutdown_write().is_ok();
        if ended {
            self.phase = Phase::Draining;
            self.sever();
        }
        ended
    }

    /// End our half of the stream once what was sealed is written.
    pub(super) fn drain_rest(&mut self) -> Result<(), Closed> {
        self.sever();
        self.stream.as_ref().map_or(Ok(()), Stream::shutdown_write)?;
        Ok(())
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
}
