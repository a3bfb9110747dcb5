//! What is sent to a peer: commands first, then messages, as far as the kernel takes them.

use std::io::IoSlice;

use rustix::io::Errno;

use super::{Buffer, Closed, Guard, Link, Phase, Stream, Written};
use crate::shm::Store;

impl<B: Buffer> Link<B> {
    /// The stream became writable: a connection is made, or the kernel has room.
    pub(crate) fn on_writable(&mut self) -> Result<(), Closed> {
        self.blocked = false;
        if self.phase == Phase::Connecting
            && let Some(stream) = &self.stream
        {
            stream.connect_result()?;
            self.phase = Phase::Greeting;
        }
        Ok(())
    }

    /// Write until all is written or the kernel takes no more; count it in `total`, also
    /// what was written before an error.
    pub(crate) fn flush(
        &mut self,
        scratch: &mut Vec<u8>,
        store: &mut Store,
        total: &mut Written,
    ) -> Result<(), Closed> {
        if let Some(mut outgoing) = self.outgoing.take() {
            let flushed = self.flush_moved(&mut outgoing, scratch, store, total);
            self.outgoing = Some(outgoing);
            return flushed;
        }
        if !self.outbox.is_empty() && self.stream.as_ref().is_some_and(Stream::has_ended) {
            return Err(Closed::Eof);
        }
        while !self.blocked && !self.severed && !self.is_flushed() {
            if self.guard.has_pending() {
                self.write_sealed()?;
                continue;
            }
            if !self.control.is_empty() && !self.outbox.is_amid_message() {
                self.flush_control()?;
                self.announce();
                continue;
            }
            if self.owes_offer() {
                self.send_offer()?;
                continue;
            }
            if self.outbox.is_empty() || self.phase != Phase::Up {
                break;
            }
            let only_first = !self.control.is_empty();
            let done = self.write_messages(scratch, only_first)?;
            total.num_messages += done.num_messages;
            total.nbytes += done.nbytes;
        }
        if self.is_draining() && !self.severed && !self.guard.has_pending() {
            self.drain_rest()?;
        }
        Ok(())
    }

    fn write_messages(
        &mut self,
        scratch: &mut Vec<u8>,
        only_first: bool,
    ) -> Result<Written, Closed> {
        if let Guard::Sealed(sealed) = &mut self.guard {
            self.has_sent = true;
            let seal = |slices: &[IoSlice<'_>]| Ok::<_, Closed>(sealed.seal(slices));
            return self.outbox.write_batch(scratch, only_first, seal).map(|(written, _)| written);
        }
        let Some(stream) = &self.stream else {
            return Ok(Written::default());
        };
        let write = |slices: &[IoSlice<'_>]| stream.write(slices);
        match self.outbox.write_batch(scratch, only_first, write) {
            Ok((written, all)) => {
                self.has_sent = true;
                self.has_progress = true;
                self.blocked = !all;
                Ok(written)
            }
            Err(Errno::AGAIN) => {
                self.blocked = true;
                Ok(Written::default())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn flush_control(&mut self) -> Result<(), Closed> {
        if let Some(outgoing) = &mut self.outgoing {
            self.control_at +=
                outgoing.write_stream(&[IoSlice::new(&self.control[self.control_at..])])?;
            outgoing.publish();
            return Ok(());
        }
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let rest = &self.control[self.control_at..];
        if let Guard::Sealed(sealed) = &mut self.guard {
            let taken = sealed.seal(&[IoSlice::new(rest)]);
            self.control_at += taken;
            if self.control_at == self.control.len() {
                self.control.clear();
                self.control_at = 0;
            }
            return self.write_sealed();
        }
        match stream.write(&[IoSlice::new(rest)]) {
            Ok(taken) if taken == rest.len() => {
                self.control.clear();
                self.control_at = 0;
            }
            Ok(taken) => {
                self.control_at += taken;
                self.blocked = true;
            }
            Err(Errno::AGAIN) => self.blocked = true,
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}
