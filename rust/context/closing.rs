//! Closing: send what was accepted, within a bound, and say what was lost.

use std::time::Duration;

use super::{Context, Due};
use crate::link::{Buffer, Closed};
use crate::shm::Store;
use crate::socket::{LinkKey, Socket, SocketKey, State};

/// How long a peer that was told that nothing more comes may take to end its half, where
/// the linger has no bound: all is sent by then, and only its answer is missing.
pub(super) const MAX_DRAINING: Duration = Duration::from_secs(1);

impl<B: Buffer> Context<B> {
    /// Close a socket: it receives and listens no more, and goes on sending for at most
    /// `linger`. With `None` it sends without a bound, and then waits for at most 1 s for
    /// the peers to end too. Idempotent.
    pub fn close(&mut self, key: SocketKey, linger: Option<Duration>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.state != State::Open {
            return;
        }
        socket.state = State::Lingering;
        for bound in std::mem::take(&mut socket.listeners) {
            self.forget_listener(bound);
        }
        self.sockets[key].watcher.end();
        self.stop_receiving(key);
        self.finish_partners(key);
        self.flush();
        self.wake(key);
        let is_lingering = |socket: &Socket<B>| socket.state == State::Lingering;
        if !self.sockets.get(key).is_some_and(is_lingering) {
            return;
        }
        match linger {
            Some(Duration::ZERO) => self.give_up(key),
            Some(linger) => {
                let timer = self.timers.insert(Self::after(linger), Due::Linger(key));
                self.sockets[key].linger_timer = Some(timer);
                self.finish_if_done(key);
            }
            None => self.finish_if_done(key),
        }
        self.arm_timer();
    }

    fn stop_receiving(&mut self, key: SocketKey) {
        let mut failed = Vec::new();
        for link in self.sockets[key].links.clone() {
            // Watching one may have ended another.
            let Some(peer) = self.links.get_mut(link) else {
                continue;
            };
            let skipped = peer.link.skip_messages();
            self.sockets[key].set_ready(&mut self.links, link, false);
            if !self.links[link].link.is_open() {
                self.bury(link);
            } else if let Err(closed) = skipped {
                failed.push((link, closed));
            } else {
                self.watch(link);
            }
        }
        for (link, closed) in failed {
            self.link_down(link, closed);
        }
    }

    /// Whether every socket has closed and sent, or given up, all it had.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sockets.values().all(|socket| socket.state == State::Closed)
    }

    /// Give the context's own descriptors back, if it is closed. Records stay readable;
    /// [`Self::run_once`] fails from then on.
    pub fn shut(&mut self) {
        if self.is_closed() {
            self.poller.shut();
            // Peers keep what they hold mapped.
            self.departed.clear();
            self.store = Store::new(0);
        }
    }

    /// Close every socket with its own linger.
    pub fn close_all(&mut self) {
        for key in self.sockets.keys().collect::<Vec<_>>() {
            // Writing what one had left may end another.
            let options = self.sockets.get(key).map(Socket::options);
            if let Some(linger) = options.map(|options| options.linger) {
                self.close(key, linger);
            }
        }
    }

    /// Forget a socket once it is closed: nobody will ask for its record. One that is still
    /// open stays until the context is closed.
    pub fn release(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.is_released = true;
            if socket.state == State::Closed {
                self.sockets.remove(key);
            }
        }
    }

    /// Close the links of a lingering socket once all is written.
    pub(super) fn finish_if_done(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get(key) else {
            return;
        };
        if socket.state != State::Lingering || socket.is_ending {
            return;
        }
        let may_have_peers = !socket.connectors.is_empty() || !socket.links.is_empty();
        if !socket.backlog_is_empty() && may_have_peers {
            return;
        }
        let is_busy =
            |link: &LinkKey| !self.links[*link].link.is_flushed() && !self.leads_nowhere(*link);
        if socket.up().iter().any(is_busy) {
            return;
        }
        // NB: ending a link asks again whether the socket is done: one level, not thousands.
        self.sockets[key].is_ending = true;
        for connector in self.sockets[key].connectors.clone() {
            self.forget_connector(connector);
        }
        for link in self.sockets[key].links.clone() {
            let is_draining = match self.links.get_mut(link) {
                Some(peer) => peer.link.is_draining() || peer.link.drain(),
                None => continue,
            };
            if is_draining {
                if self.sockets[key].linger_timer.is_none() {
                    self.bound_draining(link, MAX_DRAINING);
                }
                self.watch(link);
            } else {
                self.link_down(link, Closed::Eof);
            }
        }
        self.sockets[key].is_ending = false;
        if self.sockets[key].links.is_empty() {
            self.end(key);
        }
    }

    /// Let a link drain for at most `bound`.
    pub(super) fn bound_draining(&mut self, key: LinkKey, bound: Duration) {
        let Some(peer) = self.links.get_mut(key).filter(|peer| peer.timer.is_none()) else {
            return;
        };
        peer.timer = Some(self.timers.insert(Self::after(bound), Due::Drained(key)));
    }

    pub(super) fn draining_timed_out(&mut self, key: LinkKey) {
        if let Some(peer) = self.links.get_mut(key) {
            peer.timer = None;
            self.link_down(key, Closed::Eof);
        }
    }

    /// The linger is over: what is unsent is lost, and known to be.
    pub(super) fn give_up(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.state != State::Lingering {
            return;
        }
        socket.is_ending = true;
        socket.lose_all(&mut self.links);
        for connector in self.sockets[key].connectors.clone() {
            self.forget_connector(connector);
        }
        for link in self.sockets.get(key).map(|s| s.links.clone()).unwrap_or_default() {
            self.link_down(link, Closed::Eof);
        }
        self.end(key);
    }

    fn end(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.state != State::Lingering {
            return;
        }
        socket.lose_all(&mut self.links);
        socket.state = State::Closed;
        let timer = socket.linger_timer.take();
        self.timers.cancel(timer);
        self.wake(key);
        if self.sockets[key].is_released {
            self.sockets.remove(key);
        }
    }
}
