//! One turn: wait, then do what is ready.

use std::time::{Duration, Instant};

use super::poller::{Ready, Source};
use super::{Context, Due};
use crate::link::{Buffer, Closed, Phase, Written};
use crate::socket::{LinkKey, SocketKey, State};
use crate::zmtp::SocketType;

impl<B: Buffer> Context<B> {
    /// Write what was accepted, wait for at most `timeout` (`None`: no bound) until
    /// something is ready, and do it.
    ///
    /// # Errors
    ///
    /// As `epoll_wait(2)`.
    pub fn run_once(&mut self, timeout: Option<Duration>) -> rustix::io::Result<()> {
        self.flush();
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.poller.wait(timeout, &mut ready);
        for event in &ready {
            match event.source {
                Source::Link(key) => self.serve(key, *event),
                Source::Bell(key) => self.serve_bell(key),
                Source::Departed(key) => self.serve_departed(key),
                Source::Listener(key) => self.accept(key),
                Source::Timer => self.poller.disarm(),
            }
        }
        self.ready = ready;
        let now = Instant::now();
        while let Some(due) = self.timers.pop(now) {
            self.do_due(due);
        }
        self.flush();
        waited
    }

    fn do_due(&mut self, due: Due) {
        match due {
            Due::Handshake(key) => self.handshake_timed_out(key),
            Due::Reconnect(key) => self.attempt(key),
            Due::Accept(key) => self.resume_listener(key),
            Due::Linger(key) => self.give_up(key),
            Due::Drained(key) => self.draining_timed_out(key),
            Due::Ping(key) => self.ping(key),
            Due::Answer(key) => self.answer_timed_out(key),
            Due::Look(key) => self.look(key),
            Due::Retire => self.retire_segments(),
        }
    }

    fn serve(&mut self, key: LinkKey, ready: Ready) {
        // An event of this turn may have ended the link.
        if !self.links.contains_key(key) {
            return;
        }
        if ready.writable || (ready.hung_up && self.links[key].link.phase() == Phase::Connecting) {
            if let Err(closed) = self.links[key].link.on_writable() {
                self.link_down(key, closed);
                return;
            }
            self.flush_link(key);
        }
        if ready.readable || ready.hung_up {
            self.serve_readable(key);
        }
        if ready.hung_up
            && let Some(peer) = self.links.get(key)
            && peer.link.is_open()
            && !peer.link.wants_read()
        {
            self.write_lost(key, Closed::Eof);
        }
    }

    /// Read from a link, and tell its socket what that gave.
    pub(super) fn serve_readable(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        let mut end = peer.link.on_readable(&mut self.read_buffer).err();
        if peer.link.phase() == Phase::Up && !peer.is_announced {
            end = self.announce(key).err().or(end);
        }
        self.after_read(key, end);
    }

    /// A link has parsed what it read, to the `end` if there is one.
    pub(super) fn after_read(&mut self, key: LinkKey, end: Option<Closed>) {
        let Some(socket) = self.links.get(key).map(|peer| peer.socket) else {
            return;
        };
        let skipped = self.deliver(key, socket);
        match end.or(skipped.err()) {
            Some(closed) => self.link_down(key, closed),
            None => {
                if let Some(peer) = self.links.get(key) {
                    let promise = peer.link.peer_ttl();
                    if promise != peer.heartbeat.ttl {
                        self.hold_to(key, promise);
                    }
                    if !self.links[key].link.is_flushed() {
                        self.mark_dirty(key);
                    }
                }
                self.watch(key);
            }
        }
    }

    /// Make what a link parsed visible to its socket.
    pub(super) fn deliver(&mut self, key: LinkKey, socket_key: SocketKey) -> Result<(), Closed> {
        let Some(peer) = self.links.get_mut(key) else {
            return Ok(());
        };
        let socket = &mut self.sockets[socket_key];
        let is_idle = socket.state != State::Open || !peer.is_announced;
        if is_idle || socket.kind() == SocketType::Push {
            return peer.link.skip_messages();
        }
        let judged = self.judge(key, socket_key);
        let socket = &mut self.sockets[socket_key];
        // NB: what came before something wrong is for the owner; and what is dropped in
        // favour of what came now may have been the last of this link.
        self.links[key].link.release();
        let has_some = self.links[key].link.inbox.peek().is_some();
        socket.set_ready(&mut self.links, key, has_some);
        let publishes = matches!(socket.kind(), SocketType::Pub | SocketType::XPub);
        if publishes && socket.is_starved {
            // Who had no room may have unsubscribed.
            self.wake_senders(socket_key);
        } else if has_some || publishes {
            self.wake(socket_key);
        }
        judged
    }

    /// Have the pattern look at what a link parsed, and at what that makes room for.
    fn judge(&mut self, key: LinkKey, socket_key: SocketKey) -> Result<(), Closed> {
        let socket = &mut self.sockets[socket_key];
        loop {
            socket.sift(&mut self.links, key)?;
            let link = &mut self.links[key].link;
            // NB: a pattern that keeps little makes room for what is held back.
            if !link.has_stash() || !link.inbox.is_low() || link.inbox.has_fresh() {
                return Ok(());
            }
            if let Err(closed) = link.parse_stash() {
                socket.sift(&mut self.links, key)?;
                return Err(closed);
            }
        }
    }

    /// Judge what a link received, and end it if that was wrong.
    pub(super) fn deliver_or_end(&mut self, key: LinkKey) {
        let Some(socket) = self.links.get(key).map(|peer| peer.socket) else {
            return;
        };
        if let Err(closed) = self.deliver(key, socket) {
            self.link_down(key, closed);
        }
    }

    /// A message was taken from a link: go on with what its full inbox held up.
    #[inline]
    pub(super) fn after_recv(&mut self, socket_key: SocketKey, key: LinkKey) {
        let peer = &mut self.links[key];
        peer.link.release();
        if !peer.link.inbox.is_low() {
            return;
        }
        if peer.link.has_stash() {
            self.parse_stash(key);
        } else if let Some(twin) = peer.twin {
            self.transfer(twin, key);
        }
        let Some(peer) = self.links.get(key) else {
            return;
        };
        if peer.link.inbox.peek().is_none() {
            self.sockets[socket_key].set_ready(&mut self.links, key, false);
        }
        let peer = &self.links[key];
        if !peer.link.is_open() {
            self.bury(key);
        } else if !peer.watched.0 {
            self.watch(key);
        }
    }

    /// Parse what a full inbox held up, and write the answers.
    #[cold]
    fn parse_stash(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        let socket = peer.socket;
        let parsed = peer.link.parse_stash();
        let sifted = self.deliver(key, socket);
        match parsed.and(sifted) {
            Err(closed) => self.link_down(key, closed),
            Ok(()) if !self.links[key].link.is_flushed() => self.flush_link(key),
            Ok(()) => {}
        }
    }

    /// The owner of an XPUB took a notice: go on with changes that waited for that.
    pub(super) fn after_notice(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key];
        if !socket.may_resume_sifting() {
            return;
        }
        socket.resume_sifting();
        for link in socket.links.clone() {
            self.deliver_or_end(link);
            match self.links.get(link).and_then(|peer| peer.twin) {
                Some(twin) => self.transfer(twin, link),
                None => self.watch(link),
            }
        }
    }

    /// Write what waits for a link, as far as the kernel takes it.
    pub(super) fn flush_link(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        if let Some(twin) = peer.twin {
            self.transfer(key, twin);
            return;
        }
        let socket = peer.socket;
        let mut written = Written::default();
        let flushed = peer.link.flush(&mut self.write_buffer, &mut self.store, &mut written);
        self.count_written(socket, written);
        match flushed {
            Ok(()) => {
                self.use_room(socket, key);
                self.watch(key);
            }
            Err(closed) => self.write_lost(key, closed),
        }
    }

    /// Count what a link has sent, and use the room.
    pub(super) fn note_written(&mut self, socket_key: SocketKey, key: LinkKey, written: Written) {
        self.count_written(socket_key, written);
        self.use_room(socket_key, key);
    }

    fn count_written(&mut self, key: SocketKey, written: Written) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.counters.num_messages_sent += written.num_messages;
            socket.counters.num_bytes_sent += written.nbytes;
        }
    }

    /// A link may have room again.
    fn use_room(&mut self, socket_key: SocketKey, key: LinkKey) {
        self.spill(socket_key);
        let Some(socket) = self.sockets.get(socket_key) else {
            return;
        };
        if socket.makes_room(&mut self.links, key) {
            self.wake_senders(socket_key);
        }
        self.finish_if_done(socket_key);
    }

    /// Tell the poller what a link waits for.
    pub(super) fn watch(&mut self, key: LinkKey) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        let Some(fd) = peer.link.fd() else {
            return;
        };
        let wanted = (peer.link.wants_read(), peer.link.wants_write());
        match self.poller.watch(key, fd, peer.watched, wanted) {
            Ok(()) => peer.watched = wanted,
            Err(errno) => self.link_down(key, Closed::System(errno)),
        }
    }
}
