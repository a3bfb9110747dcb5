//! Messages in and out of sockets.

use super::{Context, FLUSH_COST, RecvFault};
use crate::link::{Buffer, Message};
use crate::socket::{LinkKey, SendFault, Sent, SocketKey, State, addressed};
use crate::zmtp::SocketType;

impl<B: Buffer> Context<B> {
    /// Accept a message, if a peer has room for it or none is there yet.
    ///
    /// It is written by [`Self::flush`] or [`Self::run_once`], or at once when much has
    /// gathered.
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
        match socket.send(&mut self.links, message) {
            Ok(sent) => {
                self.note_sent(sent);
                Ok(())
            }
            Err((full @ SendFault::Full { .. }, message)) => {
                self.try_send_again(key, full, message)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Make room by writing what waits, then try once more.
    #[cold]
    fn try_send_again(
        &mut self,
        key: SocketKey,
        full: SendFault,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        if self.dirty.is_empty() {
            return Err((full, message));
        }
        self.flush();
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        // NB: it stays starved: another sender may wait for room that this did not find.
        let sent = socket.send(&mut self.links, message)?;
        self.note_sent(sent);
        Ok(())
    }

    #[inline]
    fn note_sent(&mut self, sent: Sent) {
        let Sent::Queued(key) = sent else {
            return;
        };
        self.mark_dirty(key);
        let link = &self.links[key].link;
        if link.outbox.cost() >= FLUSH_COST && !link.wants_write() {
            self.flush_link(key);
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
        if socket.state != State::Open {
            return Err(RecvFault::Closed);
        }
        if !socket.kind().receives() {
            return Err(RecvFault::Misuse("a PUSH socket cannot receive"));
        }
        let Some((message, link)) = socket.recv(&mut self.links) else {
            return Ok(None);
        };
        let message = if socket.kind() == SocketType::Router {
            addressed(self.links[link].link.peer_routing_id(), message)
        } else {
            Ok(message)
        };
        self.after_recv(key, link);
        Ok(Some(message?))
    }

    /// Take the next message if it has one part.
    ///
    /// # Errors
    ///
    /// [`RecvFault`]; a message of several parts stays.
    #[inline]
    pub fn try_recv_single(&mut self, key: SocketKey) -> Result<Option<B>, RecvFault> {
        let socket = self.sockets.get(key).ok_or(RecvFault::Closed)?;
        let extra = usize::from(socket.kind() == SocketType::Router);
        match socket.peek(&self.links) {
            Some(message) if message.parts().len() + extra > 1 => {
                let num_parts = message.parts().len() + extra;
                return Err(RecvFault::Multipart { num_parts });
            }
            _ => {}
        }
        match self.try_recv(key)? {
            Some(Message::Single(part)) => Ok(Some(part)),
            // The peeked message is the one that is taken, and it has one part.
            Some(Message::Multi(parts)) => Ok(parts.into_iter().next()),
            None => Ok(None),
        }
    }
}
