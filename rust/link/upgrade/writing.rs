//! Sending over a link that was moved: commands first, then messages.

use super::outgoing::{Outgoing, Wrote};
use crate::link::{Buffer, Closed, Link, Message, Phase, Written};
use crate::shm::Store;
use std::io::IoSlice;

impl<B: Buffer> Link<B> {
    /// Write until all is written or the peer has to read first.
    pub(in crate::link) fn flush_moved(
        &mut self,
        outgoing: &mut Outgoing<B>,
        scratch: &mut Vec<u8>,
        store: &mut Store,
        total: &mut Written,
    ) -> Result<(), Closed> {
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
            match wrote {
                Wrote::Whole => {
                    if let Some(message) = self.outbox.pop() {
                        total.add(&message);
                    }
                }
                Wrote::Full => {}
                Wrote::Blocked => {
                    self.blocked = true;
                    break;
                }
                Wrote::Unfit => {
                    let write = |slices: &[IoSlice<'_>]| outgoing.write_stream(slices);
                    if let Some(message) = self.outbox.write_first(scratch, write)? {
                        total.add(&message);
                        outgoing.keep_streamed(message);
                    }
                }
            }
        }
        outgoing.publish();
        outgoing.forget_taken();
        Ok(())
    }
}

impl Written {
    fn add<B: Buffer>(&mut self, message: &Message<B>) {
        self.num_messages += 1;
        self.nbytes += message.nbytes() as u64;
    }
}
