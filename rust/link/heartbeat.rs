//! PINGs, and what tells that a peer is alive (docs/wire.md, "Heartbeats"). Reading costs
//! it two flags and no clock.

use std::time::Duration;

use super::{Buffer, Link, Phase, Stream};
use crate::zmtp::encode_ping;

/// PINGs that wait to be written may take this much; beyond it one more says nothing new.
const MAX_PENDING_BYTES: usize = 1024;

/// Who asks whether bytes came since it last asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watch {
    /// Our own PINGs.
    Answer,
    /// The ttl in those of the peer.
    Promise,
}

impl<B: Buffer> Link<B> {
    /// Whether messages can go out, and the peer can be expected to be alive.
    pub(crate) fn is_live(&self) -> bool {
        self.stream.is_some() && self.phase == Phase::Up && !self.severed
    }

    /// Whether signs of life can be expected of the peer, which has greeted.
    pub(crate) fn is_expected(&self) -> bool {
        let has_greeted = matches!(self.phase, Phase::Handshake | Phase::Upgrading | Phase::Up);
        self.stream.is_some() && has_greeted && !self.severed
    }

    /// Begin to look for signs that what is sent is taken.
    pub(crate) fn forget_progress(&mut self) {
        self.has_progress = false;
    }

    /// Ask the peer for a sign of life, and to end the link after `ttl` without one of ours.
    pub(crate) fn ping(&mut self, ttl: Option<Duration>) {
        // A ttl that rounds to none would be one that is never kept to.
        let tenths = ttl.map_or(0, |ttl| ((ttl.as_millis() + 50) / 100).max(1));
        let tenths = u16::try_from(tenths).unwrap_or(u16::MAX);
        if self.is_upgraded() {
            self.ping_by_line(tenths);
        } else if self.control.len() < MAX_PENDING_BYTES {
            encode_ping(&mut self.control, tenths);
        }
    }

    /// Whether bytes came since `watch` asked this last.
    pub(crate) fn take_heard(&mut self, watch: Watch) -> bool {
        std::mem::take(&mut self.heard[watch as usize])
    }

    /// Whether bytes came since `watch` took the answer last, left as it is.
    pub(crate) fn has_heard(&self, watch: Watch) -> bool {
        self.heard[watch as usize]
    }

    /// Whether nothing speaks for the peer's life: nothing of it waits to be read, and none
    /// of a long message, behind which the PING waits, was taken either.
    pub(crate) fn is_silent(&mut self) -> bool {
        if self.has_unread() {
            return false;
        }
        let is_under_way = !self.control.is_empty() || self.guard.has_pending();
        !(is_under_way && self.has_progress) && self.stream.as_ref().is_some_and(Stream::is_quiet)
    }

    /// The ttl in the peer's last PING.
    #[inline]
    pub(crate) fn peer_ttl(&self) -> u16 {
        self.peer_ttl
    }
}
