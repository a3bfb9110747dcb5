//! What is to be sent to one peer: messages, encoded only when they are written.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use super::{Marks, Message};
use crate::zmtp::{encode_header, header_len};

/// Payloads up to this are copied next to their headers; larger ones are written from
/// where they are. A copy of 16 KiB costs about as much as an iovec does.
const COPY_MAX_BYTES: usize = 16 << 10;
/// Bytes after which no further message joins a write.
const BATCH_BYTES: usize = 256 << 10;
const MAX_PIECES: usize = 64;

/// Messages written so far by one call.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) num_messages: u64,
    pub(crate) nbytes: u64,
}

/// A queue of messages, of which the first may be written in part.
#[derive(Debug)]
pub struct Outbox<B> {
    queue: VecDeque<Message<B>>,
    cost: usize,
    /// Bytes of the first message's frames that are gone.
    written: usize,
    /// Where the urgent messages are; what stands before them is begun, or came back.
    urgent: Range<usize>,
    urgent_cost: usize,
}

enum Piece<'a> {
    /// A range of the scratch buffer, by its end.
    Scratch {
        start: usize,
        end: usize,
    },
    Held(&'a [u8]),
}

impl<B: AsRef<[u8]>> Outbox<B> {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new(), cost: 0, written: 0, urgent: 0..0, urgent_cost: 0 }
    }

    /// Messages not yet written to their end.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Their bytes as [`Message::cost`] counts them.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Whether the first message is partly written, so that nothing may come before its
    /// end.
    pub(crate) fn is_amid_message(&self) -> bool {
        self.written > 0
    }

    #[inline]
    pub(crate) fn push(&mut self, message: Message<B>, cost: usize) {
        self.cost += cost;
        self.queue.push_back(message);
    }

    /// Whether a message of `extra` bytes may be taken; urgent ones do not count.
    #[inline]
    pub(crate) fn admits(&self, marks: &Marks, extra: usize) -> bool {
        let len = self.queue.len() - self.urgent.len();
        marks.admit(len, self.cost - self.urgent_cost, extra)
    }

    /// Whether a sender that waits for room should go on.
    #[inline]
    pub(crate) fn is_low(&self, marks: &Marks) -> bool {
        let len = self.queue.len() - self.urgent.len();
        marks.is_low(len, self.cost - self.urgent_cost)
    }

    /// Whether the messages that are not urgent are no more than the mark says.
    pub(crate) fn is_within(&self, marks: &Marks) -> bool {
        let len = self.queue.len() - self.urgent.len();
        len <= marks.messages && self.cost - self.urgent_cost <= marks.nbytes
    }

    /// Whether one that waits for room for an urgent message should.
    pub(crate) fn is_low_on_urgent(&self, marks: &Marks) -> bool {
        marks.is_low(self.urgent.len(), self.urgent_cost)
    }

    /// Whether an urgent message of `extra` bytes may be taken: only others of its kind
    /// count.
    pub(crate) fn admits_urgent(&self, marks: &Marks, extra: usize) -> bool {
        marks.admit(self.urgent.len(), self.urgent_cost, extra)
    }

    /// Queue a message; if it does not fit, drop the oldest ones until it does, or none is
    /// left. Returns how many were dropped.
    pub(crate) fn push_dropping_old(
        &mut self,
        marks: &Marks,
        message: Message<B>,
        cost: usize,
    ) -> u64 {
        let mut num_dropped = 0;
        while !self.admits(marks, cost) && self.drop_oldest() {
            num_dropped += 1;
        }
        self.push(message, cost);
        num_dropped
    }

    /// Queue a message behind the urgent ones and before all others that are not begun.
    pub(crate) fn push_urgent(&mut self, message: Message<B>, cost: usize) {
        if self.urgent.is_empty() {
            let at = usize::from(self.is_amid_message());
            self.urgent = at..at;
        }
        self.cost += cost;
        self.urgent_cost += cost;
        self.queue.insert(self.urgent.end, message);
        self.urgent.end += 1;
    }

    /// The message that [`Self::pop`] would take.
    #[inline]
    pub(crate) fn front(&self) -> Option<&Message<B>> {
        self.queue.front()
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message<B>> {
        let message = self.queue.pop_front()?;
        self.note_gone(message.cost());
        self.written = 0;
        Some(message)
    }

    /// The first message, of `cost` bytes, is gone.
    #[inline]
    fn note_gone(&mut self, cost: usize) {
        self.cost -= cost;
        if self.urgent.is_empty() {
            return;
        }
        self.urgent.end -= 1;
        match self.urgent.start.checked_sub(1) {
            Some(start) => self.urgent.start = start,
            None => self.urgent_cost -= cost,
        }
    }

    /// Drop the oldest message that is neither begun nor urgent; `false` if there is none.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let begun = usize::from(self.is_amid_message());
        let at = if self.urgent.is_empty() { begun } else { self.urgent.end };
        let dropped = self.queue.remove(at);
        self.cost -= dropped.as_ref().map_or(0, Message::cost);
        dropped.is_some()
    }

    /// Whether the next message is an urgent one.
    pub(crate) fn starts_urgent(&self) -> bool {
        self.urgent.contains(&0)
    }

    /// Take over what `other` has not written, before what is here: urgent messages among
    /// urgent ones, the others among the others. Nothing here is begun.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        let urgent = other.urgent.clone();
        let mut others = other.take_all();
        let urgent: Vec<_> = others.drain(urgent).collect();
        let urgent_cost: usize = urgent.iter().map(Message::cost).sum();
        self.cost += urgent_cost + others.iter().map(Message::cost).sum::<usize>();
        self.urgent_cost += urgent_cost;
        let mut behind = self.queue.split_off(self.urgent.end);
        self.urgent.end += urgent.len();
        for message in urgent.into_iter().rev() {
            self.queue.push_front(message);
        }
        self.queue.append(&mut others);
        self.queue.append(&mut behind);
    }

    /// Put back messages that were written and that nobody read, before all others.
    pub(crate) fn take_back(&mut self, messages: VecDeque<Message<B>>) {
        self.cost += messages.iter().map(Message::cost).sum::<usize>();
        if !self.urgent.is_empty() {
            self.urgent = self.urgent.start + messages.len()..self.urgent.end + messages.len();
        }
        // What was begun is written again from its start.
        self.written = 0;
        let behind = std::mem::replace(&mut self.queue, messages);
        self.queue.extend(behind);
    }

    /// Put back the message that was popped.
    pub(crate) fn unpop(&mut self, message: Message<B>, is_urgent: bool) {
        let cost = message.cost();
        self.cost += cost;
        self.queue.push_front(message);
        self.urgent.end += usize::from(is_urgent);
        self.urgent_cost += if is_urgent { cost } else { 0 };
    }

    /// Give away all that is not written to its end.
    pub(crate) fn take_all(&mut self) -> VecDeque<Message<B>> {
        self.cost = 0;
        self.written = 0;
        self.urgent = 0..0;
        self.urgent_cost = 0;
        std::mem::take(&mut self.queue)
    }

    /// Hand one batch to `write`, which returns how many bytes it took. With
    /// `only_first`, nothing beyond the first message.
    pub(crate) fn write_batch<E>(
        &mut self,
        scratch: &mut Vec<u8>,
        only_first: bool,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(Written, bool), E> {
        let (taken, all) = self.offer(scratch, only_first, write)?;
        Ok((self.advance(taken), all))
    }

    /// As [`Self::write_batch`], of the first message, which is given out once it is written
    /// to its end.
    pub(crate) fn write_first<E>(
        &mut self,
        scratch: &mut Vec<u8>,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<Option<Message<B>>, E> {
        self.written += self.offer(scratch, true, write)?.0;
        let is_whole = self.queue.front().is_some_and(|front| self.written >= framed_len(front));
        Ok(if is_whole { self.pop() } else { None })
    }

    /// Let `write` take what it can of one batch; return how much, and whether it is all.
    fn offer<E>(
        &self,
        scratch: &mut Vec<u8>,
        only_first: bool,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(usize, bool), E> {
        scratch.clear();
        let mut pieces = Vec::with_capacity(4);
        let skip = self.plan(scratch, only_first, &mut pieces);
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        let (count, offered) = slice_up(&pieces, scratch, skip, &mut slices);
        let taken = write(&slices[..count])?;
        Ok((taken, taken == offered))
    }

    /// Lay out one batch; return how many bytes at its start are written already.
    fn plan<'a>(
        &'a self,
        scratch: &mut Vec<u8>,
        only_first: bool,
        out: &mut Vec<Piece<'a>>,
    ) -> usize {
        let (mut start, mut nbytes, mut skip) = (0, 0, self.written);
        let depth = if only_first { 1 } else { usize::MAX };
        'batch: for message in self.queue.iter().take(depth) {
            let parts = message.parts();
            for (index, part) in parts.iter().enumerate() {
                let payload = part.as_ref();
                let framed = header_len(payload.len()) + payload.len();
                if scratch.is_empty() && skip >= framed {
                    skip -= framed;
                    continue;
                }
                encode_header(scratch, payload.len(), index + 1 < parts.len(), false);
                if payload.len() <= COPY_MAX_BYTES {
                    scratch.extend_from_slice(payload);
                } else {
                    out.push(Piece::Scratch { start, end: scratch.len() });
                    out.push(Piece::Held(payload));
                    start = scratch.len();
                }
                nbytes += framed;
                if out.len() + 3 > MAX_PIECES || nbytes >= BATCH_BYTES {
                    break 'batch;
                }
            }
        }
        if start < scratch.len() {
            out.push(Piece::Scratch { start, end: scratch.len() });
        }
        skip
    }

    fn advance(&mut self, taken: usize) -> Written {
        self.written += taken;
        let mut done = Written::default();
        while let Some(front) = self.queue.front() {
            let framed = framed_len(front);
            if self.written < framed {
                break;
            }
            self.written -= framed;
            let cost = front.cost();
            done.num_messages += 1;
            done.nbytes += front.nbytes() as u64;
            self.queue.pop_front();
            self.note_gone(cost);
        }
        done
    }
}

fn framed_len<B: AsRef<[u8]>>(message: &Message<B>) -> usize {
    let parts = message.parts().iter().map(|part| part.as_ref().len());
    parts.map(|nbytes| header_len(nbytes) + nbytes).sum()
}

/// Turn pieces into slices, less the first `skip` bytes; return how many slices and
/// bytes there are.
fn slice_up<'a>(
    pieces: &'a [Piece<'a>],
    scratch: &'a [u8],
    mut skip: usize,
    slices: &mut [IoSlice<'a>; MAX_PIECES],
) -> (usize, usize) {
    let (mut count, mut nbytes) = (0, 0);
    for piece in pieces {
        let bytes = match piece {
            Piece::Scratch { start, end } => &scratch[*start..*end],
            Piece::Held(payload) => payload,
        };
        let skipped = skip.min(bytes.len());
        skip -= skipped;
        let bytes = &bytes[skipped..];
        if !bytes.is_empty() {
            slices[count] = IoSlice::new(bytes);
            count += 1;
            nbytes += bytes.len();
        }
    }
    (count, nbytes)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn outbox(sizes: &[usize]) -> Outbox<Vec<u8>> {
        let mut outbox = Outbox::new();
        for (index, &size) in sizes.iter().enumerate() {
            let message = Message::Single(vec![index as u8; size]);
            let cost = message.cost();
            outbox.push(message, cost);
        }
        outbox
    }

    fn drain(outbox: &mut Outbox<Vec<u8>>, step: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut scratch = Vec::new();
        while !outbox.is_empty() {
            let before = wire.len();
            let only_first = outbox.is_amid_message();
            let write = |slices: &[IoSlice<'_>]| {
                let offered = slices.iter().flat_map(|slice| slice.iter().copied());
                wire.extend(offered.take(step));
                Ok::<_, Infallible>(wire.len() - before)
            };
            outbox.write_batch(&mut scratch, only_first, write).unwrap();
            assert!(wire.len() > before, "a batch must never be empty");
        }
        wire
    }

    #[test]
    fn writes_cut_anywhere_give_the_same_bytes() {
        let sizes = [0, 1, 255, 256, COPY_MAX_BYTES, COPY_MAX_BYTES + 1, 700_000, 3];
        let whole = drain(&mut outbox(&sizes), usize::MAX);
        let framed = sizes.iter().map(|&n| header_len(n) + n).sum::<usize>();
        assert_eq!(whole.len(), framed);
        for step in [1_000, 4_097, 65_536, 300_000] {
            assert_eq!(drain(&mut outbox(&sizes), step), whole, "step {step}");
        }
        let small = [0, 1, 255, 256, 40];
        let whole = drain(&mut outbox(&small), usize::MAX);
        for step in 1..whole.len() {
            assert_eq!(drain(&mut outbox(&small), step), whole, "step {step}");
        }
    }

    #[test]
    fn message_of_more_large_parts_than_slices_is_written_whole() {
        let parts = vec![vec![9; COPY_MAX_BYTES + 1]; 3 * MAX_PIECES];
        let framed = parts.iter().map(|p| header_len(p.len()) + p.len()).sum::<usize>();
        let message = Message::from_parts(parts).unwrap();
        let mut outbox = Outbox::new();
        let cost = message.cost();
        outbox.push(message, cost);
        assert_eq!(drain(&mut outbox, 5_000_000).len(), framed);
    }

    #[test]
    fn urgent_messages_go_first_but_not_into_one_that_is_begun() {
        let message = |byte| Message::Single(vec![byte; 10]);
        let cost = message(0).cost();
        let mut outbox = outbox(&[10, 10]);
        let begin = |_: &[IoSlice<'_>]| Ok::<_, Infallible>(5);
        outbox.write_batch(&mut Vec::new(), false, begin).unwrap();
        outbox.push_urgent(message(7), cost);
        outbox.push_urgent(message(8), cost);
        let marks = Marks { messages: 3, nbytes: 3 * cost };
        assert!(outbox.admits_urgent(&marks, cost) && !marks.admit(4, 4 * cost, cost));
        assert!(!outbox.admits_urgent(&marks, cost + 1));
        assert!(outbox.drop_oldest() && !outbox.drop_oldest());
        let rest = |_: &[IoSlice<'_>]| Ok::<_, Infallible>(7 + 12);
        outbox.write_batch(&mut Vec::new(), false, rest).unwrap();
        assert_eq!((outbox.urgent.clone(), outbox.urgent_cost), (0..1, cost));
        assert_eq!(outbox.pop(), Some(message(8)));
        assert_eq!((outbox.urgent.clone(), outbox.urgent_cost, outbox.cost()), (0..0, 0, 0));
    }

    #[test]
    fn cost_returns_to_zero() {
        let mut outbox = outbox(&[10, 20_000, 5]);
        assert_eq!(outbox.cost(), 20_015 + 3 * super::super::PART_OVERHEAD_BYTES);
        drain(&mut outbox, 100);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn messages_not_written_to_their_end_are_kept() {
        let mut outbox = outbox(&[10, 10, 10]);
        let write = |_: &[IoSlice<'_>]| Ok::<_, Infallible>(12 + 5);
        let (written, all) = outbox.write_batch(&mut Vec::new(), false, write).unwrap();
        assert_eq!(written, Written { num_messages: 1, nbytes: 10 });
        assert!(!all && outbox.is_amid_message());
        let rest = outbox.take_all();
        assert_eq!(rest, [Message::Single(vec![1; 10]), Message::Single(vec![2; 10])]);
    }
}
