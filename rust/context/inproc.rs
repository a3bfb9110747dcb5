//! Links between sockets of one context: messages are moved, and there is no stream.

use super::Context;
use crate::link::{Buffer, Link, Message, Origin, Written};
use crate::socket::{
    ConnectorKey, EventKind, LinkKey, ListenerKey, Peer, PeerFault, SocketKey, State,
};
use crate::zmtp::{self, Error};

impl<B: Buffer> Context<B> {
    /// Connect to a name, if it is bound.
    pub(super) fn attempt_inproc(&mut self, key: ConnectorKey) {
        let connector = &self.connectors[key];
        let (socket, endpoint) = (connector.socket, connector.endpoint.to_string());
        let Some(&listener) = self.names.get(&endpoint) else {
            return;
        };
        let binder = self.bound[listener].socket;
        if !self.sockets[binder].admits_peer() {
            self.tell(binder, EventKind::Refused, &endpoint);
            self.put_off(key);
            return;
        }
        self.tell(binder, EventKind::Accepted, &endpoint);
        if let Err(errors) = self.check_partners(socket, binder) {
            for (side, error) in [socket, binder].into_iter().zip(errors) {
                let counters = &mut self.sockets[side].counters;
                counters.num_handshakes_failed += 1;
                counters.num_protocol_errors += 1;
                let fault = PeerFault::Protocol(error);
                self.sockets[side].note(&endpoint, fault.clone());
                self.tell_fault(side, EventKind::HandshakeFailed, &endpoint, Some(fault));
            }
            self.put_off(key);
        } else {
            self.join(key, listener, &endpoint);
        }
    }

    /// Whether the types of two sockets go together; else what each side is told.
    fn check_partners(&self, first: SocketKey, second: SocketKey) -> Result<(), [Error; 2]> {
        let (first, second) = (self.sockets[first].kind(), self.sockets[second].kind());
        if first.accepts(second.name().as_bytes()) {
            return Ok(());
        }
        let told = |kind: zmtp::SocketType, other: zmtp::SocketType| {
            Error::refused(kind.refusal(other.name().as_bytes()))
        };
        Err([told(first, second), told(second, first)])
    }

    /// Make the two halves of a link and let both take part.
    fn join(&mut self, connector: ConnectorKey, listener: ListenerKey, endpoint: &str) {
        let socket = self.connectors[connector].socket;
        let binder = self.bound[listener].socket;
        let ours = self.add_half(socket, binder, Origin::Connected(connector), endpoint);
        let theirs = self.add_half(binder, socket, Origin::Accepted, endpoint);
        self.links[ours].twin = Some(theirs);
        self.links[theirs].twin = Some(ours);
        self.connectors[connector].link = Some(ours);
        for half in [theirs, ours] {
            if let Err(closed) = self.announce(half) {
                self.link_down(half, closed);
                return;
            }
        }
        for (half, other) in [(theirs, ours), (ours, theirs)] {
            self.probe(half, other);
            self.flush_link(half);
        }
    }

    /// Move an empty message from `from` to its other half, if its socket greets so.
    fn probe(&mut self, from: LinkKey, to: LinkKey) {
        let sender = self.links.get(from).map(|peer| &self.sockets[peer.socket]);
        if !sender.is_some_and(|socket| socket.options().probe_router) {
            return;
        }
        // NB: without memory there is no probe; it is a courtesy.
        if let (Ok(part), Some(receiver)) = (B::copy_from(b""), self.links.get_mut(to)) {
            receiver.link.inbox.accept(Message::Single(part));
            self.deliver_or_end(to);
        }
    }

    fn add_half(
        &mut self,
        socket: SocketKey,
        other: SocketKey,
        origin: Origin<ConnectorKey>,
        endpoint: &str,
    ) -> LinkKey {
        let options = self.sockets[socket].link_options();
        let link = Link::inproc(options, &self.sockets[other].options().routing_id);
        let key = self.links.insert(Peer::new(link, socket, origin, endpoint.into()));
        self.sockets[socket].links.push(key);
        key
    }

    /// Whether a link leads to a socket of this context that takes nothing any more.
    pub(super) fn leads_nowhere(&self, key: LinkKey) -> bool {
        let twin = self.links[key].twin.and_then(|twin| self.links.get(twin));
        twin.is_some_and(|twin| self.sockets[twin.socket].state() != State::Open)
    }

    /// Let the sockets of this context that are linked to `key`, which was closed, end if
    /// they linger for its sake only.
    pub(super) fn finish_partners(&mut self, key: SocketKey) {
        for link in self.sockets[key].links.clone() {
            let twin = self.links.get(link).and_then(|peer| peer.twin);
            if let Some(twin) = twin.and_then(|twin| self.links.get(twin)) {
                self.finish_if_done(twin.socket);
            }
        }
    }

    /// Move what `from` has queued to its other half `to`, as far as there is room.
    pub(super) fn transfer(&mut self, from: LinkKey, to: LinkKey) {
        loop {
            let Some([sender, receiver]) = self.links.get_disjoint_mut([from, to]) else {
                return;
            };
            if !sender.is_announced || !receiver.is_announced {
                return;
            }
            let target = &self.sockets[receiver.socket];
            if target.state() != State::Open {
                return;
            }
            // What may end the link is judged before the next message leaves its queue.
            let mut batch = if target.judges_peers() { 1 } else { usize::MAX };
            let mut written = Written::default();
            let mut too_large = None;
            while batch > 0
                && receiver.link.inbox.has_room()
                && let Some(message) = sender.link.outbox.pop()
            {
                batch -= 1;
                written.num_messages += 1;
                written.nbytes += message.nbytes() as u64;
                // It is sent, and not received, as one over a stream would be.
                let limits = receiver.link.options().limits;
                too_large = limits.check(message.nbytes() as u64, message.parts().len()).err();
                if too_large.is_some() {
                    break;
                }
                receiver.link.inbox.accept(message);
            }
            let is_done = written.num_messages == 0;
            let sender = sender.socket;
            // NB: counting what was sent may end the link, and what is not judged with it.
            self.deliver_or_end(to);
            if let Some(excess) = too_large {
                self.link_down(to, Error::from(excess).into());
            }
            self.note_written(sender, from, written);
            if is_done {
                return;
            }
        }
    }

    /// Connect whoever waits for a name that was just bound.
    pub(super) fn attempt_pending(&mut self, endpoint: &str) {
        let is_pending = |key: &ConnectorKey| {
            let connector = &self.connectors[*key];
            connector.link.is_none()
                && connector.timer.is_none()
                && connector.endpoint.to_string() == endpoint
        };
        for key in self.connectors.keys().filter(is_pending).collect::<Vec<_>>() {
            self.attempt(key);
        }
    }
}
