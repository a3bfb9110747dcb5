//! One socket: what it was opened as, and what it holds.

use std::collections::VecDeque;

use super::pattern::Pattern;
use super::record::Faults;
use super::{
    ConnectorKey, Counters, LinkKey, Links, ListenerKey, OnFull, OptionError, Peer, PeerError,
    PeerFault, PeerStatistics, SocketOptions, Statistics, Watcher,
};
use crate::link::{Buffer, LinkOptions, Marks, Message, Outbox, Overflow};
use crate::zmtp::SocketType;

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
    pub(super) kind: SocketType,
    pub(super) options: SocketOptions,
    pub(super) pattern: Pattern<B>,
    /// What is sent goes to each peer in turn, and waits for room.
    pub(super) is_plain_sender: bool,
    /// What is received is the owner's, as it came.
    pub(super) is_plain_receiver: bool,
    /// Of each queue of messages to be sent.
    pub(super) marks: Marks,
    pub(super) overflow: Overflow,
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
    /// A sender found no room since the last time that there was some.
    pub(crate) is_starved: bool,
    /// So did the sender of an urgent message.
    pub(crate) is_urgently_starved: bool,
    /// Senders that wait should try again.
    pub(crate) has_relief: bool,
    pub(super) up: Vec<LinkKey>,
    /// Those of them that have moved into shared memory.
    pub(crate) rings: Vec<LinkKey>,
    pub(super) turn: usize,
    pub(super) ready: VecDeque<LinkKey>,
    /// Whom the last message for several links went to.
    pub(super) fanned: Vec<LinkKey>,
    pub(super) backlog: Outbox<B>,
    faults: Faults,
    undelivered: Outbox<B>,
}

impl<B: Buffer> Socket<B> {
    pub(crate) fn new(kind: SocketType, options: SocketOptions) -> Result<Self, OptionError> {
        options.validate(kind)?;
        let (marks, overflow) = outgoing(kind, &options);
        let pattern = Pattern::new(kind, &options);
        let is_pipe = matches!(pattern, Pattern::Pipe);
        let gives_as_came = is_pipe || matches!(pattern, Pattern::Subscribe(_));
        Ok(Self {
            kind,
            is_plain_sender: is_pipe && kind.sends() && overflow == Overflow::Wait,
            is_plain_receiver: gives_as_came && kind.receives(),
            pattern,
            marks,
            overflow,
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
            is_urgently_starved: false,
            has_relief: false,
            up: Vec::new(),
            rings: Vec::new(),
            turn: 0,
            ready: VecDeque::new(),
            fanned: Vec::new(),
            backlog: Outbox::new(),
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

    /// Whether a sender that finds no room is told, rather than made to wait.
    pub fn fails_when_full(&self) -> bool {
        self.options.on_full(self.kind) == OnFull::Error
    }

    /// Whether a message may go to several peers that read the same memory.
    pub(crate) fn shares_payloads(&self) -> bool {
        matches!(self.pattern, Pattern::Publish(_)) && self.rings.len() > 1 && !self.options.isolate
    }

    /// Whether all that comes waits for the owner to take it.
    pub(crate) fn takes_all(&self) -> bool {
        self.is_plain_receiver && incoming(self.kind, &self.options).1 == Overflow::Wait
    }

    pub(crate) fn up(&self) -> &[LinkKey] {
        &self.up
    }

    pub(crate) fn backlog_is_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// What a new link of this socket is to be.
    pub(crate) fn link_options(&self) -> LinkOptions {
        let (inbox, overflow) = incoming(self.kind, &self.options);
        LinkOptions {
            kind: self.kind,
            routing_id: self.options.routing_id.clone(),
            limits: self.options.limits(),
            outbox: self.marks,
            urgent: self.options.marks(),
            inbox,
            overflow,
        }
    }

    /// Count a message as lost and keep it for its owner, if there is room, and was memory.
    pub(super) fn lose(&mut self, message: Option<Message<B>>) {
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
            num_subscriptions: match &self.pattern {
                Pattern::Publish(publisher) => publisher.num_subscriptions(),
                Pattern::Subscribe(topics) => topics.len(),
                _ => 0,
            },
            ..Statistics::default()
        };
        for &key in &self.links {
            let link = &links[key].link;
            let (num_queued, nbytes) = link.inbox.queued();
            let (num_messages, num_bytes) = link.inbox.received();
            statistics.counters.num_messages_received += num_messages;
            statistics.counters.num_bytes_received += num_bytes;
            statistics.counters.num_dropped += link.inbox.num_dropped();
            statistics.num_recv_queued += num_queued;
            statistics.num_recv_queued_bytes += nbytes;
            statistics.num_send_queued += link.outbox.len();
            statistics.num_send_queued_bytes += link.outbox.cost();
        }
        statistics
    }

    /// The peers that take part, in the order in which they came.
    pub(crate) fn peers(&self, links: &Links<B>) -> Vec<PeerStatistics> {
        let describe = |key: &LinkKey| {
            let Peer { link, endpoint, .. } = &links[*key];
            let (num_recv_queued, num_recv_queued_bytes) = link.inbox.queued();
            PeerStatistics {
                endpoint: endpoint.clone(),
                routing_id: link.peer_routing_id().to_vec(),
                num_send_queued: link.outbox.len(),
                num_send_queued_bytes: link.outbox.cost(),
                num_recv_queued,
                num_recv_queued_bytes,
            }
        };
        self.up.iter().map(describe).collect()
    }
}

/// Whether the policy of a full queue is about the messages that come in.
fn rules_inbox(kind: SocketType) -> bool {
    matches!(kind, SocketType::Pull | SocketType::Sub | SocketType::XSub)
}

fn outgoing(kind: SocketType, options: &SocketOptions) -> (Marks, Overflow) {
    if rules_inbox(kind) {
        return (options.marks(), Overflow::Wait);
    }
    ruled(options.on_full(kind), options)
}

fn incoming(kind: SocketType, options: &SocketOptions) -> (Marks, Overflow) {
    if rules_inbox(kind) {
        return ruled(options.on_full(kind), options);
    }
    (options.marks(), Overflow::Wait)
}

/// The marks of a queue with a policy, and what is done beyond them.
fn ruled(policy: OnFull, options: &SocketOptions) -> (Marks, Overflow) {
    match policy {
        OnFull::Wait | OnFull::Error => (options.marks(), Overflow::Wait),
        OnFull::DropNew => (options.marks(), Overflow::DropNew),
        OnFull::DropOld => (options.marks(), Overflow::DropOld),
        OnFull::Conflate => (Marks { messages: 1, nbytes: usize::MAX }, Overflow::DropOld),
    }
}
