//! Links that moved into shared memory: their rings, and what their peers hold.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Context, ContextStatistics, Due, ShmMode};
use crate::link::{Account, Buffer, Closed, INLINE_MAX_BYTES, Message, UpgradeOptions, this_host};
use crate::shm::Slot;
use crate::socket::{DepartedKey, LinkKey, SocketKey};
use crate::zmtp::Error;

/// How long new links do not move once this process could not take in what a peer shares:
/// for longer than a peer may wait before it connects anew.
const LACK_PAUSE: Duration = Duration::from_secs(10);

/// How long a segment for one of the largest payloads is kept for the next, and how often it is
/// looked whether one that was held for longer still is.
const KEEP: Duration = Duration::from_secs(5);

/// Of a peer that shares with no other, as a part of all that there may be.
const ISOLATED_SHARE: usize = 16;

/// A peer whose link has ended and that may hold slots. Its line ends when it does not.
pub(super) struct Departed {
    account: Account,
    line: Arc<OwnedFd>,
}

impl<B: Buffer> Context<B> {
    /// Let a new link over a Unix socket move, if it may and there is memory.
    ///
    /// # Errors
    ///
    /// There is none, and it must.
    pub(super) fn offer_upgrade(&mut self, key: LinkKey) -> Result<(), Error> {
        let is_required = self.shm.mode == ShmMode::Require;
        let Some(capability) = this_host().filter(|_| self.shm.mode != ShmMode::Off) else {
            return match is_required {
                true => Err(Error::refused("shared memory is required, and this host has none")),
                false => Ok(()),
            };
        };
        let peer = &mut self.links[key];
        let is_isolated = self.sockets[peer.socket].options().isolate;
        let own_nbytes = is_isolated.then_some(self.shm.max_bytes / ISOLATED_SHARE);
        let ring_nbytes = self.shm.ring_bytes;
        let nbytes = ring_nbytes + own_nbytes.unwrap_or(0);
        if self.shm_paused_until.is_some_and(|end| Instant::now() < end)
            || !self.store.reserve(nbytes)
        {
            if is_required {
                return Err(Error::refused("shared memory is required, and all of it is in use"));
            }
            peer.link.make_short();
            return Ok(());
        }
        peer.reserved = nbytes;
        peer.link.make_able(UpgradeOptions { capability, ring_nbytes, is_required, own_nbytes });
        Ok(())
    }

    /// A link is up: if it has moved, watch its bell, else give back what was kept for it.
    pub(super) fn settle_upgrade(&mut self, key: LinkKey) -> Result<(), Closed> {
        let peer = &mut self.links[key];
        if !peer.link.is_upgraded() {
            self.num_shm_refused += u64::from(peer.link.is_upgrade_refused());
            self.store.unreserve(std::mem::take(&mut peer.reserved));
            return Ok(());
        }
        peer.link.open_account(&mut self.store);
        if let Some(bell) = peer.link.bell() {
            self.poller.add_bell(key, bell.as_fd())?;
            // What the peer wrote by now, it has not rung for.
            bell.ring();
        }
        Ok(())
    }

    /// The peer of a moved link rang: something came, or there is room.
    pub(super) fn serve_bell(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        peer.link.on_rung();
        self.read_ring(key, true);
        if self.links.get(key).is_some_and(|peer| !peer.link.is_flushed()) {
            self.flush_link(key);
        }
    }

    /// Read what is in a link's ring. Whoever comes again by itself for the rest need not be
    /// `told`.
    fn read_ring(&mut self, key: LinkKey, told: bool) {
        let read = self.links[key].link.read_ring();
        let more = told && matches!(read, Ok(true));
        self.after_read(key, read.err());
        if let Some(peer) = self.links.get(key).filter(|_| more) {
            peer.link.ring_self();
        }
    }

    /// Look whether the rings of a socket have something; whether they had.
    pub(super) fn look_at_rings(&mut self, key: SocketKey) -> bool {
        let mut had_some = false;
        let mut at = 0;
        while let Some(socket) = self.sockets.get(key)
            && let Some(&link) = socket.rings.get(at)
        {
            let is_plain = socket.takes_all();
            at += 1;
            // NB: reading may have stopped just where there was no more, without a word to the
            // peer that it has to ring.
            if !self.links[link].link.is_at_rest() {
                had_some = true;
                self.read_ring(link, !is_plain);
            }
        }
        had_some
    }

    /// Look at the rings of a socket for as long as the options say; whether something came.
    #[must_use]
    pub fn spin(&mut self, key: SocketKey) -> bool {
        if self.shm.spin.is_zero() {
            return false;
        }
        // What is awaited may be the answer to what was sent last, and has yet to be written.
        self.flush();
        let rings = self.sockets.get(key).map_or_else(Vec::new, |socket| socket.rings.clone());
        if rings.is_empty() {
            return false;
        }
        // While we look, nobody has to ring.
        rings.iter().for_each(|&link| self.links[link].link.stir());
        let deadline = Instant::now() + self.spinner.bound(self.shm.spin);
        let mut found = false;
        while !found && Instant::now() < deadline {
            std::hint::spin_loop();
            found = rings.iter().any(|&link| self.links[link].link.has_unread());
        }
        self.spinner.note(found);
        for link in rings {
            // NB: whoever looked has to say so to every peer that he looks no more: nobody
            // else reads what comes until then.
            if self.links.get_mut(link).is_some_and(|peer| !peer.link.rest()) {
                found = true;
                self.read_ring(link, true);
            }
        }
        found
    }

    /// A link is at its end: what its peer may still hold is kept until it is known that it
    /// does not.
    pub(super) fn settle_account(&mut self, key: LinkKey, line: Option<Arc<OwnedFd>>) {
        let peer = &mut self.links[key];
        if peer.link.lacks_room() {
            self.shm_paused_until = Some(Instant::now() + LACK_PAUSE);
        }
        self.store.unreserve(std::mem::take(&mut peer.reserved));
        let account = peer.link.close_account(&mut self.store);
        let (Some(account), Some(line)) = (account, line) else {
            return;
        };
        let departed = self.departed.insert(Departed { account, line });
        let line = self.departed[departed].line.as_fd();
        // NB: unwatched, it is kept until the context is shut, which is safe.
        let _ = self.poller.add_departed(departed, line);
    }

    /// The line of a peer that has left is at its end, or says something, which is nothing.
    pub(super) fn serve_departed(&mut self, key: DepartedKey) {
        let Some(departed) = self.departed.get_mut(key) else {
            return;
        };
        let flags = rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(&departed.line, &mut *self.read_buffer, flags) {
            // The rest, and the end, are told of again.
            Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(_) | Err(_) => {}
        }
        departed.account.settle(&mut self.store, true);
        let _ = self.poller.remove(departed.line.as_fd());
        self.departed.remove(key);
    }

    /// Lend memory to be filled and sent; `None` where no peer shares it, or there is none.
    #[must_use]
    pub fn loan(&mut self, nbytes: usize) -> Option<Slot> {
        if self.num_shm_peers() == 0 || nbytes <= INLINE_MAX_BYTES {
            return None;
        }
        let slot = self.store.take_any(nbytes);
        self.tend_segments();
        slot
    }

    /// Tell peers which segments were given back, and see to it that none of the largest is
    /// kept for ever.
    #[inline]
    pub(super) fn tend_segments(&mut self) {
        if !self.is_retiring
            && let Some(used_at) = self.store.oldest_use()
        {
            self.is_retiring = true;
            let (now, due) = (Instant::now(), used_at + KEEP);
            // What was still held at that time is looked at again by and by.
            let due = if due > now { due } else { now + KEEP };
            self.timers.insert(due, Due::Retire);
            self.arm_timer();
        }
        // NB: whoever maps one keeps its memory.
        for segment in self.store.take_retired() {
            self.links.values_mut().for_each(|peer| peer.link.forget_segment(segment));
        }
    }

    /// Give back what was not used for long enough.
    pub(super) fn retire_segments(&mut self) {
        self.is_retiring = false;
        if let Some(since) = Instant::now().checked_sub(KEEP) {
            self.store.retire_unused(since);
        }
        self.tend_segments();
    }

    /// Put the large parts of what several peers may get where all of them can read it.
    pub(super) fn lay_out(&mut self, key: SocketKey, message: Message<B>) -> Message<B> {
        let is_fanned = self.sockets.get(key).is_some_and(|socket| socket.shares_payloads());
        if !B::HOLDS_SLOTS || !is_fanned {
            return message;
        }
        message.map(|part| {
            if part.as_ref().len() <= INLINE_MAX_BYTES || part.as_slot().is_some() {
                return part;
            }
            let slot = self.store.take_any(part.as_ref().len()).map(|mut slot| {
                slot.copy_from(part.as_ref());
                slot
            });
            // Without room each peer gets it as it would alone.
            slot.and_then(|slot| B::from_slot(slot).ok()).unwrap_or(part)
        })
    }

    fn num_shm_peers(&self) -> usize {
        self.sockets.values().map(|socket| socket.rings.len()).sum()
    }

    /// What the context has in shared memory.
    #[must_use]
    pub fn shm_statistics(&mut self) -> ContextStatistics {
        self.store.sweep_all();
        let own = self.links.values().filter_map(|peer| peer.link.own_store());
        let stores: Vec<_> = own.chain([&self.store]).collect();
        let arenas = || stores.iter().map(|store| store.arena());
        ContextStatistics {
            num_shm_peers: self.num_shm_peers(),
            num_shm_refused: self.num_shm_refused,
            shm_ring_bytes: self.num_shm_peers() * self.shm.ring_bytes,
            shm_arena_bytes: arenas().map(|arena| arena.nbytes()).sum(),
            num_shm_segments: arenas().map(|arena| arena.num_segments()).sum(),
            num_shm_slots_held: arenas().map(|arena| arena.num_held()).sum(),
        }
    }
}
