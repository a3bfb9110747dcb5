//! What is to be sent to one peer: messages, encoded only when they are written.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::Message;
use crate::zmtp::{encode_header, header_len};

/// Payloads up to this are copied next to their headers; larger ones are written from
/// where they are. A copy of 16 KiB costs about as much as an iovec does.
const COPY_MAX_BYTES: usize = 16 << 10;
/// Bytes after which no further message joins a write.
const BATCH_BYTES: usize = 256 << 10;
const MAX_PIECES: usize = 64;

/// A high-water mark, by messages and by bytes as [`Message::cost`] counts them.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    pub messages: usize,
    pub nbytes: usize,
}

impl Marks {
    /// Whether a queue of `len` messages and `cost` bytes may take one more of `extra`
    /// bytes. An empty queue takes anything.
    #[inline]
    #[must_use]
    pub fn admit(&self, len: usize, cost: usize, extra: usize) -> bool {
        len == 0 || (len < self.messages && cost.saturating_add(extra) <= self.nbytes)
    }

    /// Whether a queue fell so far that who waits for it should go on.
    #[inline]
    #[must_use]
    pub fn is_low(&self, len: usize, cost: usize) -> bool {
        len <= self.messages / 2 && cost <= self.nbytes / 2
    }
}

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
        Self { queue: VecDeque::new(), cost: 0, written: 0 }
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

    pub(crate) fn pop(&mut self) -> Option<Message<B>> {
        let message = self.queue.pop_front()?;
        self.cost -= message.cost();
        self.written = 0;
        Some(message)
    }

    /// Put messages back in front, in their order.
    pub(crate) fn unshift_all(&mut self, messages: VecDeque<Message<B>>) {
        self.cost += messages.iter().map(Message::cost).sum::<usize>();
        for message in messages.into_iter().rev() {
            self.queue.push_front(message);
        }
    }

    /// Give away all that is not written to its end.
    pub(crate) fn take_all(&mut self) -> VecDeque<Message<B>> {
        self.cost = 0;
        self.written = 0;
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
        scratch.clear();
        let mut pieces = Vec::with_capacity(4);
        let skip = self.plan(scratch, only_first, &mut pieces);
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        let (count, offered) = slice_up(&pieces, scratch, skip, &mut slices);
        let taken = write(&slices[..count])?;
        Ok((self.advance(taken), taken == offered))
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
            self.cost -= front.cost();
            done.num_messages += 1;
            done.nbytes += front.nbytes() as u64;
            self.queue.pop_front();
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

    #[test]
    fn an_empty_queue_admits_anything_and_a_full_one_nothing() {
        let marks = Marks { messages: 2, nbytes: 100 };
        assert!(marks.admit(0, 0, 1_000));
        assert!(marks.admit(1, 50, 50));
        assert!(!marks.admit(1, 50, 51));
        assert!(!marks.admit(2, 0, 0));
    }
}
