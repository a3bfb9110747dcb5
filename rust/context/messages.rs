//! Messages in and out of sockets.

use std::collections::VecDeque;

use super::{Context, FLUSH_COST, FLUSH_LEN, FLUSH_LEN_GROWTH};
use crate::link::{Buffer, Message};
use crate::socket::{
    LinkKey, Links, RecvFault, SendFault, Sent, Socket, SocketKey, State, TopicFault,
};
use crate::zmtp::SocketType;

/// A way in which a socket accepts a message.
trait Accept<B: Buffer>:
    Fn(&mut Socket<B>, &mut Links<B>, Message<B>) -> Result<Sent, (SendFault, Message<B>)>
{
}

impl<B: Buffer, F> Accept<B> for F where
    F: Fn(&mut Socket<B>, &mut Links<B>, Message<B>) -> Result<Sent, (SendFault, Message<B>)>
{
}

impl<B: Buffer> Context<B> {
    /// Accept a message, if a peer has room for it or none is there yet.
    ///
    /// It is written by [`Self::flush`] or [`Self::run_once`], or at once when much has
    /// gathered. A message of an XSUB that is a subscription changes what it takes.
    ///
    /// # Errors
    ///
    /// The reason, and the message.
    #[inline]
    pub fn try_send(
        &mut self,
        key: SocketKey,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        match socket.send_plain(&mut self.links, message) {
            Ok(link) => {
                self.note_queued(link);
                Ok(())
            }
            Err(message) => self.try_send_other(key, message),
        }
    }

    /// Accept messages of one part, as [`Self::try_send`], as long as one peer is there, and
    /// has room; return how many of them.
    #[inline]
    pub fn send_batch(&mut self, key: SocketKey, parts: &mut VecDeque<B>) -> usize {
        let num_parts = parts.len();
        while let Some(socket) = self.sockets.get_mut(key)
            && let Some(link) = socket.send_batch_plain(&mut self.links, parts, FLUSH_COST)
        {
            self.note_queued(link);
        }
        num_parts - parts.len()
    }

    fn try_send_other(
        &mut self,
        key: SocketKey,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        let is_xsub = self.sockets.get(key).is_some_and(|s| s.kind() == SocketType::XSub);
        match message.as_subscription().filter(|_| is_xsub) {
            Some((subscribe, topic)) => {
                let changed = self.change_topic(key, subscribe, topic);
                match changed {
                    // What is not there cannot be missed.
                    Ok(()) | Err(TopicFault::NotSubscribed) => Ok(()),
                    Err(fault) => Err((fault.into(), message)),
                }
            }
            None => {
                let message = self.lay_out(key, message);
                self.submit(key, message, Socket::send)
            }
        }
    }

    /// Accept a message that overtakes all others that are queued and not begun.
    ///
    /// # Errors
    ///
    /// The reason, and the message.
    pub fn try_send_urgent(
        &mut self,
        key: SocketKey,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        self.submit(key, message, Socket::send_urgent)
    }

    fn submit(
        &mut self,
        key: SocketKey,
        message: Message<B>,
        accept: impl Accept<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        match accept(socket, &mut self.links, message) {
            Ok(sent) => {
                self.note_sent(key, sent);
                Ok(())
            }
            Err((full @ SendFault::Full { .. }, message)) => {
                self.submit_again(key, full, message, accept)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Make room by writing what waits, then try once more.
    #[cold]
    fn submit_again(
        &mut self,
        key: SocketKey,
        full: SendFault,
        message: Message<B>,
        accept: impl Accept<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        if self.dirty.is_empty() {
            return Err((full, message));
        }
        self.flush();
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        // NB: it stays starved: another sender may wait for room that this did not find.
        let sent = accept(socket, &mut self.links, message)?;
        self.note_sent(key, sent);
        Ok(())
    }

    #[inline]
    fn note_sent(&mut self, socket: SocketKey, sent: Sent) {
        match sent {
            Sent::Queued(key) => self.note_queued(key),
            Sent::Fanned => self.note_fanned(socket),
            Sent::Requested(key) => {
                self.drop_stale(socket);
                if let Some(key) = key {
                    self.note_queued(key);
                }
            }
            Sent::Waiting | Sent::Dropped => {}
        }
    }

    #[inline]
    fn note_queued(&mut self, key: LinkKey) {
        // NB: dropping what is stale may end the link; its message went on to another.
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        if !peer.is_dirty {
            peer.is_dirty = true;
            peer.flush_len = FLUSH_LEN;
            self.dirty.push(key);
        }
        let link = &peer.link;
        let is_long = link.is_upgraded() && link.outbox.len() >= peer.flush_len;
        if (is_long || link.outbox.cost() >= FLUSH_COST) && !link.is_stuck() {
            peer.flush_len = peer.flush_len.saturating_mul(FLUSH_LEN_GROWTH);
            self.flush_link(key);
        }
    }

    fn note_fanned(&mut self, key: SocketKey) {
        let fanned = self.sockets[key].take_fanned();
        for &link in &fanned {
            self.note_queued(link);
        }
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.give_fanned(fanned);
        }
    }

    #[inline]
    pub(super) fn mark_dirty(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.dirty.push(key);
        }
    }

    /// Whether messages were accepted that no write was tried for yet.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Write what was accepted, as far as the kernel takes it.
    pub fn flush(&mut self) {
        while let Some(key) = self.dirty.pop() {
            if let Some(peer) = self.links.get_mut(key) {
                peer.is_dirty = false;
                self.flush_link(key);
            }
        }
        self.tend_segments();
        self.arm_timer();
    }

    /// Take the next message, if there is one; a ROUTER puts the routing id first.
    ///
    /// # Errors
    ///
    /// [`RecvFault`].
    #[inline]
    pub fn try_recv(&mut self, key: SocketKey) -> Result<Option<Message<B>>, RecvFault> {
        let socket = self.sockets.get_mut(key).ok_or(RecvFault::Closed)?;
        if let Some((message, link)) = socket.recv_plain(&mut self.links) {
            self.after_recv(key, link);
            return Ok(Some(message));
        }
        self.try_recv_other(key)
    }

    fn try_recv_other(&mut self, key: SocketKey) -> Result<Option<Message<B>>, RecvFault> {
        match self.take(key)? {
            None if self.look_further(key) => self.take(key),
            taken => Ok(taken),
        }
    }

    /// Look where messages may be that nobody has told of; whether there may be some.
    fn look_further(&mut self, key: SocketKey) -> bool {
        // They may wait in this very context to be moved.
        let flushed = !self.dirty.is_empty();
        if flushed {
            self.flush();
        }
        self.look_at_rings(key) || flushed
    }

    fn take(&mut self, key: SocketKey) -> Result<Option<Message<B>>, RecvFault> {
        let socket = self.sockets.get_mut(key).ok_or(RecvFault::Closed)?;
        if socket.state != State::Open {
            return Err(RecvFault::Closed);
        }
        let Some((message, link)) = socket.recv(&mut self.links)? else {
            return Ok(None);
        };
        self.note_taken(key, link);
        Ok(Some(message))
    }

    fn note_taken(&mut self, key: SocketKey, link: Option<LinkKey>) {
        match link {
            Some(link) => self.after_recv(key, link),
            None => self.after_notice(key),
        }
        if matches!(self.sockets[key].kind(), SocketType::Req | SocketType::Rep) {
            // It is the owner's turn to send.
            self.wake_senders(key);
        }
    }

    /// Take the next message if it has one part.
    ///
    /// # Errors
    ///
    /// [`RecvFault`]; a message of several parts stays.
    #[inline]
    pub fn try_recv_single(&mut self, key: SocketKey) -> Result<Option<B>, RecvFault> {
        let socket = self.sockets.get(key).ok_or(RecvFault::Closed)?;
        let mut num_parts = socket.num_next_parts(&self.links);
        if num_parts == 0 && self.look_further(key) {
            let socket = self.sockets.get(key).ok_or(RecvFault::Closed)?;
            num_parts = socket.num_next_parts(&self.links);
        }
        if num_parts > 1 {
            return Err(RecvFault::Multipart { num_parts });
        }
        match self.try_recv(key)? {
            Some(Message::Single(part)) => Ok(Some(part)),
            // The message that is taken is the one that was looked at, and has one part.
            Some(Message::Multi(parts)) => Ok(parts.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Take messages of one part of the peer whose turn it is, until one has more, `max_n`
    /// are there, or their payloads have `max_nbytes`; return how many bytes they have. Of a
    /// socket that gives what it gets as it came; of others, and when there is none, nothing.
    #[inline]
    pub fn take_batch(
        &mut self,
        key: SocketKey,
        max_n: usize,
        max_nbytes: usize,
        into: &mut Vec<B>,
    ) -> usize {
        let taken = self
            .sockets
            .get_mut(key)
            .and_then(|socket| socket.recv_batch_plain(&mut self.links, max_n, max_nbytes, into));
        match taken {
            Some((nbytes, link)) => {
                self.after_recv(key, link);
                nbytes
            }
            None => 0,
        }
    }

    /// Drop the replies to a request that nobody waits for any more.
    fn drop_stale(&mut self, key: SocketKey) {
        for link in self.sockets[key].ready() {
            let Some(peer) = self.links.get_mut(link) else {
                continue;
            };
            peer.link.inbox.clear();
            self.sockets[key].set_ready(&mut self.links, link, false);
            self.after_recv(key, link);
        }
    }

    /// Take, or take no more, what starts with `topic`, and tell the peers.
    ///
    /// # Errors
    ///
    /// [`TopicFault`].
    pub fn change_topic(
        &mut self,
        key: SocketKey,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), TopicFault> {
        let socket = self.sockets.get_mut(key).ok_or(TopicFault::Closed)?;
        if !socket.change_topic(subscribe, topic)? {
            return Ok(());
        }
        for link in socket.up().to_vec() {
            let Some(peer) = self.links.get_mut(link) else {
                continue;
            };
            peer.link.push_subscription(subscribe, topic).map_err(|_| TopicFault::OutOfMemory)?;
            self.flush_link(link);
        }
        Ok(())
    }

    /// Peers that a message starting with `topic` would go to.
    ///
    /// # Errors
    ///
    /// [`TopicFault`].
    pub fn num_subscribers(&mut self, key: SocketKey, topic: &[u8]) -> Result<usize, TopicFault> {
        self.sockets.get_mut(key).ok_or(TopicFault::Closed)?.num_subscribers(topic)
    }
}
