//! Large parts on their way out: each in a slot, of a segment that the peer knows.

use rustix::io::Errno;

use super::INLINE_MAX_BYTES;
use super::outgoing::{Outgoing, Wrote, corrupt};
use crate::link::{Buffer, Closed, Message, Stream};
use crate::shm::{Slot, Store};

impl<B: Buffer> Outgoing<B> {
    /// Hold each large part in a slot, and have the peer know its segment.
    pub(super) fn hold_large(
        &mut self,
        message: &Message<B>,
        num_large: usize,
        store: &mut Store,
        stream: &Stream,
        slots: &mut Vec<Slot>,
    ) -> Result<Wrote, Closed> {
        let large = || message.parts().iter().filter(|part| part.as_ref().len() > INLINE_MAX_BYTES);
        let nbytes = large().map(|part| part.as_ref().len()).sum();
        let head = self.writer.head().map_err(corrupt)?;
        self.window.forget_until(head);
        if !self.window.admits(num_large, nbytes) {
            return self.sleep_beyond(head);
        }
        for part in large() {
            // NB: what is given back once cannot be lent twice, not even within a message.
            let is_new = |slot: &&Slot| slots.iter().all(|other| other.index() != slot.index());
            let ready = part.as_slot().filter(|slot| self.account.suits(store, slot));
            let slot = ready.filter(is_new).cloned().or_else(|| {
                let mut slot = self.account.take(store, part.as_ref().len())?;
                slot.copy_from(part.as_ref());
                Some(slot)
            });
            match slot {
                Some(slot) => slots.push(slot),
                // What the peer has not read yet will be free, if we wait for it.
                None => {
                    let head = self.writer.head().map_err(corrupt)?;
                    let has_unread = head < self.writer.position();
                    return if has_unread { self.sleep_beyond(head) } else { Ok(Wrote::Unfit) };
                }
            }
        }
        for slot in slots.iter() {
            if !self.hand_over(slot, stream)? {
                return Ok(Wrote::Blocked);
            }
        }
        Ok(Wrote::Whole)
    }

    /// Give the peer the segment of `slot`, if it has not got it; `false` if the stream
    /// takes nothing now.
    fn hand_over(&mut self, slot: &Slot, stream: &Stream) -> Result<bool, Closed> {
        let segment = slot.segment();
        if self.announced.contains(&segment.id) {
            return Ok(true);
        }
        let bytes = segment.announcement().encode();
        match stream.send_with(&bytes, &[segment.fd()]) {
            Ok(taken) if taken == bytes.len() => {
                if !segment.is_one_off {
                    self.announced.insert(segment.id);
                }
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            // A Unix socket takes so little as a whole or not at all.
            Ok(_) => Err(Closed::System(Errno::IO)),
            Err(errno) => Err(errno.into()),
        }
    }
}
