//! What one peer has sent: messages that its socket has judged, then those it has not.

use std::collections::VecDeque;

use super::{Buffer, Marks, Message, Overflow, PART_OVERHEAD_BYTES};

/// A message, and where in the peer's ring it begins; 0 of one that came otherwise.
pub(crate) type Received<B> = (Message<B>, u64);

/// A queue of received messages, bounded by its marks and a policy beyond them.
#[derive(Debug)]
pub(crate) struct Inbox<B> {
    marks: Marks,
    overflow: Overflow,
    queue: VecDeque<Received<B>>,
    cost: usize,
    /// Where in the peer's ring the next message comes from.
    at: u64,
    /// How many of the last messages the socket's pattern has not judged yet.
    num_fresh: usize,
    /// Received and dropped because there were too many.
    num_dropped: u64,
    /// Messages received, and their payload bytes.
    received: (u64, u64),
}

impl<B: Buffer> Inbox<B> {
    pub(super) fn new(marks: Marks, overflow: Overflow) -> Self {
        Self {
            marks,
            overflow,
            queue: VecDeque::new(),
            cost: 0,
            at: 0,
            num_fresh: 0,
            num_dropped: 0,
            received: (0, 0),
        }
    }

    /// Messages received since the start, and their payload bytes.
    pub(crate) fn received(&self) -> (u64, u64) {
        self.received
    }

    pub(crate) fn num_dropped(&self) -> u64 {
        self.num_dropped
    }

    /// Messages, and their cost.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.cost)
    }

    /// Messages that can be taken.
    pub(crate) fn num_readable(&self) -> usize {
        self.queue.len() - self.num_fresh
    }

    /// Whether another message is welcome, if only to be dropped.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.overflow != Overflow::Wait || self.admits(0)
    }

    #[inline]
    fn admits(&self, cost: usize) -> bool {
        self.marks.admit(self.queue.len(), self.cost, cost)
    }

    /// Whether so little is left that reading should go on.
    #[inline]
    pub(crate) fn is_low(&self) -> bool {
        self.marks.is_low(self.queue.len(), self.cost)
    }

    /// Take a message in, or drop one where there are too many.
    #[inline]
    pub(crate) fn accept(&mut self, message: Message<B>) {
        let nbytes = message.nbytes();
        let cost = nbytes + message.parts().len() * PART_OVERHEAD_BYTES;
        self.received.0 += 1;
        self.received.1 += nbytes as u64;
        if self.overflow != Overflow::Wait && !self.make_room(cost) {
            return;
        }
        self.cost += cost;
        self.queue.push_back((message, self.at));
        self.num_fresh += 1;
    }

    /// Note where in the peer's ring what is accepted next begins.
    #[inline]
    pub(super) fn come_from(&mut self, position: u64) {
        self.at = position;
    }

    /// Where the oldest message that is here begins.
    #[inline]
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queue.front().map(|(_, at)| *at)
    }

    /// Where what came last begins, in the inbox or still to be parsed.
    pub(super) fn newest(&self) -> u64 {
        self.at
    }

    /// Whether what is here holds up the peer until it is taken.
    #[inline]
    pub(super) fn holds_up(&self) -> bool {
        self.overflow == Overflow::Wait
    }

    /// Drop what the policy says; `false` if that is the new message.
    fn make_room(&mut self, cost: usize) -> bool {
        while !self.admits(cost) {
            self.num_dropped += 1;
            let oldest = match self.overflow {
                Overflow::DropOld => self.queue.pop_front(),
                Overflow::DropNew | Overflow::Wait => None,
            };
            let Some((oldest, _)) = oldest else {
                return false;
            };
            self.cost -= oldest.cost();
            self.num_fresh = self.num_fresh.min(self.queue.len());
        }
        true
    }

    /// Take the next message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message<B>> {
        if self.queue.len() == self.num_fresh {
            return None;
        }
        let (message, _) = self.queue.pop_front()?;
        self.cost -= message.cost();
        Some(message)
    }

    /// Take the next message if it has one part.
    #[inline]
    pub(crate) fn pop_single(&mut self) -> Option<B> {
        if !matches!(self.peek(), Some(Message::Single(_))) {
            return None;
        }
        match self.pop() {
            Some(Message::Single(part)) => Some(part),
            _ => None,
        }
    }

    /// The message that [`Self::pop`] would take.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&Message<B>> {
        let has_some = self.queue.len() > self.num_fresh;
        self.queue.front().filter(|_| has_some).map(|(message, _)| message)
    }

    pub(crate) fn has_fresh(&self) -> bool {
        self.num_fresh > 0
    }

    /// Take what came since the last time, to be judged.
    pub(crate) fn take_fresh(&mut self) -> VecDeque<Received<B>> {
        let at = self.queue.len() - std::mem::take(&mut self.num_fresh);
        let fresh = self.queue.split_off(at);
        self.cost -= fresh.iter().map(|(message, _)| message.cost()).sum::<usize>();
        fresh
    }

    /// Let all that came since the last time be taken.
    #[inline]
    pub(crate) fn keep_fresh(&mut self) {
        self.num_fresh = 0;
    }

    /// Let one message be taken.
    pub(crate) fn keep(&mut self, received: Received<B>) {
        debug_assert_eq!(self.num_fresh, 0, "what is not judged comes last");
        self.cost += received.0.cost();
        self.queue.push_back(received);
    }

    /// Put messages back that are to be judged later.
    pub(crate) fn put_off(&mut self, messages: VecDeque<Received<B>>) {
        self.num_fresh += messages.len();
        self.cost += messages.iter().map(|(message, _)| message.cost()).sum::<usize>();
        self.queue.extend(messages);
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.cost = 0;
        self.num_fresh = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(num_messages: usize, overflow: Overflow) -> Inbox<Vec<u8>> {
        let marks = Marks { messages: num_messages, nbytes: 1 << 20 };
        Inbox::new(marks, overflow)
    }

    fn message(byte: u8) -> Message<Vec<u8>> {
        Message::Single(vec![byte; 10])
    }

    #[test]
    fn only_what_was_judged_can_be_taken() {
        let mut inbox = inbox(10, Overflow::Wait);
        (0..3).for_each(|byte| inbox.accept(message(byte)));
        assert!(inbox.pop().is_none() && inbox.peek().is_none());
        let mut fresh = inbox.take_fresh();
        inbox.keep(fresh.pop_front().unwrap());
        inbox.put_off(fresh);
        assert_eq!((inbox.num_readable(), inbox.queued().0), (1, 3));
        assert_eq!(inbox.pop(), Some(message(0)));
        assert_eq!(inbox.pop(), None);
        inbox.keep_fresh();
        assert_eq!((inbox.pop(), inbox.pop()), (Some(message(1)), Some(message(2))));
        assert_eq!(inbox.queued(), (0, 0));
        assert_eq!(inbox.received(), (3, 30));
    }

    #[test]
    fn policy_says_which_message_of_too_many_is_dropped() {
        for (overflow, kept) in [(Overflow::DropOld, [2, 3]), (Overflow::DropNew, [0, 1])] {
            let mut inbox = inbox(2, overflow);
            (0..4).for_each(|byte| inbox.accept(message(byte)));
            assert!(inbox.has_room());
            inbox.keep_fresh();
            assert_eq!(inbox.num_dropped(), 2);
            assert_eq!(kept.map(|byte| Some(message(byte))), [inbox.pop(), inbox.pop()]);
            assert_eq!(inbox.queued(), (0, 0));
        }
    }

    #[test]
    fn full_inbox_that_waits_has_no_room_until_it_is_low() {
        let mut inbox = inbox(4, Overflow::Wait);
        (0..4).for_each(|byte| inbox.accept(message(byte)));
        inbox.keep_fresh();
        assert!(!inbox.has_room() && !inbox.is_low());
        inbox.pop();
        assert!(!inbox.is_low());
        inbox.pop();
        assert!(inbox.is_low() && inbox.has_room());
    }
}
