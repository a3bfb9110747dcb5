//! The reactor: one epoll descriptor over every socket, and no thread.

mod closing;
mod connector;
mod lifecycle;
mod poller;
mod reactor;

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use slotmap::SlotMap;

use crate::link::{BindError, Buffer, Endpoint, EndpointError, Listener, Message, OutOfMemory};
use crate::socket::{
    ConnectorKey, LinkKey, Links, ListenerKey, OptionError, PeerError, SendFault, Sent, Socket,
    SocketKey, SocketOptions, State, Statistics, addressed,
};
use crate::timers::Timers;
use crate::zmtp::SocketType;
use connector::Connector;
use poller::{Poller, Ready};

/// Read at most this much at once, so that what is read is still in the cache when it is
/// parsed.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Queued for one link, as [`Message::cost`] counts: write it without waiting for
/// [`Context::flush`].
const FLUSH_COST: usize = 128 << 10;

/// Why a message cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvFault {
    Closed,
    /// The type of the socket does not allow it.
    Misuse(&'static str),
    /// The next message has several parts; it was left where it is.
    Multipart {
        num_parts: usize,
    },
    OutOfMemory,
}

impl From<OutOfMemory> for RecvFault {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why a socket cannot be opened, bound or connected.
#[derive(Debug)]
pub enum SetupError {
    Closed,
    Option(OptionError),
    Endpoint(EndpointError),
    Bind {
        endpoint: String,
        error: BindError,
    },
    System(rustix::io::Errno),
    /// Nothing is bound, or connected, there.
    NotThere {
        endpoint: String,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("socket is closed"),
            Self::Option(error) => error.fmt(f),
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, error } => write!(f, "{endpoint}: {error}"),
            Self::System(errno) => errno.fmt(f),
            Self::NotThere { endpoint } => write!(f, "nothing at endpoint {endpoint}"),
        }
    }
}

impl std::error::Error for SetupError {}

impl From<EndpointError> for SetupError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl From<OptionError> for SetupError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

impl From<rustix::io::Errno> for SetupError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno)
    }
}

/// What is due at a deadline.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// A link must be up by now.
    Handshake(LinkKey),
    Reconnect(ConnectorKey),
    /// A listener that ran out of descriptors tries again.
    Accept(ListenerKey),
    Linger(SocketKey),
}

struct Bound {
    listener: Listener,
    socket: SocketKey,
}

/// Owns sockets and moves their bytes when told to.
///
/// Nothing happens outside its calls: [`Self::run_once`] does what is ready, and
/// [`Self::fd`] tells when something is.
///
/// # Examples
///
/// ```
/// use busduct::context::Context;
/// use busduct::link::Message;
/// use busduct::socket::SocketOptions;
/// use busduct::zmtp::SocketType;
///
/// let mut context = Context::<Vec<u8>>::new()?;
/// let pull = context.open(SocketType::Pull, SocketOptions::default())?;
/// let push = context.open(SocketType::Push, SocketOptions::default())?;
/// let endpoint = context.bind(pull, "tcp://127.0.0.1:0", false)?;
/// context.connect(push, &endpoint)?;
/// assert!(context.try_send(push, Message::Single(b"hello".to_vec())).is_ok());
/// let message = loop {
///     if let Ok(Some(message)) = context.try_recv(pull) {
///         break message;
///     }
///     context.run_once(None)?;
/// };
/// assert_eq!(message, Message::Single(b"hello".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Context<B: Buffer> {
    poller: Poller,
    sockets: SlotMap<SocketKey, Socket<B>>,
    links: Links<B>,
    bound: SlotMap<ListenerKey, Bound>,
    connectors: SlotMap<ConnectorKey, Connector>,
    timers: Timers<Due>,
    dirty: Vec<LinkKey>,
    woken: Vec<SocketKey>,
    read_buffer: Box<[u8]>,
    write_buffer: Vec<u8>,
    ready: Vec<Ready>,
}

impl<B: Buffer> Context<B> {
    /// Make a context without sockets.
    ///
    /// # Errors
    ///
    /// As `epoll_create1(2)` and `timerfd_create(2)`.
    pub fn new() -> rustix::io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            sockets: SlotMap::with_key(),
            links: SlotMap::with_key(),
            bound: SlotMap::with_key(),
            connectors: SlotMap::with_key(),
            timers: Timers::new(),
            dirty: Vec::new(),
            woken: Vec::new(),
            read_buffer: vec![0; READ_BUFFER_BYTES].into(),
            write_buffer: Vec::new(),
            ready: Vec::new(),
        })
    }

    /// Readable when [`Self::run_once`] has work.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poller.fd()
    }

    /// Open a socket.
    ///
    /// # Errors
    ///
    /// [`SetupError::Option`].
    pub fn open(
        &mut self,
        kind: SocketType,
        options: SocketOptions,
    ) -> Result<SocketKey, SetupError> {
        Ok(self.sockets.insert(Socket::new(kind, options)?))
    }

    /// The socket's own view of itself, while it has not been released.
    #[must_use]
    pub fn socket(&self, key: SocketKey) -> Option<&Socket<B>> {
        self.sockets.get(key)
    }

    fn open_socket(&mut self, key: SocketKey) -> Result<&mut Socket<B>, SetupError> {
        let socket = self.sockets.get_mut(key);
        socket.filter(|socket| socket.state == State::Open).ok_or(SetupError::Closed)
    }

    /// Listen; return the endpoint really bound.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn bind(
        &mut self,
        key: SocketKey,
        endpoint: &str,
        insecure: bool,
    ) -> Result<String, SetupError> {
        self.open_socket(key)?;
        let parsed = Endpoint::parse(endpoint)?;
        let listener = Listener::bind(&parsed, insecure)
            .map_err(|error| SetupError::Bind { endpoint: endpoint.into(), error })?;
        let real = listener.endpoint().to_string();
        let bound = self.bound.insert(Bound { listener, socket: key });
        self.poller.add_listener(bound, self.bound[bound].listener.as_fd())?;
        let socket = self.open_socket(key)?;
        socket.listeners.push(bound);
        socket.last_endpoint.clone_from(&real);
        Ok(real)
    }

    /// Stop listening; peers already accepted stay.
    ///
    /// # Errors
    ///
    /// [`SetupError::NotThere`].
    pub fn unbind(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        let listeners = self.open_socket(key)?.listeners.clone();
        let is_there = |bound: &ListenerKey| self.bound[*bound].listener.endpoint() == endpoint;
        let Some(bound) = listeners.into_iter().find(is_there) else {
            return Err(SetupError::NotThere { endpoint: endpoint.into() });
        };
        self.open_socket(key)?.listeners.retain(|&other| other != bound);
        self.bound.remove(bound);
        Ok(())
    }

    /// Connect, now and whenever the connection is lost. An attempt that fails is
    /// repeated, not reported.
    ///
    /// # Errors
    ///
    /// [`SetupError::Closed`] and [`SetupError::Endpoint`].
    pub fn connect(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        let endpoint = Endpoint::parse(endpoint)?;
        self.open_socket(key)?;
        let connector = self.connectors.insert(Connector::new(key, endpoint));
        self.open_socket(key)?.connectors.push(connector);
        self.attempt(connector);
        self.arm_timer();
        Ok(())
    }

    /// End a connection; what it had not sent goes to the next peer.
    ///
    /// # Errors
    ///
    /// [`SetupError::NotThere`].
    pub fn disconnect(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        let connectors = self.open_socket(key)?.connectors.clone();
        let is_there =
            |found: &ConnectorKey| self.connectors[*found].endpoint.to_string() == endpoint;
        let Some(found) = connectors.into_iter().find(is_there) else {
            return Err(SetupError::NotThere { endpoint: endpoint.into() });
        };
        if let Some(link) = self.connectors[found].link {
            self.flush_link(link);
        }
        self.forget_connector(found);
        Ok(())
    }

    /// Accept a message, if a peer has room for it or none is there yet.
    ///
    /// It is written by [`Self::flush`] or [`Self::run_once`], or at once when much has
    /// gathered.
    ///
    /// # Errors
    ///
    /// The reason, and the message.
    #[inline]
    pub fn try_send(
        &mut self,
        key: SocketKey,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        match socket.send(&mut self.links, message) {
            Ok(sent) => {
                self.note_sent(sent);
                Ok(())
            }
            Err((full @ SendFault::Full { .. }, message)) => {
                self.try_send_again(key, full, message)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Make room by writing what waits, then try once more.
    #[cold]
    fn try_send_again(
        &mut self,
        key: SocketKey,
        full: SendFault,
        message: Message<B>,
    ) -> Result<(), (SendFault, Message<B>)> {
        if self.dirty.is_empty() {
            return Err((full, message));
        }
        self.flush();
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err((SendFault::Closed, message));
        };
        let sent = socket.send(&mut self.links, message)?;
        socket.is_starved = false;
        self.note_sent(sent);
        Ok(())
    }

    #[inline]
    fn note_sent(&mut self, sent: Sent) {
        let Sent::Queued(key) = sent else {
            return;
        };
        self.mark_dirty(key);
        let link = &self.links[key].link;
        if link.outbox.cost() >= FLUSH_COST && !link.wants_write() {
            self.flush_link(key);
        }
    }

    #[inline]
    fn mark_dirty(&mut self, key: LinkKey) {
        let peer = &mut self.links[key];
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.dirty.push(key);
        }
    }

    /// Whether messages were accepted that no write was tried for yet.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Write what was accepted, as far as the kernel takes it.
    pub fn flush(&mut self) {
        while let Some(key) = self.dirty.pop() {
            if let Some(peer) = self.links.get_mut(key) {
                peer.is_dirty = false;
                self.flush_link(key);
            }
        }
        self.arm_timer();
    }

    /// Take the next message, if there is one; a ROUTER puts the routing id first.
    ///
    /// # Errors
    ///
    /// [`RecvFault`].
    #[inline]
    pub fn try_recv(&mut self, key: SocketKey) -> Result<Option<Message<B>>, RecvFault> {
        let socket = self.sockets.get_mut(key).ok_or(RecvFault::Closed)?;
        if socket.state != State::Open {
            return Err(RecvFault::Closed);
        }
        if !socket.kind().receives() {
            return Err(RecvFault::Misuse("a PUSH socket cannot receive"));
        }
        let Some((mut message, link)) = socket.recv(&mut self.links) else {
            return Ok(None);
        };
        if socket.kind() == SocketType::Router {
            message = addressed(self.links[link].link.peer_routing_id(), message)?;
        }
        socket.counters.num_messages_received += 1;
        socket.counters.num_bytes_received += message.nbytes() as u64;
        self.after_recv(key, link);
        Ok(Some(message))
    }

    /// Take the next message if it has one part.
    ///
    /// # Errors
    ///
    /// [`RecvFault`]; a message of several parts stays.
    #[inline]
    pub fn try_recv_single(&mut self, key: SocketKey) -> Result<Option<B>, RecvFault> {
        let socket = self.sockets.get(key).ok_or(RecvFault::Closed)?;
        let extra = usize::from(socket.kind() == SocketType::Router);
        match socket.peek(&self.links) {
            Some(message) if message.parts().len() + extra > 1 => {
                let num_parts = message.parts().len() + extra;
                return Err(RecvFault::Multipart { num_parts });
            }
            _ => {}
        }
        match self.try_recv(key)? {
            Some(Message::Single(part)) => Ok(Some(part)),
            // The peeked message is the one that is taken, and it has one part.
            Some(Message::Multi(parts)) => Ok(parts.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Messages that can be taken without reading more from the peers.
    #[must_use]
    pub fn num_readable(&self, key: SocketKey) -> usize {
        self.sockets.get(key).map_or(0, |socket| socket.num_readable(&self.links))
    }

    /// Whether [`Self::try_recv`] would give a message or an error now.
    #[must_use]
    pub fn is_readable(&self, key: SocketKey) -> bool {
        let socket = self.sockets.get(key);
        socket.is_none_or(|socket| socket.state != State::Open || socket.is_readable())
    }

    /// Whether a sender that waited should try again.
    #[must_use]
    pub fn is_writable(&self, key: SocketKey) -> bool {
        let socket = self.sockets.get(key);
        socket.is_none_or(|socket| socket.state != State::Open || socket.has_room(&self.links))
    }

    /// Whether [`Self::take_woken`] would give any.
    #[inline]
    #[must_use]
    pub fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Sockets that became readable or writable, or were closed, since the last call.
    pub fn take_woken(&mut self, into: &mut Vec<SocketKey>) {
        for &key in &self.woken {
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.is_woken = false;
            }
        }
        into.append(&mut self.woken);
    }

    fn wake(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.is_woken
        {
            socket.is_woken = true;
            self.woken.push(key);
        }
    }

    /// Counters and queues of a socket.
    #[must_use]
    pub fn statistics(&self, key: SocketKey) -> Statistics {
        let socket = self.sockets.get(key);
        socket.map(|socket| socket.statistics(&self.links)).unwrap_or_default()
    }

    /// What the socket's peers did wrong, oldest first, the last 16.
    #[must_use]
    pub fn faults(&self, key: SocketKey) -> Vec<PeerError> {
        self.sockets.get(key).map(Socket::faults).unwrap_or_default()
    }

    /// Take the messages that are known to be lost, as many as the marks keep.
    pub fn take_undelivered(&mut self, key: SocketKey) -> VecDeque<Message<B>> {
        self.sockets.get_mut(key).map(Socket::take_undelivered).unwrap_or_default()
    }

    fn arm_timer(&mut self) {
        // NB: a timer that cannot be set would make deadlines late, not wrong.
        let _ = self.poller.arm(self.timers.next());
    }

    fn after(wait: std::time::Duration) -> Instant {
        let now = Instant::now();
        now.checked_add(wait).unwrap_or(now + std::time::Duration::from_secs(1 << 30))
    }
}
