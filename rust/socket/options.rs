//! What a socket may be told when it is opened.

use std::fmt;
use std::time::Duration;

use super::OnFull;
use crate::link::{Keepalive, KernelOptions, Limits, ListenOptions, Marks};
use crate::zmtp::SocketType;

/// The options of a socket. The defaults suit a service on one machine.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Messages queued per peer and direction.
    pub hwm_messages: usize,
    /// Bytes queued per peer and direction, as [`crate::link::Message::cost`] counts them.
    pub hwm_bytes: usize,
    /// How long close goes on sending; `None` for no bound.
    pub linger: Option<Duration>,
    /// Payload bytes of one message, both ways.
    pub max_message_bytes: u64,
    /// Parts of one message, both ways.
    pub max_parts: usize,
    /// Accepted connections held at once.
    pub max_peers: usize,
    /// What a new connection may take until it is up.
    pub handshake_timeout: Duration,
    /// The first wait before a new attempt to connect; doubles at each failure.
    pub reconnect_interval: Duration,
    /// What it doubles up to.
    pub reconnect_max: Duration,
    /// Announced to ROUTER peers; empty for none.
    pub routing_id: Vec<u8>,
    /// What becomes of a message beyond a mark; `None` for [`OnFull::default_of`].
    pub on_full: Option<OnFull>,
    /// Without a peer a send waits for one.
    pub immediate: bool,
    /// Between PINGs to each peer; `None` for none.
    pub heartbeat_interval: Option<Duration>,
    /// Silence after a PING that ends a link; `None` for the interval.
    pub heartbeat_timeout: Option<Duration>,
    /// Silence of ours after which a peer is told to end the link; `None` for none.
    pub heartbeat_ttl: Option<Duration>,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: usize,
    /// Silence of a TCP peer before the kernel probes it; `None` for never.
    pub tcp_keepalive_idle: Option<Duration>,
    /// Between those probes.
    pub tcp_keepalive_interval: Duration,
    /// Probes without an answer that end a connection.
    pub tcp_keepalive_count: usize,
    /// Of the kernel, for each connection; 0 to let it choose.
    pub send_buffer_bytes: usize,
    /// As above.
    pub recv_buffer_bytes: usize,
    /// Send each new peer an empty message.
    pub probe_router: bool,
    /// A ROUTER refuses a message for an id that no peer has, rather than drop it.
    pub router_mandatory: bool,
    /// At a ROUTER the second peer of a routing id takes the first one's place.
    pub router_handover: bool,
    /// A REQ numbers its requests, and drops replies to others.
    pub req_correlate: bool,
    /// A REQ may send again before the reply came.
    pub req_relaxed: bool,
    /// An XPUB gives every subscription, not only a topic's first.
    pub xpub_verbose: bool,
    /// Of one peer, at a PUB or XPUB.
    pub max_subscriptions: usize,
    /// Each peer is given shared memory of its own.
    pub isolate: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            hwm_messages: 1000,
            hwm_bytes: 64 << 20,
            linger: Some(Duration::from_secs(1)),
            max_message_bytes: 1 << 30,
            max_parts: 1024,
            max_peers: 4096,
            handshake_timeout: Duration::from_secs(10),
            reconnect_interval: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            routing_id: Vec::new(),
            on_full: None,
            immediate: false,
            heartbeat_interval: None,
            heartbeat_timeout: None,
            heartbeat_ttl: None,
            backlog: 4096,
            tcp_keepalive_idle: None,
            tcp_keepalive_interval: Duration::from_secs(10),
            tcp_keepalive_count: 3,
            send_buffer_bytes: 0,
            recv_buffer_bytes: 0,
            probe_router: false,
            router_mandatory: true,
            router_handover: false,
            req_correlate: false,
            req_relaxed: false,
            xpub_verbose: false,
            max_subscriptions: 65536,
            isolate: false,
        }
    }
}

/// An option out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    pub name: &'static str,
    pub allowed: &'static str,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.name, self.allowed)
    }
}

impl std::error::Error for OptionError {}

impl SocketOptions {
    /// What a socket of type `kind` does with a message beyond a mark.
    #[must_use]
    pub fn on_full(&self, kind: SocketType) -> OnFull {
        self.on_full.unwrap_or(OnFull::default_of(kind))
    }

    pub(crate) fn marks(&self) -> Marks {
        Marks { messages: self.hwm_messages, nbytes: self.hwm_bytes }
    }

    pub(crate) fn kernel(&self) -> KernelOptions {
        let probe = |idle| Keepalive {
            idle,
            interval: self.tcp_keepalive_interval,
            count: self.tcp_keepalive_count,
        };
        KernelOptions {
            keepalive: self.tcp_keepalive_idle.map(probe),
            send_buffer_bytes: self.send_buffer_bytes,
            recv_buffer_bytes: self.recv_buffer_bytes,
        }
    }

    pub(crate) fn listen(&self, insecure: bool) -> ListenOptions {
        ListenOptions { insecure, backlog: self.backlog, kernel: self.kernel() }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { max_message_bytes: self.max_message_bytes, max_parts: self.max_parts }
    }
}
