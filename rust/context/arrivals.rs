//! Links come, and come up.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use super::{Bound, Context, Due, Place};
use crate::link::{Buffer, Closed, Endpoint, Guard, Link, Origin, Stream};
use crate::socket::{ConnectorKey, EventKind, LinkKey, ListenerKey, Peer, PeerFault, SocketKey};
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
        let is_tcp = stream.is_tcp();
        let mut link = Link::new(stream, connecting, socket.link_options());
        link.protect(guard);
        let deadline = Self::after(socket.options().handshake_timeout);
        let key = self.links.insert(Peer::new(link, socket_key, origin, endpoint));
        self.links[key].timer = Some(self.timers.insert(deadline, Due::Handshake(key)));
        socket.links.push(key);
        if !is_tcp && let Err(refused) = self.offer_upgrade(key) {
            self.link_down(key, refused.into());
            return None;
        }
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
        self.settle_upgrade(key)?;
        let Some(peer) = self.links.get_mut(key) else {
            return Ok(());
        };
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
}
