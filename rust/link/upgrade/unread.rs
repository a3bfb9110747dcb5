//! Messages that were written to a ring and that its reader has not taken: where it dies or
//! leaves, they are the sender's again.

use std::collections::VecDeque;

use super::outgoing::Outgoing;
use super::record::{HEADER_BYTES, Header, Kind};
use crate::link::{Buffer, Message};
use crate::shm::{Descriptor, Store};

/// Messages that went as a stream of frames, which has no records of its own, each with the
/// position behind it.
pub(super) struct Streamed<B>(VecDeque<(u64, Message<B>)>);

impl<B> Default for Streamed<B> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<B> Streamed<B> {
    /// Forget what ends at `head` or before it.
    fn forget_until(&mut self, head: u64) {
        while self.0.front().is_some_and(|(end, _)| *end <= head) {
            self.0.pop_front();
        }
    }

    /// Take the next message, if it ends at `end`.
    fn take(&mut self, end: u64) -> Option<Message<B>> {
        if self.0.front()?.0 != end {
            return None;
        }
        self.0.pop_front().map(|(_, message)| message)
    }
}

impl<B: Buffer> Outgoing<B> {
    /// Keep a message that was just written as a stream, until it is taken.
    pub(super) fn keep_streamed(&mut self, message: Message<B>) {
        self.streamed.0.push_back((self.writer.position(), message));
    }

    /// Let go of streamed messages that were taken; have the peer ring when others are.
    pub(in crate::link) fn forget_taken(&mut self) {
        if self.streamed.0.is_empty() {
            return;
        }
        // Whoever sleeps for room has said so already.
        if !self.is_sleeping {
            self.writer.announce_sleep();
        }
        // What is wrong is found at the next write.
        if let Ok(head) = self.writer.head() {
            self.streamed.forget_until(head);
        }
    }

    /// Take the messages back that the peer, which is gone, had not taken.
    pub(super) fn take_unread(&mut self, store: &Store) -> VecDeque<Message<B>> {
        let mut found = VecDeque::new();
        // A peer that says nonsense at its end has taken everything, for all we know.
        let head = self.writer.head().ok().filter(|&head| self.starts.has(head));
        let mut at = head.unwrap_or_else(|| self.writer.position());
        self.streamed.forget_until(at);
        let mut parts = Some(Vec::new());
        while let Some((header, body)) = self.record(at) {
            let (part, more) = match header.kind {
                Kind::Stream => {
                    at += header.record_nbytes() as u64;
                    found.extend(self.streamed.take(at));
                    continue;
                }
                Kind::Part { more } => (B::copy_from(body).ok(), more),
                Kind::Slot { more } => (self.lent(body, store), more),
            };
            at += header.record_nbytes() as u64;
            // Of a message that cannot be had as a whole, nothing is.
            match part {
                Some(part) => parts.as_mut().map(|parts| parts.push(part)).unwrap_or_default(),
                None => parts = None,
            }
            if !more {
                found.extend(parts.replace(Vec::new()).and_then(Message::from_parts));
            }
        }
        found
    }

    /// The record at `position`, as we wrote it.
    fn record(&self, position: u64) -> Option<(Header, &[u8])> {
        let available = self.writer.position().checked_sub(position).filter(|&left| left > 0)?;
        let offset = position as usize & (self.data.nbytes() - 1);
        let header = self.data.slice(offset, HEADER_BYTES).try_into().ok()?;
        let header = Header::decode(header, available as usize, position).ok()?;
        Some((header, self.data.slice(offset + HEADER_BYTES, header.nbytes)))
    }

    /// What a record of a slot points at, if the peer has not given it back.
    fn lent(&self, body: &[u8], store: &Store) -> Option<B> {
        let told = Descriptor::decode(body).ok()?;
        let slot = self.account.lent(store, &told)?;
        B::from_slot(slot.clone()).ok()
    }
}
