//! The reactor: one epoll descriptor over every socket, and no thread.

mod arrivals;
mod closing;
mod connector;
mod departures;
mod endpoints;
mod error;
mod heartbeat;
mod inproc;
mod messages;
mod monitor;
mod poller;
mod reactor;
mod shared_memory;
mod shm_options;
mod spinner;
mod statistics;

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use slotmap::SlotMap;

use crate::link::{Buffer, Listener, Message};
use crate::shm::Store;
use crate::socket::{
    ConnectorKey, DepartedKey, LinkKey, Links, ListenerKey, PeerError, PeerStatistics, Socket,
    SocketKey, SocketOptions, State, Statistics,
};
use crate::timers::Timers;
use crate::zmtp::{Key, SocketType};
use connector::Connector;
pub use error::SetupError;
use poller::{Poller, Ready};
use shared_memory::Departed;
pub use shm_options::{ShmMode, ShmOptions};
use spinner::Spinner;
pub use statistics::ContextStatistics;

/// Read at most this much at once, so that what is read is still in the cache when it is
/// parsed.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Queued for one link, as [`Message::cost`] counts: write it without waiting for
/// [`Context::flush`].
const FLUSH_COST: usize = 128 << 10;
/// Messages queued in one turn for a link through shared memory, where a write costs no system
/// call: the peer may begin while we go on (64 outstanding requests: some 3 times as many a
/// second).
const FLUSH_LEN: usize = 8;
/// So many times as many before the next such write: a peer that is faster than we are would
/// else sleep, and have to be rung, after each.
const FLUSH_LEN_GROWTH: usize = 4;

/// What is due at a deadline.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// A link must be up by now.
    Handshake(LinkKey),
    Reconnect(ConnectorKey),
    /// A listener that ran out of descriptors tries again.
    Accept(ListenerKey),
    Linger(SocketKey),
    /// A peer had its time to end a link that drains.
    Drained(LinkKey),
    Ping(LinkKey),
    /// A peer must have answered a PING by now.
    Answer(LinkKey),
    /// Look whether a peer that promised to be heard is.
    Look(LinkKey),
    /// Give back shared memory that was not used for a while.
    Retire,
}

struct Bound {
    place: Place,
    socket: SocketKey,
    /// Its peers are not asked for the key.
    insecure: bool,
}

/// Where a socket listens.
enum Place {
    Listener(Listener),
    /// A name within the context.
    Inproc(String),
}

impl Place {
    /// The endpoint really bound.
    fn endpoint(&self) -> &str {
        match self {
            Self::Listener(listener) => listener.endpoint(),
            Self::Inproc(endpoint) => endpoint,
        }
    }
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
    /// Endpoints within the context that are bound.
    names: HashMap<String, ListenerKey>,
    connectors: SlotMap<ConnectorKey, Connector>,
    timers: Timers<Due>,
    dirty: Vec<LinkKey>,
    woken: Vec<SocketKey>,
    read_buffer: Box<[u8]>,
    write_buffer: Vec<u8>,
    ready: Vec<Ready>,
    /// What every TCP peer must know.
    key: Option<Key>,
    shm: ShmOptions,
    /// What lies in shared memory, and who holds it.
    store: Store,
    /// It will be looked whether some of that is not used any more.
    is_retiring: bool,
    num_shm_refused: u64,
    /// New links do not move before this.
    shm_paused_until: Option<Instant>,
    departed: SlotMap<DepartedKey, Departed>,
    spinner: Spinner,
}

impl<B: Buffer> Context<B> {
    /// Make a context without sockets.
    ///
    /// # Errors
    ///
    /// As `epoll_create1(2)` and `timerfd_create(2)`.
    pub fn new() -> rustix::io::Result<Self> {
        let shm = ShmOptions::default();
        Ok(Self {
            poller: Poller::new()?,
            sockets: SlotMap::with_key(),
            links: SlotMap::with_key(),
            bound: SlotMap::with_key(),
            names: HashMap::new(),
            connectors: SlotMap::with_key(),
            timers: Timers::new(),
            dirty: Vec::new(),
            woken: Vec::new(),
            read_buffer: vec![0; READ_BUFFER_BYTES].into(),
            write_buffer: Vec::new(),
            ready: Vec::new(),
            key: None,
            store: Store::keeping_large(shm.max_bytes),
            is_retiring: false,
            shm,
            num_shm_refused: 0,
            shm_paused_until: None,
            departed: SlotMap::with_key(),
            spinner: Spinner::default(),
        })
    }

    /// Make a context whose TCP peers must prove that they know `key`, as it does to them.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_key(key: Key) -> rustix::io::Result<Self> {
        Ok(Self { key: Some(key), ..Self::new()? })
    }

    /// Readable when [`Self::run_once`] has work; `None` once the context is shut.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
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

    /// Messages that can be taken without reading more from the peers.
    #[must_use]
    pub fn num_readable(&self, key: SocketKey) -> usize {
        self.sockets.get(key).map_or(0, |socket| socket.num_readable(&self.links))
    }

    /// Whether [`Self::try_recv`] would give a message or an error now.
    #[must_use]
    pub fn is_readable(&self, key: SocketKey) -> bool {
        let socket = self.sockets.get(key);
        socket.is_none_or(|socket| socket.state != State::Open || socket.answers_recv())
    }

    /// Whether a small message would be accepted, or refused for good, at once.
    #[must_use]
    pub fn is_writable(&self, key: SocketKey) -> bool {
        let socket = self.sockets.get(key);
        socket.is_none_or(|socket| socket.state != State::Open || socket.can_send(&self.links))
    }

    /// Whether a sender that finds no room is told so, rather than made to wait.
    #[must_use]
    pub fn fails_when_full(&self, key: SocketKey) -> bool {
        self.sockets.get(key).is_some_and(Socket::fails_when_full)
    }

    /// The rule by which a socket sends one message at a time, if there is one.
    #[must_use]
    pub fn turn_rule(&self, key: SocketKey) -> Option<&'static str> {
        self.sockets.get(key).and_then(Socket::turn_rule)
    }

    /// Whether the socket was closed.
    #[must_use]
    pub fn is_closed_for_owner(&self, key: SocketKey) -> bool {
        self.sockets.get(key).is_none_or(|socket| socket.state != State::Open)
    }

    /// Note that somebody waits until [`Self::is_writable`] may hold again.
    pub fn want_room(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.want_room(&mut self.links);
        }
    }

    /// Whether those who wait to send should try again, for which this is asked once.
    pub fn take_relief(&mut self, key: SocketKey) -> bool {
        match self.sockets.get_mut(key) {
            Some(socket) if socket.state == State::Open => std::mem::take(&mut socket.has_relief),
            _ => true,
        }
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

    /// Wake those who wait to send.
    fn wake_senders(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.has_relief = true;
            socket.is_starved = false;
            socket.is_urgently_starved = false;
            self.wake(key);
        }
    }

    /// Counters and queues of a socket.
    #[must_use]
    pub fn statistics(&self, key: SocketKey) -> Statistics {
        let socket = self.sockets.get(key);
        socket.map(|socket| socket.statistics(&self.links)).unwrap_or_default()
    }

    /// The peers of a socket, in the order in which they came.
    #[must_use]
    pub fn peers(&self, key: SocketKey) -> Vec<PeerStatistics> {
        self.sockets.get(key).map(|socket| socket.peers(&self.links)).unwrap_or_default()
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
