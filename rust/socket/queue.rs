//! One socket: round robin out, fair in, a backlog while nobody can take a message.

use std::collections::VecDeque;

use super::record::Faults;
use super::routes::Routes;
use super::{
    ConnectorKey, Counters, LinkKey, Links, ListenerKey, OptionError, PeerError, PeerFault,
    SocketOptions, Statistics, Watcher,
};
use crate::link::{Buffer, Marks, Message, OutOfMemory, Outbox};
use crate::zmtp::SocketType;

/// What becomes of an accepted message at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is queued for this link.
    Queued(LinkKey),
    /// It waits in the socket until a peer comes.
    Waiting,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// No peer has room; the marks that say so.
    Full {
        hwm_messages: usize,
        hwm_bytes: usize,
    },
    TooLarge {
        size: u64,
        limit: u64,
        unit: &'static str,
    },
    /// No peer has that routing id.
    NoRoute(Vec<u8>),
    /// The type of the socket does not allow it.
    Misuse(&'static str),
    Closed,
}

/// The life of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// Closed for its owner, and still sending.
    Lingering,
    Closed,
}

/// A pattern over any number of links.
pub struct Socket<B: Buffer> {
    kind: SocketType,
    options: SocketOptions,
    marks: Marks,
    pub(crate) state: State,
    pub(crate) links: Vec<LinkKey>,
    pub(crate) listeners: Vec<ListenerKey>,
    pub(crate) connectors: Vec<ConnectorKey>,
    pub(crate) last_endpoint: String,
    pub(crate) linger_timer: Option<crate::timers::TimerId>,
    pub(crate) counters: Counters,
    /// Nobody will ask for it again: it goes when it is closed.
    pub(crate) is_released: bool,
    /// Its links are being ended, one by one.
    pub(crate) is_ending: bool,
    /// It waits in the context's list of sockets to wake.
    pub(crate) is_woken: bool,
    pub(crate) watcher: Watcher,
    /// A send found no room since the last time that there was some.
    pub(crate) is_starved: bool,
    /// A ROUTER's sender may wait for a peer that left since the last one found no room.
    has_lost_route: bool,
    up: Vec<LinkKey>,
    turn: usize,
    ready: VecDeque<LinkKey>,
    backlog: Outbox<B>,
    routes: Routes,
    faults: Faults,
    undelivered: Outbox<B>,
}

impl<B: Buffer> Socket<B> {
    pub(crate) fn new(kind: SocketType, options: SocketOptions) -> Result<Self, OptionError> {
        options.validate(kind)?;
        Ok(Self {
            kind,
            marks: options.marks(),
            options,
            state: State::Open,
            links: Vec::new(),
            listeners: Vec::new(),
            connectors: Vec::new(),
            last_endpoint: String::new(),
            linger_timer: None,
            counters: Counters::default(),
            is_released: false,
            is_ending: false,
            is_woken: false,
            watcher: Watcher::default(),
            is_starved: false,
            has_lost_route: false,
            up: Vec::new(),
            turn: 0,
            ready: VecDeque::new(),
            backlog: Outbox::new(),
            routes: Routes::default(),
            faults: Faults::default(),
            undelivered: Outbox::new(),
        })
    }

    pub fn kind(&self) -> SocketType {
        self.kind
    }

    pub fn options(&self) -> &SocketOptions {
        &self.options
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// The endpoint that was bound last; empty before any.
    pub fn last_endpoint(&self) -> &str {
        &self.last_endpoint
    }

    pub(crate) fn up(&self) -> &[LinkKey] {
        &self.up
    }

    pub(crate) fn backlog_is_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Accept a message for a peer that has room.
    pub(crate) fn send(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, (SendFault, Message<B>)> {
        if let Some(fault) = self.check(&message) {
            return Err((fault, message));
        }
        if self.kind == SocketType::Router {
            return self.send_routed(links, message);
        }
        let cost = message.cost();
        if self.backlog.is_empty()
            && let Some(key) = self.next_with_room(links, cost)
        {
            links[key].link.outbox.push(message, cost);
            return Ok(Sent::Queued(key));
        }
        let has_room = self.marks.admit(self.backlog.len(), self.backlog.cost(), cost);
        if self.up.is_empty() && has_room {
            self.backlog.push(message, cost);
            return Ok(Sent::Waiting);
        }
        Err((self.full(), message))
    }

    #[inline]
    fn check(&self, message: &Message<B>) -> Option<SendFault> {
        let max_parts = self.options.max_parts as u64;
        let max_nbytes = self.options.max_message_bytes;
        let num_parts = message.parts().len() as u64;
        let nbytes = message.nbytes() as u64;
        if self.state != State::Open {
            Some(SendFault::Closed)
        } else if !self.kind.sends() {
            Some(SendFault::Misuse("a PULL socket cannot send"))
        } else if nbytes > max_nbytes {
            Some(SendFault::TooLarge { size: nbytes, limit: max_nbytes, unit: "bytes" })
        } else if num_parts > max_parts {
            Some(SendFault::TooLarge { size: num_parts, limit: max_parts, unit: "parts" })
        } else {
            None
        }
    }

    fn send_routed(
        &mut self,
        links: &mut Links<B>,
        message: Message<B>,
    ) -> Result<Sent, (SendFault, Message<B>)> {
        let Message::Multi(mut parts) = message else {
            let reason = "a ROUTER message starts with a routing id; use send_multipart";
            return Err((SendFault::Misuse(reason), message));
        };
        let Some(key) = self.routes.get(parts[0].as_ref()) else {
            let id = parts[0].as_ref().to_vec();
            return Err((SendFault::NoRoute(id), Message::Multi(parts)));
        };
        let id = parts.remove(0);
        let message = match parts.len() {
            1 => Message::Single(parts.remove(0)),
            _ => Message::Multi(parts),
        };
        let cost = message.cost();
        if links[key].link.admits(cost) {
            links[key].link.outbox.push(message, cost);
            return Ok(Sent::Queued(key));
        }
        let mut parts = message.into_parts();
        parts.insert(0, id);
        Err((self.full(), Message::Multi(parts)))
    }

    fn full(&mut self) -> SendFault {
        self.is_starved = true;
        self.has_lost_route = false;
        SendFault::Full {
            hwm_messages: self.options.hwm_messages,
            hwm_bytes: self.options.hwm_bytes,
        }
    }

    #[inline]
    fn next_with_room(&mut self, links: &Links<B>, cost: usize) -> Option<LinkKey> {
        for _ in 0..self.up.len() {
            if self.turn >= self.up.len() {
                self.turn = 0;
            }
            let key = self.up[self.turn];
            self.turn += 1;
            if links[key].link.admits(cost) {
                return Some(key);
            }
        }
        None
    }

    /// Whether some peer, or the backlog while there is none, fell low enough that a
    /// waiting sender should go on.
    pub(crate) fn has_room(&self, links: &Links<B>) -> bool {
        if self.has_lost_route {
            return true;
        }
        if self.up.is_empty() {
            return self.marks.is_low(self.backlog.len(), self.backlog.cost());
        }
        self.backlog.is_empty() && self.up.iter().any(|&key| links[key].link.is_low())
    }

    /// Move what waits in the backlog to links with room, in order; return which.
    pub(crate) fn spill(&mut self, links: &mut Links<B>) -> Vec<LinkKey> {
        let mut touched = Vec::new();
        while let Some(message) = self.backlog.pop() {
            let cost = message.cost();
            let Some(key) = self.next_with_room(links, cost) else {
                self.backlog.unshift_all(VecDeque::from([message]));
                break;
            };
            links[key].link.outbox.push(message, cost);
            if !touched.contains(&key) {
                touched.push(key);
            }
        }
        touched
    }

    /// Take the next message: each peer that has some gets its turn.
    #[inline]
    pub(crate) fn recv(&mut self, links: &mut Links<B>) -> Option<(Message<B>, LinkKey)> {
        let key = *self.ready.front()?;
        let message = links[key].link.pop()?;
        if self.ready.len() > 1 {
            self.ready.rotate_left(1);
        }
        Some((message, key))
    }

    /// The message that [`Self::recv`] would take.
    #[inline]
    pub(crate) fn peek<'a>(&self, links: &'a Links<B>) -> Option<&'a Message<B>> {
        links[*self.ready.front()?].link.peek()
    }

    pub(crate) fn num_readable(&self, links: &Links<B>) -> usize {
        self.ready.iter().map(|&key| links[key].link.queued().0).sum()
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Note whether `key` has messages to take.
    pub(crate) fn set_ready(&mut self, links: &mut Links<B>, key: LinkKey, is_ready: bool) {
        let peer = &mut links[key];
        if peer.is_ready == is_ready {
            return;
        }
        peer.is_ready = is_ready;
        if is_ready {
            self.ready.push_back(key);
        } else if self.ready.back() == Some(&key) {
            // The one that had its turn last, as a rule.
            self.ready.pop_back();
        } else {
            self.ready.retain(|&other| other != key);
        }
    }

    /// The link that holds a routing id, if this socket routes by it.
    pub(crate) fn holder(&self, id: &[u8]) -> Option<LinkKey> {
        if self.kind == SocketType::Router && !id.is_empty() { self.routes.get(id) } else { None }
    }

    /// Let a link take part; its routing id is free.
    pub(crate) fn add_up(&mut self, links: &mut Links<B>, key: LinkKey) {
        self.up.push(key);
        self.counters.num_connected += 1;
        if self.kind == SocketType::Router {
            let link = &mut links[key].link;
            if link.peer_routing_id().is_empty() {
                link.set_peer_routing_id(self.routes.generate());
            }
            self.routes.insert(link.peer_routing_id(), key);
        }
    }

    /// Take a link out: what it had not sent goes to the next peer or, from a ROUTER, is
    /// known to be lost.
    pub(crate) fn remove_up(&mut self, links: &mut Links<B>, key: LinkKey) {
        let Some(at) = self.up.iter().position(|&other| other == key) else {
            return;
        };
        self.up.remove(at);
        if at < self.turn {
            self.turn -= 1;
        }
        self.counters.num_disconnected += 1;
        let link = &mut links[key].link;
        self.routes.remove(link.peer_routing_id(), key);
        let unsent = link.outbox.take_all();
        if self.kind == SocketType::Router {
            self.has_lost_route = self.is_starved;
            let id = link.peer_routing_id().to_vec();
            unsent.into_iter().for_each(|message| self.lose(addressed(&id, message).ok()));
        } else {
            self.backlog.unshift_all(unsent);
        }
    }

    /// Keep what a link counted that is about to be removed.
    pub(crate) fn forget_link(&mut self, links: &mut Links<B>, key: LinkKey) {
        self.set_ready(links, key, false);
        let (num_messages, num_bytes) = links[key].link.received();
        self.counters.num_messages_received += num_messages;
        self.counters.num_bytes_received += num_bytes;
        self.links.retain(|&other| other != key);
    }

    /// Give up all that is still unsent.
    pub(crate) fn lose_all(&mut self, links: &mut Links<B>) {
        let backlog = self.backlog.take_all();
        let mut unsent: Vec<_> = backlog.into_iter().map(Some).collect();
        for &key in &self.up {
            let link = &mut links[key].link;
            let messages = link.outbox.take_all();
            if self.kind == SocketType::Router {
                let id = link.peer_routing_id();
                unsent.extend(messages.into_iter().map(|message| addressed(id, message).ok()));
            } else {
                unsent.extend(messages.into_iter().map(Some));
            }
        }
        unsent.into_iter().for_each(|message| self.lose(message));
    }

    /// Count a message as lost and keep it for its owner, if there is room, and was memory.
    fn lose(&mut self, message: Option<Message<B>>) {
        self.counters.num_undelivered += 1;
        if let Some(message) = message {
            let cost = message.cost();
            if self.marks.admit(self.undelivered.len(), self.undelivered.cost(), cost) {
                self.undelivered.push(message, cost);
            }
        }
    }

    pub(crate) fn take_undelivered(&mut self) -> VecDeque<Message<B>> {
        self.undelivered.take_all()
    }

    pub(crate) fn note(&mut self, endpoint: &str, fault: PeerFault) {
        self.faults.push(endpoint, fault);
    }

    pub(crate) fn faults(&self) -> Vec<PeerError> {
        self.faults.to_vec()
    }

    pub(crate) fn statistics(&self, links: &Links<B>) -> Statistics {
        let mut statistics = Statistics {
            counters: self.counters,
            num_peers: self.up.len(),
            num_send_queued: self.backlog.len(),
            num_send_queued_bytes: self.backlog.cost(),
            ..Statistics::default()
        };
        for &key in &self.links {
            let link = &links[key].link;
            let (num_queued, nbytes) = link.queued();
            let (num_messages, num_bytes) = link.received();
            statistics.counters.num_messages_received += num_messages;
            statistics.counters.num_bytes_received += num_bytes;
            statistics.num_recv_queued += num_queued;
            statistics.num_recv_queued_bytes += nbytes;
            statistics.num_send_queued += link.outbox.len();
            statistics.num_send_queued_bytes += link.outbox.cost();
        }
        statistics
    }
}

/// A ROUTER's message as its owner gives and gets it: the routing id first.
pub(crate) fn addressed<B: Buffer>(
    id: &[u8],
    message: Message<B>,
) -> Result<Message<B>, OutOfMemory> {
    let mut parts = vec![B::copy_from(id)?];
    parts.extend(message.into_parts());
    Ok(Message::Multi(parts))
}
