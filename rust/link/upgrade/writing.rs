//! Sending over a link that was moved: commands first, then messages.

use super::outgoing::{Outgoing, Wrote};
use crate::link::{Buffer, Closed, Link, Phase, Written};
use crate::shm::Store;
use std::io::IoSlice;

impl<B: Buffer> Link<B> {
    /// Write until all is written or the peer has to read first.
    pub(in crate::link) fn flush_moved(
        &mut self,
        outgoing: &mut Outgoing,
        scratch: &mut Vec<u8>,
        store: &mut Store,
    ) -> Result<Written, Closed> {
        let mut total = Written::default();
        while !outgoing.is_sleeping() && !self.blocked && !self.severed {
            if !self.control.is_empty() && !self.outbox.is_amid_message() {
                let rest = &self.control[self.control_at..];
                self.control_at += outgoing.write_stream(&[IoSlice::new(rest)])?;
                if self.control_at == self.control.len() {
                    self.control.clear();
                    self.control_at = 0;
                    self.announce();
                }
                continue;
            }
            let Some(message) = self.outbox.front().filter(|_| self.phase == Phase::Up) else {
                break;
            };
            let Some(stream) = &self.stream else {
                break;
            };
            let wrote = match self.outbox.is_amid_message() {
                true => Wrote::Unfit,
                false => outgoing.write(message, store, stream)?,
            };
            let written = match wrote {
                Wrote::Whole => {
                    let nbytes = self.outbox.pop().map_or(0, |message| message.nbytes() as u64);
                    Written { num_messages: 1, nbytes }
                }
                Wrote::Full => continue,
                Wrote::Blocked => {
                    self.blocked = true;
                    break;
                }
                Wrote::Unfit => {
                    let write = |slices: &[IoSlice<'_>]| outgoing.write_stream(slices);
                    self.outbox.write_batch(scratch, true, write)?.0
                }
            };
            total.num_messages += written.num_messages;
            total.nbytes += written.nbytes;
        }
        outgoing.publish();
        Ok(total)
    }
}
