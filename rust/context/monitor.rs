//! Telling what happens to a socket's connections.

use super::{Context, SetupError};
use crate::link::{Buffer, Closed};
use crate::socket::{Event, EventKind, EventLog, LinkKey, PeerFault, SocketKey, State};
use crate::zmtp::SocketType;

impl<B: Buffer> Context<B> {
    /// Watch a socket's connections from here on. Who watched before gets no more events.
    ///
    /// # Errors
    ///
    /// [`SetupError::Closed`].
    pub fn monitor(&mut self, key: SocketKey, max_events: usize) -> Result<EventLog, SetupError> {
        let socket = self.sockets.get_mut(key).filter(|socket| socket.state == State::Open);
        let socket = socket.ok_or(SetupError::Closed)?;
        let log = EventLog::new(max_events);
        socket.watcher.replace(&log);
        self.wake(key);
        Ok(log)
    }

    /// Whether there is something new in a socket's [`EventLog`] since the last call.
    pub fn take_news(&mut self, key: SocketKey) -> bool {
        self.sockets.get_mut(key).is_some_and(|socket| socket.watcher.take_news())
    }

    pub(super) fn tell(&mut self, key: SocketKey, kind: EventKind, endpoint: &str) {
        self.tell_fault(key, kind, endpoint, None);
    }

    pub(super) fn tell_fault(
        &mut self,
        key: SocketKey,
        kind: EventKind,
        endpoint: &str,
        fault: Option<PeerFault>,
    ) {
        let event = || Event { kind, endpoint: endpoint.into(), routing_id: Vec::new(), fault };
        if self.sockets.get_mut(key).is_some_and(|socket| socket.watcher.tell(event)) {
            self.wake(key);
        }
    }

    /// Tell of a link that came up, or ended.
    pub(super) fn tell_link(&mut self, key: LinkKey, kind: EventKind, fault: Option<PeerFault>) {
        let peer = &self.links[key];
        let socket = &mut self.sockets[peer.socket];
        let is_named = socket.kind() == SocketType::Router && peer.is_announced;
        let id = if is_named { peer.link.peer_routing_id() } else { b"" };
        let event =
            || Event { kind, endpoint: peer.endpoint.clone(), routing_id: id.into(), fault };
        if socket.watcher.tell(event) {
            self.wake(peer.socket);
        }
    }
}

/// What the peer did wrong when its link ended so, and `handshake_timeout` was its time.
pub(super) fn fault_of(
    closed: Closed,
    handshake_timeout: std::time::Duration,
) -> Option<PeerFault> {
    match closed {
        Closed::Protocol(error) => Some(PeerFault::Protocol(error)),
        Closed::AmidMessage => Some(PeerFault::Lost),
        Closed::Unresponsive => Some(PeerFault::Unresponsive),
        Closed::Overdue => Some(PeerFault::Silent(handshake_timeout)),
        Closed::Eof | Closed::System(_) => None,
    }
}
