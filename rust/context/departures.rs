//! Links go, and what they held goes on or is lost.

use std::os::fd::AsFd;

use super::Context;
use super::monitor::fault_of;
use crate::link::{Buffer, Closed, Origin, Phase};
use crate::socket::{EventKind, LinkKey, SocketKey, State};
use crate::zmtp;

impl<B: Buffer> Context<B> {
    /// Hand what waits in a socket to links with room.
    pub(super) fn spill(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.backlog_is_empty() {
            return;
        }
        for link in socket.spill(&mut self.links) {
            self.mark_dirty(link);
        }
    }

    /// Nothing can be written to a link any more. What it has sent is still read.
    pub(super) fn write_lost(&mut self, key: LinkKey, closed: Closed) {
        let peer = &mut self.links[key];
        if peer.link.phase() != Phase::Up || !peer.is_announced {
            self.link_down(key, closed);
            return;
        }
        let socket = peer.socket;
        if peer.link.is_upgraded() {
            // How it ended is told by the stream.
            self.serve_readable(key);
            self.link_down(key, closed);
            return;
        }
        self.sockets[socket].remove_up(&mut self.links, key, &self.store);
        self.links[key].link.sever();
        self.spill(socket);
        self.wake_senders(socket);
        self.watch(key);
    }

    /// End a link. What it received and was not taken stays to be taken.
    pub(super) fn link_down(&mut self, key: LinkKey, closed: Closed) {
        let Some(peer) = self.links.get_mut(key) else {
            return;
        };
        if !peer.link.is_open() {
            return;
        }
        let socket_key = peer.socket;
        let (origin, announced) = (peer.origin, peer.is_announced);
        self.timers.cancel(peer.timer.take());
        self.stop_heartbeat(key);
        let peer = &mut self.links[key];
        if let Some(reason) = peer.link.last_words(&closed) {
            peer.link.refuse(&reason);
        }
        let is_connecting = peer.link.phase() == Phase::Connecting;
        if let Some(fd) = peer.link.fd() {
            // NB: closing would not take it out of the poller while a forked child holds it.
            let _ = self.poller.watch(key, fd, peer.watched, (false, false));
        }
        if let Some(bell) = peer.link.bell() {
            let _ = self.poller.remove(bell.as_fd());
        }
        let line = peer.link.line();
        peer.link.close();
        peer.watched = (false, false);
        let event = match (announced, peer.is_refused) {
            (true, _) => EventKind::Disconnected,
            (false, true) => EventKind::Refused,
            (false, false) => EventKind::HandshakeFailed,
        };
        let twin = peer.twin.take();
        let endpoint = peer.endpoint.clone();
        self.sockets[socket_key].remove_up(&mut self.links, key, &self.store);
        self.settle_account(key, line);
        // What was held back is for the owner too. What is wrong with it matters no more.
        let _ = self.deliver(key, socket_key);
        let socket = &mut self.sockets[socket_key];
        socket.link_ended(key, &endpoint);
        if !announced && !is_connecting {
            socket.counters.num_handshakes_failed += 1;
        }
        if let Closed::Protocol(_) = closed {
            socket.counters.num_protocol_errors += 1;
        }
        let seen_by_twin = as_peer_sees(&closed);
        let fault = fault_of(closed, socket.options().handshake_timeout);
        if let Some(fault) = &fault {
            socket.note(&endpoint, fault.clone());
        }
        if !is_connecting {
            self.tell_link(key, event, fault);
        }
        self.bury(key);
        if let Origin::Connected(connector) = origin
            && let Some(found) = self.connectors.get_mut(connector)
        {
            found.link = None;
            self.put_off(connector);
        }
        self.spill(socket_key);
        self.wake_senders(socket_key);
        self.finish_if_done(socket_key);
        if let Some(twin) = twin {
            self.link_down(twin, seen_by_twin);
        }
    }

    /// Remove a closed link once nothing is left to take from it.
    pub(super) fn bury(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        let socket = &mut self.sockets[peer.socket];
        let is_empty = peer.link.inbox.peek().is_none() && !peer.link.has_stash();
        if socket.state != State::Open {
            peer.link.discard_inbox();
        } else if !is_empty {
            return;
        }
        socket.forget_link(&mut self.links, key);
        self.links.remove(key);
    }

    pub(super) fn handshake_timed_out(&mut self, key: LinkKey) {
        if let Some(peer) = self.links.get_mut(key) {
            peer.timer = None;
            self.link_down(key, Closed::Overdue);
        }
    }
}

/// What the other half of a link within the context sees of its end.
fn as_peer_sees(closed: &Closed) -> Closed {
    match closed {
        Closed::Protocol(zmtp::Error::Refused { reason }) if !reason.starts_with("peer ") => {
            zmtp::Error::refused(format!("peer refused: {reason}")).into()
        }
        _ => Closed::Eof,
    }
}
