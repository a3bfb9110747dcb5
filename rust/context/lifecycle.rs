//! Links come, come up, and go.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use super::monitor::fault_of;
use super::{Bound, Context, Due, Place};
use crate::link::{Buffer, Closed, Endpoint, Guard, Link, Origin, Phase, Stream};
use crate::socket::{
    ConnectorKey, EventKind, LinkKey, ListenerKey, Peer, PeerFault, SocketKey, State,
};
use crate::zmtp::{self, Role};

/// Connections accepted before others have their turn.
const ACCEPT_BATCH: usize = 64;
/// How long a listener rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<B: Buffer> Context<B> {
    pub(super) fn accept(&mut self, key: ListenerKey) {
        for _ in 0..ACCEPT_BATCH {
            let Some(bound) = self.bound.get(key) else {
                return;
            };
            let socket = bound.socket;
            let Place::Listener(listener) = &bound.place else {
                return;
            };
            match listener.accept() {
                Ok(Some(stream)) => self.admit(key, socket, stream),
                Ok(None) => return,
                Err(Errno::PERM) => {
                    let endpoint = listener.endpoint().to_string();
                    self.refuse_user(socket, &endpoint);
                }
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.rest_listener(key);
                    return;
                }
                // The peer is gone already.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, key: ListenerKey, socket_key: SocketKey, stream: Stream) {
        let endpoint = self.bound[key].place.endpoint().to_string();
        let socket = &mut self.sockets[socket_key];
        if !socket.admits_peer() {
            self.tell(socket_key, EventKind::Refused, &endpoint);
            return;
        }
        self.tell(socket_key, EventKind::Accepted, &endpoint);
        let insecure = self.bound[key].insecure;
        // Without a nonce nobody can be asked for the key.
        if let Ok(guard) = self.guard(&stream, insecure, Role::Server) {
            self.add_link(socket_key, stream, false, guard, Origin::Accepted, endpoint);
        }
    }

    fn rest_listener(&mut self, key: ListenerKey) {
        if let Place::Listener(listener) = &self.bound[key].place
            && self.poller.remove(listener.as_fd()).is_ok()
        {
            self.timers.insert(Self::after(ACCEPT_PAUSE), Due::Accept(key));
        }
    }

    pub(super) fn resume_listener(&mut self, key: ListenerKey) {
        if let Some(Bound { place: Place::Listener(listener), .. }) = self.bound.get(key)
            && self.poller.add_listener(key, listener.as_fd()).is_err()
        {
            self.timers.insert(Self::after(ACCEPT_PAUSE), Due::Accept(key));
        }
    }

    /// Try to connect; put it off if that fails at once.
    pub(super) fn attempt(&mut self, key: ConnectorKey) {
        let Some(connector) = self.connectors.get_mut(key) else {
            return;
        };
        connector.timer = None;
        let (socket, insecure) = (connector.socket, connector.insecure);
        if let Endpoint::Inproc(_) = connector.endpoint {
            self.attempt_inproc(key);
            return;
        }
        let kernel = self.sockets[socket].options().kernel();
        let attempt = connector.attempt(&kernel);
        let guarded =
            attempt.and_then(|stream| Ok((self.guard(&stream, insecure, Role::Client)?, stream)));
        let Some(connector) = self.connectors.get(key) else {
            return;
        };
        match guarded {
            Ok((guard, stream)) => {
                let endpoint = connector.endpoint.to_string();
                let is_tcp = stream.is_tcp();
                let origin = Origin::Connected(key);
                let link = self.add_link(socket, stream, is_tcp, guard, origin, endpoint);
                if let Some(connector) = self.connectors.get_mut(key) {
                    connector.link = link;
                }
            }
            Err(errno) => {
                if errno == Errno::PERM && matches!(connector.endpoint, Endpoint::Ipc(_)) {
                    let endpoint = connector.endpoint.to_string();
                    self.refuse_user(socket, &endpoint);
                }
                self.put_off(key);
            }
        }
    }

    /// Note that the other end belongs to another user, and is not spoken to.
    fn refuse_user(&mut self, key: SocketKey, endpoint: &str) {
        let socket = &mut self.sockets[key];
        socket.counters.num_refused += 1;
        socket.note(endpoint, PeerFault::OtherUser);
        let fault = Some(PeerFault::OtherUser);
        self.tell_fault(key, EventKind::Refused, endpoint, fault);
    }

    /// What protects a link over `stream`.
    fn guard(&self, stream: &Stream, insecure: bool, role: Role) -> Result<Guard, Errno> {
        match &self.key {
            Some(key) if stream.is_tcp() && !insecure => Guard::keyed(key, role),
            _ => Ok(Guard::Open),
        }
    }

    pub(super) fn put_off(&mut self, key: ConnectorKey) {
        let Some(connector) = self.connectors.get_mut(key) else {
            return;
        };
        if let Endpoint::Inproc(_) = connector.endpoint
            && !self.names.contains_key(&connector.endpoint.to_string())
        {
            // Binding the name will tell.
            return;
        }
        let socket = &mut self.sockets[connector.socket];
        socket.counters.num_retries += 1;
        let options = socket.options();
        let wait = connector.back_off(options.reconnect_interval, options.reconnect_max);
        connector.timer = Some(self.timers.insert(Self::after(wait), Due::Reconnect(key)));
        let (socket, endpoint) = (connector.socket, connector.endpoint.to_string());
        self.tell(socket, EventKind::Retried, &endpoint);
    }

    /// Connect no more to an endpoint; the link to it stays.
    pub(super) fn forget_connector(&mut self, key: ConnectorKey) {
        let Some(connector) = self.connectors.remove(key) else {
            return;
        };
        self.timers.cancel(connector.timer);
        self.sockets[connector.socket].connectors.retain(|&other| other != key);
    }

    fn add_link(
        &mut self,
        socket_key: SocketKey,
        stream: Stream,
        connecting: bool,
        guard: Guard,
        origin: Origin<ConnectorKey>,
        endpoint: String,
    ) -> Option<LinkKey> {
        let socket = &mut self.sockets[socket_key];
        let mut link = Link::new(stream, connecting, socket.link_options());
        link.protect(guard);
        let deadline = Self::after(socket.options().handshake_timeout);
        let key = self.links.insert(Peer::new(link, socket_key, origin, endpoint));
        self.links[key].timer = Some(self.timers.insert(deadline, Due::Handshake(key)));
        socket.links.push(key);
        self.watch(key);
        self.flush_link(key);
        // A link that could not even greet is gone again.
        self.links.contains_key(key).then_some(key)
    }

    /// Let a link whose handshake is complete take part.
    pub(super) fn announce(&mut self, key: LinkKey) -> Result<(), Closed> {
        let id = self.links[key].link.peer_routing_id().to_vec();
        let socket_key = self.links[key].socket;
        if id.first() == Some(&0) {
            let reason = "routing id starts with a zero byte";
            return Err(zmtp::Error::refused(reason).into());
        }
        if let Some((holder, reason)) = self.sockets[socket_key].holder(&id) {
            if self.sockets[socket_key].options().router_handover {
                self.link_down(holder, Closed::Eof);
            } else if self.links[holder].link.is_hung_up() {
                // Its end is known to the kernel, and was not yet to us.
                self.write_lost(holder, Closed::Eof);
            } else {
                self.sockets[socket_key].counters.num_refused += 1;
                self.links[key].is_refused = true;
                return Err(zmtp::Error::refused(reason).into());
            }
        }
        let Some(peer) = self.links.get_mut(key) else {
            return Ok(());
        };
        peer.is_announced = true;
        self.timers.cancel(peer.timer.take());
        self.start_heartbeat(key);
        if let Origin::Connected(connector) = self.links[key].origin
            && let Some(connector) = self.connectors.get_mut(connector)
        {
            connector.succeeded();
        }
        let added = self.sockets[socket_key].add_up(&mut self.links, key);
        self.tell_link(key, EventKind::Connected, None);
        if added.is_err() {
            return Err(zmtp::Error::OutOfMemory { size: 0 }.into());
        }
        self.mark_dirty(key);
        self.spill(socket_key);
        self.wake_senders(socket_key);
        Ok(())
    }

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
        self.sockets[socket].remove_up(&mut self.links, key);
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
        peer.link.close();
        peer.watched = (false, false);
        let event = match (announced, peer.is_refused) {
            (true, _) => EventKind::Disconnected,
            (false, true) => EventKind::Refused,
            (false, false) => EventKind::HandshakeFailed,
        };
        let twin = peer.twin.take();
        let endpoint = peer.endpoint.clone();
        self.sockets[socket_key].remove_up(&mut self.links, key);
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
